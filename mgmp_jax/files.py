"""Files that are written whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["read_json", "replacing", "write_json"]


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to, which takes the place of ``path`` once the block has ended well.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_json(path: str | Path) -> Any:
    """Reads JSON from ``path``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it and run the same command again"
        ) from error


def write_json(path: str | Path, content: Any) -> None:
    """Writes JSON at ``path``.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")
