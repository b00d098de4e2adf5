"""Flax modules: of Linen with their variables, and of NNX."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mgmp_jax.adapters import batches, python
from mgmp_jax.adapters.frameworks import explaining, is_of
from mgmp_jax.adapters.pixels import Pixels, Reader, prepare
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["LinenModel", "open_model", "reads", "record"]

_PIXELS = Pixels(channels_first=False)
_INFERENCE = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
}


@dataclasses.dataclass(frozen=True, eq=False)
class LinenModel:
    """A Linen module with its variables, which can be asked.

    Args:
        module: the module.
        variables: what its ``init`` gave, trained: ``{"params": ..., "batch_stats": ...}``.
        call: keyword arguments of its call, beside those that :func:`record` sets.
    """

    module: Any
    variables: Mapping[str, Any]
    call: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def reads(model: Any) -> bool:
    """Says whether a model is a Linen module with variables, or an NNX module.

    A pair ``(module, variables)`` and a bound Linen module are read too. A Linen module without
    variables is taken here as well, so that :func:`record` says what it lacks.
    """
    module = model[0] if isinstance(model, tuple) and len(model) == 2 else model
    return isinstance(model, LinenModel) or _is_linen(module) or _is_nnx(model)


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
    """Records what a Flax module answers in inference mode; it is left as it was.

    It is compiled once a shape: for whole batches, and for the last one where that is smaller.
    Its answer is an array, or the first of a tuple. Where its call has arguments named ``train``,
    ``training``, ``is_training``, ``deterministic`` or ``use_running_average``, they are set.

    Args:
        model: a :class:`LinenModel`, a pair ``(module, variables)``, a bound Linen module or an
            NNX module.
        queries: one query set, or several by name.
        kind: what its numbers are.
        name: of the model.
        batch_size: how many queries are asked at once.
        progress: told how many queries are answered, and of how many.
        pixels: how uint8 images ``[b, h, w, 3]`` are fed to it: by default as float32 of that
            shape from 0 to 1.
        tokenize: a function of a list of strings; arrays by name become keyword arguments.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        ValueError: a Linen module came without variables; or its answers are no numbers, or not
            one row a query.
    """
    forward = (_of_nnx if _is_nnx(model) else _of_linen)(model)

    def ask(batch: Any) -> np.ndarray:
        inputs = prepare(batch, pixels, tokenize)
        with explaining(inputs):
            named = isinstance(inputs, Mapping)
            return np.asarray(forward(**inputs) if named else forward(inputs))

    return batches.record(
        ask, queries, kind=kind, name=name, batch_size=batch_size, progress=progress
    )


def open_model(target: str) -> Any:
    """Runs ``FILE.py`` and calls its function ``NAME``, which gives the model.

    Args:
        target: ``FILE.py:NAME``, for example ``my_models.py:load_flowers``. **The file is run.**

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the target is of another form, or the function gives no Flax model.
    """
    expected = "mgmp_jax.adapters.flax.LinenModel(module, variables) or an NNX module"
    return python.open_of(target, reads, expected)


def _is_linen(module: Any) -> bool:
    return is_of(module, "flax", "ModuleBase")


def _is_nnx(module: Any) -> bool:
    return is_of(module, "flax", "Pytree") and is_of(module, "flax", "Module")


def _of_linen(model: Any) -> Callable[..., Any]:
    if _is_linen(model):
        if getattr(model, "scope", None) is None:
            raise ValueError(
                f"the Linen module {type(model).__name__} has no variables; give a pair (module, "
                "variables), or mgmp_jax.adapters.flax.LinenModel(module, variables)"
            )
        model = model.unbind()
    if not isinstance(model, LinenModel):
        model = LinenModel(*model)
    import jax

    call = {**_inference(model.module), **model.call}

    @jax.jit
    def forward(variables: Any, *inputs: Any, **named: Any) -> Any:
        return _first(model.module.apply(variables, *inputs, **named, **call))

    return functools.partial(forward, model.variables)


def _of_nnx(model: Any) -> Callable[..., Any]:
    import jax
    from flax import nnx

    graph, state = nnx.split(model)
    call = _inference(model)

    @jax.jit
    def forward(state: Any, *inputs: Any, **named: Any) -> Any:
        copy = nnx.merge(graph, state)
        copy.eval()
        return _first(copy(*inputs, **named, **call))

    return functools.partial(forward, state)


def _inference(module: Any) -> dict[str, bool]:
    """Arguments of the module's call that say that it is not trained."""
    names = inspect.signature(type(module).__call__).parameters
    return {name: value for name, value in _INFERENCE.items() if name in names}


def _first(given: Any) -> Any:
    return given[0] if isinstance(given, list | tuple) else given
