"""Loads the paper's six text classification sets: parquet files, TFDS, the Hugging Face hub."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
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
    """The columns of one file, or of a data set that is no file.

    Args:
        where: what to call it in an error.
        columns: values by name.
    """

    where: str
    columns: Mapping[str, Sequence[Any]]


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
    texts = [text for table in tables for text in _texts_of(table, name)]
    labels = np.concatenate([_labels_of(table, name) for table in tables])
    order = np.random.default_rng(_ORDER_SEED).permutation(len(texts))
    order = [i for i in order if texts[i]][: MAX_TRAIN if split == "train" else None]
    if not order:
        raise ValueError(f"{name} has no texts in its split {split!r}")
    return Texts(tuple(texts[i] for i in order), labels[order], NUM_CLASSES[name])


def _texts_of(table: _Table, name: str) -> list[str]:
    """Joins the text columns of each row; a row without text is an empty string."""
    parts = ("text",) if "text" in table.columns else _SOURCES[name].text
    _refuse_missing(table, name, parts or ("text",))
    columns = [
        [_as_text(value, table.where, part, i) for i, value in enumerate(table.columns[part])]
        for part in parts
    ]
    return [" ".join(filter(None, row)).strip() for row in zip(*columns, strict=True)]


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


def _labels_of(table: _Table, name: str) -> np.ndarray:
    column, num_classes = _SOURCES[name].label, NUM_CLASSES[name]
    column = column if column in table.columns else "label"
    _refuse_missing(table, name, (column,))
    expected = f"{table.where}: the labels of {name} must be whole numbers"
    values = table.columns[column]
    for row, value in enumerate(values):
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
    return np.asarray(values, np.int32)


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
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            return _Table(str(path), file.read().to_pydict())
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise ValueError(f"{path} is not a readable parquet file ({error})") from error


def _read_tfds(name: str, split: str, data_dir: Path) -> _Table:
    examples = read_prepared(name, split, data_dir)
    columns = {key: [one[key] for one in examples] for key in (examples[0] if examples else ())}
    return _Table(str(data_dir / name), columns)


def _read_hub(hub_id: str, split: str, otherwise: str) -> _Table:
    try:
        import datasets
    except ImportError as error:
        raise ImportError("the hub needs datasets: pip install 'mgmp_jax[text]'") from error
    try:
        table: Any = datasets.load_dataset(hub_id, split=split, trust_remote_code=False)
        return _Table(hub_id, table.to_dict())
    except Exception as error:
        raise FileNotFoundError(
            f"{otherwise}\n({hub_id} cannot be had from the Hugging Face hub: "
            f"{type(error).__name__})"
        ) from error


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
