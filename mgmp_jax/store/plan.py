"""Which models of the store are to be trained, in what order, and what became of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from mgmp_jax.store.spec import ModelSpec
from mgmp_jax.store.store import ModelStore

__all__ = ["Outcome", "Plan"]

_ALL_EXAMPLES = 50_000
"""What all of a data set are taken for when trainings are ordered by length."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a training.

    Args:
        reason: why it failed, ``None`` where it did not.
        text: its last metrics.
    """

    reason: str | None = None
    text: str = ""


class Plan:
    """The models that are missing, those they start or learn from included.

    Args:
        store: where they will be.
        specs: the models that are wanted.

    Attributes:
        needs: by missing model, what it starts or learns from and is missing too; a model comes
            after all that it needs.
        outcomes: of those that were trained or given up.
    """

    def __init__(self, store: ModelStore, specs: Sequence[ModelSpec]) -> None:
        self.needs: dict[ModelSpec, tuple[ModelSpec, ...]] = {}
        self.outcomes: dict[ModelSpec, Outcome] = {}
        for spec in specs:
            self._add(store, spec)
        self._kinds = {spec: _kind(store, spec) for spec in self.needs}
        self._after = dict.fromkeys(self.needs, 0)
        for spec in reversed(self.needs):
            for needed in self.needs[spec]:
                self._after[needed] = max(self._after[needed], self._after[spec] + _length(spec))
        self._given: set[ModelSpec] = set()

    @property
    def is_done(self) -> bool:
        """Says whether every model was trained or given up."""
        return len(self.outcomes) == len(self.needs)

    @property
    def failures(self) -> dict[ModelSpec, str]:
        """Gives the reasons of those that were given up."""
        found = {spec: outcome.reason for spec, outcome in self.outcomes.items()}
        return {spec: reason for spec, reason in found.items() if reason is not None}

    def next(self, others: Collection[ModelSpec] = ()) -> ModelSpec | None:
        """Gives out the model to train next, ``None`` where there is none at the moment.

        First comes the model on which most work waits; then such as none of the other processes
        has compiled; then the longest.

        Args:
            others: what other processes have trained or are training.
        """
        ready = [
            spec
            for spec, needs in self.needs.items()
            if spec not in self._given and all(needed in self.outcomes for needed in needs)
        ]
        if not ready:
            return None
        compiled = {self._kinds[spec] for spec in others}
        chosen = max(
            ready,
            key=lambda spec: (
                self._after[spec],
                self._kinds[spec] not in compiled,
                _length(spec),
            ),
        )
        self._given.add(chosen)
        return chosen

    def finish(self, spec: ModelSpec, outcome: Outcome) -> dict[ModelSpec, Outcome]:
        """Notes what became of a model; where it failed, all that need it are given up.

        Returns:
            All outcomes that are new, its own first.
        """
        new = {spec: outcome}
        for other, needs in self.needs.items():
            failed = [needed for needed in needs if needed in new and new[needed].reason]
            if failed:
                new[other] = Outcome(f"it needs {failed[0].address}")
        self.outcomes |= new
        self._given |= new.keys()
        return new

    def _add(self, store: ModelStore, spec: ModelSpec) -> None:
        if spec in self.needs or store.is_trained(spec):
            return
        needs = [needed for needed in (spec.start, spec.teacher) if needed is not None]
        for needed in needs:
            self._add(store, needed)
        self.needs[spec] = tuple(needed for needed in needs if needed in self.needs)


def _kind(store: ModelStore, spec: ModelSpec) -> Any:
    """What decides which compiled training a model can share with another."""
    taught = spec.teacher is not None and spec.answers
    try:
        return store.module(spec), spec.recipe, spec.num_examples, taught
    except ValueError:  # it is impossible, which its training will say
        return spec


def _length(spec: ModelSpec) -> int:
    """How many examples a training takes in."""
    return spec.recipe.epochs * (spec.num_examples or _ALL_EXAMPLES)
