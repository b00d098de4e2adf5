"""The sibling test on a zoo: its statistics, how one is chosen, and what it says of suspects."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from zoo import Suspect, Zoo

from mgmp_jax import baselines, sibling
from mgmp_jax.spec import ModelSpec

STATISTICS: dict[str, tuple[sibling.Statistic, ...]] = {
    "linear CKA": (baselines.linear_cka,),
    "fit to target": (baselines.fit_to_target,),
    "fit to source": (baselines.fit_to_source,),
    "all three": (baselines.linear_cka, baselines.fit_to_target, baselines.fit_to_source),
}
"""What the sibling test is tried with, each with every consensus."""

Answers = Mapping[ModelSpec, np.ndarray]
"""Logits ``[n, d]`` of every model on one set of queries."""


@dataclasses.dataclass(frozen=True)
class Statistic:
    """One way to do the sibling test."""

    name: str
    consensus: sibling.Consensus

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
            STATISTICS[self.name],
            self.consensus,
            np.array([[spec != other for other in strangers] for spec in suspects]),
        )

    def power(self, zoo: Zoo, answers: Answers) -> list[dict[str, int | float]]:
        """How often the source's descendants are traced, by numbers of queries and siblings."""
        descendants = [zoo.suspects[i].spec for i in zoo.of_kind("homologous")]
        num_queries = len(answers[zoo.row.source])
        return sibling.power(
            answers[zoo.row.source],
            [answers[spec] for spec in zoo.siblings],
            [answers[spec] for spec in descendants],
            STATISTICS[self.name],
            consensus=self.consensus,
            strangers=[answers[spec] for spec in strangers(zoo)],
            num_queries=[n for n in (64, 256, 1000) if n <= num_queries] or [num_queries],
            num_siblings=sorted({3, len(zoo.siblings)}),
            draws=2,
        )


def take_part(answers: Answers, part: np.ndarray) -> Answers:
    """The answers to some of the queries."""
    return {spec: values[part] for spec, values in answers.items()}


def strangers(zoo: Zoo) -> list[ModelSpec]:
    """The non-homologous models of the pool, by which scores are centred."""
    return [pair.non_homologous for pair in zoo.row.pool]


def trace(statistic: Statistic, zoo: Zoo, answers: Answers) -> list[np.ndarray]:
    """For each suspect its scores with the candidates, the zoo's source first.

    A suspect that is itself a sibling is left out of its own candidates.
    """
    everybody = [zoo.row.source, *zoo.siblings]
    outside = [s.spec for s in zoo.suspects if s.spec not in everybody]
    scores = dict(
        zip(outside, statistic.scores(everybody, outside, strangers(zoo), answers), strict=True)
    )
    for spec in zoo.siblings:
        if any(suspect.spec == spec for suspect in zoo.suspects):
            candidates = [c for c in everybody if c != spec]
            scores[spec] = statistic.scores(candidates, [spec], strangers(zoo), answers)[0]
    return [scores[suspect.spec] for suspect in zoo.suspects]


def trace_origin(
    statistic: Statistic, zoo: Zoo, answers: Answers
) -> tuple[list[Suspect], list[np.ndarray]]:
    """The descendants of other sources, each with its own source among the candidates, first."""
    found: list[Suspect] = []
    scores: list[np.ndarray] = []
    for origin in dict.fromkeys(s.origin for s in zoo.suspects if s.kind == "sibling"):
        suspects = [s for s in zoo.suspects if s.kind == "sibling" and s.origin == origin]
        candidates = [origin, zoo.row.source, *zoo.siblings]
        specs = [suspect.spec for suspect in suspects]
        found += suspects
        scores += list(statistic.scores(candidates, specs, strangers(zoo), answers))
    return found, scores


def tests(scores: Sequence[np.ndarray]) -> dict[str, Any]:
    """What the sibling test said of some suspects."""
    exact = np.array([float(sibling.exact_p(s)) for s in scores])
    t_tail = np.array([float(sibling.t_tail_p(s)) for s in scores])
    first = [p * len(s) < 1.5 for p, s in zip(exact, scores, strict=True)]
    return {
        "models": len(first),
        "candidates": min(len(of_suspect) for of_suspect in scores),
        "first": int(np.sum(first)),
        "p_exact": exact.tolist(),
        "p_t_tail": t_tail.tolist(),
    }


def choose_statistic(zoo: Zoo, answers: Answers) -> tuple[Statistic, list[dict[str, Any]]]:
    """The statistic with the smallest median approximate p-value in a rehearsal.

    Descendants of other models than the candidates are traced to their own start on the pool
    tasks; the zoo's source and its siblings are all strangers to them, so the choice does not know
    which of the candidates is the source.
    """
    tried = []
    for name in STATISTICS:
        for consensus in ("none", "mean", "all"):
            statistic = Statistic(name, consensus)
            scores = np.concatenate(
                [
                    statistic.scores(
                        [other, zoo.row.source, *zoo.siblings],
                        [spec for spec in zoo.rehearsal if spec.start == other],
                        strangers(zoo),
                        answers,
                    )
                    for other in zoo.others
                ]
            )
            tried.append(
                {
                    "statistic": name,
                    "consensus": consensus,
                    "median_t_p": float(np.median(sibling.t_tail_p(scores))),
                    "descendants": tests(list(scores)),
                }
            )
    best = min(tried, key=lambda row: row["median_t_p"])
    return Statistic(best["statistic"], best["consensus"]), tried


def sibling_results(statistic: Statistic, zoo: Zoo, answers: Answers) -> dict[str, Any]:
    """The sibling test of all suspects, by what they are."""
    scores = trace(statistic, zoo, answers)
    groups: dict[str, list[np.ndarray]] = {}
    for suspect, of_suspect in zip(zoo.suspects, scores, strict=True):
        name = f"{suspect.kind}{_head(suspect)}"
        groups.setdefault(name, []).append(of_suspect)
    others, of_others = trace_origin(statistic, zoo, answers)
    for suspect, of_suspect in zip(others, of_others, strict=True):
        groups.setdefault(f"homologous to another source{_head(suspect)}", []).append(of_suspect)
    return {name: tests(of_group) for name, of_group in groups.items()}


def _head(suspect: Suspect) -> str:
    if suspect.spec.start is None:
        return ""
    return ", head kept" if suspect.spec.head == "keep" else ", new head"


def margins(statistic: Statistic, zoo: Zoo, answers: Answers) -> np.ndarray:
    """How far the source stands above its siblings, for each suspect, in their deviations."""
    scores = trace(statistic, zoo, answers)
    return np.array([(s[0] - s[1:].mean()) / max(s[1:].std(ddof=1), 1e-12) for s in scores])
