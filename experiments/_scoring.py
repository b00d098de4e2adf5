"""Scores of a cohort's suspects by every method, and what the sibling test attributes to whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from _cohort import AllAnswers, Cohort, Material, frozen_variants, take_part
from configs.cohort import CHOOSING, KINDS, POWER, QUERIES, TRAINING, UNSEEN, WITH_SIBLINGS

from mgmp_jax import reporting, similarities, weights
from mgmp_jax.methods import FittedMGMP, attribution
from mgmp_jax.methods.candidates import Candidates
from mgmp_jax.similarities import NEIGHBOURS, SIMILARITIES
from mgmp_jax.store import ModelSpec

SINGLE: dict[str, attribution.Statistic] = {
    "linear CKA": similarities.linear_cka,
    "ridge R², source to target": similarities.ridge_r2_to_target,
    "ridge R², target to source": similarities.ridge_r2_to_source,
}
FITS = tuple(SINGLE)[1:]
JOINED = {"both fits": FITS, "all three": tuple(SINGLE)}
"""What the sibling test is tried with, each with everything that can be regressed out."""

Scores = np.ndarray
"""One for each suspect; NaN where a method cannot say anything of it."""


@dataclasses.dataclass(frozen=True)
class Statistic:
    """One way to do the sibling test: what is compared, and what is regressed out first."""

    name: str
    background: attribution.OtherCandidates

    def __str__(self) -> str:
        return f"{self.name}, {self.background}"


BACKGROUNDS: tuple[attribution.OtherCandidates, ...] = get_args(attribution.OtherCandidates)
ALL = [Statistic(name, regressed) for name in (*SINGLE, *JOINED) for regressed in BACKGROUNDS]
"""Everything that is tried."""


def all_scores(
    cohort: Cohort,
    answers: AllAnswers,
    suspects: Sequence[ModelSpec],
    wanted: Sequence[Statistic] = ALL,
    candidates: Sequence[ModelSpec] | None = None,
) -> dict[Statistic, np.ndarray]:
    """Scores suspects with candidates, ``[t, c]``, centred by the controls, by each statistic.

    What statistics join is computed once. Both fits come from candidates that are prepared once,
    whatever the number of suspects; else :mod:`mgmp_jax.methods.attribution` says what they are.
    """
    models = [answers[spec].values for spec in candidates or cohort.candidates]
    stacked = np.stack(models)
    asked = [answers[spec].values for spec in (*suspects, *cohort.controls)]
    found: dict[Statistic, np.ndarray] = {}
    for regressed in BACKGROUNDS:
        names = [statistic.name for statistic in wanted if statistic.background == regressed]
        parts = dict.fromkeys(part for name in names for part in JOINED.get(name, (name,)))
        tables = {}
        if regressed != "mean" and set(FITS) & set(parts):
            prepared = Candidates(stacked, regressed)
            tables = dict(zip(FITS, np.stack([prepared.scores(x) for x in asked], 1), strict=True))
        for part in parts:
            if part not in tables:
                by_one = [
                    attribution.candidate_scores(stacked, x, SINGLE[part], regressed) for x in asked
                ]
                tables[part] = np.stack(by_one).astype(np.float64)
        n = len(suspects)
        tables = {part: table[:n] - table[n:].mean(axis=0) for part, table in tables.items()}
        for name in names:
            joined = [tables[part] for part in JOINED.get(name, (name,))]
            scores = joined[0]
            if name in JOINED:
                scores = attribution.combine(np.stack(joined, axis=-2))
            found[Statistic(name, regressed)] = scores
    return {statistic: found[statistic] for statistic in wanted}


def attribute(statistic: Statistic, cohort: Cohort, answers: AllAnswers) -> list[np.ndarray]:
    """Scores each suspect with the candidates, the cohort's source first.

    A suspect that is itself a sibling is left out of its own candidates.
    """
    everybody = cohort.candidates
    outside = [s.spec for s in cohort.suspects if s.spec not in everybody]
    scores = all_scores(cohort, answers, outside, [statistic])[statistic]
    found = dict(zip(outside, scores, strict=True))
    for spec in {s.spec for s in cohort.suspects} & set(everybody):
        others = [candidate for candidate in everybody if candidate != spec]
        found[spec] = all_scores(cohort, answers, [spec], [statistic], others)[statistic][0]
    return [found[suspect.spec] for suspect in cohort.suspects]


def own_source_first(
    cohort: Cohort, descendants: Sequence[ModelSpec], scores: np.ndarray
) -> np.ndarray:
    """Brings each descendant's own source to the front of its scores ``[t, c]``."""
    own = [cohort.candidates.index(spec.start) for spec in descendants if spec.start]
    return np.stack([np.r_[s[i], np.delete(s, i)] for s, i in zip(scores, own, strict=True)])


