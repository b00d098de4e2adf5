"""The paper's six text classification sets: from parquet files, TFDS or the Hugging Face hub."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

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
        """The first ``n`` texts, or all where ``n`` is ``None`` or larger."""
        return Texts(self.texts[:n], self.labels[:n], self.num_classes)


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
    """A split of one of the six sets, in a fixed random order; of ``"train"`` at most 20,000.

    Looks in ``data_dir`` for parquet files (``NAME/train.parquet``, or several as the hub names
    them, ``NAME/**/train-*.parquet``), then for a prepared TFDS data set where TFDS has the set;
    then fetches it from the Hugging Face hub, where that is allowed. Rows without text are left
    out.

    Raises:
        ValueError: the stored data are damaged, or a label is outside the classes.
        FileNotFoundError: the data are not there, and not allowed or not possible to fetch.
    """
    if name not in _SOURCES:
        raise ValueError(f"unknown text set {name!r}; choose one of {', '.join(_SOURCES)}")
    data_dir = default_data_dir() if data_dir is None else Path(data_dir).expanduser()
    source = _SOURCES[name]
    parquet = sorted((data_dir / name).glob(f"**/{split}*.parquet"))
    if parquet:
        columns = _read_parquet(parquet)
    elif source.tfds is not None and any((data_dir / source.tfds).glob("*/dataset_info.json")):
        columns = _read_tfds(source.tfds, split, data_dir)
    elif download and source.hub is not None:
        columns = _read_hub(source.hub, split, _how_to_get(name, data_dir))
    else:
        raise FileNotFoundError(_how_to_get(name, data_dir))
    return _make_texts(name, split, columns)


def _make_texts(name: str, split: str, columns: Mapping[str, Sequence[Any]]) -> Texts:
    source, num_classes = _SOURCES[name], NUM_CLASSES[name]
    label = source.label if source.label in columns else "label"
    parts = ("text",) if "text" in columns else source.text
    missing = [column for column in (*parts, label) if column not in columns]
    if missing or not parts:
        raise ValueError(
            f"{name} must have the columns {[*(source.text or ('text',)), source.label]}, or "
            f"['text', 'label']; got {sorted(columns)}"
        )
    labels = np.asarray(columns[label])
    if labels.dtype.kind not in "iu":
        raise ValueError(f"the labels of {name} must be integers, got {labels.dtype}")
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(outside):
        raise ValueError(
            f"the labels of {name} must be 0 to {num_classes - 1}; row {outside[0]} has "
            f"{labels[outside[0]]}"
        )
    rows = zip(*(columns[part] for part in parts), strict=True)
    texts = [" ".join(str(part) for part in row if part).strip() for row in rows]
    order = np.random.default_rng(_ORDER_SEED).permutation(len(texts))
    order = [i for i in order if texts[i]][: MAX_TRAIN if split == "train" else None]
    if not order:
        raise ValueError(f"{name} has no texts in its split {split!r}")
    chosen = labels[order].astype(np.int32)
    return Texts(tuple(texts[i] for i in order), chosen, num_classes)


def _read_parquet(paths: Sequence[Path]) -> dict[str, list]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("parquet files need pyarrow: pip install 'mgmp_jax[text]'") from error
    try:
        tables = [pyarrow.parquet.read_table(path) for path in paths]
        return pyarrow.concat_tables(tables).to_pydict()
    except (OSError, pyarrow.ArrowException) as error:
        raise ValueError(f"{paths[0]} is not a readable parquet file ({error})") from error


def _read_tfds(name: str, split: str, data_dir: Path) -> dict[str, list]:
    examples = read_prepared(name, split, data_dir)
    return {
        key: [v.decode() if isinstance(v, bytes) else v for v in (e[key] for e in examples)]
        for key in examples[0]
    }


def _read_hub(hub_id: str, split: str, otherwise: str) -> dict[str, list]:
    try:
        import datasets
    except ImportError as error:
        raise ImportError("the hub needs datasets: pip install 'mgmp_jax[text]'") from error
    try:
        table: Any = datasets.load_dataset(hub_id, split=split)
        return table.to_dict()
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
