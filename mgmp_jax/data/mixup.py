"""Images between images, as queries on which models disagree."""

import numpy as np

__all__ = ["mixup", "partners"]


def mixup(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Each image averaged with another one (mixup of Zhang et al., 2018, with weight one half).

    Models trained on the same data answer such images less alike than real ones, so that they
    show more of what a model has from its own training: good queries for
    :func:`mgmp_jax.sibling.sibling_test`.

    Args:
        images: uint8, ``[n, h, w, c]``.
        seed: which images go together. Every image is once the first and once the second of two.

    Returns:
        uint8 images of the same shape.

    Raises:
        ValueError: these are no images, or fewer than two.
    """
    if images.ndim != 4 or images.dtype != np.uint8:
        raise ValueError(
            f"give uint8 images [n, h, w, c], got {images.dtype} of shape {images.shape}"
        )
    total = images.astype(np.uint16) + images[partners(len(images), seed)]
    return (total // 2).astype(np.uint8)


def partners(n: int, seed: int = 0) -> np.ndarray:
    """For each of ``n`` things another one, each once, ``[n]``.

    Raises:
        ValueError: there are fewer than two.
    """
    if n < 2:
        raise ValueError(f"give at least two images, got {n}")
    order = np.random.default_rng(seed).permutation(n)
    partner = np.empty_like(order)
    partner[order] = np.roll(order, 1)
    return partner
