"""The scores of all suspects of a cohort by every method, and how well they separate the kinds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from _attribution import ALL, Statistic, attribute, choose_statistic, minus_p
from _cohort import (
    QUERIES,
    TRAINING,
    UNSEEN,
    WITH_SIBLINGS,
    AllAnswers,
    Cohort,
    Material,
    frozen_variants,
    take_part,
)
from configs.cohort import KINDS

from mgmp_jax import reporting, similarities, weights
from mgmp_jax.similarities import NEIGHBOURS, SIMILARITIES

CHOOSING = 1000
"""How many queries the statistic of the sibling test is chosen by."""

Scores = np.ndarray
"""One for each suspect; NaN where a method cannot say anything."""


def judged_by(cohort: Cohort) -> list[Any]:
    """What decides scores beside the models: a part of the address of results."""
    statistics = [str(statistic) for statistic in ALL]
    by = [list(SIMILARITIES), frozen_variants(cohort.row), statistics, CHOOSING, QUERIES]
    return [*by, WITH_SIBLINGS]


def by_similarities(cohort: Cohort, answers: AllAnswers) -> dict[str, Scores]:
    """The scores by every similarity of responses, where it reads them."""
    source, scores = answers[cohort.row.source], {}
    for name, similarity in SIMILARITIES.items():
        if similarity is similarities.mutual_knn and len(source) <= NEIGHBOURS:
            continue
        targets = [answers[suspect.spec] for suspect in cohort.suspects]
        scores[name] = np.array([float(similarity(source, target)) for target in targets])
    return scores


def by_mistakes(cohort: Cohort, answers: AllAnswers, labels: np.ndarray) -> Scores:
    """The agreement with the source's mistakes."""
    source = answers[cohort.row.source]
    agreement = similarities.mistake_agreement
    return np.array([float(agreement(source, answers[s.spec], labels)) for s in cohort.suspects])


def by_weights(source: Any, targets: Sequence[Any]) -> dict[str, Scores]:
    """What can be said with all parameters in hand."""
    layers = [weights.weight_distance_by_layer(source, target, relative=True) for target in targets]
    return {
        "‖Δw‖": np.array([float(weights.weight_distance(source, t)) for t in targets]),
        "‖Δw‖, mean of layers": np.array(
            [np.mean([float(distance) for distance in of.values()]) for of in layers]
        ),
        "weight cosine": np.array([float(weights.weight_cosine(source, t)) for t in targets]),
    }


def by_mgmp(name: str, method: Any, cohort: Cohort, answers: AllAnswers) -> Scores | None:
    """DNA scores; ``None`` where the method cannot read a suspect.

    Siblings of the source are no suspects of the method whose background holds them: NaN.
    """
    suspects = [answers[suspect.spec] for suspect in cohort.suspects]
    if any(method.reads(suspect) for suspect in suspects):
        return None
    scores = np.array([method.score(suspect) for suspect in suspects])
    if name == WITH_SIBLINGS:
        scores[[suspect.spec in cohort.siblings for suspect in cohort.suspects]] = np.nan
    return scores


def by_answers(
    cohort: Cohort, material: Material, attributions: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, Scores]:
    """The scores by every method that needs answers only.

    Args:
        cohort: whose suspects.
        material: what to judge by.
        attributions: what :func:`_attribution.attribute` gives, by kind of queries.
    """
    answers = material.answers[TRAINING]
    found = {name: by_mgmp(name, m, cohort, answers) for name, m in material.methods.items()}
    return {
        **by_similarities(cohort, answers),
        "agreement on mistakes, unseen images": by_mistakes(
            cohort, material.answers[UNSEEN], material.labels
        ),
        **{name: scores for name, scores in found.items() if scores is not None},
        **{f"sibling test, {of}": minus_p(of_one) for of, of_one in attributions.items()},
    }


def by_kind(cohort: Cohort, scores: Scores) -> dict[str, Any]:
    """How well the homologous suspects stand apart from those of each other kind."""
    found = {}
    for kind in KINDS:
        negative = scores[cohort.of_kind(kind)]
        negative = negative[~np.isnan(negative)]
        if kind != "homologous" and len(negative):
            found[kind] = reporting.separation(scores[cohort.of_kind("homologous")], negative)
    return found


def as_results(cohort: Cohort, scores: Mapping[str, Scores]) -> dict[str, Any]:
    """Scores and separations of every method, as results.json holds them."""
    return {
        name: {
            "scores": [None if np.isnan(score) else float(score) for score in values],
            "against": by_kind(cohort, values),
        }
        for name, values in scores.items()
    }


def choose(cohort: Cohort, answers: AllAnswers) -> tuple[Statistic, list[dict[str, Any]]]:
    """:func:`_attribution.choose_statistic` on the first :data:`CHOOSING` queries."""
    return choose_statistic(cohort, take_part(answers, CHOOSING))


def attribute_by(
    cohort: Cohort, material: Material, statistics: Mapping[str, Statistic]
) -> dict[str, list[np.ndarray]]:
    """:func:`_attribution.attribute` by every kind of queries that has a statistic."""
    return {of: attribute(s, cohort, material.answers[of]) for of, s in statistics.items()}
