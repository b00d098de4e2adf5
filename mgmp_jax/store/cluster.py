"""Trains models on a Ray cluster, which schedules them, and retries what a lost machine had."""

from __future__ import annotations

import functools
import os
import pickle
from collections.abc import Mapping
from typing import Any

from mgmp_jax.ray_cluster import connected
from mgmp_jax.store.attempt import adopt, attempt, settings, use_threads
from mgmp_jax.store.board import Board
from mgmp_jax.store.plan import Outcome, Plan
from mgmp_jax.store.spec import ModelSpec
from mgmp_jax.store.store import ModelStore

__all__ = ["run"]

_MAX_RETRIES = 3
"""How often Ray trains a model again whose process or machine was lost."""


def run(store: ModelStore, plan: Plan, address: str, num_gpus: float) -> None:
    """Trains what is planned on a Ray cluster.

    Args:
        store: where the models are kept; all machines must see its folder under the same path.
        plan: what is trained; takes up the outcomes.
        address: of the cluster; ``"ray"`` starts Ray on this machine for as long as this takes.
        num_gpus: what share of a GPU a model gets.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: there is no such cluster.
    """
    with connected(address) as ray:
        task = ray.remote(num_cpus=1, num_gpus=num_gpus, max_retries=_MAX_RETRIES)(_train)
        common = ray.put(pickle.dumps(store)), ray.put(settings())
        references: dict[ModelSpec, Any] = {}
        for spec, needs in plan.needs.items():  # sources come before what needs them
            references[spec] = task.remote(*common, spec, *(references[one] for one in needs))
        _follow(ray, plan, references)


def _follow(ray: Any, plan: Plan, references: Mapping[ModelSpec, Any]) -> None:
    """Takes up outcomes as they come."""
    specs = {reference: spec for spec, reference in references.items()}
    with Board(plan) as board:
        while not plan.is_done:
            waiting = [r for spec, r in references.items() if spec not in plan.outcomes]
            (reference,), _ = ray.wait(waiting, num_returns=1)
            try:
                outcome = ray.get(reference)
            except ray.exceptions.RayError as error:
                outcome = Outcome(f"{type(error).__name__}: {error}")
            board.finish(plan.finish(specs[reference], outcome))


def _train(raw: bytes, given: Mapping[str, Any], spec: ModelSpec, *needs: Outcome) -> Outcome:
    """Trains a model in a process of Ray's, which takes on one model after the other."""
    if any(needed.reason is not None for needed in needs):
        return Outcome("what it needs failed")  # the plan knows it already
    use_threads(1)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    adopt(given)
    return attempt(_opened(raw), spec)


@functools.lru_cache(maxsize=1)
def _opened(raw: bytes) -> ModelStore:
    """Opens the store once a process, so that data are loaded once."""
    return pickle.loads(raw)
