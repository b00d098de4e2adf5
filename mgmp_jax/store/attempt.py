"""What a process does that trains models for another one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax

from mgmp_jax.store.plan import Outcome
from mgmp_jax.store.spec import ModelSpec
from mgmp_jax.store.store import ModelStore
from mgmp_jax.training import display, use_cores

__all__ = ["adopt", "attempt", "settings", "use_threads"]

_SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_disable_most_optimizations",
    "jax_enable_x64",
    "jax_numpy_rank_promotion",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_platforms",
    "jax_random_seed_offset",
    "jax_threefry_partitionable",
)
"""Of JAX: what decides numbers, and where compiled code is kept."""


def settings() -> dict[str, Any]:
    """Collects the settings that another process must have to train as this one does."""
    found = {name: jax.config.values[name] for name in _SETTINGS}
    return {**found, "absl": logging.getLogger("absl").level}


def adopt(given: Mapping[str, Any]) -> None:
    """Takes over another process's :func:`settings`."""
    for name, value in given.items():
        if name == "absl":
            logging.getLogger("absl").setLevel(value)
        elif jax.config.values[name] != value:
            jax.config.update(name, value)


def use_threads(number: int) -> None:
    """Sets how many threads XLA computes with on the CPU; before JAX's first computation."""
    os.environ["NPROC"] = str(number)
    use_cores(number)


def attempt(
    store: ModelStore,
    spec: ModelSpec,
    tell: Callable[[str, int, int, str], None] = lambda *_: None,
) -> Outcome:
    """Trains a model, whose sources are there; where that fails, once more.

    Args:
        store: that it is kept in.
        spec: the model.
        tell: is told how far it is, as :func:`mgmp_jax.training.display.tell` says.

    Returns:
        What became of it; nothing is raised.
    """
    text = display.NOTHING_LEFT

    def hear(name: str, done: int, epochs: int, now: str) -> None:
        nonlocal text
        text = now
        tell(name, done, epochs, now)

    display.tell(hear)
    reasons: list[str] = []
    try:
        for _ in range(2):
            try:
                store.train([spec])
                return Outcome(text=text)
            except Exception as error:
                reasons.append(f"{type(error).__name__}: {error}")
                if len(reasons) == 1:
                    display.console.print(
                        f"  {spec.address} failed and is tried once more ({reasons[0]})",
                        soft_wrap=True,
                        markup=False,
                    )
        return Outcome(reasons[-1])
    finally:
        display.tell(None)
