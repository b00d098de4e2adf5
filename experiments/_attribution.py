"""The sibling test on a cohort: its statistics, how one is chosen, and what it says of suspects."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from _cohort import AllAnswers, Cohort

from mgmp_jax import similarities
from mgmp_jax.methods import attribution
from mgmp_jax.methods.power import power as power_of
from mgmp_jax.store import ModelSpec

SINGLE: dict[str, attribution.Statistic] = {
    "linear CKA": similarities.linear_cka,
    "ridge R², source to target": similarities.ridge_r2_to_target,
    "ridge R², target to source": similarities.ridge_r2_to_source,
}
JOINED = {"both fits": tuple(SINGLE)[1:], "all three": tuple(SINGLE)}
"""What the sibling test is tried with, each with every background."""

BACKGROUNDS = get_args(attribution.OtherCandidates)

POWER = {"queries": (64, 256, 1000), "siblings": (3, 9)}
"""For how many of them power is reported, beside all."""


@dataclasses.dataclass(frozen=True)
class Statistic:
    """One way to do the sibling test: what is compared, and what is regressed out first."""

    name: str
    background: attribution.OtherCandidates

    @property
    def statistics(self) -> list[attribution.Statistic]:
        """The statistics that it joins."""
        return [SINGLE[name] for name in JOINED.get(self.name, (self.name,))]

    def __str__(self) -> str:
        return f"{self.name}, {self.background}"

    def scores(
        self,
        candidates: Sequence[ModelSpec],
        suspects: Sequence[ModelSpec],
        controls: Sequence[ModelSpec],
        answers: AllAnswers,
    ) -> np.ndarray:
        """Centred scores of each suspect with each candidate, ``[t, c]``."""
        return attribution.centred_scores(
            np.stack([answers[spec].values for spec in candidates]),
            [answers[spec] for spec in suspects],
            [answers[spec] for spec in controls],
            self.statistics,
            self.background,
        )


ALL = [Statistic(name, background) for name in (*SINGLE, *JOINED) for background in BACKGROUNDS]
"""Everything that is tried."""


def attribute(variant: Statistic, cohort: Cohort, answers: AllAnswers) -> list[np.ndarray]:
    """For each suspect its scores with the candidates, the cohort's source first.

    A suspect that is itself a sibling is left out of its own candidates.
    """
    everybody = cohort.candidates
    outside = [s.spec for s in cohort.suspects if s.spec not in everybody]
    scores = dict(
        zip(outside, variant.scores(everybody, outside, cohort.controls, answers), strict=True)
    )
    for spec in cohort.siblings:
        if any(suspect.spec == spec for suspect in cohort.suspects):
            candidates = [c for c in everybody if c != spec]
            scores[spec] = variant.scores(candidates, [spec], cohort.controls, answers)[0]
    return [scores[suspect.spec] for suspect in cohort.suspects]


def attribute_families(
    variant: Statistic, cohort: Cohort, answers: AllAnswers, descendants: Sequence[ModelSpec]
) -> np.ndarray:
    """Scores of descendants with the candidates, each one's own source first, ``[t, c]``."""
    scores = variant.scores(cohort.candidates, descendants, cohort.controls, answers)
    own = [cohort.candidates.index(spec.start) for spec in descendants if spec.start]
    return np.stack([np.r_[s[i], np.delete(s, i)] for s, i in zip(scores, own, strict=True)])


def attribute_by_all(
    cohort: Cohort, answers: AllAnswers, descendants: Sequence[ModelSpec]
) -> dict[Statistic, np.ndarray]:
    """:func:`attribute_families` of every variant, each single statistic scored once."""
    found = {}
    for background in BACKGROUNDS:
        tables = {
            name: attribute_families(Statistic(name, background), cohort, answers, descendants)
            for name in SINGLE
        }
        for name, parts in JOINED.items():
            tables[name] = attribution.combine(np.stack([tables[part] for part in parts], axis=-2))
        found |= {Statistic(name, background): scores for name, scores in tables.items()}
    return {variant: found[variant] for variant in ALL}


def summarise(scores: Sequence[np.ndarray]) -> dict[str, Any]:
    """What the sibling test said of some suspects."""
    exact = np.array([float(attribution.exact_p(s)) for s in scores])
    t_tail = np.array([float(attribution.t_tail_p(s)) for s in scores])
    first = [bool(attribution.source_first(s)) for s in scores]
    return {
        "models": len(first),
        "candidates": min(len(of_suspect) for of_suspect in scores),
        "first": sum(first),
        "p_exact": exact.tolist(),
        "p_t_tail": t_tail.tolist(),
    }


