"""Data sets by name: ``data.load("cifar10", "train", data_dir)``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from mgmp_jax.queries import modality_of

if TYPE_CHECKING:
    from mgmp_jax.data.tokenizer import Tokenizer

__all__ = [
    "NUM_CLASSES",
    "NUM_SUBSETS",
    "Examples",
    "check_name",
    "class_subsets",
    "load",
    "model_inputs",
]

NUM_CLASSES = {
    "cifar10": 10,
    "cifar100": 100,
    "glyphs10": 10,
    "glyphs100": 100,
    "ag_news": 4,
    "yahoo_answers_topics": 10,
    "20_newsgroups": 20,
    "dbpedia_14": 14,
    "amazon_review_full": 5,
    "yelp_review_full": 5,
    "topics10": 10,
    "topics100": 100,
}
"""Every data set that :func:`load` knows, with its number of classes."""

NUM_SUBSETS = {
    "cifar100": 10,
    "glyphs100": 10,
    "20_newsgroups": 2,
    "dbpedia_14": 2,
    "topics100": 10,
}
"""Into how many disjoint class subsets a data set is cut, where it is."""

SUBSET_SEED = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Examples:
    """What a model is trained or tested on.

    Args:
        inputs: uint8 images ``[n, h, w, 3]``, int32 token ids ``[n, l]`` padded with 0, or rows of
            numbers ``[n, f]``.
        labels: int32, ``[n]``, from 0 to ``num_classes - 1``; or float32 probabilities,
            ``[n, num_classes]``, where a teacher gave them.
        num_classes: how many classes there are.
        texts: the raw texts that the token ids were made of, ``n`` of them.

    Raises:
        ValueError: the labels are neither of the two, or there is another number of labels or
            texts than of inputs.
    """

    inputs: np.ndarray
    labels: np.ndarray
    num_classes: int
    texts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_labels(self.labels, self.num_classes)
        for name, parallel in (("labels", self.labels), ("texts", self.texts)):
            if parallel is not None and len(parallel) != len(self.inputs):
                raise ValueError(f"there are {len(self.inputs)} inputs, but {len(parallel)} {name}")

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, n: int | None, skip: int = 0) -> Examples:
        """Takes ``n`` examples after the first ``skip``; all where ``n`` is ``None`` or larger."""
        part = slice(skip, None if n is None else skip + n)
        texts = None if self.texts is None else self.texts[part]
        return Examples(self.inputs[part], self.labels[part], self.num_classes, texts)

    def of_classes(self, classes: Sequence[int]) -> Examples:
        """Takes the examples of ``classes``, in their order; class ``classes[i]`` becomes ``i``.

        Raises:
            ValueError: a class does not exist, or the labels are probabilities.
        """
        if self.labels.ndim != 1:
            raise ValueError("examples with probabilities as labels cannot be chosen by class")
        unknown = sorted(set(classes) - set(range(self.num_classes)))
        if unknown:
            raise ValueError(f"classes are 0 to {self.num_classes - 1}, got {unknown}")
        new_label = np.full(self.num_classes, -1, np.int32)
        new_label[list(classes)] = np.arange(len(classes))
        chosen = new_label[self.labels] >= 0
        texts = self.texts
        if texts is not None:
            texts = tuple(text for text, keep in zip(texts, chosen, strict=True) if keep)
        return Examples(self.inputs[chosen], new_label[self.labels[chosen]], len(classes), texts)


def check_name(name: str) -> None:
    """Raises ``ValueError`` unless there is a data set of this name."""
    if name not in NUM_CLASSES:
        raise ValueError(f"unknown data set {name!r}; choose one of {', '.join(NUM_CLASSES)}")


def load(
    name: str,
    split: str,
    data_dir: str | Path | None = None,
    *,
    limit: int | None = None,
    classes: Sequence[int] | None = None,
    download: bool = False,
    tokenizer: Tokenizer | None = None,
) -> Examples:
    """Loads one split of a data set.

    Args:
        name: one of :data:`NUM_CLASSES`.
        split: ``"train"`` or ``"test"``.
        data_dir: where prepared data lie (not for generated ones); by default the environment
            variable ``MGMP_DATA_DIR``, else ``~/tensorflow_datasets``.
        limit: at most this many examples, the first ones. As many glyphs and topics are generated
            as are asked for, 10,000 by default.
        classes: take of these only those of some classes; class ``classes[i]`` becomes ``i``.
        download: whether a set that is not there may be fetched.
        tokenizer: what turns texts into token ids; text data sets need one.

    Raises:
        ValueError: the name, split or a class is unknown, or the stored data are damaged.
        FileNotFoundError: the data are not there; the message says what to type.
        ImportError: they need a package that is not installed; the message says which.
    """
    from mgmp_jax.data import glyphs, images, text, topics

    if split not in ("train", "test"):
        raise ValueError(f'split must be "train" or "test", got {split!r}')
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or None, got {limit}")
    if name in ("glyphs10", "glyphs100"):
        return glyphs.generate(name, split, limit or 10_000, classes)
    check_name(name)
    if name in ("cifar10", "cifar100"):
        examples = images.load_cifar(name, split, data_dir, download=download).take(limit)
    elif tokenizer is None:
        raise ValueError(f"{name} is text: give the tokenizer of the model that reads it")
    else:
        if name in ("topics10", "topics100"):
            texts = topics.generate(name, split, limit or 10_000)
        else:
            texts = text.load_texts(name, split, data_dir, download=download).take(limit)
        tokens = tokenizer.encode(texts.texts)
        examples = Examples(tokens, texts.labels, texts.num_classes, texts.texts)
    return examples if classes is None else examples.of_classes(classes)


def class_subsets(
    num_classes: int, num_subsets: int, seed: int = SUBSET_SEED
) -> Int[np.ndarray, "subsets classes"]:
    """Cuts the classes into disjoint random subsets.

    Row ``i`` is subset ``i`` of the paper's "ten disjoint ten-way subsets" of CIFAR-100. The paper
    does not say which classes it holds, so a seeded permutation decides.

    Args:
        num_classes: how many classes there are.
        num_subsets: into how many subsets of equal size they are cut.
        seed: of the permutation.

    Returns:
        The classes of each subset, ``[num_subsets, num_classes / num_subsets]``.

    Raises:
        ValueError: the classes cannot be cut into equal subsets.
    """
    if num_subsets < 1 or num_classes % num_subsets:
        raise ValueError(f"{num_classes} classes cannot be cut into {num_subsets} equal subsets")
    return np.random.default_rng(seed).permutation(num_classes).reshape(num_subsets, -1)


def model_inputs(inputs):
    """Converts stored inputs to what a model takes.

    uint8 pixels become float32 of about zero mean and unit variance; token ids and rows of numbers
    stay as they are.

    Args:
        inputs: a NumPy or JAX array, also inside ``jax.jit``: uint8 images ``[n, h, w, 3]``,
            integer token ids ``[n, l]`` or rows of numbers ``[n, f]``.

    Returns:
        An array of the same kind and shape.

    Raises:
        ValueError: they are none of these, for example images of another dtype or layout.
    """
    if modality_of(inputs) == "images":
        return (inputs.astype(np.float32) - 127.5) / 63.75
    return inputs


def _check_labels(labels: np.ndarray, num_classes: int) -> None:
    expected = (
        f"labels must be whole numbers [n] from 0 to {num_classes - 1}, or probabilities "
        f"[n, {num_classes}]"
    )
    is_whole, is_soft = labels.dtype.kind in "iu", labels.dtype.kind == "f"
    if is_soft and labels.ndim == 2 and labels.shape[1] == num_classes:
        return
    if not is_whole or labels.ndim != 1:
        hint = ""
        if labels.ndim == 2 and labels.shape[1] == 1:
            hint = "; drop the second axis: labels[:, 0]"
        raise ValueError(f"{expected}; got {labels.dtype} {labels.shape}{hint}")
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(outside):
        raise ValueError(f"{expected}; row {outside[0]} has {labels[outside[0]]}")
