"""Glyphs: digits and letters in CIFAR's shape, drawn from the fonts that matplotlib ships.

The ten digits play CIFAR-10, a hundred letters of four alphabets play CIFAR-100. Each image
depends on its data set, split, seed and index alone, so any number can be made.
"""

import dataclasses
import functools
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.data import Examples

__all__ = ["DIGITS", "LETTERS", "generate"]

DIGITS = "0123456789"
LETTERS = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "abdefghkmnqrtuy"
    "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπρσφψω"
    "БДЖЗИЛЦЧЩЭЮЯ"
    "ԲԳԴԵԶԷԸԺԽԾԿՁՂՃՄՇՉՋՎՖ"
)
_FONTS = tuple(
    f"DejaVu{family}{style}.ttf"
    for family, styles in {
        "Sans": ("", "-Bold", "-Oblique", "-BoldOblique"),
        "Serif": ("", "-Bold", "-Italic", "-BoldItalic"),
        "SansMono": ("", "-Bold", "-Oblique", "-BoldOblique"),
    }.items()
    for style in styles
)
_SIDE, _CANVAS = 32, 56


def generate(
    name: str, split: str, n: int, classes: Sequence[int] | None = None, *, seed: int = 0
) -> Examples:
    """Draws images of ``glyphs10`` (digits) or ``glyphs100`` (letters), classes in turn.

    Font, size, rotation, shift, colours (light on dark), background and noise are random.

    Args:
        name: ``"glyphs10"`` or ``"glyphs100"``.
        split: ``"train"`` or ``"test"``, which have different images.
        n: how many images of all classes.
        classes: of which alone images are drawn, the same as among all ``n``; class ``classes[i]``
            becomes ``i``.
        seed: of all images.

    Raises:
        ValueError: the name or a class is unknown.
        ImportError: matplotlib or Pillow is not installed.
    """
    if name not in ("glyphs10", "glyphs100"):
        raise ValueError(f"unknown data set {name!r}; choose glyphs10 or glyphs100")
    characters = DIGITS if name == "glyphs10" else LETTERS
    labels = np.arange(n, dtype=np.int32) % len(characters)
    places = Examples(np.arange(n), labels, len(characters))
    if classes is not None:
        places = places.of_classes(classes)
    stream = zlib.crc32(f"{name}/{split}".encode())
    try:
        images = [
            _draw(characters[i % len(characters)], np.random.default_rng([seed, stream, i]))
            for i in places.inputs
        ]
    except ImportError as error:
        raise ImportError(
            "glyphs are drawn by Pillow from matplotlib's fonts: pip install 'mgmp_jax[plots]'"
        ) from error
    inputs = np.array(images, np.uint8).reshape(-1, _SIDE, _SIDE, 3)
    return dataclasses.replace(places, inputs=inputs)


def _draw(character: str, rng: np.random.Generator) -> np.ndarray:
    """Draws one image, uint8 ``[32, 32, 3]``."""
    from PIL import Image, ImageDraw

    font = _font(_FONTS[rng.integers(len(_FONTS))], int(rng.integers(20, 29)))
    mask = Image.new("L", (_CANVAS, _CANVAS))
    centre = (_CANVAS / 2, _CANVAS / 2)
    ImageDraw.Draw(mask).text(centre, character, fill=255, font=font, anchor="mm")
    mask = mask.rotate(float(rng.uniform(-20, 20)), resample=Image.Resampling.BILINEAR)
    left, top = (_CANVAS - _SIDE) // 2 + rng.integers(-3, 4, size=2)
    mask = mask.crop((int(left), int(top), int(left) + _SIDE, int(top) + _SIDE))
    alpha = np.asarray(mask, np.float32)[..., None] / 255

    background, ink = rng.uniform(0, 110, size=3), rng.uniform(145, 255, size=3)
    ramp = np.linspace(-1, 1, _SIDE)[:, None, None] * rng.uniform(-30, 30, size=3)
    if rng.random() < 0.5:
        ramp = ramp.transpose(1, 0, 2)
    image = alpha * ink + (1 - alpha) * (background + ramp)
    image = image + rng.normal(0, rng.uniform(0, 15), size=image.shape)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


@functools.cache
def _font(name: str, size: int) -> Any:
    import matplotlib
    from PIL import ImageFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / name), size)
