"""Answers of many models in one Parquet file, a model a row, read a row group at a time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mgmp_jax import files
from mgmp_jax.adapters.frameworks import import_framework
from mgmp_jax.answers import Answers
from mgmp_jax.responses import Responses

__all__ = ["read_group", "row_groups", "save_answers_table"]

_FORMAT = "mgmp_jax.answers_table.v1"
_KEY = b"mgmp_jax"
_LARGEST_GROUP, _MOST_IN_A_GROUP, _LONGEST_NAME = 2**28, 2**16, 1000
_ONLY = "values"
"""The column of models that answered a single query set without a name."""


def save_answers_table(
    path: str | Path,
    models: Iterable[Answers],
    *,
    dtype: Literal["float16", "float32"] = "float32",
    group: int = 64,
) -> None:
    """Writes the answers of many models as Parquet, whole or not at all, a few in memory at a time.

    Args:
        path: of the file, ``.parquet``.
        models: answers, one after the other: all to the same query sets, of the same kinds and
            shapes.
        dtype: of the numbers; float16 takes half the space, and keeps three digits.
        group: how many models are written, and later read, at a time; fewer where these would
            unpack to more than 256 MiB.

    Raises:
        ValueError: there is no model, or one answered other queries than the first, in another
            kind or shape; a number is too large for float16; a single model's numbers take more
            than 256 MiB; a query set or a model has an impossible name; or ``group`` is not from
            1 to 65,536.
        ImportError: pyarrow is not installed.
        OSError: the disk is full or the folder cannot be written.
    """
    arrow, parquet = _arrow()
    if not 1 <= group <= _MOST_IN_A_GROUP:
        raise ValueError(f"group must be from 1 to {_MOST_IN_A_GROUP}, got {group}")
    models = iter(models)
    first = next(models, None)
    if first is None:
        raise ValueError(f"give at least one model's answers for {path}")
    about = _about(first)
    lists = {
        name: arrow.list_(arrow.from_numpy_dtype(dtype), r.values.size)
        for name, r in _by_name(first).items()
    }
    if not isinstance(first, Responses) and {"model", _ONLY} & set(about):
        raise ValueError(f"no query set may be called 'model' or {_ONLY!r}; got {list(about)}")
    room = _LARGEST_GROUP - 2**22  # some is for names and the file's own
    group = min(group, room // _bytes_of_a_model(lists.values()))
    if not group:
        raise ValueError(f"a model's numbers take more than {_LARGEST_GROUP / 2**20:.0f} MiB")
    head = json.dumps({"format": _FORMAT, "query_sets": about})
    fields = [("model", arrow.string()), *lists.items()]
    schema = arrow.schema(fields).with_metadata({_KEY: head})
    with (
        files.replacing(path) as unfinished,
        parquet.ParquetWriter(
            unfinished,
            schema,
            compression="zstd",
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        ) as writer,
    ):
        models = itertools.chain([first], models)
        while some := list(itertools.islice(models, group)):
            names = [_name(one) for one in some]
            columns = [arrow.array(names, arrow.string())]
            for name, kind in lists.items():
                numbers = [_numbers(one, name, about, dtype) for one in some]
                flat = arrow.array(np.concatenate(numbers))
                columns.append(arrow.FixedSizeListArray.from_arrays(flat, type=kind))
            writer.write_table(arrow.table(columns, schema), row_group_size=group)


def row_groups(path: str | Path) -> list[int]:
    """Counts the models in each row group of a table; its numbers are not read.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no table of answers, or has a row group that would take too much memory.
        ImportError: pyarrow is not installed.
    """
    with _opened(path) as (file, _, sizes):
        groups = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
        row = _bytes_of_a_model(file.schema_arrow.field(name).type for name in sizes)
        for i, one in enumerate(groups):
            unpacked = max(one.total_byte_size, one.num_rows * row)
            if unpacked > _LARGEST_GROUP or one.num_rows > _MOST_IN_A_GROUP:
                raise ValueError(
                    f"row group {i} has {one.num_rows} models and unpacks to "
                    f"{unpacked / 2**20:,.0f} MiB; at most {_MOST_IN_A_GROUP} and "
                    f"{_LARGEST_GROUP / 2**20:.0f} MiB are read at a time: write fewer into each"
                )
            # Arrow raises here what one.column() would end the process at.
            next(file.iter_batches(1, row_groups=[i]), None)
            held = sum(one.column(j).num_values for j in range(one.num_columns))
            if held > one.num_rows * (1 + sum(sizes.values())):
                raise ValueError(f"row group {i} holds {held} values for {one.num_rows} models")
        return [one.num_rows for one in groups]


def read_group(
    path: str | Path, group: int, count: int
) -> Iterator[tuple[str, Callable[[], Answers]]]:
    """Reads the models of one row group, each with a digest by which a change is noticed.

    Args:
        path: of the file.
        group: which one, from 0 on.
        count: how many models are in it, by :func:`row_groups`.

    Yields:
        SHA-256 of a model's name, kinds, query sets and numbers, and what gives its answers, or
        raises ``ValueError`` where they are none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no table of answers, damaged, or another one than was counted.
        ImportError: pyarrow is not installed.
    """
    with _opened(path) as (file, about, sizes):
        table = file.read_row_group(group)
        if len(table) != count:
            raise ValueError(f"row group {group} has {len(table)} models, {count} were counted")
        names = _names(table.column("model").combine_chunks())
        parts = {name: _matrix(table.column(name), size) for name, size in sizes.items()}
    head = json.dumps(about, sort_keys=True)
    for i, model in enumerate(names):
        rows = {name: part[i].reshape(about[name]["shape"]) for name, part in parts.items()}
        digest = hashlib.sha256(f"{model}\n{head}".encode())
        for row in rows.values():
            digest.update(f"{row.dtype.str}{row.shape}".encode())
            digest.update(row.tobytes())
        yield digest.hexdigest(), functools.partial(_answers, model, rows, about)


def _answers(model: Any, rows: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Answers:
    answers = {
        name: Responses(row, about[name]["kind"], about[name]["queries"], model)
        for name, row in rows.items()
    }
    return answers[_ONLY] if set(answers) == {_ONLY} else answers


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, dict[str, Any], dict[str, int]]]:
    """Gives a table, what it says of its query sets, and how many numbers a model answered.

    Whatever goes wrong in the block becomes an error that names the file.
    """
    path = Path(path)
    _, parquet = _arrow()
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    try:
        if not path.is_file():
            raise ValueError("it is no regular file")
        options: Any = {"page_checksum_verification": True, "read_dictionary": ["model"]}
        with parquet.ParquetFile(path, **options) as file:
            yield file, *_read_head(file.schema_arrow)
    except Exception as error:  # damage takes many forms in a file that others wrote
        raise ValueError(
            f"{path} cannot be read as a table of answers ({type(error).__name__}: "
            f"{str(error)[:300]})"
        ) from error


def _read_head(schema: Any) -> tuple[dict[str, Any], dict[str, int]]:
    arrow, _ = _arrow()
    head = files.parse_json((schema.metadata or {}).get(_KEY, b"{}"))
    if head.get("format") != _FORMAT:
        raise ValueError(
            f"its metadata {_KEY.decode()!r} must be JSON that says the format {_FORMAT!r} and "
            f"the query sets, got {str(head)[:100]}"
        )
    about = {
        str(name): {key: one[key] for key in ("kind", "queries", "shape")}
        for name, one in head["query_sets"].items()
    }
    if sorted(schema.names) != sorted(["model", *about]):
        raise ValueError(f"its columns must be model and {list(about)}, got {schema.names}")
    kind = schema.field("model").type
    if not arrow.types.is_dictionary(kind) or not arrow.types.is_string(kind.value_type):
        raise ValueError(f"model must be a string, got {kind}")
    sizes = {}
    for name, one in about.items():
        kind, (n, d) = schema.field(name).type, one["shape"]
        is_list = arrow.types.is_fixed_size_list(kind)
        if not is_list or not arrow.types.is_floating(kind.value_type):
            raise ValueError(f"{name} must be lists of equally many floats, got {kind}")
        if type(n) is not int or type(d) is not int or min(n, d) < 1 or n * d != kind.list_size:
            raise ValueError(
                f"{name} has {kind.list_size} numbers a model, which are not [{n}, {d}]"
            )
        sizes[name] = kind.list_size
    return about, sizes


def _matrix(column: Any, size: int) -> np.ndarray:
    whole = column.combine_chunks()
    numbers = whole.flatten()
    if whole.null_count or numbers.null_count:
        raise ValueError("some of its numbers are missing")
    return numbers.to_numpy().reshape(-1, size)


def _names(column: Any) -> list[str | None]:
    """The names of models, of which a bomb may repeat a long one."""
    if any(len(name or "") > _LONGEST_NAME for name in column.dictionary.to_pylist()):
        raise ValueError(f"the name of a model is longer than {_LONGEST_NAME} letters")
    return column.to_pylist()


def _name(answers: Answers) -> str:
    name = next(iter(_by_name(answers).values())).model
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"the name {name[:50]!r}... is longer than {_LONGEST_NAME} letters")
    return name


def _bytes_of_a_model(lists: Iterable[Any]) -> int:
    return sum(kind.list_size * kind.value_type.bit_width // 8 for kind in lists)


def _by_name(answers: Answers) -> Mapping[str, Responses]:
    return {_ONLY: answers} if isinstance(answers, Responses) else answers


def _numbers(
    answers: Answers, name: str, about: Mapping[str, Any], dtype: Literal["float16", "float32"]
) -> np.ndarray:
    """All numbers of one model to one query set, row by row."""
    parts = _by_name(answers)
    model = next(iter(parts.values())).model
    if _about(answers) != about:
        raise ValueError(
            f"{model!r} answered {_about(answers)}, the first model {about}; write models of other "
            "queries, kinds or shapes to another table"
        )
    with np.errstate(over="ignore"):
        numbers = parts[name].values.astype(dtype).ravel()
    if not np.isfinite(numbers).all():
        raise ValueError(f"numbers of {model!r} are too large for {dtype}; write float32")
    return numbers


def _about(answers: Answers) -> dict[str, Any]:
    return {
        name: {"kind": r.kind, "queries": r.queries, "shape": list(r.values.shape)}
        for name, r in _by_name(answers).items()
    }


def _arrow() -> tuple[Any, Any]:
    install = "'mgmp_jax[cli]'"
    return import_framework("pyarrow", install), import_framework("pyarrow.parquet", install)
