"""Fitted scikit-learn estimators; from files by skops, never by pickle."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.adapters import batches
from mgmp_jax.adapters.frameworks import import_framework, is_of
from mgmp_jax.adapters.pixels import Reader
from mgmp_jax.adapters.zip_members import read_member
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["open_model", "reads", "record"]

_LARGEST = 2**32
_METHODS = {
    "logits": ("decision_function",),
    "probabilities": ("predict_proba",),
    "top-k": ("predict_proba",),
    "log-probabilities": ("predict_log_proba",),
    "labels": ("predict",),
    "embedding": ("transform", "predict"),
}


def reads(model: Any) -> bool:
    """Says whether a model is a scikit-learn estimator, or a pipeline of such."""
    return is_of(model, "sklearn", "BaseEstimator")


def record(
    model: Any,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    progress: batches.Progress | None = None,
    pixels: Reader = np.asarray,
) -> Answers:
    """Records what a fitted estimator answers.

    The kind chooses the method: ``decision_function`` for logits (of two classes, half of it for
    each with its sign), ``predict_proba``, ``predict_log_proba``, ``predict`` for labels (as
    places in ``classes_``), and ``transform``, else ``predict``, for embeddings. Texts are given
    as a list of strings, and images as rows of ``h * w * 3`` numbers.

    Args:
        model: a fitted estimator or pipeline.
        queries: one query set, or several by name.
        kind: what to ask for.
        name: of the model.
        batch_size: how many queries are asked at once.
        progress: told how many queries are answered, and of how many.
        pixels: how uint8 images ``[b, h, w, 3]`` are read before they become rows; by default
            they stay numbers from 0 to 255.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        ValueError: the estimator has no such method or takes rows of another width, or its
            answers are no numbers, or not one row a query.
    """
    method = next((m for m in _METHODS[kind] if hasattr(model, m)), None)
    if method is None:
        able = [k for k, names in _METHODS.items() if any(hasattr(model, m) for m in names)]
        raise ValueError(
            f"{type(model).__name__} has no {_METHODS[kind][-1]}, which kind={kind!r} asks for; "
            f"it is fitted and can answer kind= one of {able}"
            if able
            else f"{type(model).__name__} has no method that predicts; give a fitted estimator"
        )

    def ask(batch: Any) -> np.ndarray:
        rows = _rows(model, batch, pixels)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"X does not have valid feature names")
            given = getattr(model, method)(rows)
        return _as_kind(model, given, kind)

    return batches.record(
        ask, queries, kind=kind, name=name, batch_size=batch_size, progress=progress
    )


def open_model(target: str) -> Any:
    """Reads an estimator from a skops file that holds types which skops trusts, and no others.

    Args:
        target: path of the file that ``skops.io.dump`` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no skops file, holds types that are not trusted, or no estimator.
        ImportError: scikit-learn or skops is not installed.
    """
    import_framework("sklearn", "'mgmp_jax[sklearn]'")
    skops: Any = import_framework("skops.io", "'mgmp_jax[sklearn]'")
    path = Path(target)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; skops.io.dump(estimator, path) writes one")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > _LARGEST:
                raise ValueError(f"it unpacks to more than {_LARGEST / 2**30:.0f} GiB")
            for member in members:  # skops believes what the zip says
                read_member(archive, member)
        unknown = skops.get_untrusted_types(file=path)
        model = None if unknown else skops.load(path, trusted=[])
    except Exception as error:  # damage takes many forms in a zip of JSON and arrays
        raise ValueError(
            f"{path} is damaged or no skops file ({type(error).__name__}: {str(error)[:200]}); "
            "pickles are not read: skops.io.dump(estimator, path) writes such a file"
        ) from error
    if unknown:
        raise ValueError(
            f"{path} holds types that skops does not trust: {', '.join(unknown)[:500]}. It was "
            "not read. If you know them, load it yourself with skops.io.load(path, trusted=...) "
            "and record the estimator in Python"
        )
    if not reads(model):
        raise ValueError(f"{path} holds a {type(model).__name__}; expected a fitted estimator")
    return model


def _rows(model: Any, batch: Any, pixels: Reader) -> Any:
    """Texts as they are; rows, or images as rows, of the width that the estimator takes."""
    if isinstance(batch, list):
        return batch
    rows, wanted = batch, getattr(model, "n_features_in_", None)
    if batch.ndim == 4:
        rows = np.asarray(pixels(batch), np.float32).reshape(len(batch), -1)
        if wanted is None:
            raise ValueError(
                f"{type(model).__name__} does not say how many numbers it takes (n_features_in_), "
                "so images are not given to it; ask it about rows, or give a function"
            )
    if wanted is not None and rows.shape[1] != wanted:
        raise ValueError(
            f"{type(model).__name__} takes rows of {wanted} numbers, and the queries, of shape "
            f"{batch.shape[1:]}, give {rows.shape[1]}; ask it about what it was fitted on, or give "
            "a function that prepares them"
        )
    return rows


def _as_kind(model: Any, given: Any, kind: ResponseKind) -> Any:
    if kind == "logits" and np.ndim(given) == 1:
        return np.stack([-given / 2, given / 2], axis=1)
    if kind == "embedding" and np.ndim(given) == 1:
        return given[:, None]
    if kind == "labels" and hasattr(model, "classes_"):
        if isinstance(model.classes_, list) or np.ndim(given) != 1:
            raise ValueError(f"{type(model).__name__} gives several labels a query; expected one")
        return np.searchsorted(model.classes_, given)
    if hasattr(given, "toarray"):
        return given.toarray()
    return given
