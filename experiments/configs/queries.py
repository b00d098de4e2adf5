"""Kinds of queries that queries.py makes of images that no model was trained on.

    python experiments/queries.py --preset small --data-dir DIR

Of 50 descendants on pool tasks 43 are attributed by unseen images, 48 by halves of two (ResNet18).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from configs import cohort
from configs.cohort import HALVES, UNSEEN
from mgmp_jax.data.halves import halves, partners

NUMBER = 1000
SPARE = 3
"""How many times as many images the most disputed are chosen from."""

MIXED = "mixed images"


def mean_of_two(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Averages each image with another one (mixup, Zhang et al., 2018, with weight one half)."""
    total = images.astype(np.uint16) + images[partners(len(images), seed)]
    return (total // 2).astype(np.uint8)


def shuffled(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Puts sixteen square parts of each image into another order."""
    n, height, width, channels = images.shape
    parts = images.reshape(n, 4, height // 4, 4, width // 4, channels).swapaxes(2, 3)
    order = rng.permuted(np.tile(np.arange(16), (n, 1)), axis=1)
    parts = np.take_along_axis(parts.reshape(n, 16, -1), order[:, :, None], axis=1)
    parts = parts.reshape(n, 4, 4, height // 4, width // 4, channels).swapaxes(2, 3)
    return parts.reshape(images.shape)


def noisy(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds Gaussian noise of standard deviation 40."""
    return np.clip(images + 40 * rng.normal(size=images.shape), 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    UNSEEN: lambda images, _: images,
    MIXED: lambda images, _: mean_of_two(images),
    "mean of four": lambda images, _: mean_of_two(mean_of_two(images), seed=1),
    HALVES: lambda images, _: halves(images),
    "parts shuffled": shuffled,
    "with noise": noisy,
}
"""What is done to unseen images."""


@dataclasses.dataclass(frozen=True)
class Args(cohort.Args):
    """Try which queries show the sibling test most."""
