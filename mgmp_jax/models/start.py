"""Random weights that a module starts from, drawn by one compiled function a module."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

__all__ = ["abstract_variables", "initial_variables"]


def initial_variables(module: Any, key: Any, example: Any) -> dict[str, Any]:
    """Draws random parameters, and batch statistics to begin with.

    Args:
        module: called as ``module(example, train=False)``; equal modules share what is compiled.
        key: a PRNG key.
        example: the least input that the module can be initialised with.
    """
    return _compiled_init(module)(key, example)


def abstract_variables(module: Any, example: Any) -> dict[str, Any]:
    """Gives the structure, shapes and dtypes of :func:`initial_variables`."""
    return jax.eval_shape(_compiled_init(module), jax.random.key(0), example)


@functools.lru_cache(maxsize=16)
def _compiled_init(module: Any) -> Callable[[Any, Any], dict[str, Any]]:
    def init(key: Any, example: Any) -> dict[str, Any]:
        variables = module.init(key, example, train=False)
        return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}

    # It runs once or twice: compiling dozens of draws with all optimisations took 5 s, not 1.
    is_cpu = jax.default_backend() == "cpu"
    return jax.jit(init, compiler_options={"xla_backend_optimization_level": 1} if is_cpu else None)
