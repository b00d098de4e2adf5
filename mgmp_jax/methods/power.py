"""The power of the sibling test, against the number of queries and of siblings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mgmp_jax.arrays import as_matrix
from mgmp_jax.methods.attribution import (
    BOTH_FITS,
    LEAST_QUERIES,
    Models,
    OtherCandidates,
    Statistic,
    as_comparable,
    centred_scores,
    exact_p,
    source_first,
    stack_candidates,
    t_tail_p,
)
from mgmp_jax.responses import Responses

__all__ = ["power"]


def power(
    source: Any,
    siblings: Models,
    suspects: Models,
    statistics: Sequence[Statistic] = BOTH_FITS,
    *,
    background: OtherCandidates = "others",
    controls: Models = (),
    num_queries: Sequence[int],
    num_siblings: Sequence[int],
    alpha: float = 0.05,
    draws: int = 3,
    seed: int = 0,
) -> list[dict[str, int | float]]:
    """How often suspects of one kind are traced, against the number of queries and of siblings.

    Args:
        source: as for :func:`sibling_test`.
        siblings: likewise; the first ones are used where fewer are asked for.
        suspects: models of one kind, which answer in one kind; descendants for power, controls
            for the level.
        statistics: as for :func:`sibling_test`.
        background: likewise. :class:`mgmp_jax.methods.SiblingTest` regresses nothing out by default
            at 256 queries or fewer, or where the others are wide: give ``"none"`` there.
        controls: likewise. A suspect that is one of several is judged as if it were not: the
            scores of all candidates change by one factor.
        num_queries: numbers of queries, drawn at random from those that were answered.
        num_siblings: numbers of siblings.
        alpha: the level at which the source is said to be the suspect's.
        draws: how many draws of queries are averaged.
        seed: of the draws.

    Returns:
        One row for each number of queries and of siblings: ``queries``, ``siblings``,
        ``first``, the share of suspects for which the source comes first among the candidates
        (chance is ``1 / (siblings + 1)``), ``exact`` and ``t_tail``, the shares with a p-value of
        at most ``alpha``, and ``t_p_median``.

    Raises:
        ValueError: there are fewer queries or siblings than asked for, suspects answer in several
            kinds, or as for :func:`sibling_test`.
    """
    candidates = stack_candidates(source, siblings)
    _check_numbers(candidates, len(suspects), num_queries, num_siblings, draws)
    kinds = {model.kind for model in suspects if isinstance(model, Responses)}
    if len(kinds) > 1:
        raise ValueError(
            f"suspects answer with {' and '.join(sorted(kinds))}; give those of one kind, or "
            "convert the richer ones with Responses.to"
        )
    suspects = [as_comparable(s, source, f"suspect {i}") for i, s in enumerate(suspects)]
    controls = [
        as_comparable(c, source, f"control {i}", suspects[0]) for i, c in enumerate(controls)
    ]
    rng = np.random.default_rng(seed)

    def scores(m: int, part: np.ndarray) -> np.ndarray:
        tested, innocent = (
            [as_matrix(model)[part] for model in models] for models in (suspects, controls)
        )
        some = candidates[: m + 1, part]
        return centred_scores(some, tested, innocent, statistics, background)

    rows = []
    for n in num_queries:
        drawn = [np.sort(rng.permutation(candidates.shape[1])[:n]) for _ in range(draws)]
        for m in num_siblings:
            of_draws = np.concatenate([scores(m, part) for part in drawn])
            rows.append({"queries": n, "siblings": m, **_shares(of_draws, alpha)})
    return rows


def _shares(scores: np.ndarray, alpha: float) -> dict[str, float]:
    p, t_p = exact_p(scores), t_tail_p(scores)
    return {
        "first": float(np.mean(source_first(scores))),
        "exact": float(np.mean(p <= alpha)),
        "t_tail": float(np.mean(t_p <= alpha)),
        "t_p_median": float(np.median(t_p)),
    }


def _check_numbers(
    candidates: np.ndarray,
    suspects: int,
    num_queries: Sequence[int],
    num_siblings: Sequence[int],
    draws: int,
) -> None:
    if not (suspects and len(num_queries) and len(num_siblings) and draws >= 1):
        raise ValueError(
            "give at least one suspect, one number of queries, one of siblings and one draw; got "
            f"{suspects}, {list(num_queries)}, {list(num_siblings)} and {draws}"
        )
    if min(num_queries) < LEAST_QUERIES or min(num_siblings) < 2:
        raise ValueError(
            f"ask at least {LEAST_QUERIES} queries and two siblings; got {min(num_queries)} and "
            f"{min(num_siblings)}"
        )
    there = candidates.shape[0] - 1
    if max(num_queries) > candidates.shape[1] or max(num_siblings) > there:
        raise ValueError(
            f"{max(num_queries)} queries and {max(num_siblings)} siblings were asked for, but "
            f"there are {candidates.shape[1]} and {there}"
        )
