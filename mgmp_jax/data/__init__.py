"""Data sets by name: ``data.load("cifar10", "train", data_dir)``."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["ImageData", "class_subsets", "load", "names", "normalise"]

SUBSET_SEED = 0


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Images with their classes.

    Args:
        images: uint8, ``[n, h, w, 3]``.
        labels: int32, ``[n]``, from 0 to ``num_classes - 1``.
        num_classes: how many classes there are.
    """

    images: np.ndarray
    labels: np.ndarray
    num_classes: int

    def __len__(self) -> int:
        return len(self.images)

    def take(self, n: int | None) -> "ImageData":
        """The first ``n`` images, or all where ``n`` is ``None`` or larger."""
        return ImageData(self.images[:n], self.labels[:n], self.num_classes)

    def of_classes(self, classes: Sequence[int]) -> "ImageData":
        """The images of ``classes``, in their order, relabelled 0, 1, ... in that of ``classes``.

        Raises:
            ValueError: a class does not exist.
        """
        unknown = sorted(set(classes) - set(range(self.num_classes)))
        if unknown:
            raise ValueError(f"classes are 0 to {self.num_classes - 1}, got {unknown}")
        new_label = np.full(self.num_classes, -1, np.int32)
        new_label[list(classes)] = np.arange(len(classes))
        chosen = new_label[self.labels] >= 0
        return ImageData(self.images[chosen], new_label[self.labels[chosen]], len(classes))


def names() -> tuple[str, ...]:
    """The names that :func:`load` knows."""
    return ("cifar10", "cifar100", "glyphs10", "glyphs100")


def load(
    name: str,
    split: str,
    data_dir: str | Path | None = None,
    *,
    limit: int | None = None,
    download: bool = False,
) -> ImageData:
    """One split of a data set.

    Args:
        name: one of :func:`names`.
        split: ``"train"`` or ``"test"``.
        data_dir: where prepared data lie (CIFAR only); by default the environment variable
            ``MGMP_DATA_DIR``, else ``~/tensorflow_datasets``.
        limit: at most this many images, the first ones. The generated glyphs have as many
            as are asked for, 10,000 by default.
        download: whether a set that is not there may be fetched from its home page.

    Raises:
        ValueError: the name or split is unknown, or the stored data are damaged.
        FileNotFoundError: the data are not there; the message says what to type.
    """
    from mgmp_jax.data import glyphs, images

    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or None, got {limit}")
    if name in ("cifar10", "cifar100"):
        return images.load_cifar(name, split, data_dir, download=download).take(limit)
    if name in ("glyphs10", "glyphs100"):
        return glyphs.generate(name, split, limit or 10_000)
    raise ValueError(f"unknown data set {name!r}; choose one of {', '.join(names())}")


def class_subsets(num_classes: int, num_subsets: int, seed: int = SUBSET_SEED) -> np.ndarray:
    """Disjoint random subsets of the classes, ``[num_subsets, num_classes / num_subsets]``.

    Row ``i`` is subset ``i`` of the paper's "ten disjoint ten-way subsets" of CIFAR-100; the
    paper does not say which classes it holds, so a seeded permutation decides.

    Raises:
        ValueError: the classes cannot be cut into equal subsets.
    """
    if num_subsets < 1 or num_classes % num_subsets:
        raise ValueError(f"{num_classes} classes cannot be cut into {num_subsets} equal subsets")
    return np.random.default_rng(seed).permutation(num_classes).reshape(num_subsets, -1)


def normalise(images):
    """uint8 pixels, as NumPy or JAX array, to float32 of about zero mean and unit variance."""
    return (images.astype(np.float32) - 127.5) / 63.75
