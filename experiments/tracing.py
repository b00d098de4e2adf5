"""The sibling test on a zoo: its variants, how one is chosen, and what it says of suspects."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from zoo import Zoo

from mgmp_jax import baselines, sibling
from mgmp_jax.spec import ModelSpec

SINGLE: dict[str, sibling.Statistic] = {
    "linear CKA": baselines.linear_cka,
    "fit to target": baselines.fit_to_target,
    "fit to source": baselines.fit_to_source,
}
JOINED = {"both fits": ("fit to target", "fit to source"), "all three": tuple(SINGLE)}
"""What the sibling test is tried with, each with every consensus."""

CONSENSUS = get_args(sibling.Consensus)

POWER = {"queries": (64, 256, 1000), "siblings": (3, 9)}
"""For how many of them power is reported, beside all."""

Answers = Mapping[ModelSpec, np.ndarray]
"""Logits ``[n, d]`` of every model on one set of queries."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to do the sibling test."""

    name: str
    consensus: sibling.Consensus

    @property
    def statistics(self) -> list[sibling.Statistic]:
        """The statistics that it joins."""
        return [SINGLE[name] for name in JOINED.get(self.name, (self.name,))]

    def __str__(self) -> str:
        return f"{self.name}, {self.consensus}"

    def scores(
        self,
        candidates: Sequence[ModelSpec],
        suspects: Sequence[ModelSpec],
        strangers: Sequence[ModelSpec],
        answers: Answers,
    ) -> np.ndarray:
        """Centred scores of each suspect with each candidate, ``[t, c]``."""
        return sibling.centred_scores(
            np.stack([answers[spec] for spec in candidates]),
            [answers[spec] for spec in suspects],
            [answers[spec] for spec in strangers],
            self.statistics,
            self.consensus,
        )


ALL = [Variant(name, consensus) for name in (*SINGLE, *JOINED) for consensus in CONSENSUS]
"""Everything that is tried."""


def take_part(answers: Answers, part: np.ndarray) -> Answers:
    """The answers to some of the queries."""
    return {spec: values[part] for spec, values in answers.items()}


def strangers(zoo: Zoo) -> list[ModelSpec]:
    """The non-homologous models of the pool, by which scores are centred."""
    return [pair.non_homologous for pair in zoo.row.pool]


def trace(variant: Variant, zoo: Zoo, answers: Answers) -> list[np.ndarray]:
    """For each suspect its scores with the candidates, the zoo's source first.

    A suspect that is itself a sibling is left out of its own candidates.
    """
    everybody = zoo.candidates
    outside = [s.spec for s in zoo.suspects if s.spec not in everybody]
    scores = dict(
        zip(outside, variant.scores(everybody, outside, strangers(zoo), answers), strict=True)
    )
    for spec in zoo.siblings:
        if any(suspect.spec == spec for suspect in zoo.suspects):
            candidates = [c for c in everybody if c != spec]
            scores[spec] = variant.scores(candidates, [spec], strangers(zoo), answers)[0]
    return [scores[suspect.spec] for suspect in zoo.suspects]


def trace_families(
    variant: Variant, zoo: Zoo, answers: Answers, descendants: Sequence[ModelSpec]
) -> np.ndarray:
    """Scores of descendants with the candidates, each one's own source first, ``[t, c]``."""
    scores = variant.scores(zoo.candidates, descendants, strangers(zoo), answers)
    own = [zoo.candidates.index(spec.start) for spec in descendants if spec.start]
    return np.stack([np.r_[s[i], np.delete(s, i)] for s, i in zip(scores, own, strict=True)])


def trace_by_all(
    zoo: Zoo, answers: Answers, descendants: Sequence[ModelSpec]
) -> dict[Variant, np.ndarray]:
    """:func:`trace_families` of every variant, each single statistic scored once."""
    found = {}
    for consensus in CONSENSUS:
        tables = {
            name: trace_families(Variant(name, consensus), zoo, answers, descendants)
            for name in SINGLE
        }
        for name, parts in JOINED.items():
            tables[name] = sibling.combine(np.stack([tables[part] for part in parts], axis=-2))
        found |= {Variant(name, consensus): scores for name, scores in tables.items()}
    return {variant: found[variant] for variant in ALL}


def summarise(scores: Sequence[np.ndarray]) -> dict[str, Any]:
    """What the sibling test said of some suspects."""
    exact = np.array([float(sibling.exact_p(s)) for s in scores])
    t_tail = np.array([float(sibling.t_tail_p(s)) for s in scores])
    first = [bool(sibling.source_first(s)) for s in scores]
    return {
        "models": len(first),
        "candidates": min(len(of_suspect) for of_suspect in scores),
        "first": sum(first),
        "p_exact": exact.tolist(),
        "p_t_tail": t_tail.tolist(),
    }


