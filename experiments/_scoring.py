"""Scores of a cohort's suspects by every method, and what the sibling test attributes to whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from _cohort import AllAnswers, Cohort, Material
from configs.cohort import CHOOSING, KINDS, POWER, TRAINING, UNSEEN

from mgmp_jax import reporting, similarities, weights
from mgmp_jax.methods import FittedMGMP, FittedSimilarity, attribution
from mgmp_jax.methods.power import power
from mgmp_jax.similarities import SIMILARITIES
from mgmp_jax.store import ModelSpec

SINGLE: dict[str, attribution.Statistic] = {
    "linear CKA": similarities.linear_cka,
    "ridge R², source to target": similarities.ridge_r2_to_target,
    "ridge R², target to source": similarities.ridge_r2_to_source,
}
JOINED = {name: (name,) for name in SINGLE}
JOINED |= {"both fits": tuple(SINGLE)[1:], "all three": tuple(SINGLE)}
"""What the sibling test is tried with, each with everything that can be regressed out."""

Tried = tuple[str, Any]
"""One way to do the sibling test: what is compared, and what is regressed out first."""
ALL: list[Tried] = [(name, out) for name in JOINED for out in get_args(attribution.OtherCandidates)]

Scores = np.ndarray
"""One for each suspect; NaN where a method cannot say anything of it."""


def all_scores(
    cohort: Cohort,
    answers: AllAnswers,
    suspects: Sequence[ModelSpec],
    wanted: Sequence[Tried],
    candidates: Sequence[ModelSpec] | None = None,
) -> dict[Tried, np.ndarray]:
    """Scores suspects with candidates, ``[t, c]``, centred by the controls, in all wanted ways."""
    groups = (candidates or cohort.candidates, suspects, cohort.controls)
    first, asked, controls = ([answers[spec].values for spec in specs] for specs in groups)
    found: dict[Tried, np.ndarray] = {}
    for background in dict.fromkeys(background for _, background in wanted):
        names = [name for name, regressed in wanted if regressed == background]
        parts = list(dict.fromkeys(part for name in names for part in JOINED[name]))
        statistics = [SINGLE[part] for part in parts]
        by_part = attribution.scores_by_statistic(
            np.stack(first), asked, controls, statistics, background
        )
        for name in names:
            joined = by_part[:, [parts.index(part) for part in JOINED[name]]]
            found[name, background] = attribution.combine(joined)
    return {way: found[way] for way in wanted}


def attribute(way: Tried, cohort: Cohort, answers: AllAnswers) -> list[np.ndarray]:
    """Scores each suspect with the candidates, the cohort's source first.

    A suspect that is itself a sibling is left out of its own candidates.
    """
    everybody, specs = cohort.candidates, [suspect.spec for suspect in cohort.suspects]
    outside = [spec for spec in specs if spec not in everybody]
    found = dict(zip(outside, all_scores(cohort, answers, outside, [way])[way], strict=True))
    for spec in set(specs) & set(everybody):
        others = [candidate for candidate in everybody if candidate != spec]
        found[spec] = all_scores(cohort, answers, [spec], [way], others)[way][0]
    return [found[spec] for spec in specs]


def attribute_families(
    cohort: Cohort, answers: AllAnswers, descendants: Sequence[ModelSpec], ways: Sequence[Tried]
) -> dict[Tried, np.ndarray]:
    """Scores descendants of candidates in some ways, each one's own source first, ``[t, c]``."""
    own = [cohort.candidates.index(spec.start) for spec in descendants if spec.start]
    order = np.stack([np.r_[i, np.delete(np.arange(len(cohort.candidates)), i)] for i in own])
    found = all_scores(cohort, answers, descendants, ways)
    return {way: np.take_along_axis(scores, order, axis=1) for way, scores in found.items()}


