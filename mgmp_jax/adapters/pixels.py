"""What a model of images reads: raw pixels, scaled, normalised and laid out as it was trained."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float32, UInt8

__all__ = ["Pixels"]


@dataclasses.dataclass(frozen=True)
class Pixels:
    """Turns raw images into what a model reads.

    Pixels are scaled to 0 to 1, then ``(x - mean) / std`` is taken.

    Args:
        mean: of each channel, or of all.
        std: of each channel, or of all.
        size: height and width to resize to, bilinearly; ``None`` leaves images as they are.
        channels_first: whether the model reads ``[b, 3, h, w]``, as PyTorch's do, or
            ``[b, h, w, 3]``.

    Raises:
        ValueError: a number is out of range.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    size: tuple[int, int] | None = None
    channels_first: bool = False

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, 3):
                raise ValueError(f"{name} must be one number or three, got {getattr(self, name)}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {self.std}")
        if self.size is not None and min(self.size) < 1:
            raise ValueError(f"size must be height and width, at least 1, got {self.size}")

    def __call__(self, images: UInt8[np.ndarray, "b h w 3"]) -> Float32[np.ndarray, "b ..."]:
        """Gives float32 ``[b, h, w, 3]``, or ``[b, 3, h, w]`` with channels first."""
        x = images.astype(np.float32) / 255
        if self.size is not None:
            x = _resize(_resize(x, self.size[0], 1), self.size[1], 2)
        x = (x - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if self.channels_first else x


def _resize(x: np.ndarray, length: int, axis: int) -> np.ndarray:
    """Interpolates along an axis between the centres of pixels, as PyTorch's interpolate does."""
    given = x.shape[axis]
    place = np.clip((np.arange(length) + 0.5) * given / length - 0.5, 0, given - 1)
    below = np.floor(place).astype(int)
    weight = (place - below).astype(np.float32)
    shape = [1] * x.ndim
    shape[axis] = length
    weight = weight.reshape(shape)
    above = np.minimum(below + 1, given - 1)
    return x.take(below, axis) * (1 - weight) + x.take(above, axis) * weight
