"""How the evidence grows with the number of queries: what fewer of them would have said."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mgmp_jax.arrays import check_varied
from mgmp_jax.methods import Fitted, FittedMGMP, FittedSiblingTest, FittedSimilarity
from mgmp_jax.methods.sibling_test import default_background
from mgmp_jax.report import Answer, conformal_p
from mgmp_jax.responses import Responses

__all__ = ["Point", "grow", "restrict"]

_SHARES = (8, 4, 2)
_LEAST_QUERIES = 32


@dataclasses.dataclass(frozen=True)
class Point:
    """What one number of queries says.

    Args:
        queries: how many.
        draws: how many random subsets of that size were read; 1 for all queries.
        score: the mean over the draws.
        least: the smallest of them.
        greatest: the largest of them.
        p_value: the median over the draws; ``None`` without calibration models.
    """

    queries: int
    draws: int
    score: float
    least: float
    greatest: float
    p_value: float | None


def grow(
    method: Fitted,
    suspect: Responses,
    answer: Answer,
    unrelated: Sequence[Responses] = (),
    *,
    draws: int = 5,
    seed: int = 0,
) -> tuple[Point, ...]:
    """Scores a suspect on an eighth, a quarter and a half of the queries, drawn at random.

    MGMP keeps its classifier and takes the background out anew; the sibling test is prepared
    anew, and regresses the other candidates out where its default rule does. All that is drawn is
    drawn without looking at an answer. Sizes that the method cannot read are left out.

    Args:
        method: fitted to all queries.
        suspect: its responses to all queries.
        answer: what the method said of them, which stands for all queries.
        unrelated: calibration models' responses, for the p-values of knowledge.
        draws: how many subsets of each size.
        seed: of the draws.

    Returns:
        The points, the fewest queries first; none where the method gave no score.
    """
    if answer.score is None:
        return ()
    rng, n = np.random.default_rng(seed), len(suspect)
    points = []
    for size in sorted({n // share for share in _SHARES if n // share >= _LEAST_QUERIES}):
        found = []
        for _ in range(draws):
            part = np.sort(rng.permutation(n)[:size])
            one = _score(method, suspect, unrelated, part)
            if one is not None:
                found.append(one)
        if found:
            points.append(_summarise(size, found))
    whole = Point(n, 1, answer.score, answer.score, answer.score, answer.p_value)
    return (*points, whole)


def restrict(method: Fitted, places: np.ndarray, queries: str) -> Fitted:
    """Makes a fitted method that asks some of its queries only.

    Args:
        method: one of this library's.
        places: of the queries that are kept.
        queries: a digest for them.

    Raises:
        ValueError: the method is none of this library's, or reads no query set so small.
    """
    if isinstance(method, FittedMGMP):
        return dataclasses.replace(
            method,
            source=method.source.take(places, queries),
            latents=None if method.latents is None else method.latents[places],
        )
    if isinstance(method, FittedSimilarity):
        return FittedSimilarity(method.name, method.source.take(places, queries), method.asks)
    if not isinstance(method, FittedSiblingTest):
        raise ValueError(f"{type(method).__name__} cannot be restricted to fewer queries")
    candidates = method.candidates[:, places]
    count, n, d = candidates.shape
    background = method.background
    if background == "others":
        background = default_background(n, (count - 1) * d)
    controls = tuple(control.take(places, queries) for control in method.controls)
    return dataclasses.replace(
        method,
        candidates=candidates,
        controls=controls,
        background=background,
        queries=queries,
    )


def _score(
    method: Fitted, suspect: Responses, unrelated: Sequence[Responses], part: np.ndarray
) -> tuple[float, float | None] | None:
    """Score and p-value on some queries; ``None`` where they cannot be read."""
    digest = f"{len(part)} of {suspect.queries}"
    try:
        fewer = restrict(method, part, digest)
        own = suspect.take(part, digest)
        check_varied(own.values, "the suspect")
        if fewer.reads(own) is not None:
            return None
        if isinstance(fewer, FittedSiblingTest):
            found = fewer.test(own)
            return found.deviations, found.p_value
        others = [model.take(part, digest) for model in unrelated]
        scores = [fewer.score(model) for model in others if fewer.reads(model) is None]
        score = fewer.score(own)
    except ValueError:  # a model answers these queries alike, or its score is not finite
        return None
    return score, conformal_p(score, scores)


def _summarise(size: int, found: Sequence[tuple[float, float | None]]) -> Point:
    scores = [score for score, _ in found]
    values = [p for _, p in found if p is not None]
    p = float(np.median(values)) if values else None
    return Point(size, len(found), float(np.mean(scores)), min(scores), max(scores), p)