def summarise(scores: Sequence[np.ndarray] | np.ndarray) -> dict[str, Any]:
    """Says what the sibling test found of some suspects, whose source's score is the first."""
    return {
        "models": len(scores),
        "candidates": min(map(len, scores)),
        "first": sum(bool(attribution.source_first(s)) for s in scores),
        "p_exact": [float(attribution.exact_p(s)) for s in scores],
        "p_t_tail": [float(attribution.t_tail_p(s)) for s in scores],
    }


def by_group(names: Sequence[str], scores: Sequence[np.ndarray] | np.ndarray) -> dict[str, Any]:
    """Summarises the scores of suspects by the names of their groups."""
    groups: dict[str, list[np.ndarray]] = {}
    for name, of_suspect in zip(names, scores, strict=True):
        groups.setdefault(name, []).append(of_suspect)
    return {name: summarise(group) for name, group in groups.items()}


def choose(cohort: Cohort, answers: AllAnswers) -> tuple[Tried, list[dict[str, Any]]]:
    """Chooses the way that attributes most models in a rehearsal, of equals by smallest p.

    Every candidate in turn is the source of its own descendants on the pool tasks. All have
    equally many, so the choice does not know which of the candidates is the cohort's source.

    Returns:
        It, and what all did on the first :data:`configs.cohort.CHOOSING` queries.
    """
    some = {spec: r.take(np.arange(min(CHOOSING, len(r))), "some") for spec, r in answers.items()}
    tried = {}
    for way, scores in attribute_families(cohort, some, cohort.rehearsal, ALL).items():
        found = summarise(scores)
        median = float(np.median(found["p_t_tail"]))
        tried[way] = {"statistic": ", ".join(way), "median_t_p": median, "descendants": found}
    best = min(tried, key=lambda w: (-tried[w]["descendants"]["first"], tried[w]["median_t_p"]))
    return best, list(tried.values())


def agreement_of_candidates(cohort: Cohort, answers: AllAnswers) -> float:
    """On what share of the queries two candidates give one label, mean over pairs."""
    labels = [answers[spec].values.argmax(axis=1) for spec in cohort.candidates]
    return float(np.mean([np.mean(a == b) for i, a in enumerate(labels) for b in labels[:i]]))


def suspects_results(cohort: Cohort, attributions: Sequence[np.ndarray]) -> dict[str, Any]:
    """Summarises what :func:`attribute` gives, by what the suspects are."""
    itself = [", a sibling itself" * (s.spec in cohort.siblings) for s in cohort.suspects]
    names = [f"{s.kind}{_head(s.spec)}{i}" for s, i in zip(cohort.suspects, itself, strict=True)]
    return by_group(names, attributions)


def families_results(cohort: Cohort, answers: AllAnswers, ways: Sequence[Tried]) -> dict[str, Any]:
    """Summarises how the evaluation tasks' descendants of all candidates are attributed."""
    names = [f"descendant{_head(spec)}" for spec in cohort.families]
    found = attribute_families(cohort, answers, cohort.families, ways)
    return {", ".join(way): by_group(names, scores) for way, scores in found.items()}


def by_tuned_controls(cohort: Cohort, answers: AllAnswers) -> dict[str, Any]:
    """Chooses a way anew, and summarises descendants and suspects, with the tuned controls."""
    tuned = dataclasses.replace(cohort, controls=cohort.tuned_controls)
    way, _ = choose(tuned, answers)
    (families,) = families_results(tuned, answers, [way]).values()
    suspects = suspects_results(tuned, attribute(way, tuned, answers))
    return {"chosen": ", ".join(way), "groups": families | suspects}


def level(way: Tried, cohort: Cohort, answers: AllAnswers) -> dict[str, float | int]:
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
        scores = all_scores(cohort, answers, descendants, [way], others)[way]
        turns += [np.roll(scores, -i, axis=1) for i in range(len(others))]
    p = attribution.t_tail_p(np.concatenate(turns))
    shares = {"t_tail_5": float(np.mean(p <= 0.05)), "t_tail_1": float(np.mean(p <= 0.01))}
    return {"pairs": p.size, **shares}


