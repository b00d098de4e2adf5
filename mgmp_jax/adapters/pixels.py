"""What a model is fed: images as it wants its pixels, texts as its tokenizer's ids, rows as is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

__all__ = ["Pixels", "Reader", "prepare"]

Reader = Callable[[Any], Any]
"""Takes a batch of raw queries, gives what a model is fed: an array, or arrays by name."""


@dataclasses.dataclass(frozen=True)
class Pixels:
    """How raw images become a model's input: scaled to 0..1, resized, normalised, laid out.

    Args:
        mean: of the three channels, of pixels from 0 to 1, or one for all.
        std: the same.
        size: height and width that the model takes; ``None`` leaves them.
        channels_first: ``[b, 3, h, w]`` rather than ``[b, h, w, 3]``.

    Raises:
        ValueError: a standard deviation or a size is not above 0, a mean or standard deviation is
            above 2, or these are not three numbers.
    """

    mean: float | tuple[float, float, float] = 0.0
    std: float | tuple[float, float, float] = 1.0
    size: tuple[int, int] | None = None
    channels_first: bool = True

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            if np.shape(getattr(self, name)) not in ((), (3,)):
                raise ValueError(f"{name} must be 1 or 3 numbers, got {getattr(self, name)!r}")
        if not (np.isfinite(self.mean).all() and np.all(np.asarray(self.std) > 0)):
            raise ValueError(
                f"mean must be finite and std above 0, for pixels from 0 to 1; got {self.mean!r} "
                f"and {self.std!r}"
            )
        if np.max(np.abs(self.mean)) > 2 or np.max(self.std) > 2:
            raise ValueError(
                f"mean and std are of pixels from 0 to 1, so hardly above 1: divide those of "
                f"pixels from 0 to 255 by 255; got {self.mean!r} and {self.std!r}"
            )
        if self.size is not None and (np.shape(self.size) != (2,) or min(self.size) < 1):
            raise ValueError(f"size must be height and width in pixels, got {self.size!r}")

    def __call__(self, images: UInt8[np.ndarray, "b h w 3"]) -> Float[np.ndarray, "b _ _ _"]:
        """Prepares raw images.

        Resizing is bilinear with half-pixel centres; where it shrinks, the filter is as wide as
        the step, so that no pixel is skipped (Pillow and torchvision's ``antialias`` do the same,
        but round to whole pixels where they work on such).

        Args:
            images: raw pixels from 0 to 255.

        Returns:
            Float32 pixels, laid out as the model takes them.
        """
        pixels = images.astype(np.float32) / np.float32(255)
        if self.size is not None and self.size != pixels.shape[1:3]:
            down, across = (
                _bilinear(*lengths) for lengths in zip(pixels.shape[1:3], self.size, strict=True)
            )
            pixels = np.einsum("yh,bhwc,xw->byxc", down, pixels, across, optimize=True)
        pixels = (pixels - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        if self.channels_first:
            pixels = pixels.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(pixels, np.float32)


def prepare(batch: Any, pixels: Reader, tokenize: Reader | None) -> Any:
    """Turns a batch of raw queries into a model's input.

    Args:
        batch: uint8 images ``[b, h, w, 3]``, a list of strings, or float32 rows ``[b, f]``.
        pixels: how images are read.
        tokenize: how texts are read.

    Returns:
        An array, or arrays by name where a reader gives such; rows stay as they are.

    Raises:
        ValueError: the queries are texts, and no tokenizer was given.
    """
    if isinstance(batch, list):
        if tokenize is None:
            raise ValueError(
                "the queries are texts, which this model cannot read as they are; give tokenize=, "
                "a function of a list of strings that gives token ids [b, l] or arrays by name"
            )
        return tokenize(batch)
    return pixels(batch) if batch.ndim == 4 else batch


def _bilinear(before: int, after: int) -> Float[np.ndarray, "after before"]:
    """Weights of a triangle filter that brings ``before`` pixels to ``after``."""
    step = before / after
    centres = (np.arange(after) + 0.5) * step - 0.5
    distance = np.abs(centres[:, None] - np.arange(before)) / max(step, 1.0)
    weights = np.maximum(1 - distance, 0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
