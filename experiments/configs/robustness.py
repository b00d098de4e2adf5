"""What robustness.py does to suspects: to their training, to their weights and to their answers.

    python experiments/robustness.py --preset small --data-dir DIR

On the models of compare.py and 42 more. What is done to weights and answers leaves the extended
MGMP an AUC of 0.92 to 0.96 against sibling descendants, distillation 0.78 and extraction from
labels 0.56; the sibling test (halves of two) 1.00, 0.56 and 0.67.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from configs import cohort
from configs.cohort import HALVES, TRAINING

if TYPE_CHECKING:
    from mgmp_jax.responses import ResponseKind

ATTRIBUTED_BY = (TRAINING, HALVES)
"""The kinds of queries by which suspects are attributed."""

STUDENTS = 3
"""Of the source and of another model each; a student costs about five target trainings."""

WEIGHTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "pruned 20 %": ("prune", (0.2,)),
    "pruned 50 %": ("prune", (0.5,)),
    "pruned 80 %": ("prune", (0.8,)),
    "int8": ("to_int8", ()),
    "float16": ("to_float16", ()),
}
"""What is done to a suspect's weights: a function of :mod:`mgmp_jax.transformations`, and its
further arguments."""

ANSWERS: dict[str, tuple[ResponseKind, str, tuple[Any, ...], ResponseKind]] = {
    "log-probabilities": ("log-probabilities", "", (), "log-probabilities"),
    "rounded to 2 decimals": ("probabilities", "round_to", (2,), "probabilities"),
    "temperature 4": ("probabilities", "temper", (4.0,), "probabilities"),
    "top 3": ("probabilities", "keep_top", (3,), "top-k"),
    "label only": ("labels", "", (), "labels"),
    "ranks": ("probabilities", "ranks", (), "embedding"),
    "noise 0.1": ("log-probabilities", "add_noise", (0.1,), "logits"),
    "noise 1": ("log-probabilities", "add_noise", (1.0,), "logits"),
}
"""What is done to a suspect's answers: of which kind they are taken, a function of
:mod:`mgmp_jax.transformations` if any, its further arguments, and of which kind they then are.
Noisy log-probabilities do not sum to one any more, and ranks are no probabilities."""


@dataclasses.dataclass(frozen=True)
class Args(cohort.Args):
    """Change descendants as a thief might, and score them by every method."""
