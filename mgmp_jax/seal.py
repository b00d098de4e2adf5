"""Sealed JSON: text whose last value is its own SHA-256, taken with 64 zeros in that place."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mgmp_jax import files

__all__ = ["read_sealed", "seal", "unseal", "write_sealed"]

_SEAL = re.compile(rb'"sha256": "([0-9a-f]{64})"\n\}\n\Z')


def seal(content: Mapping[str, Any]) -> bytes:
    """Writes JSON with its SHA-256 at the end.

    Args:
        content: anything that JSON holds, without a value called ``"sha256"``.
    """
    text = json.dumps({**content, "sha256": "0" * 64}, indent=1, allow_nan=False) + "\n"
    raw = text.encode()
    return _SEAL.sub(f'"sha256": "{hashlib.sha256(raw).hexdigest()}"\n}}\n'.encode(), raw)


def unseal(raw: bytes) -> dict[str, Any]:
    """Reads what :func:`seal` wrote.

    Raises:
        ValueError: it is not sealed, or a bit of it was changed.
    """
    found = _SEAL.search(raw)
    if found is None:
        raise ValueError("it does not end with its SHA-256")
    zeroed = raw[: found.start(1)] + b"0" * 64 + raw[found.end(1) :]
    if hashlib.sha256(zeroed).hexdigest().encode() != found[1]:
        raise ValueError("it is not what was written: its SHA-256 differs")
    return files.parse_json(raw)


def write_sealed(path: str | Path, content: Mapping[str, Any]) -> None:
    """Writes sealed JSON at ``path``.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    with files.replacing(path) as unfinished:
        unfinished.write_bytes(seal(content))


def read_sealed(path: str | Path) -> dict[str, Any]:
    """Reads what :func:`write_sealed` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not what was written, or no regular file.
    """
    try:
        return unseal(files.read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({str(error)[:200]}); delete it and rerun the same command"
        ) from error
