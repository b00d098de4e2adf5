"""Ways to damage a file: bits, lengths, blocks, JSON, headers, and things that are no files."""

from __future__ import annotations

import functools
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
Mutation = Callable[[Path, Rng, list[Path]], None]
"""Damages a file; the last argument are other files, whose parts may be taken."""

ODD_JSON: list[Any] = [
    None, True, -1, 0, 1e308, 10**400, 0.5, "", "x" * 10_000, "\x00\ud800", [], [[]], {}, {"a": {}},
    "../../../../etc/passwd", "__class__", [0] * 10_000,
]  # fmt: skip
HEADERS = [
    b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 2), }",
    b"{'descr': [('a', '<f4')], 'fortran_order': 1, 'shape': 3, }",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (3,)" + b" " * 50,
    b"__import__('os').abort()",
]
PICKLE = b"cos\nabort\n(tR."
"""Ends the process that unpickles it."""


def flip_bits(path: Path, rng: Rng, others: list[Path]) -> None:
    raw = bytearray(path.read_bytes())
    for place in rng.integers(0, max(len(raw), 1), int(rng.choice([1, 1, 1, 8]))):
        if raw:
            raw[place] ^= 1 << int(rng.integers(8))
    path.write_bytes(raw)


def truncate(path: Path, rng: Rng, others: list[Path]) -> None:
    size = path.stat().st_size
    os.truncate(path, int(rng.integers(0, max(size, 1))))


def grow(path: Path, rng: Rng, others: list[Path]) -> None:
    with path.open("ab") as file:
        file.write(rng.bytes(int(rng.choice([1, 7, 4096]))))


def zero_a_block(path: Path, rng: Rng, others: list[Path]) -> None:
    raw = bytearray(path.read_bytes())
    start = int(rng.integers(0, max(len(raw), 1)))
    length = int(rng.choice([1, 16, 512]))
    raw[start : start + length] = bytes(len(raw[start : start + length]))
    path.write_bytes(raw)


def take_a_part_of_another(path: Path, rng: Rng, others: list[Path]) -> None:
    raw = bytearray(path.read_bytes())
    other = others[int(rng.integers(len(others)))].read_bytes()
    start = int(rng.integers(0, max(len(raw), 1)))
    length = int(rng.choice([4, 64, 1024]))
    raw[start : start + length] = other[start : start + length]
    path.write_bytes(raw)


def become_another(path: Path, rng: Rng, others: list[Path]) -> None:
    path.write_bytes(others[int(rng.integers(len(others)))].read_bytes())


def change_json(path: Path, rng: Rng, others: list[Path]) -> None:
    """Puts something odd in the place of a value, or takes it away; other files are cut."""
    try:
        content = json.loads(path.read_bytes())
        places = list(_places(content))
        parent, key = places[int(rng.integers(len(places)))]
    except (ValueError, IndexError, UnicodeDecodeError):
        return truncate(path, rng, others)
    if rng.random() < 0.2:
        del parent[key]
    else:
        parent[key] = ODD_JSON[int(rng.integers(len(ODD_JSON)))]
    path.write_text(json.dumps(content), encoding="utf-8", errors="surrogatepass")


def nest_deeply(path: Path, rng: Rng, others: list[Path]) -> None:
    path.write_text("[" * 100_000 + "]" * 100_000)


def lie_in_a_header(path: Path, rng: Rng, others: list[Path]) -> None:
    """Puts a header of another array before what is there."""
    header = HEADERS[int(rng.integers(len(HEADERS)))]
    length = len(header).to_bytes(2, "little")
    path.write_bytes(b"\x93NUMPY\x01\x00" + length + header + path.read_bytes()[:1000])


def become_a_pickle(path: Path, rng: Rng, others: list[Path]) -> None:
    path.write_bytes(PICKLE)


@functools.cache
def bomb() -> bytes:
    """A zip of a megabyte that unpacks to a gigabyte."""
    raw = io.BytesIO()
    with (
        zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("values.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(64):
            member.write(bytes(2**24))
    return raw.getvalue()


def become_a_bomb(path: Path, rng: Rng, others: list[Path]) -> None:
    path.write_bytes(bomb())


def become_a_folder(path: Path, rng: Rng, others: list[Path]) -> None:
    path.unlink()
    path.mkdir()


def become_a_pipe(path: Path, rng: Rng, others: list[Path]) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_itself(path: Path, rng: Rng, others: list[Path]) -> None:
    path.unlink()
    path.symlink_to(path)


def vanish(path: Path, rng: Rng, others: list[Path]) -> None:
    path.unlink()


def overlap_tensors(path: Path, rng: Rng, others: list[Path]) -> None:
    """Writes a safetensors header whose tensors overlap or lie outside."""
    size = int(rng.choice([8, 16, 2**40]))
    about = {
        name: {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, size]} for name in ("a", "b")
    }
    header = json.dumps(about).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))


OFTEN: list[Mutation] = [
    flip_bits, truncate, grow, zero_a_block, take_a_part_of_another, change_json,
]  # fmt: skip
SELDOM: list[Mutation] = [
    become_another, nest_deeply, lie_in_a_header, become_a_pickle, become_a_bomb, become_a_folder,
    become_a_pipe, link_to_itself, vanish, overlap_tensors,
]  # fmt: skip


def draw(rng: Rng) -> Mutation:
    """Draws a way to damage a file, the cheap and likely ones more often."""
    ways = OFTEN if rng.random() < 0.9 else SELDOM
    return ways[int(rng.integers(len(ways)))]


def _places(content: Any) -> Any:
    """All values of JSON, as the container and the key."""
    items: Any = ()
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list):
        items = list(enumerate(content))
    for key, value in items:
        yield content, key
        yield from _places(value)
