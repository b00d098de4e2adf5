"""Raw inputs of an owner's own: arrays, folders of pictures, files of texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mgmp_jax import files, folders
from mgmp_jax.queries import QuerySet

__all__ = ["read_raw"]

_PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


def read_raw(path: str | Path) -> QuerySet:
    """Reads raw inputs; nothing in a file is ever executed.

    Args:
        path: an ``.npy`` of uint8 images ``[n, h, w, 3]`` or of rows ``[n, f]``; a folder of
            pictures of one size, below it too, in the order of their names; or a ``.txt`` in UTF-8
            of one text a line, blank lines left out.

    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: it holds none of these.
        ImportError: pictures need Pillow; the message says what to install.
    """
    path = files.expand(path)
    if path.is_dir():
        return _read_pictures(path)
    if not path.exists():
        raise FileNotFoundError(f"no file or folder {path}")
    if path.suffix == ".npy":
        array = files.read_npy(path)
        return QuerySet.rows(array) if array.ndim == 2 else QuerySet.images(array)
    if path.suffix == ".txt":
        try:
            lines = files.read_bytes(path).decode("utf-8-sig").replace("\r\n", "\n").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no text in UTF-8 ({error}); convert it") from error
        return QuerySet.texts([line for line in lines if line.strip()])
    raise ValueError(
        f"{path} must be an .npy of images or rows, a folder of pictures, or a .txt of one text a "
        "line"
    )


def _read_pictures(folder: Path) -> QuerySet:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("pictures need Pillow: pip install 'mgmp_jax[data]'") from error
    paths = sorted(p for p in folders.walk(folder) if p.suffix.lower() in _PICTURES)
    if not paths:
        raise FileNotFoundError(f"no pictures in {folder}: expected {', '.join(_PICTURES)}")
    pictures = []
    for path in paths:
        try:
            with Image.open(path) as picture:
                if picture.mode[0] in "IF":
                    raise ValueError(f"mode {picture.mode}; bring it to 8 bits a channel")
                pictures.append(np.asarray(picture.convert("RGB")))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path} is no readable picture: {error}") from error
        if pictures[-1].shape != pictures[0].shape:
            raise ValueError(
                f"{path} is {pictures[-1].shape[1]}x{pictures[-1].shape[0]} pixels, {paths[0]} "
                f"{pictures[0].shape[1]}x{pictures[0].shape[0]}; bring all to one size"
            )
    return QuerySet.images(np.stack(pictures))
