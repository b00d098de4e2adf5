"""Images of two halves, as queries on which models of the same data disagree."""

import numpy as np
from jaxtyping import Int

__all__ = ["halves", "partners"]


def halves(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Joins the left half of each image to the right half of another (Yun et al., 2019, CutMix).

    Models trained on the same data answer such images less alike than real ones, and show more of
    what each has from its own training: of what was tried on pool tasks, the best queries for
    the sibling test (``docs/results/queries.md``).

    Args:
        images: ``[n, h, w, c]``.
        seed: which images go together. Every image is once the left and once the right one.

    Returns:
        Images of the same shape and dtype.

    Raises:
        ValueError: these are no images, or fewer than two.
    """
    if images.ndim != 4:
        raise ValueError(f"give images [n, h, w, c], got shape {images.shape}")
    joined, middle = images.copy(), images.shape[2] // 2
    joined[:, :, middle:] = images[partners(len(images), seed), :, middle:]
    return joined


def partners(n: int, seed: int = 0) -> Int[np.ndarray, " n"]:
    """Chooses for each of ``n`` things another one, each once.

    Args:
        n: how many things there are.
        seed: of the choice.

    Returns:
        The place of each one's partner, ``[n]``.

    Raises:
        ValueError: there are fewer than two.
    """
    if n < 2:
        raise ValueError(f"give at least two images, got {n}")
    order = np.random.default_rng(seed).permutation(n)
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return partner
