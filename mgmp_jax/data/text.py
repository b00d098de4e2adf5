"""Loads the paper's six text classification sets: parquet files, TFDS, the Hugging Face hub."""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax import files
from mgmp_jax.data import NUM_CLASSES
from mgmp_jax.data.images import default_data_dir, read_prepared

__all__ = ["MAX_TRAIN", "Texts", "load_texts"]

MAX_TRAIN = 20_000
"""At most so many training texts of a set are used, as in the paper."""

_ORDER_SEED = 0
_ROWS_AT_ONCE = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class Texts:
    """Texts with their classes.

    Args:
        texts: not one of them empty.
        labels: int32, ``[n]``, from 0 to ``num_classes - 1``.
        num_classes: how many classes there are.
    """

    texts: tuple[str, ...]
    labels: np.ndarray
    num_classes: int

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, n: int | None) -> Texts:
        """Takes the first ``n`` texts; all where ``n`` is ``None`` or larger."""
        return Texts(self.texts[:n], self.labels[:n], self.num_classes)


@dataclasses.dataclass(frozen=True)
class _Table:
    """The rows of one file, or of a data set that is no file, which need not fit into memory.

    Args:
        where: what to call it in an error.
        num_rows: how many there are.
        columns: names of all of them.
        read: reads those that it is given, values by name, some rows at a time.
    """

    where: str
    num_rows: int
    columns: Sequence[str]
    read: Callable[[Sequence[str]], Iterable[Mapping[str, Sequence[Any]]]]


@dataclasses.dataclass(frozen=True)
class _Source:
    """Where a set is to be had, and what its columns are called there."""

    text: tuple[str, ...]
    label: str = "label"
    hub: str | None = None
    tfds: str | None = None


_SOURCES = {
    "ag_news": _Source(("title", "description"), hub="fancyzhx/ag_news", tfds="ag_news_subset"),
    "yahoo_answers_topics": _Source(
        ("question_title", "question_content", "best_answer"),
        label="topic",
        hub="community-datasets/yahoo_answers_topics",
    ),
    "20_newsgroups": _Source((), hub="SetFit/20_newsgroups"),
    "dbpedia_14": _Source(("title", "content"), hub="fancyzhx/dbpedia_14"),
    "amazon_review_full": _Source(("title", "content")),
    "yelp_review_full": _Source((), hub="Yelp/yelp_review_full"),
}


def load_texts(
    name: str, split: str, data_dir: str | Path | None = None, *, download: bool = False
) -> Texts:
    """Loads a split of one of the six sets, in a fixed random order.

    Looks in ``data_dir`` for parquet files (``NAME/train.parquet``, or several as the hub names
    them, ``NAME/**/train-*.parquet``), then for a prepared TFDS data set where TFDS has the set;
    then fetches it from the Hugging Face hub, where that is allowed. Bytes are decoded as UTF-8.
    Rows without text are left out.

    Args:
        name: of the set.
        split: ``"train"``, of which at most :data:`MAX_TRAIN` texts are taken, or ``"test"``.
        data_dir: where the data lie; by default
            :func:`mgmp_jax.data.images.default_data_dir`.
        download: whether they may be fetched.

    Raises:
        ValueError: the stored data are damaged, a text is no text, or a label is no class; the
            file and its column are named.
        FileNotFoundError: the data are not there, and not allowed or not possible to fetch.
        ImportError: a package that reads them is not installed.
    """
    if name not in _SOURCES:
        raise ValueError(f"unknown text set {name!r}; choose one of {', '.join(_SOURCES)}")
    data_dir = default_data_dir() if data_dir is None else files.expand(data_dir)
    source = _SOURCES[name]
    found = sorted((data_dir / name).glob(f"**/{split}*.parquet"))
    if parquet := [path for path in found if path.is_file()]:
        tables = [_read_parquet(path) for path in parquet]
    elif source.tfds is not None and any((data_dir / source.tfds).glob("*/dataset_info.json")):
        tables = [_read_tfds(source.tfds, split, data_dir)]
    elif download and source.hub is not None:
        tables = [_read_hub(source.hub, split, _how_to_get(name, data_dir))]
    else:
        raise FileNotFoundError(_how_to_get(name, data_dir))
    return _make_texts(name, split, tables)


def _make_texts(name: str, split: str, tables: Sequence[_Table]) -> Texts:
    """Takes the texts that come first in a random order of all rows; no others are kept."""
    num_rows = sum(table.num_rows for table in tables)
    order = np.random.default_rng(_ORDER_SEED).permutation(num_rows)
    places = np.argsort(order)
    rows = (row for table in tables for row in _rows_of(table, name))
    texts = ((at, *row) for at, row in zip(places, rows, strict=True) if row[0])
    chosen = heapq.nsmallest(MAX_TRAIN if split == "train" else num_rows, texts)
    if not chosen:
        raise ValueError(f"{name} has no texts in its split {split!r}")
    labels = np.array([label for *_, label in chosen], np.int32)
    return Texts(tuple(text for _, text, _ in chosen), labels, NUM_CLASSES[name])