def attribute_families(
    cohort: Cohort, answers: AllAnswers, descendants: Sequence[ModelSpec]
) -> dict[Statistic, np.ndarray]:
    """Scores descendants by every statistic, each one's own source first, ``[t, c]``."""
    found = all_scores(cohort, answers, descendants)
    return {s: own_source_first(cohort, descendants, scores) for s, scores in found.items()}


def summarise(scores: Sequence[np.ndarray]) -> dict[str, Any]:
    """Says what the sibling test found of some suspects, whose source's score is the first."""
    first = [bool(attribution.source_first(s)) for s in scores]
    return {
        "models": len(first),
        "candidates": min(len(of_suspect) for of_suspect in scores),
        "first": sum(first),
        "p_exact": [float(attribution.exact_p(s)) for s in scores],
        "p_t_tail": [float(attribution.t_tail_p(s)) for s in scores],
    }


def choose(cohort: Cohort, answers: AllAnswers) -> tuple[Statistic, list[dict[str, Any]]]:
    """Chooses the statistic that attributes most models in a rehearsal, of equals by smallest p.

    Every candidate in turn is the source of its own descendants on the pool tasks. All have
    equally many, so the choice does not know which of the candidates is the cohort's source.

    Returns:
        It, and what all did on the first :data:`configs.cohort.CHOOSING` queries.
    """
    answers = take_part(answers, CHOOSING)
    tried = {}
    for statistic, scores in attribute_families(cohort, answers, cohort.rehearsal).items():
        found = summarise(list(scores))
        median = float(np.median(found["p_t_tail"]))
        about = {"statistic": str(statistic), "median_t_p": median, "descendants": found}
        tried[statistic] = about
    best = min(tried, key=lambda s: (-tried[s]["descendants"]["first"], tried[s]["median_t_p"]))
    return best, list(tried.values())


def sibling_results(cohort: Cohort, attributions: Sequence[np.ndarray]) -> dict[str, Any]:
    """Summarises what :func:`attribute` gives, by what the suspects are."""
    groups: dict[str, list[np.ndarray]] = {}
    for suspect, scores in zip(cohort.suspects, attributions, strict=True):
        itself = ", a sibling itself" if suspect.spec in cohort.siblings else ""
        groups.setdefault(f"{suspect.kind}{_head(suspect.spec)}{itself}", []).append(scores)
    return {name: summarise(of_group) for name, of_group in groups.items()}


def all_results(
    cohort: Cohort, answers: AllAnswers, chosen: Statistic, attributions: Sequence[np.ndarray]
) -> dict[str, Any]:
    """Says what the sibling test found on one kind of queries.

    Args:
        cohort: everybody.
        answers: on these queries.
        chosen: the statistic that was chosen.
        attributions: what :func:`attribute` gives by it.
    """
    families: dict[str, dict[str, Any]] = {}
    tables = attribute_families(cohort, answers, cohort.families)
    for statistic, scores in tables.items():
        groups: dict[str, list[np.ndarray]] = {}
        for spec, of_spec in zip(cohort.families, scores, strict=True):
            groups.setdefault(f"descendant{_head(spec)}", []).append(of_spec)
        families[str(statistic)] = {name: summarise(group) for name, group in groups.items()}
    by_background = {
        regressed: power(Statistic(chosen.name, regressed), cohort, answers, cohort.rehearsal)
        for regressed in BACKGROUNDS
    }
    return {
        "on_evaluation_tasks": families,
        "level": level(chosen, cohort, answers),
        "suspects": sibling_results(cohort, attributions),
        "power_on_pool_tasks": by_background,
        "power": power(chosen, cohort, answers, cohort.families, tables[chosen]),
    }


