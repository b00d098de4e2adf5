"""Stamps: when a file was made, and by which versions of what."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import time

__all__ = ["check_time", "library_version", "now", "versions"]

_BESIDE = ("flax", "jax", "numpy", "scipy")


def now() -> str:
    """Says what time it is, in ISO 8601 with a time zone, to the second.

    Where the environment has ``SOURCE_DATE_EPOCH``, the seconds since 1970 by which files are made
    again bit for bit, it is that time.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    seconds = float(epoch) if epoch.isdecimal() else time.time()
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def check_time(created: str) -> str:
    """Gives a time back as it is, where it is one with a time zone in ISO 8601.

    Args:
        created: for example ``"2026-01-31T12:00:00+00:00"``.

    Raises:
        ValueError: it is none.
    """
    try:
        if datetime.datetime.fromisoformat(created).tzinfo is not None:
            return created
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"created must be a time with its zone, such as 2026-01-31T12:00:00+00:00; got {created!r}"
    )


def library_version() -> str:
    """Says which version of this library is installed, ``"unknown"`` where none is."""
    return _version("mgmp_jax")


def versions() -> dict[str, str]:
    """Says which versions of Python and of the libraries below this one are running."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _BESIDE}}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
