"""Folders: made where nothing is in the way, and walked through links."""

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["make", "walk"]


def make(path: str | Path) -> None:
    """Makes a folder and those above it, where they are not there.

    Args:
        path: of the folder.

    Raises:
        NotADirectoryError: it is a file, or would lie in one.
        OSError: it cannot be made otherwise.
    """
    path = Path(path)
    if files := [place for place in (path, *path.parents) if place.is_file()]:
        raise NotADirectoryError(
            f"{path} cannot be a folder, as {files[0]} is a file; choose another folder"
        )
    path.mkdir(parents=True, exist_ok=True)


def walk(folder: str | Path) -> Iterator[Path]:
    """Gives all files and folders below a folder, through links too, but not in circles.

    Args:
        folder: that is there.
    """
    for place, below, names in os.walk(folder, followlinks=True):
        above = Path(place).parents[: len(Path(place).relative_to(folder).parts)]
        if os.path.realpath(place) in map(os.path.realpath, above):
            below.clear()
            continue
        yield from (Path(place) / name for name in (*below, *names))