def mean_power(way: Tried, cohort: Cohort, answers: AllAnswers) -> list[dict[str, float]]:
    """Measures power by numbers of queries and siblings, mean over candidates as the source."""
    n, most = len(answers[cohort.row.source]), len(cohort.siblings)
    name, background = way
    by_source = []
    for source in cohort.candidates:
        siblings = [answers[spec] for spec in cohort.candidates if spec != source]
        descendants = [answers[spec] for spec in cohort.families if spec.start == source]
        by_source.append([])
        for queries in [*(q for q in POWER["queries"] if q < n), n]:
            by_source[-1] += power(
                answers[source].values,
                siblings,
                descendants,
                [SINGLE[part] for part in JOINED[name]],
                background=background,
                controls=[answers[spec] for spec in cohort.controls],
                num_queries=[queries],
                num_siblings=[*(m for m in POWER["siblings"] if m < most), most],
                draws=1,
                seed=queries,
            )
    return [
        {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        for rows in zip(*by_source, strict=True)
    ]


def _head(spec: ModelSpec) -> str:
    if spec.start is None:
        return ""
    return ", head kept" if spec.head == "keep" else ", new head"


def by_weights(source: Any, targets: Sequence[Any]) -> dict[str, Scores]:
    """Scores by what can be said with all parameters in hand."""
    layers = [weights.weight_distance_by_layer(source, target, relative=True) for target in targets]
    return {
        "‖Δw‖": np.array([float(weights.weight_distance(source, t)) for t in targets]),
        "‖Δw‖, mean of layers": np.array([float(np.mean([*one.values()])) for one in layers]),
        "weight cosine": np.array([float(weights.weight_cosine(source, t)) for t in targets]),
    }


def by_answers(
    cohort: Cohort, material: Material, attributions: Mapping[str, Sequence[np.ndarray]]
) -> tuple[dict[str, Scores], dict[str, str]]:
    """Scores by every method that needs answers only, and says why the others cannot.

    Siblings of the source are no suspects of the method whose background holds them: NaN.
    ``attributions`` are what :func:`attribute` gives, by kind of queries.
    """
    found, unread = {}, dict(material.unfit)
    answers, unseen = material.answers[TRAINING], material.answers[UNSEEN]
    specs = [suspect.spec for suspect in cohort.suspects]
    source, targets = answers[cohort.row.source], [answers[spec] for spec in specs]
    similar = {name: FittedSimilarity(name, source) for name in SIMILARITIES}
    for name, method in {**similar, **material.methods}.items():
        try:
            found[name] = np.array([method.score(target) for target in targets])
        except ValueError as error:
            unread[name] = str(error)
            continue
        if isinstance(method, FittedMGMP) and method.knows_siblings:
            found[name][[spec in cohort.siblings for spec in specs]] = np.nan
    agreement, known = similarities.mistake_agreement, unseen[cohort.row.source]
    found["agreement on mistakes, unseen images"] = np.array(
        [float(agreement(known, unseen[spec], material.labels)) for spec in specs]
    )
    for queries, scores in attributions.items():
        # minus the p-value, so that it is larger for a suspect that looks homologous
        p = [-float(attribution.t_tail_p(of_suspect)) for of_suspect in scores]
        found[f"sibling test, {queries}"] = np.array(p)
    return found, unread


def by_kind(kinds: Sequence[str], scores: Scores) -> dict[str, Any]:
    """Measures how well the homologous suspects stand apart from those of each other kind."""
    is_scored = ~np.isnan(scores)
    found = {kind: scores[is_scored & (np.array(kinds) == kind)] for kind in KINDS}
    positive = found.pop("homologous")
    return {
        kind: reporting.separation(positive, negative)
        for kind, negative in found.items()
        if len(negative)
    }


def as_results(cohort: Cohort, scores: Mapping[str, Scores]) -> dict[str, Any]:
    """Gives scores and separations of every method, as results.json holds them."""
    return {
        name: {
            "scores": [None if np.isnan(score) else float(score) for score in values],
            "against": by_kind(cohort.kinds, values),
        }
        for name, values in scores.items()
    }
