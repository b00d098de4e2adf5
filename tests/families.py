"""Toy families of models: what the data teach, what each seed adds, and fine-tuned descendants."""

from __future__ import annotations

import numpy as np

from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.responses import Responses


class Family:
    """Makes models whose relation is known, all of them from one seed.

    Args:
        n: how many queries.
        seed: of everything.
        queries: the digest of the query set.
    """

    def __init__(self, n: int = 400, seed: int = 0, queries: str = "q") -> None:
        self._rng = np.random.default_rng(seed)
        self._n, self.queries = n, queries
        self.data, self.own = self.noise(), self.noise()

    def noise(self, width: int = 6) -> np.ndarray:
        return self._rng.normal(size=(self._n, width))

    def model(self, own: np.ndarray, name: str = "") -> Responses:
        """A model trained on the source's data, with what its seed added."""
        return Responses(self.data + own, "logits", self.queries, name)

    def tuned(self, start: np.ndarray, width: int = 5, name: str = "") -> Responses:
        """A model of another task, fine-tuned from one whose seed added ``start``."""
        logits = (self.data + 2 * start + self.noise()) @ self._rng.normal(size=(6, width))
        return Responses(logits, "logits", self.queries, name)

    def pair(self, task: str, checkpoints: int = 1) -> Pair:
        other = self.noise()
        return Pair(
            task,
            [self.tuned(self.own, name=f"{task} from the source") for _ in range(checkpoints)],
            [self.tuned(other, name=f"{task} from another") for _ in range(checkpoints)],
        )

    def references(self, tasks: int = 5, siblings: int = 0, controls: int = 0) -> ReferenceSet:
        return ReferenceSet(
            self.model(self.own, "source"),
            [self.pair(f"task {i}") for i in range(tasks)],
            [self.model(self.noise(), f"sibling {i}") for i in range(siblings)],
            [self.tuned(self.noise(), name=f"control {i}") for i in range(controls)],
        )
