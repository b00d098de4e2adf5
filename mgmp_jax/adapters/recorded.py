"""Answers that somebody recorded already: arrays in files."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax import files
from mgmp_jax.adapters.batches import Queries
from mgmp_jax.adapters.frameworks import import_framework
from mgmp_jax.answers import Answers
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import ResponseKind, Responses

__all__ = ["Recorded", "open_model", "reads", "record"]

_LARGEST = 4 * 2**30


@dataclasses.dataclass(frozen=True, eq=False)
class Recorded:
    """Arrays ``[n, d]``, or labels ``[n]``, row ``i`` for query ``i``.

    Args:
        arrays: one of each query set by name; the only one may have any name.
        path: of the file.
    """

    arrays: Mapping[str, np.ndarray]
    path: str


def reads(model: Any) -> bool:
    """Says whether a model is :class:`Recorded`."""
    return isinstance(model, Recorded)


def open_model(target: str) -> Recorded:
    """Reads a file of arrays; nothing in it is ever executed.

    Args:
        target: ``.npy``; ``.npz`` or ``.safetensors`` with an array of each query set by name;
            ``.parquet`` with a column a coordinate; ``.csv`` with a line a query, with or without
            a header.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or has another ending.
        ImportError: Parquet or safetensors need a package that is not installed.
    """
    path = Path(target)
    read = {
        ".npy": lambda path: {"": files.read_npy(path)},
        ".npz": _read_npz,
        ".safetensors": _read_safetensors,
        ".parquet": _read_parquet,
        ".csv": _read_csv,
    }.get(path.suffix)
    if read is None:
        raise ValueError(f"{target} must end in .npy, .npz, .safetensors, .parquet or .csv")
    if not path.is_file():
        raise FileNotFoundError(f"no file {target}")
    try:
        return Recorded(read(path), target)
    except (ImportError, FileNotFoundError):
        raise
    except Exception as error:  # damage takes many forms
        raise ValueError(
            f"{target} is no readable file of numbers ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def record(
    model: Recorded,
    queries: Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
) -> Answers:
    """Makes responses of recorded arrays.

    Args:
        model: from :func:`open_model`.
        queries: what was asked, in the order of the rows.
        kind: what the numbers are.
        name: of the model.
        batch_size: not needed.

    Raises:
        ValueError: there are several query sets and no array of that name, or another number of
            rows than of queries.
    """
    if isinstance(queries, QuerySet):
        if len(model.arrays) != 1:
            raise ValueError(
                f"{model.path} holds the arrays {list(model.arrays)}; expected one for one query "
                "set"
            )
        (array,) = model.arrays.values()
        return Responses(array, kind, queries, name)
    missing = [of for of in queries if of not in model.arrays]
    if missing:
        raise ValueError(
            f"{model.path} holds the arrays {list(model.arrays)}, but none of the query set "
            f"{missing[0]!r}; give an .npz or .safetensors with one array of each query set"
        )
    return {of: Responses(model.arrays[of], kind, one, name) for of, one in queries.items()}


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    if path.stat().st_size > _LARGEST:
        raise ValueError("it is larger than 4 GiB")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        unpacked = sum(member.file_size for member in archive.zip.infolist())
        if unpacked > _LARGEST:
            raise ValueError("its arrays are larger than 4 GiB")
        return {name: archive[name] for name in archive.files}


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    return import_framework("safetensors.numpy", "safetensors").load_file(path)


def _read_parquet(path: Path) -> dict[str, np.ndarray]:
    parquet = import_framework("pyarrow.parquet", "pyarrow")
    with parquet.ParquetFile(path) as file:
        described = file.metadata
        if described.num_rows * described.num_columns * 8 > _LARGEST:
            raise ValueError("its numbers are larger than 4 GiB")
        table = file.read()
    columns = [np.asarray(column.to_numpy()) for column in table.columns]
    return {"": columns[0] if len(columns) == 1 else np.stack(columns, axis=1)}


def _read_csv(path: Path) -> dict[str, np.ndarray]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    try:
        [float(cell) for cell in rows[0]]
    except ValueError:
        rows = rows[1:]
    numbers = np.array(rows, np.float64)
    if numbers.shape[1] > 1:
        return {"": numbers}
    whole = numbers[:, 0].astype(np.int64)
    return {"": whole if (whole == numbers[:, 0]).all() else numbers}
