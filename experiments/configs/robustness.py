"""What robustness.py does to suspects, as data: to their weights, and to their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from _cohort import HALVES, TRAINING

from mgmp_jax import transformations
from mgmp_jax.responses import ResponseKind, Responses

ATTRIBUTED_BY = (TRAINING, HALVES)
"""The kinds of queries by which suspects are attributed."""

STUDENTS = 3
"""Of the source and of another model each; a student costs about five target trainings."""

WEIGHTS: dict[str, Callable[[Any], Any]] = {
    "pruned 20 %": lambda params: transformations.prune(params, 0.2),
    "pruned 50 %": lambda params: transformations.prune(params, 0.5),
    "pruned 80 %": lambda params: transformations.prune(params, 0.8),
    "int8": transformations.to_int8,
    "float16": transformations.to_float16,
}
"""What is done to a suspect's weights."""


def _changed(responses: Responses, values: Any, kind: ResponseKind) -> Responses:
    return Responses(np.asarray(values), kind, responses.queries, responses.model)


def _noisy(p: Responses, key: Any, share: float) -> Responses:
    logs = jnp.asarray(p.to("log-probabilities").values)
    noisy = transformations.add_noise(logs, share, key)
    return _changed(p, noisy, "logits")  # no probabilities any more: they do not sum to one


ANSWERS: dict[str, Callable[[Responses, Any], Responses]] = {
    "log-probabilities": lambda p, _: p.to("log-probabilities"),
    "rounded to 2 decimals": lambda p, _: _changed(
        p, transformations.round_to(jnp.asarray(p.values), 2), "probabilities"
    ),
    "temperature 4": lambda p, _: _changed(
        p, transformations.temper(jnp.asarray(p.values), 4.0), "probabilities"
    ),
    "top 3": lambda p, _: _changed(p, transformations.keep_top(jnp.asarray(p.values), 3), "top-k"),
    "label only": lambda p, _: p.to("labels"),
    "ranks": lambda p, _: _changed(p, transformations.ranks(jnp.asarray(p.values)), "embedding"),
    "noise 0.1": lambda p, key: _noisy(p, key, 0.1),
    "noise 1": lambda p, key: _noisy(p, key, 1.0),
}
"""What is done to a suspect's probabilities ``(p, key)``, and of what kind it then is."""
