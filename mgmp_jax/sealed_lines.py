"""Sealed lines: JSON that is appended line by line, each with its SHA-256, and survives kills."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mgmp_jax import files, folders

__all__ = ["OfAnotherError", "SealedLines"]


_BEGINS = b'{"sha256":"'


class OfAnotherError(ValueError):
    """The file is whole, but of something else than is done now."""


class SealedLines:
    """A file of lines ``{"sha256": ..., "entry": ...}``, with the SHA-256 of the entry's bytes.

    Only one process may hold a file; where the system has ``flock``, a second one is refused. A
    last line that a kill has cut off is taken away.

    Args:
        path: of the file, which is continued where there is one.
        first: the entry that a new file begins with.
        check: takes the first entry that is there; raises :class:`OfAnotherError` where the file is
            of something else.
        read: takes each other entry that is there, in order.
        remedy: what to do about a damaged line, in words.

    Raises:
        ValueError: the file is damaged, in which line is said, or of something else.
        BlockingIOError: another process holds it.
        OSError: it cannot be read or written.
    """

    def __init__(
        self,
        path: Path,
        first: Mapping[str, Any],
        check: Callable[[Any], None],
        read: Callable[[Any], None],
        remedy: str,
    ) -> None:
        folders.make(path.parent)
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no regular file; choose another journal")
        self._path = path
        self._file = path.open("ab", buffering=0)  # a failed write leaves nothing to be written
        try:
            _hold(self._file, path)
            if not self._read(check, read, remedy):
                self.append(first)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> SealedLines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, entry: Mapping[str, Any]) -> None:
        """Appends an entry; once this returns, it is on the disk.

        Raises:
            OSError: the disk is full; then nothing of the entry stays.
        """
        raw = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode()
        line, place = _line(raw), self._file.seek(0, os.SEEK_END)
        try:
            with files.naming(self._path):
                if self._file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(self._file.fileno())
                if not place:
                    _sync_folder(self._path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(place)
            raise

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _read(self, check: Callable[[Any], None], read: Callable[[Any], None], remedy: str) -> int:
        """Gives out what is there, and returns its length in bytes."""
        whole = 0
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    if not _BEGINS.startswith(line[: len(_BEGINS)]):
                        raise ValueError(f"{self._path} is no journal; choose another path")
                    break  # torn by a kill: it was not on the disk when anything depended on it
                try:
                    (check if number == 1 else read)(_entry(line))
                except OfAnotherError:
                    raise
                except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
                    raise ValueError(
                        f"line {number} of {self._path} is damaged ({str(e)[:200]}); {remedy}"
                    ) from e
                whole += len(line)
        self._file.truncate(whole)
        return whole


def _line(raw: bytes) -> bytes:
    digest = hashlib.sha256(raw).hexdigest().encode()
    return _BEGINS + digest + b'","entry":' + raw + b"}\n"


def _entry(line: bytes) -> Any:
    raw = line[len(_line(b"")) - 2 : -2]
    if _line(raw) != line:
        raise ValueError("it is not what was written")
    return json.loads(raw)


def _hold(file: Any, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"another process writes to {path}; wait for its end, or choose another journal"
        ) from error


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some systems open no folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
