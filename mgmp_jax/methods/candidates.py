"""Candidates of a sibling test, prepared once for the ridge regressions of any suspect."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from mgmp_jax.linear import FOLDS, PENALTY, LeaveOneOut, fold_slices, standardise_exactly

__all__ = ["Candidates", "RegressedOut"]

RegressedOut = Literal["others", "none"]
"""Whether the answers of all other candidates are regressed out before a comparison."""


class Candidates:
    """The cross-fitted ridge regressions of candidates and suspects on each other.

    The same as :func:`mgmp_jax.methods.attribution.candidate_scores` of
    :func:`~mgmp_jax.similarities.ridge_r2_to_target` and
    :func:`~mgmp_jax.similarities.ridge_r2_to_source`, up to rounding, at a small part of the cost:
    all that does not depend on the suspect is computed once.

    Args:
        responses: of the source and its siblings, in any order.
        background: whether the answers of all other candidates are regressed out first.

    Raises:
        ValueError: the background is neither of the two.
    """

    def __init__(self, responses: Float[np.ndarray, "c n d"], background: RegressedOut) -> None:
        if background not in get_args(RegressedOut):
            raise ValueError(
                f"background must be one of {get_args(RegressedOut)}, got {background!r}"
            )
        self._count = len(responses)
        self._order, self._held = fold_slices(responses.shape[1])
        sorted_ = responses[:, self._order]
        self._others = LeaveOneOut(sorted_, self._held) if background == "others" else None
        self._left = sorted_ if self._others is None else self._others.left
        self._own = standardise_exactly(self._left)
        self._factors = _Factors.of(self._own, self._held)

    def scores(self, suspect: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "2 c"]:
        """Computes the R² of the suspect from each candidate, and of each from the suspect."""
        rows = suspect[self._order]
        if self._others is not None:
            left = standardise_exactly(self._others.residuals(rows))
        else:
            left = np.broadcast_to(standardise_exactly(rows), (self._count, *suspect.shape))
        to_suspect = _r2(self._factors, self._own, left, self._held)
        to_candidate = _r2(_Factors.of(left, self._held), left, self._own, self._held)
        return np.stack([to_suspect, to_candidate])

    def compare(
        self, statistic: Callable[[Any, Any], Any], suspect: Float[np.ndarray, "n p"]
    ) -> Float[np.ndarray, " c"]:
        """Computes any statistic of each candidate with the suspect, after the background."""
        back = np.argsort(self._order)
        if self._others is None:
            left = np.broadcast_to(suspect, (self._count, *suspect.shape))
        else:
            left = self._others.residuals(suspect[self._order])[:, back]
        return np.asarray(_of_each(statistic, self._left[:, back], left))


@jax.jit(static_argnames="statistic")
def _of_each(statistic: Callable[[Any, Any], Any], candidates: Array, suspects: Array) -> Array:
    return jax.lax.map(lambda both: jnp.asarray(statistic(*both)), (candidates, suspects))


@dataclasses.dataclass(frozen=True, eq=False)
class _Factors:
    """Each fold's mean ``[c, 1, d]`` and inverse covariance ``[c, d, d]`` of the inputs."""

    means: list[np.ndarray]
    inverses: list[np.ndarray]

    @classmethod
    def of(cls, x: np.ndarray, held: list[slice]) -> _Factors:
        n, d = x.shape[1:]
        grams = [x[:, part].transpose(0, 2, 1) @ x[:, part] for part in held]
        whole, total = np.sum(grams, axis=0), x.sum(axis=1, keepdims=True)
        means, inverses = [], []
        for part, gram in zip(held, grams, strict=True):
            rows = n - (part.stop - part.start)
            mean = (total - x[:, part].sum(axis=1, keepdims=True)) / rows
            covariance = (whole - gram) / rows - mean.transpose(0, 2, 1) @ mean
            means.append(mean)
            inverses.append(np.linalg.inv(covariance + PENALTY * np.eye(d)))
        return cls(means, inverses)


def _r2(factors: _Factors, x: np.ndarray, y: np.ndarray, held: list[slice]) -> np.ndarray:
    """R² of the cross-fitted ridge regressions from ``x[c]`` to ``y[c]``, ``[c]``."""
    n = x.shape[1]
    products = [x[:, part].transpose(0, 2, 1) @ y[:, part] for part in held]
    whole, total = np.sum(products, axis=0), y.sum(axis=1, keepdims=True)
    left = np.zeros(len(x))
    for i in range(FOLDS):
        part, mean = held[i], factors.means[i]
        rows = n - (part.stop - part.start)
        y_mean = (total - y[:, part].sum(axis=1, keepdims=True)) / rows
        covariance = (whole - products[i]) / rows - mean.transpose(0, 2, 1) @ y_mean
        predicted = (x[:, part] - mean) @ (factors.inverses[i] @ covariance) + y_mean
        left += np.sum((y[:, part] - predicted) ** 2, axis=(1, 2))
    varies = np.sum(y**2, axis=(1, 2))
    return np.where(varies > 0, 1 - left / np.where(varies > 0, varies, 1), 0)