def level(statistic: Statistic, cohort: Cohort, answers: AllAnswers) -> dict[str, float | int]:
    """Counts how often candidates that are not its source are taken for a descendant's.

    A descendant's own source is left out of the candidates, then each of the others takes the
    source's part in turn.

    Returns:
        ``pairs``: how many there are; ``t_tail_5`` and ``t_tail_1``, the shares of them with an
        approximate p-value of at most 0.05 and 0.01; the exact one needs no such check.
    """
    turns = []
    for source in cohort.candidates:
        others = [spec for spec in cohort.candidates if spec != source]
        descendants = [spec for spec in cohort.families if spec.start == source]
        scores = all_scores(cohort, answers, descendants, [statistic], others)[statistic]
        turns += [np.roll(scores, -i, axis=1) for i in range(len(others))]
    p = attribution.t_tail_p(np.concatenate(turns))
    shares = {"t_tail_5": float(np.mean(p <= 0.05)), "t_tail_1": float(np.mean(p <= 0.01))}
    return {"pairs": p.size, **shares}


def power(
    statistic: Statistic,
    cohort: Cohort,
    answers: AllAnswers,
    descendants: Sequence[ModelSpec],
    known: np.ndarray | None = None,
) -> list[dict[str, int | float]]:
    """Measures how often the own source comes first, by numbers of queries and of siblings.

    Args:
        statistic: of the test.
        cohort: whose candidates; with fewer siblings the first of the others are a source's.
        answers: on all queries, of which some are drawn.
        descendants: of every candidate in turn, equally many.
        known: scores by all queries and all candidates, own source first, where they are known.

    Returns:
        For each setting ``first``, the shares with a p-value of at most 0.05, and the mean over
        sources of the median approximate p-value of its descendants.
    """
    n, most, rows = len(answers[cohort.row.source]), len(cohort.siblings), []
    sources = len(cohort.candidates)
    for queries in [*(q for q in POWER["queries"] if q < n), n]:
        part = np.sort(np.random.default_rng(queries).permutation(n)[:queries])
        drawn = {spec: r.take(part, f"{r.queries}:{queries}") for spec, r in answers.items()}
        for siblings in [*(m for m in POWER["siblings"] if m < most), most]:
            if siblings == most:
                scores = known if queries == n else None
                if scores is None:
                    scores = all_scores(cohort, drawn, descendants, [statistic])[statistic]
                    scores = own_source_first(cohort, descendants, scores)
            else:
                by_source = []
                for source in cohort.candidates:
                    others = [spec for spec in cohort.candidates if spec != source][:siblings]
                    own = [spec for spec in descendants if spec.start == source]
                    found = all_scores(cohort, drawn, own, [statistic], [source, *others])
                    by_source.append(found[statistic])
                scores = np.concatenate(by_source)
            p = attribution.t_tail_p(scores)
            rows.append(
                {
                    "queries": queries,
                    "siblings": siblings,
                    "first": float(np.mean(attribution.source_first(scores))),
                    "exact": float(np.mean(attribution.exact_p(scores) <= 0.05)),
                    "t_tail": float(np.mean(p <= 0.05)),
                    "t_p_median": float(np.median(p.reshape(sources, -1), axis=1).mean()),
                }
            )
    return rows


def _head(spec: ModelSpec) -> str:
    if spec.start is None:
        return ""
    return ", head kept" if spec.head == "keep" else ", new head"


