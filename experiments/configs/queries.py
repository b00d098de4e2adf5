"""Kinds of queries as data: what queries.py makes of images that no model was trained on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from _cohort import HALVES, UNSEEN

from mgmp_jax.data.halves import halves, partners

NUMBER = 1000
SPARE = 3
"""How many times as many images the most disputed are chosen from."""

Images = np.ndarray


def mean_of_two(images: Images, seed: int = 0) -> Images:
    """Each image averaged with another one (mixup, Zhang et al., 2018, with weight one half)."""
    total = images.astype(np.uint16) + images[partners(len(images), seed)]
    return (total // 2).astype(np.uint8)


def shuffled(images: Images, rng: np.random.Generator) -> Images:
    """Sixteen square parts of each image in another order."""
    n, height, width, channels = images.shape
    parts = images.reshape(n, 4, height // 4, 4, width // 4, channels).swapaxes(2, 3)
    order = rng.permuted(np.tile(np.arange(16), (n, 1)), axis=1)
    parts = np.take_along_axis(parts.reshape(n, 16, -1), order[:, :, None], axis=1)
    parts = parts.reshape(n, 4, 4, height // 4, width // 4, channels).swapaxes(2, 3)
    return parts.reshape(images.shape)


def noisy(images: Images, rng: np.random.Generator) -> Images:
    """Each image with Gaussian noise of standard deviation 40."""
    return np.clip(images + 40 * rng.normal(size=images.shape), 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Images, np.random.Generator], Images]] = {
    UNSEEN: lambda images, _: images,
    "mixed images": lambda images, _: mean_of_two(images),
    "mean of four": lambda images, _: mean_of_two(mean_of_two(images), seed=1),
    HALVES: lambda images, _: halves(images),
    "parts shuffled": shuffled,
    "with noise": noisy,
}
"""What is done to unseen images."""
