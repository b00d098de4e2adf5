"""Equinox modules, which answer one query at a time and are vectorised here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mgmp_jax.adapters import batches, python
from mgmp_jax.adapters.frameworks import explaining, import_framework, is_of
from mgmp_jax.adapters.pixels import Pixels, Reader, prepare
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["open_model", "reads", "record"]

_PIXELS = Pixels()


def reads(model: Any) -> bool:
    """Says whether a model is an Equinox module, or a pair of one and its ``equinox.nn.State``.

    A function in ``equinox.filter_jit`` is neither: it is asked in batches.
    """
    if isinstance(model, tuple) and len(model) == 2:
        return reads(model[0]) and is_of(model[1], "equinox", "State")
    if type(model).__name__ == "_VmapWrapper":  # of equinox.filter_vmap, so it takes a batch
        return False
    is_bound = hasattr(model, "__self__")  # a method of a module, which takes one query, too
    wrapped: Any = model if is_bound else getattr(model, "__wrapped__", model)
    return is_of(model, "equinox", "Module") and (wrapped is model or reads(wrapped))


def record(
    model: Any,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    progress: batches.Progress | None = None,
    pixels: Reader = _PIXELS,
    tokenize: Reader | None = None,
) -> Answers:
    """Records what an Equinox module answers in inference mode, vectorised over the batch.

    It is compiled once a shape: for whole batches, and for the last one where that is smaller.
    Its answer is an array, or the first of a tuple.

    Args:
        model: a module that takes one query, such as float32 ``[3, h, w]``; or a pair of a module
            and its state, which takes both and gives the answer first.
        queries: one query set, or several by name.
        kind: what its numbers are.
        name: of the model.
        batch_size: how many queries are asked at once.
        progress: told how many queries are answered, and of how many.
        pixels: how uint8 images ``[b, h, w, 3]`` are fed to it: by default as float32
            ``[b, 3, h, w]`` from 0 to 1.
        tokenize: a function of a list of strings; arrays by name become keyword arguments.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        ValueError: the answers are no numbers, or not one row a query.
        ImportError: Equinox is not installed.
    """
    eqx: Any = import_framework("equinox", "'mgmp_jax[equinox]'")
    module, *state = model if isinstance(model, tuple) else (model,)

    @eqx.filter_jit
    def forward(module: Any, inputs: Any) -> Any:
        def one(inputs: Any) -> Any:
            named = isinstance(inputs, Mapping)
            given = module(*state, **inputs) if named else module(inputs, *state)
            return given[0] if isinstance(given, list | tuple) else given

        return eqx.filter_vmap(one, axis_name="batch")(inputs)

    module = eqx.nn.inference_mode(module)

    def ask(batch: Any) -> np.ndarray:
        inputs = prepare(batch, pixels, tokenize)
        with explaining(inputs):
            return np.asarray(forward(module, inputs))

    return batches.record(
        ask, queries, kind=kind, name=name, batch_size=batch_size, progress=progress
    )


def open_model(target: str) -> Any:
    """Runs ``FILE.py`` and calls its function ``NAME``, which gives the module.

    Args:
        target: ``FILE.py:NAME``, for example ``my_models.py:load_flowers``. **The file is run.**

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the target is of another form, or the function gives no module.
        ImportError: Equinox is not installed.
    """
    import_framework("equinox", "'mgmp_jax[equinox]'")
    expected = "an equinox.Module, or a pair of one and its equinox.nn.State"
    return python.open_of(target, reads, expected)
