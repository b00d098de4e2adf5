"""scikit-learn estimators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.adapters import batches
from mgmp_jax.adapters.frameworks import import_framework, is_of
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["open_model", "reads", "record"]


def reads(model: Any) -> bool:
    """Says whether a model is a classifier of scikit-learn, or a pipeline that ends in one."""
    return is_of(model, "sklearn", "BaseEstimator")


def open_model(target: str) -> Any:
    """Opens a ``.skops`` file, of which nothing is executed but trusted types; never a pickle.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, no such file, or has types that are not trusted.
        ImportError: skops is not installed.
    """
    skops = import_framework("skops.io", "'mgmp_jax[sklearn]'")
    if not Path(target).is_file():
        raise FileNotFoundError(f"no file {target}")
    try:
        unknown = skops.get_untrusted_types(file=target)
        model = None if unknown else skops.load(target)
    except Exception as error:  # damage takes many forms in a zip
        raise ValueError(
            f"{target} is no readable skops file ({type(error).__name__}: {str(error)[:200]}); "
            "skops.io.dump writes one"
        ) from error
    if unknown:
        raise ValueError(
            f"{target} holds types that are not trusted: {', '.join(unknown)}. If you trust them, "
            "load it yourself and give the estimator"
        )
    return model


def record(
    model: Any,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "probabilities",
    name: str = "",
    batch_size: int = 256,
) -> Answers:
    """Records what a fitted classifier answers.

    Args:
        model: of rows ``[b, f]``; of images it is given their pixels in one row, of texts strings,
            as a pipeline that begins with a vectoriser reads them.
        queries: rows, images or texts.
        kind: ``"probabilities"`` asks ``predict_proba``, ``"logits"`` ``decision_function`` and
            ``"labels"`` ``predict``, whose classes are numbered as in ``classes_``.
        name: of the model.
        batch_size: how many queries are asked at once.

    Raises:
        ValueError: the classifier gives no such answers, or reads no such queries.
    """
    methods = {
        "probabilities": "predict_proba",
        "log-probabilities": "predict_log_proba",
        "logits": "decision_function",
        "labels": "predict",
    }
    if not hasattr(model, methods.get(kind, "")):
        able = [of for of, method in methods.items() if hasattr(model, method)]
        raise ValueError(
            f"a {type(model).__name__} answers no {kind}; ask for {' or '.join(able) or 'none'}"
        )
    ask = getattr(model, methods[kind])

    def answer(inputs: Any) -> np.ndarray:
        if isinstance(inputs, np.ndarray) and inputs.ndim == 4:
            inputs = inputs.reshape(len(inputs), -1)
        found = np.asarray(ask(inputs))
        if kind == "labels":
            return np.searchsorted(model.classes_, found)
        return found[:, None] if found.ndim == 1 else found

    return batches.record(answer, queries, kind=kind, name=name, batch_size=batch_size)
