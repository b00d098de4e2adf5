"""Reads arrays of numbers from files that others wrote, with suspicion."""

from __future__ import annotations

import csv
import itertools
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax import files
from mgmp_jax.adapters.frameworks import import_framework
from mgmp_jax.adapters.zip_members import read_member

__all__ = ["NAMED", "SUFFIXES", "is_own", "read_array_file"]

NAMED = (".npz", ".safetensors")
"""Suffixes of files that hold arrays by name."""

SUFFIXES = (".npy", *NAMED, ".parquet", ".csv")
"""Suffixes of all files that are read."""

_LARGEST, _LARGEST_ROW = 2**31, 2**20
_LONGEST_WORD = 1000
_HEADERS = ("answer", "class", "label", "labels", "output", "prediction", "target")
_LONGEST_LINE = 2**20  # of CSV; its cells take about 40 times as much while it is read
_INSTALL = "'mgmp_jax[text]'"


def read_array_file(path: Path, rows: int) -> dict[str, np.ndarray]:
    """Reads the arrays of a file; nothing in it is ever executed.

    Columns of a table become columns of one array ``[rows, columns]``, or words ``[rows]`` where
    there is one column of words. A first row of CSV beyond ``rows`` is its header, unless it holds
    answers. The index that pandas writes beside a table is left out; a first column of another name
    that counts the rows is refused. Of CSV a row is a line, and no cell holds a line break.

    Args:
        path: of a file with one of :data:`SUFFIXES`.
        rows: how many queries there are in all; a table must have so many.

    Returns:
        Arrays by name; one by the name ``""`` where the file knows no names.

    Raises:
        ValueError: it is damaged, is larger or unpacks to more than 1 MiB a query or 2 GiB, or
            has other columns or another number of rows.
        ImportError: safetensors or pyarrow is needed and not installed.
    """
    try:
        _check_size(path.stat().st_size, rows)
        return _READERS[path.suffix](path, rows)
    except (ImportError, FileNotFoundError):
        raise
    except Exception as error:  # damage takes many forms in files that others wrote
        raise ValueError(
            f"{path} cannot be read as recorded answers ({type(error).__name__}: "
            f"{str(error)[:300]})"
        ) from error


def is_own(path: Path) -> bool:
    """Says whether an ``.npz`` is one of this library, which says what its arrays are."""
    if path.suffix != ".npz":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return "about.npy" in archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return False  # damaged: reading it says how


def _read_npy(path: Path, rows: int) -> dict[str, np.ndarray]:
    return {"": files.read_npy(path)}


def _read_npz(path: Path, rows: int) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        _check_size(sum(member.file_size for member in members), rows)
        return {
            member.filename.removesuffix(".npy"): files.parse_npy(read_member(archive, member))
            for member in members
        }


def _read_safetensors(path: Path, rows: int) -> dict[str, np.ndarray]:
    safetensors: Any = import_framework("safetensors", _INSTALL)
    with safetensors.safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _read_parquet(path: Path, rows: int) -> dict[str, np.ndarray]:
    """Reads numeric columns, or one of words; what the file says of its size is checked first."""
    parquet: Any = import_framework("pyarrow.parquet", _INSTALL)
    types: Any = import_framework("pyarrow.types", _INSTALL)
    with parquet.ParquetFile(path) as file:
        fields = [f for f in file.schema_arrow if not f.name.startswith("__index_level_")]
        about, names = file.metadata, [field.name for field in fields]
        _check_rows(about.num_rows, rows)
        groups = (about.row_group(i).total_byte_size for i in range(about.num_row_groups))
        _check_size(max(sum(groups), about.num_rows * about.num_columns * 8), rows)
    words = len(fields) == 1 and _is_text(types, fields[0].type)
    wrong = [f for f in fields if not (types.is_integer(f.type) or types.is_floating(f.type))]
    if wrong and not words:
        raise ValueError(
            f"the column {wrong[0].name!r} of {wrong[0].type} holds no numbers; keep one column a "
            "class, or one of labels"
        )
    with parquet.ParquetFile(path, read_dictionary=names if words else None) as file:
        table = file.read(columns=names)
    if not words:
        return {"": _without_count(np.stack([c.to_numpy() for c in table.columns], axis=1))}
    column = table.column(0).combine_chunks()
    if column.null_count:
        raise ValueError(f"{column.null_count} of its labels are missing")
    return {"": _words(column.dictionary.to_pylist())[column.indices.to_numpy()]}


