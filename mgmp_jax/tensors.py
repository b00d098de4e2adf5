"""Tensors: float32 arrays as the bytes of a safetensors file, and back with suspicion."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

import numpy as np

from mgmp_jax import files

__all__ = ["format_tensors", "parse_tensors"]

_LARGEST_HEADER = 2**20
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


def format_tensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Writes float32 arrays one after the other, in the order of their names.

    The same arrays give the same bytes.

    Args:
        arrays: by name; converted to little-endian float32.

    Returns:
        The bytes of a safetensors file.
    """
    header, parts, start = {}, [], 0
    for name in sorted(arrays):
        raw = np.ascontiguousarray(arrays[name], "<f4").tobytes()
        shape = list(arrays[name].shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, start + len(raw)]}
        parts.append(raw)
        start += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def parse_tensors(raw: bytes) -> dict[str, np.ndarray]:
    """Reads the float32 arrays of a safetensors file; nothing in it is ever executed.

    The memory taken is twice the size of the file, whatever it says of itself.

    Args:
        raw: the bytes of the file.

    Raises:
        ValueError: it is damaged, or holds anything but finite float32 arrays, one right after
            the other.
    """
    try:
        return _parse(raw)
    except _DAMAGE as error:
        raise ValueError(f"no readable safetensors of float32 ({str(error)[:200]})") from error


def _parse(raw: bytes) -> dict[str, np.ndarray]:
    length = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or length > min(len(raw) - 8, _LARGEST_HEADER):
        raise ValueError(f"its header cannot be {length} bytes long")
    header, data = files.parse_json(raw[8 : 8 + length]), memoryview(raw)[8 + length :]
    header.pop("__metadata__", None)
    arrays, end = {}, 0
    for name, one in sorted(header.items(), key=lambda item: item[1]["data_offsets"][0]):
        shape, (first, last) = one["shape"], one["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (*shape, first, last))
        if one["dtype"] != "F32" or not whole:
            raise ValueError(f"{name!r} is {str(one)[:80]}")
        if first != end or last - first != 4 * math.prod(shape) or last > len(data):
            raise ValueError(f"{name!r} of shape {shape} is said to lie at {first} to {last}")
        arrays[name] = np.frombuffer(data[first:last], "<f4").reshape(shape).astype(np.float32)
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name!r} has numbers that are not finite")
        end = last
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes belong to no tensor")
    return arrays
