"""The sibling test: did a suspect start from *this* source, or from what its siblings know too?

Siblings are models that the owner trains by the source's recipe on the source's data with other
seeds. A suspect that does not depend on the seed of the source's own training cannot tell the
source from a sibling, so whatever statistic compares candidates with the suspect, the source is
as likely as any sibling to come first. That holds for every suspect, however it was made and
whatever its label space; it needs no assumption but that source and siblings were made alike.

The statistic must treat all candidates alike, and was chosen without knowing which is the source.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from mgmp_jax.arrays import as_matrix, check_varied, equally_wide
from mgmp_jax.dna import assemble
from mgmp_jax.linear import standardise
from mgmp_jax.methods.candidates import Candidates
from mgmp_jax.references import same_numbers
from mgmp_jax.responses import Responses
from mgmp_jax.similarities import ridge_r2_to_source, ridge_r2_to_target

__all__ = [
    "BOTH_FITS",
    "LEAST_QUERIES",
    "OtherCandidates",
    "SiblingResult",
    "Statistic",
    "as_comparable",
    "candidate_scores",
    "centred_scores",
    "combine",
    "exact_p",
    "scores_by_statistic",
    "sibling_test",
    "source_first",
    "stack_candidates",
    "t_tail_p",
]

Statistic = Callable[[Any, Any], Any]
"""``(candidate [n, d], suspect [n, p]) -> scalar``, larger for models that are more alike."""

BOTH_FITS = (ridge_r2_to_target, ridge_r2_to_source)
"""The library's default: it traced most of what ``experiments/compare.py`` tried on pool tasks."""

LEAST_QUERIES = 10
"""The fits are cross-fitted in five parts; with fewer queries the test is refused."""

Models = Sequence[Any] | np.ndarray | Array
"""Responses of several models, each ``[n, any]``, row ``i`` to query ``i``."""

OtherCandidates = Literal["none", "mean", "others"]
"""What of the other candidates is regressed out of candidate and suspect before they are compared:
nothing, the mean of their standardised responses, or the responses of all of them."""


@dataclasses.dataclass(frozen=True)
class SiblingResult:
    """What the test says of one suspect.

    Args:
        source_score: the statistic of the source.
        sibling_scores: those of its siblings, ``[m]``.
        p_value: exact: the share of candidates, the source among them, that score at least as
            high as the source. Never below ``1 / (m + 1)``.
        t_p_value: approximate: the tail of Student's t, for scores of siblings that are normally
            distributed. It can be smaller than ``1 / (m + 1)``.
    """

    source_score: float
    sibling_scores: np.ndarray
    p_value: float
    t_p_value: float

    @property
    def num_siblings(self) -> int:
        """``m``."""
        return len(self.sibling_scores)

    @property
    def deviations(self) -> float:
        """How far the source stands above its siblings, in standard deviations of theirs, or 0."""
        return float(self._standardise(np.array([self.source_score]))[0])

    @property
    def sibling_deviations(self) -> np.ndarray:
        """How far each sibling stands above the mean of all, ``[m]``, in the same unit."""
        return self._standardise(self.sibling_scores)

    def _standardise(self, scores: np.ndarray) -> np.ndarray:
        spread = np.std(self.sibling_scores, ddof=1)
        apart = scores - np.mean(self.sibling_scores)
        return apart / spread if spread > 0 else np.zeros_like(apart)