def _rows_of(table: _Table, name: str) -> Iterator[tuple[str, int]]:
    """Joins the text columns of each row, and adds its label; a row may have an empty text."""
    source, start = _SOURCES[name], 0
    parts = ("text",) if "text" in table.columns else source.text
    label = source.label if source.label in table.columns else "label"
    _refuse_missing(table, name, (*(parts or ("text",)), label))
    for values in table.read((*parts, label)):
        columns = [
            [_as_text(value, table.where, part, i) for i, value in enumerate(values[part], start)]
            for part in parts
        ]
        texts = [" ".join(filter(None, row)).strip() for row in zip(*columns, strict=True)]
        _check_labels(values[label], table.where, name, label, start)
        start += len(texts)
        if start > table.num_rows:
            break
        yield from zip(texts, values[label], strict=True)
    if start != table.num_rows:
        raise ValueError(f"{table.where} is damaged: it says that it has {table.num_rows} rows")


def _as_text(value: Any, where: str, column: str, row: int) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, bytes):
        raise ValueError(
            f"{where}: the column {column!r} must hold texts, but row {row} is of type "
            f"{type(value).__name__}; store strings there, and nothing where there is no text"
        )
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{where}: the column {column!r} holds bytes that are not UTF-8 in row {row} "
            f"({error}); decode them and store strings"
        ) from error


def _check_labels(values: Sequence[Any], where: str, name: str, column: str, start: int) -> None:
    """Refuses what is no class number; ``start`` is the number of the first row."""
    num_classes = NUM_CLASSES[name]
    expected = f"{where}: the labels of {name} must be whole numbers"
    for row, value in enumerate(values, start):
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise ValueError(
                f"{expected}, but the column {column!r} holds one of type {type(value).__name__} "
                f"in row {row}"
            )
        if not 0 <= value < num_classes:
            raise ValueError(
                f"{expected} and must be 0 to {num_classes - 1}; row {row} of the column "
                f"{column!r} has {value}"
            )


def _refuse_missing(table: _Table, name: str, wanted: Sequence[str]) -> None:
    if any(column not in table.columns for column in wanted):
        source = _SOURCES[name]
        raise ValueError(
            f"{table.where}: {name} must have the columns "
            f"{[*(source.text or ('text',)), source.label]}, or ['text', 'label']; got "
            f"{sorted(table.columns)}"
        )


def _read_parquet(path: Path) -> _Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("parquet files need pyarrow: pip install 'mgmp_jax[text]'") from error

    @contextlib.contextmanager
    def opened() -> Iterator[pyarrow.parquet.ParquetFile]:
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                yield file
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            raise ValueError(f"{path} is not a readable parquet file ({error})") from error

    def read(columns: Sequence[str]) -> Iterator[Mapping[str, Sequence[Any]]]:
        with opened() as file:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(columns)):
                yield batch.to_pydict()

    with opened() as file:
        return _Table(str(path), file.metadata.num_rows, file.schema_arrow.names, read)


def _read_tfds(name: str, split: str, data_dir: Path) -> _Table:
    examples = read_prepared(name, split, data_dir)
    names = list(examples[0]) if examples else []
    return _Table(
        str(data_dir / name),
        len(examples),
        names,
        lambda columns: [{column: [one[column] for one in examples] for column in columns}],
    )


def _read_hub(hub_id: str, split: str, otherwise: str) -> _Table:
    try:
        import datasets
    except ImportError as error:
        raise ImportError("the hub needs datasets: pip install 'mgmp_jax[text]'") from error
    try:
        table: Any = datasets.load_dataset(hub_id, split=split, trust_remote_code=False)
    except Exception as error:
        raise FileNotFoundError(
            f"{otherwise}\n({hub_id} cannot be had from the Hugging Face hub: "
            f"{type(error).__name__})"
        ) from error

    def read(columns: Sequence[str]) -> Iterator[Mapping[str, Sequence[Any]]]:
        for batch in table.with_format("arrow", columns=[*columns]).iter(_ROWS_AT_ONCE):
            yield batch.to_pydict()

    return _Table(hub_id, len(table), table.column_names, read)


def _how_to_get(name: str, data_dir: Path) -> str:
    source = _SOURCES[name]
    if source.hub is None:
        where = "This set has no home on the hub that the library knows."
    else:
        where = (
            "With a network it is fetched from huggingface.co/datasets/"
            f"{source.hub}, on the terms stated there."
        )
    return (
        f"{name} is not in {data_dir}: expected {name}/train.parquet and {name}/test.parquet with "
        f"the columns {[*(source.text or ('text',)), source.label]} or ['text', 'label']. Copy "
        f"them there or name another folder with --data-dir or MGMP_DATA_DIR. {where} The "
        "generated topics need no download: --data topics"
    )