def _read_csv(path: Path, rows: int) -> dict[str, np.ndarray]:
    """Reads lines, which stay text until each becomes numbers: lists of cells are far larger."""
    with path.open(newline="\n", encoding="utf-8-sig") as file:
        numbered = ((i, line.rstrip("\r\n")) for i, line in enumerate(file))
        found = list(itertools.islice(((i, line) for i, line in numbered if line), rows + 2))
    lines, last = [line for _, line in found], [i for i, _ in found][-1:]
    index = 0
    if len(lines) == rows + 1 and _is_header(lines[0], lines[1:]):
        header, *lines = lines
        index = int(_cells(header)[0] == "" and len(_cells(header)) > 1)
    _check_rows(len(lines), rows)
    width = len(_cells(lines[0]))
    if width - index == 1 and last[0] >= len(found):
        raise ValueError("a line between its answers is empty; expected one answer a query")
    _check_size(rows * (width - index) * 8, rows)
    if index:
        _check_order([_cells(line)[0] for line in lines])
    if width == 1 and (apart := [sep for sep in ";\t" if _is_numbers(lines[0].split(sep)[1:])]):
        raise ValueError(f"its columns are separated by {apart[0]!r}; expected commas")
    values = np.empty((rows, width - index))
    for i, line in enumerate(lines):
        cells = _cells(line, width)[index:]
        if _is_numbers(cells):
            values[i] = cells
        elif len(cells) == 1:
            words = [_cells(line, width)[index] for line in lines]
            named = words[0].lower() in _HEADERS and words[0] not in words[1:]
            if len(found) == rows and (named or (i == 0 and _is_numbers(words[1:]))):
                raise ValueError(
                    f"its first row {words[0]!r} looks like a header, and one answer is missing"
                )
            return {"": _words(words)}
        else:
            wrong = next(cell for cell in cells if not _is_numbers([cell]))
            raise ValueError(
                f"row {i + 1} holds {wrong!r}; expected numbers with points, separated by commas"
            )
    return {"": _without_count(values)}


def _cells(line: str, width: int = 0) -> list[str]:
    """The cells of a line, of which there must be ``width`` where that is not 0."""
    if len(line) > _LONGEST_LINE:
        raise ValueError(
            f"a line is longer than {_LONGEST_LINE} letters; keep answers so wide in .npy"
        )
    cells = next(csv.reader([line], strict=True))
    if width and len(cells) != width:
        raise ValueError("its rows have unequal numbers of columns")
    return cells


def _is_header(line: str, others: Sequence[str]) -> bool:
    """Says whether a row names columns: by words of their own, or by their numbers from 0 on."""
    row = _cells(line)
    if row == [str(i) for i in range(len(row))] and len(row) > 1:
        return True
    return not _is_numbers(row) and row not in map(_cells, others)


def _is_numbers(cells: Sequence[str]) -> bool:
    """Says whether all cells are numbers, and there is one."""
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        return False


def _check_order(index: Sequence[str]) -> None:
    """Refuses an index that says that the rows were brought out of the order of the queries."""
    counted = [str(i) for i in range(len(index))]
    if index != counted and sorted(index) == sorted(counted):
        raise ValueError(
            "its index counts the rows in another order; sort them by it, as row i answers query i"
        )


def _without_count(values: np.ndarray) -> np.ndarray:
    """Refuses a first column that counts the rows, which is no answer."""
    count = np.arange(len(values))
    if values.shape[1] > 1 and any((values[:, 0] == count + first).all() for first in (0, 1)):
        raise ValueError("its first column counts the rows; leave it out, as columns are classes")
    return values


def _is_text(types: Any, given: Any) -> bool:
    return types.is_string(given) or types.is_large_string(given)


def _words(words: Sequence[str]) -> np.ndarray:
    if max(map(len, words)) > _LONGEST_WORD:
        raise ValueError(f"a label is longer than {_LONGEST_WORD} letters")
    return np.array(words)


def _check_rows(found: int, rows: int) -> None:
    if found != rows:
        more = " or more" if found > rows else ""
        raise ValueError(f"it has {found} rows{more} for {rows} queries; expected one row a query")


def _check_size(size: int, rows: int) -> None:
    if size > min(_LARGEST, rows * _LARGEST_ROW):
        raise ValueError(
            f"it unpacks to {size / 2**20:,.0f} MiB for {rows} queries; at most "
            f"{_LARGEST_ROW / 2**20:.0f} MiB a query and {_LARGEST / 2**30:.0f} GiB in all are read"
        )


_READERS: dict[str, Callable[[Path, int], dict[str, np.ndarray]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
}