def sibling_test(
    source: Any,
    siblings: Models,
    suspect: Any,
    statistics: Sequence[Statistic] = BOTH_FITS,
    *,
    background: OtherCandidates = "others",
    controls: Models = (),
) -> SiblingResult:
    """Tests whether a suspect depends on the source's own training.

    The defaults want some 2,500 queries: what is regressed out has ``m d`` coordinates. Models are
    given as :class:`mgmp_jax.responses.Responses` or as arrays, whatever is convenient. Controls
    given as ``Responses`` are converted to the suspect's kind. In arrays, what a suspect says that
    answers with labels only is one-hot, ``[n, classes]``, and so are the answers of the controls;
    source and siblings may keep their logits.

    Args:
        source: the source's responses on the queries, ``[n, d]``.
        siblings: those of ``m`` siblings, each ``[n, d]``, of the source's kind.
        suspect: the suspect's, ``[n, p]``.
        statistics: one, or several that :func:`combine` joins, each
            ``(candidate, suspect) -> scalar`` as in :mod:`mgmp_jax.similarities`.
        background: what is regressed out of candidate and suspect first.
        controls: responses ``[n, any]`` of models known not to come from any candidate. A
            candidate's mean score with them is subtracted, so that a source which resembles
            everything a little more than its siblings do is not accused of every suspect.

    Raises:
        ValueError: there are fewer than two siblings or ten queries; shapes, kinds or query sets
            do not fit; two candidates answer alike; a model answers every query alike; the
            background is unknown; or responses or a score are not finite.
    """
    candidates = stack_candidates(source, siblings)
    controls = [
        as_comparable(control, source, f"control {i}", suspect)
        for i, control in enumerate(as_models(controls, "controls"))
    ]
    suspect = _as_answers(as_comparable(suspect, source, "suspect"), len(candidates[0]), "suspect")
    check_varied(suspect, "the suspect")
    scores = centred_scores(candidates, [suspect], controls, statistics, background)[0]
    return SiblingResult(
        float(scores[0]), scores[1:], float(exact_p(scores)), float(t_tail_p(scores))
    )


@jax.jit(static_argnames=("statistic", "background"))
def candidate_scores(
    candidates: Float[Array, "c n d"],
    suspect: Float[Array, "n p"],
    statistic: Statistic,
    background: OtherCandidates = "none",
) -> Float[Array, " c"]:
    """The statistic of every candidate with a suspect, each candidate treated alike.

    Args:
        candidates: responses of the source and its siblings, in any order.
        suspect: the suspect's responses on the same queries.
        statistic: as for :func:`sibling_test`.
        background: what of all candidates but the one at hand is regressed out.

    Raises:
        ValueError: the background is unknown.
    """
    _check_background(background)
    number, n, width = candidates.shape
    standardised = jax.vmap(standardise)(candidates)
    total = jnp.sum(standardised, axis=0)

    def score(i: Array) -> Array:
        candidate = candidates[i]
        if background == "none":
            return jnp.asarray(statistic(candidate, suspect))
        if background == "mean":
            common = (total - standardised[i]) / (number - 1)
        else:
            others = jnp.arange(number - 1)
            common = standardised[others + (others >= i)]
            common = common.transpose(1, 0, 2).reshape(n, (number - 1) * width)
        left = (assemble(common, responses, "residual") for responses in (candidate, suspect))
        return jnp.asarray(statistic(*left))

    return jax.lax.map(score, jnp.arange(number))


def centred_scores(
    candidates: np.ndarray,
    suspects: Models,
    controls: Models,
    statistics: Sequence[Statistic],
    background: OtherCandidates,
) -> np.ndarray:
    """Scores ``[t, c]`` of suspects with candidates, less each candidate's mean with controls.

    Several statistics are joined by :func:`combine`; for the rest see :func:`scores_by_statistic`.
    """
    scores = scores_by_statistic(candidates, suspects, controls, statistics, background)
    return scores[:, 0] if len(statistics) == 1 else combine(scores)


