"""Adapters: they take the responses of a model of whatever framework, a framework a file.

:func:`record` finds the right one by the model; :func:`open_model` opens a model by a line such as
``torch:my_models.py:load_flowers``. Frameworks are imported at first use.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

from mgmp_jax.adapters.batches import Queries
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.answers import Answers
from mgmp_jax.kinds import ResponseKind, check_is_kind
from mgmp_jax.queries import QuerySet

__all__ = ["ADAPTERS", "Pixels", "Queries", "open_model", "record"]

ADAPTERS = {
    "http": "mgmp_jax.adapters.http",
    "recorded": "mgmp_jax.adapters.recorded",
    "onnx": "mgmp_jax.adapters.onnx",
    "hf": "mgmp_jax.adapters.huggingface",
    "torch": "mgmp_jax.adapters.torch",
    "flax": "mgmp_jax.adapters.flax",
    "equinox": "mgmp_jax.adapters.equinox",
    "sklearn": "mgmp_jax.adapters.sklearn",
    "python": "mgmp_jax.adapters.python",  # last: it reads whatever can be called
}
"""The module of each adapter. It has ``reads(model)``, ``record(model, queries, ...)`` and
``open_model(target)``."""


def record(
    model: Any,
    queries: Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    **options: Any,
) -> Answers:
    """Records a model's answers on query sets.

    Args:
        model: of any framework of :data:`ADAPTERS`, or a function of a batch of raw queries.
        queries: one query set, or several by name.
        kind: what the model's numbers are.
        name: of the model, in reports.
        batch_size: how many queries are asked at once.
        options: of the framework's own ``record``.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        ValueError: there is no such kind, the queries are none, no adapter reads such a model, the
            right one has no such option, or the answers are no numbers, one row a query.
        ImportError: the model's framework is not installed; the message says what to install.
    """
    check_is_kind(kind)
    for one in queries.values() if isinstance(queries, Mapping) else [queries]:
        if not isinstance(one, QuerySet):
            raise ValueError(
                f"queries must be a QuerySet, or several by name; got {type(one).__name__}: "
                "QuerySet.images(x), QuerySet.texts(x) or QuerySet.rows(x) makes one"
            )
    for module in map(importlib.import_module, ADAPTERS.values()):
        if module.reads(model):
            known = inspect.signature(module.record).parameters
            unknown = [option for option in options if option not in known]
            if unknown:
                is_of_pixels = "pixels" in known and {"mean", "std", "size"}.intersection(unknown)
                raise ValueError(
                    f"a {type(model).__qualname__} is asked without {', '.join(unknown)}; its "
                    f"options are those of {module.__name__}.record"
                    f"{'; give pixels=Pixels(mean=..., std=..., size=...)' if is_of_pixels else ''}"
                )
            return module.record(
                model, queries, kind=kind, name=name, batch_size=batch_size, **options
            )
    raise ValueError(
        f"no adapter reads a {type(model).__module__}.{type(model).__qualname__}; give a function "
        f"of a batch of raw queries, or a model of one of {', '.join(ADAPTERS)}"
    )


def open_model(line: str) -> Any:
    """Opens a model by its adapter and its target.

    Args:
        line: ``ADAPTER:TARGET``, for example ``python:my_models.py:answer``, or the address of an
            endpoint, for example ``http://127.0.0.1:8080/v2/models/m/infer``.

    Raises:
        ValueError: there is no such adapter, or the target is not what it expects.
        FileNotFoundError: there is no such file.
        ImportError: the framework is not installed; the message says what to install.
    """
    adapter, _, target = line.partition(":")
    if adapter.lower() in ("http", "https") and target.startswith("//"):
        adapter, target = "http", line
    if adapter not in ADAPTERS or not target:
        raise ValueError(
            f"a model is given as ADAPTER:TARGET with one of the adapters {', '.join(ADAPTERS)}; "
            f"got {line!r}"
        )
    return importlib.import_module(ADAPTERS[adapter]).open_model(target)