def judged_by(cohort: Cohort) -> list[Any]:
    """Lists what decides scores beside the models: a part of the address of results."""
    statistics = [str(statistic) for statistic in ALL]
    by = [list(SIMILARITIES), frozen_variants(cohort.row), statistics, CHOOSING, QUERIES]
    return [*by, WITH_SIBLINGS]


def by_weights(source: Any, targets: Sequence[Any]) -> dict[str, Scores]:
    """Scores by what can be said with all parameters in hand."""
    layers = [weights.weight_distance_by_layer(source, target, relative=True) for target in targets]
    return {
        "‖Δw‖": np.array([float(weights.weight_distance(source, t)) for t in targets]),
        "‖Δw‖, mean of layers": np.array(
            [np.mean([float(distance) for distance in of.values()]) for of in layers]
        ),
        "weight cosine": np.array([float(weights.weight_cosine(source, t)) for t in targets]),
    }


def by_answers(
    cohort: Cohort, material: Material, attributions: Mapping[str, Sequence[np.ndarray]]
) -> tuple[dict[str, Scores], dict[str, str]]:
    """Scores by every method that needs answers only.

    Siblings of the source are no suspects of the method whose background holds them: NaN.

    Args:
        cohort: whose suspects.
        material: what to judge by.
        attributions: what :func:`attribute` gives, by kind of queries.

    Returns:
        The scores, and why the other methods have none: what they cannot be fitted to or read.
    """
    found, unread = {}, dict(material.unfit)
    answers, unseen = material.answers[TRAINING], material.answers[UNSEEN]
    specs = [suspect.spec for suspect in cohort.suspects]
    source, targets = answers[cohort.row.source], [answers[spec] for spec in specs]
    for name, similarity in SIMILARITIES.items():
        if similarity is similarities.mutual_knn and len(source) <= NEIGHBOURS:
            unread[name] = f"it needs more than {NEIGHBOURS} queries"
        else:
            found[name] = np.array([float(similarity(source, target)) for target in targets])
    agreement, known = similarities.mistake_agreement, unseen[cohort.row.source]
    found["agreement on mistakes, unseen images"] = np.array(
        [float(agreement(known, unseen[spec], material.labels)) for spec in specs]
    )
    for name, method in material.methods.items():
        reasons = filter(None, map(method.reads, targets))
        if reason := next(reasons, None):
            unread[name] = reason
        else:
            found[name] = _by_mgmp(method, targets, [spec in cohort.siblings for spec in specs])
    for queries, scores in attributions.items():
        # minus the p-value, so that it is larger for a suspect that looks homologous
        p = [-float(attribution.t_tail_p(of_suspect)) for of_suspect in scores]
        found[f"sibling test, {queries}"] = np.array(p)
    return found, unread


def _by_mgmp(method: FittedMGMP, targets: Sequence[Any], is_sibling: Sequence[bool]) -> Scores:
    scores = np.array([method.score(target) for target in targets])
    return np.where(np.array(is_sibling) & method.knows_siblings, np.nan, scores)


def by_kind(cohort: Cohort, scores: Scores) -> dict[str, Any]:
    """Measures how well the homologous suspects stand apart from those of each other kind."""
    found = {}
    for kind in KINDS:
        negative = scores[cohort.of_kind(kind)]
        negative = negative[~np.isnan(negative)]
        if kind != "homologous" and len(negative):
            found[kind] = reporting.separation(scores[cohort.of_kind("homologous")], negative)
    return found


def as_results(cohort: Cohort, scores: Mapping[str, Scores]) -> dict[str, Any]:
    """Gives scores and separations of every method, as results.json holds them."""
    return {
        name: {
            "scores": [None if np.isnan(score) else float(score) for score in values],
            "against": by_kind(cohort, values),
        }
        for name, values in scores.items()
    }


def attribute_by(
    cohort: Cohort, material: Material, statistics: Mapping[str, Statistic]
) -> dict[str, list[np.ndarray]]:
    """Attributes all suspects by every kind of queries that has a statistic."""
    return {of: attribute(s, cohort, material.answers[of]) for of, s in statistics.items()}