def level(variant: Statistic, cohort: Cohort, answers: AllAnswers) -> dict[str, float | int]:
    """How often candidates that are not its source are taken for a descendant's.

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
        scores = variant.scores(others, descendants, cohort.controls, answers)
        turns += [np.roll(scores, -i, axis=1) for i in range(len(others))]
    p = attribution.t_tail_p(np.concatenate(turns))
    return {
        "pairs": p.size,
        "t_tail_5": float(np.mean(p <= 0.05)),
        "t_tail_1": float(np.mean(p <= 0.01)),
    }


def choose_statistic(cohort: Cohort, answers: AllAnswers) -> tuple[Statistic, list[dict[str, Any]]]:
    """The variant that attributions most models in a rehearsal, of equal ones that of smallest p.

    Every candidate in turn is the source of its own descendants on the pool tasks. All have
    equally many, so the choice does not know which of the candidates is the cohort's source.
    """
    tried = []
    for variant, scores in attribute_by_all(cohort, answers, cohort.rehearsal).items():
        found = summarise(list(scores))
        median = float(np.median(found["p_t_tail"]))
        tried.append((-found["first"], median, variant, found))
    best = min(tried, key=lambda one: one[:2])[2]
    rows = [
        {
            "statistic": str(variant),
            "median_t_p": median,
            "descendants": found,
        }
        for _, median, variant, found in tried
    ]
    return best, rows


def sibling_results(cohort: Cohort, attributions: Sequence[np.ndarray]) -> dict[str, Any]:
    """The sibling test of all suspects, by what they are, of what :func:`attribute` gives."""
    groups: dict[str, list[np.ndarray]] = {}
    for suspect, of_suspect in zip(cohort.suspects, attributions, strict=True):
        itself = ", a sibling itself" if suspect.spec in cohort.siblings else ""
        group = f"{suspect.kind}{_head(suspect.spec)}{itself}"
        groups.setdefault(group, []).append(of_suspect)
    return {name: summarise(of_group) for name, of_group in groups.items()}


def family_results(cohort: Cohort, answers: AllAnswers) -> dict[str, dict[str, Any]]:
    """Every variant with every candidate in turn as the source, on the evaluation tasks."""
    found: dict[str, dict[str, Any]] = {}
    for variant, scores in attribute_by_all(cohort, answers, cohort.families).items():
        groups: dict[str, list[np.ndarray]] = {}
        for spec, of_spec in zip(cohort.families, scores, strict=True):
            groups.setdefault(f"descendant{_head(spec)}", []).append(of_spec)
        found[str(variant)] = {name: summarise(of_group) for name, of_group in groups.items()}
    return found


def all_results(
    cohort: Cohort, answers: AllAnswers, chosen: Statistic, attributions: Sequence[np.ndarray]
) -> dict[str, Any]:
    """What the sibling test says on one kind of queries, by every variant and the chosen one.

    Args:
        cohort: everybody.
        answers: on these queries.
        chosen: the variant that was chosen.
        attributions: what :func:`attribute` gives by it.
    """
    return {
        "on_evaluation_tasks": family_results(cohort, answers),
        "level": level(chosen, cohort, answers),
        "suspects": sibling_results(cohort, attributions),
        "power_on_pool_tasks": {
            background: power(Statistic(chosen.name, background), cohort, answers, cohort.rehearsal)
            for background in BACKGROUNDS
        },
        "power": power(chosen, cohort, answers, cohort.families),
    }


def power(
    variant: Statistic, cohort: Cohort, answers: AllAnswers, descendants: Sequence[ModelSpec]
) -> list[dict[str, int | float]]:
    """How often the own source comes first, by queries and siblings, mean over sources."""
    n, all_siblings = len(answers[cohort.row.source]), len(cohort.siblings)
    rows = [
        power_of(
            answers[source].values,
            [answers[spec].values for spec in cohort.candidates if spec != source],
            [answers[spec].values for spec in descendants if spec.start == source],
            variant.statistics,
            background=variant.background,
            controls=[answers[spec].values for spec in cohort.controls],
            num_queries=[*(q for q in POWER["queries"] if q < n), n],
            num_siblings=[*(m for m in POWER["siblings"] if m < all_siblings), all_siblings],
            draws=1,
            seed=number,
        )
        for number, source in enumerate(cohort.candidates)
    ]
    return [
        {key: float(np.mean([row[key] for row in of_setting])) for key in of_setting[0]}
        for of_setting in zip(*rows, strict=True)
    ]


def _head(spec: ModelSpec) -> str:
    if spec.start is None:
        return ""
    return ", head kept" if spec.head == "keep" else ", new head"


def minus_p(attributions: Sequence[np.ndarray]) -> np.ndarray:
    """Minus the approximate p-value of each suspect: larger for one that looks homologous."""
    return np.array([-float(attribution.t_tail_p(scores)) for scores in attributions])
