"""Evidence made by hand, without a method: whatever a page must be able to show."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from mgmp_jax.config import EXTENDED
from mgmp_jax.evidence import Conditions, Evidence, Fragments
from mgmp_jax.growth import Point
from mgmp_jax.report import Answer, Report, Verdict

DIGESTS = {name: f"{i:x}" * 64 for i, name in enumerate(("queries", "responses", "all", "own"), 10)}


def answer(
    question: Any, verdict: Verdict, score: float | None, m: int = 9, seed: int = 0
) -> Answer:
    """An answer whose p is that of ``m`` others drawn at random."""
    method = "MGMP" if question == "knowledge" else "sibling test"
    about = {"queries": DIGESTS["queries"], "responses": DIGESTS["responses"]}
    if score is None:
        return Answer(question, method, verdict, "Not read: too wide.", **about)
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0, 0.5, m) if question == "knowledge" else rng.normal(size=m)
    others = tuple((f"{question} model {i}", float(x)) for i, x in enumerate(scores))
    p = (1 + sum(x >= score for _, x in others)) / (m + 1) if m else None
    return Answer(question, method, verdict, "Because of this.", score, p, others, **about)


def make_evidence(
    *answers: Answer, suspect: str = "theirs", source: str = "mine", **changes: Any
) -> Evidence:
    """Evidence of these answers, with fragments where MGMP has a score."""
    rng = np.random.default_rng(7)
    scored = {a.question: a for a in answers if a.score is not None}
    settings = {"knowledge": {"config": dataclasses.asdict(EXTENDED)}, "lineage": {"siblings": 9}}
    fragments = None
    if "knowledge" in scored:
        scores = rng.beta(8, 2, size=100).astype(np.float32)
        fragments = Fragments("MGMP", rng.normal(size=(20, 3)), rng.normal(size=(20, 3)), scores)
    growth = {
        question: (
            Point(50, 5, 0.9 * a.score, 0.8 * a.score, 1.1 * a.score, 0.25),
            Point(100, 1, a.score, a.score, a.score, a.p_value),
        )
        for question, a in scored.items()
        if a.score is not None
    }
    evidence = Evidence(
        report=Report(suspect, answers),
        source=source,
        threshold=0.9,
        level=0.1,
        verifier="f" * 64,
        conditions=tuple(
            Conditions(
                a.method, a.question, "training", 100, "logits", 10, settings[a.question], True
            )
            for a in answers
        ),
        references={"source": 1, "pool non_homologous": 5},
        references_digest=DIGESTS["all"],
        source_digests=(DIGESTS["own"],),
        fragments=fragments,
        growth=growth,
        versions={"Python": "3.11.7", "mgmp_jax": "0.1.0"},
    )
    return dataclasses.replace(evidence, **changes)