def scores_by_statistic(
    candidates: np.ndarray,
    suspects: Models,
    controls: Models,
    statistics: Sequence[Statistic],
    background: OtherCandidates,
) -> np.ndarray:
    """Scores ``[t, k, c]`` by each of ``k`` statistics, less each candidate's mean with controls.

    Args:
        candidates: responses ``[c, n, d]`` of the source and its siblings.
        suspects: responses ``[n, any]`` of each suspect.
        controls: as for :func:`sibling_test`.
        statistics: likewise.
        background: likewise.

    Raises:
        ValueError: there is no statistic, the background is unknown, shapes do not fit, or
            responses or a score are not finite.
    """
    _check_background(background)
    if callable(statistics) or not all(map(callable, statistics)) or not len(statistics):
        raise ValueError("give at least one statistic, in a list, each a function of two responses")
    candidates = np.stack([as_matrix(model, "a candidate's responses") for model in candidates])
    suspects = [_as_answers(model, candidates.shape[1], "suspect") for model in suspects]
    controls = [_as_answers(model, candidates.shape[1], "control") for model in controls]
    score = _scorer(candidates, statistics, background)
    scores = np.stack([score(model) for model in suspects])
    if len(controls):
        scores = scores - np.mean([score(model) for model in controls], axis=0)
    _check_finite(scores)
    return scores


def _scorer(
    candidates: np.ndarray, statistics: Sequence[Statistic], background: OtherCandidates
) -> Callable[[np.ndarray], np.ndarray]:
    """``suspect -> scores [k, c]``; by :class:`Candidates` unless a mean is regressed out."""
    if background == "mean":
        return lambda suspect: np.stack(
            [candidate_scores(candidates, suspect, one, background) for one in statistics]
        ).astype(np.float64)
    prepared = Candidates(candidates, background)
    fitted = any(one in BOTH_FITS for one in statistics)

    def score(suspect: np.ndarray) -> np.ndarray:
        fits = dict(zip(BOTH_FITS, prepared.scores(suspect), strict=True)) if fitted else {}
        found = [fits[one] if one in fits else prepared.compare(one, suspect) for one in statistics]
        return np.stack(found).astype(np.float64)

    return score


def combine(scores: Float[np.ndarray, "... k c"]) -> Float[np.ndarray, "... c"]:
    """Joins several statistics: the mean of their scores, each standardised over candidates.

    Raises:
        ValueError: a score is not finite.
    """
    _check_finite(scores)
    rounding = 1e-9 * np.abs(scores).max(axis=-1, keepdims=True)
    differ = np.ptp(scores, axis=-1, keepdims=True) > rounding
    spread = np.where(differ, scores.std(axis=-1, keepdims=True), 1)
    centred = np.where(differ, scores - scores.mean(axis=-1, keepdims=True), 0)
    return np.mean(centred / spread, axis=-2)


def exact_p(scores: Float[np.ndarray, "... c"]) -> Float[np.ndarray, "..."]:
    """Exact permutation p-value of scores whose first is the source's; ties count against it.

    Raises:
        ValueError: a score is not finite.
    """
    _check_finite(scores)
    rounding = 1e-9 * np.max(np.abs(scores), axis=-1, keepdims=True)
    return np.asarray(np.mean(scores >= scores[..., :1] - rounding, axis=-1))


def t_tail_p(scores: Float[np.ndarray, "... c"]) -> Float[np.ndarray, "..."]:
    """Approximate p-value of scores whose first is the source's, by Student's t.

    The source is compared with the distribution of one more sibling, of which the ``m`` siblings
    give mean and spread: ``m - 1`` degrees of freedom. Where all siblings score alike they give
    none, and it is the exact p-value.

    Raises:
        ValueError: there are fewer than two siblings, or a score is not finite.
    """
    siblings = scores[..., 1:]
    m = siblings.shape[-1]
    if m < 2:
        raise ValueError(f"the spread of siblings needs at least two of them, got {m}")
    exact = exact_p(scores)
    differ = np.ptp(siblings, axis=-1) > 0
    spread = np.where(differ, siblings.std(axis=-1, ddof=1) * np.sqrt(1 + 1 / m), 1)
    t = (scores[..., 0] - siblings.mean(axis=-1)) / spread
    return np.where(differ, special.stdtr(m - 1, -t), exact)


def source_first(scores: Float[np.ndarray, "... c"]) -> np.ndarray:
    """Whether the source, whose score is the first, comes before all siblings, ``[...]``."""
    return np.asarray(scores[..., 0] > scores[..., 1:].max(axis=-1))


