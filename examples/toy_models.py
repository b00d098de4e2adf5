"""Toy models of images for the command line, and images to ask them.

    python examples/toy_models.py story     # writes story/train.npy and story/test.npy

Every model is a function in NumPy, by its name in a folder of references: ``source``,
``siblings/00``, ``controls/00``, ``pool/task0/homologous``, ``pool/task0/non_homologous``; and of
suspects ``stolen``, ``innocent``, ``innocent0`` and so on. What the data teach is common to source
and siblings, what a seed adds is each one's own, and a fine-tuned model keeps both.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

Model = Callable[[np.ndarray], np.ndarray]
DATA, SOURCE = 0, 1
MODELS = r"source|stolen|innocent\d*|(siblings|controls)/\d+|pool/task\d+/(non_)?homologous"


def features(images: np.ndarray, seed: int) -> np.ndarray:
    """What a network with these random weights sees in images ``[b, h, w, 3]``."""
    pixels = images.reshape(len(images), -1) / 255 - 0.5
    weights = np.random.default_rng(seed).normal(size=(pixels.shape[1], 6))
    return np.sin(3 * pixels @ weights)


def trained(seed: int) -> Model:
    """A model of the source's data."""
    return lambda images: features(images, DATA) + features(images, seed)


def tuned(start: int, seed: int) -> Model:
    """A model of another task of five classes, fine-tuned from the one with the seed ``start``."""
    head = np.random.default_rng(seed).normal(size=(6, 5))
    kept, learnt = trained(start), seed + 1
    return lambda images: (kept(images) + features(images, start) + features(images, learnt)) @ head


def __getattr__(name: str) -> Callable[[], Model]:
    """Gives a function that makes the model called ``name``."""
    if not re.fullmatch(MODELS, name):
        raise AttributeError(f"no toy model is called {name!r}; names are {MODELS}")
    seed = 1000 + 10 * sum(256**i * byte for i, byte in enumerate(name.encode())) % 10**9
    if name == "source":
        return lambda: trained(SOURCE)
    if name.startswith("siblings/"):
        return lambda: trained(seed)
    is_own = name == "stolen" or name.endswith("/homologous")
    return lambda: tuned(SOURCE if is_own else seed + 5, seed)


def main(folder: Path) -> None:
    """Writes images of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        np.save(folder / f"{name}.npy", rng.integers(0, 256, (1000, 8, 8, 3), np.uint8))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