def level(variant: Variant, zoo: Zoo, answers: Answers) -> dict[str, float | int]:
    """How often candidates that are not its source are taken for a descendant's.

    A descendant's own source is left out of the candidates, then each of the others takes the
    source's part in turn.

    Returns:
        ``pairs``: how many there are; ``t_tail_5`` and ``t_tail_1``, the shares of them with an
        approximate p-value of at most 0.05 and 0.01; the exact one needs no such check.
    """
    turns = []
    for source in zoo.candidates:
        others = [spec for spec in zoo.candidates if spec != source]
        descendants = [spec for spec in zoo.families if spec.start == source]
        scores = variant.scores(others, descendants, strangers(zoo), answers)
        turns += [np.roll(scores, -i, axis=1) for i in range(len(others))]
    p = sibling.t_tail_p(np.concatenate(turns))
    return {
        "pairs": p.size,
        "t_tail_5": float(np.mean(p <= 0.05)),
        "t_tail_1": float(np.mean(p <= 0.01)),
    }


def choose_variant(zoo: Zoo, answers: Answers) -> tuple[Variant, list[dict[str, Any]]]:
    """The variant that traces most models in a rehearsal, of equal ones that of smallest p.

    Every candidate in turn is the source of its own descendants on the pool tasks. All have
    equally many, so the choice does not know which of the candidates is the zoo's source.
    """
    tried = []
    for variant, scores in trace_by_all(zoo, answers, zoo.rehearsal).items():
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


def sibling_results(zoo: Zoo, traces: Sequence[np.ndarray]) -> dict[str, Any]:
    """The sibling test of all suspects, by what they are, of what :func:`trace` gives."""
    groups: dict[str, list[np.ndarray]] = {}
    for suspect, of_suspect in zip(zoo.suspects, traces, strict=True):
        itself = ", a sibling itself" if suspect.spec in zoo.siblings else ""
        group = f"{suspect.kind}{_head(suspect.spec)}{itself}"
        groups.setdefault(group, []).append(of_suspect)
    return {name: summarise(of_group) for name, of_group in groups.items()}


def family_results(zoo: Zoo, answers: Answers) -> dict[str, dict[str, Any]]:
    """Every variant with every candidate in turn as the source, on the evaluation tasks."""
    found: dict[str, dict[str, Any]] = {}
    for variant, scores in trace_by_all(zoo, answers, zoo.families).items():
        groups: dict[str, list[np.ndarray]] = {}
        for spec, of_spec in zip(zoo.families, scores, strict=True):
            groups.setdefault(f"descendant{_head(spec)}", []).append(of_spec)
        found[str(variant)] = {name: summarise(of_group) for name, of_group in groups.items()}
    return found


def all_results(
    zoo: Zoo, answers: Answers, chosen: Variant, traces: Sequence[np.ndarray]
) -> dict[str, Any]:
    """What the sibling test says on one kind of queries, by every variant and the chosen one.

    Args:
        zoo: everybody.
        answers: on these queries.
        chosen: the variant that was chosen.
        traces: what :func:`trace` gives by it.
    """
    return {
        "on_evaluation_tasks": family_results(zoo, answers),
        "level": level(chosen, zoo, answers),
        "suspects": sibling_results(zoo, traces),
        "power_on_pool_tasks": {
            consensus: power(Variant(chosen.name, consensus), zoo, answers, zoo.rehearsal)
            for consensus in CONSENSUS
        },
        "power": power(chosen, zoo, answers, zoo.families),
    }


def power(
    variant: Variant, zoo: Zoo, answers: Answers, descendants: Sequence[ModelSpec]
) -> list[dict[str, int | float]]:
    """How often descendants are traced, by numbers of queries and siblings, mean over sources."""
    n, all_siblings = len(answers[zoo.row.source]), len(zoo.siblings)
    rows = [
        sibling.power(
            answers[source],
            [answers[spec] for spec in zoo.candidates if spec != source],
            [answers[spec] for spec in descendants if spec.start == source],
            variant.statistics,
            consensus=variant.consensus,
            strangers=[answers[spec] for spec in strangers(zoo)],
            num_queries=[*(q for q in POWER["queries"] if q < n), n],
            num_siblings=[*(m for m in POWER["siblings"] if m < all_siblings), all_siblings],
            draws=1,
            seed=number,
        )
        for number, source in enumerate(zoo.candidates)
    ]
    return [
        {key: float(np.mean([row[key] for row in of_setting])) for key in of_setting[0]}
        for of_setting in zip(*rows, strict=True)
    ]


def _head(spec: ModelSpec) -> str:
    if spec.start is None:
        return ""
    return ", head kept" if spec.head == "keep" else ", new head"


def minus_p(traces: Sequence[np.ndarray]) -> np.ndarray:
    """Minus the approximate p-value of each suspect: larger for one that looks homologous."""
    return np.array([-float(sibling.t_tail_p(scores)) for scores in traces])