def _check_finite(scores: np.ndarray) -> None:
    if not np.isfinite(scores).all():
        raise ValueError("a score is not finite; look at the statistic")


def stack_candidates(source: Any, siblings: Models) -> np.ndarray:
    """Stacks the responses of the source and its siblings, ``[c, n, d]``, and checks them.

    Raises:
        ValueError: there are fewer than two siblings or ten queries; shapes, kinds or query sets
            differ; two of the models answer alike; or one answers every query alike.
    """
    siblings = as_models(siblings, "siblings")
    names = ["the source", *(f"sibling {i}" for i in range(len(siblings)))]
    given = [as_comparable(m, source, n) for m, n in zip((source, *siblings), names, strict=True)]
    for other, name in zip(given[1:], names[1:], strict=True):
        both = isinstance(source, Responses) and isinstance(other, Responses)
        if both and source.kind != other.kind:
            raise ValueError(
                f"the source answers with {source.kind} and {name} with {other.kind}: the test "
                "holds only where nothing but the seed tells them apart. Record one kind of all, "
                "or convert the richer ones with Responses.to"
            )
    models = [as_matrix(m, f"responses of {name}") for m, name in zip(given, names, strict=True)]
    if isinstance(source, Responses) and source.kind == "labels":
        models = equally_wide(models)  # of classes that a model never names
    shapes = {model.shape for model in models}
    if len(siblings) < 2 or len(shapes) > 1:
        raise ValueError(
            "give the source's responses [n, d] and those of at least two siblings, all of one "
            f"shape; got {len(siblings)} siblings, shapes {sorted(shapes)}"
        )
    if len(models[0]) < LEAST_QUERIES:
        raise ValueError(
            "the fits are cross-fitted in five parts; give at least "
            f"{LEAST_QUERIES} queries, not {len(models[0])}"
        )
    for i, (model, name) in enumerate(zip(models, names, strict=True)):
        check_varied(model, name)
        for earlier, other in zip(models[:i], names[:i], strict=True):
            if same_numbers(earlier, model):
                raise ValueError(
                    f"{other} and {name} give equal answers: they are one model (a copy, or a "
                    "seed without effect); train siblings that differ"
                )
    return np.stack(models)


def as_models(models: Any, name: str) -> Models:
    """Refuses one model where several are expected.

    Raises:
        ValueError: it is one model's responses, or no sequence.
    """
    is_one = isinstance(models, Responses) or getattr(models, "ndim", 3) < 3
    if is_one or not isinstance(models, Sequence | np.ndarray | Array):
        raise ValueError(
            f"{name} must be a list of models' responses, each [n, d]; got {type(models).__name__} "
            f"{getattr(models, 'shape', '')}".rstrip()
        )
    return models


def as_comparable(model: Any, source: Any, name: str, suspect: Any = None) -> Any:
    """Checks that a model answered the source's queries, and converts it to the suspect's kind."""
    if isinstance(model, Responses) and isinstance(source, Responses):
        try:
            source.check_same_queries(model)
        except ValueError as error:
            raise ValueError(f"the source and {name}: {error}") from error
    if isinstance(model, Responses) and isinstance(suspect, Responses):
        return model.to(suspect.kind)
    return model


def _check_background(background: str) -> None:
    if background not in get_args(OtherCandidates):
        raise ValueError(
            f"background must be one of {get_args(OtherCandidates)}, got {background!r}"
        )


def _as_answers(model: Any, n: int, name: str) -> np.ndarray:
    values = as_matrix(model, f"responses of the {name}")
    is_labels = np.asarray(getattr(model, "values", model)).dtype.kind in "iu"
    if len(values) != n or (values.shape[1] == 1 and is_labels):
        raise ValueError(
            f"the candidates answered {n} queries; give suspect and controls as arrays "
            f"[{n}, any], labels one-hot; got {type(model).__name__} of shape {values.shape}"
        )
    return values
