"""Evidence: all that a report on one suspect shows, scored once and kept in one file."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from jaxtyping import Float

from mgmp_jax import files
from mgmp_jax.answers import Answers, answers_to
from mgmp_jax.growth import Point, grow
from mgmp_jax.kinds import Question
from mgmp_jax.methods import Fitted, FittedMGMP, FittedSiblingTest, FittedSimilarity, Kept
from mgmp_jax.report import Answer, Report, Verdict
from mgmp_jax.responses import Responses
from mgmp_jax.stamps import library_version, versions
from mgmp_jax.verdict_rules import comparable
from mgmp_jax.verifier import Verifier

__all__ = ["Conditions", "Evidence", "Fragments", "gather_evidence"]

_FORMAT = "mgmp_jax.evidence.v3"
_MOST_FRAGMENTS = 300


@dataclasses.dataclass(frozen=True)
class Conditions:
    """How one method asked.

    Args:
        method: its name.
        question: that it answers.
        query_set: the name of the query set.
        queries: how many there are.
        kind: what the suspect answered: logits, labels, ...
        width: in how many numbers a query.
        settings: of the method, anything that JSON holds.
        knows_kind: whether its thresholds, where it has some, hold for what the suspect answered.
    """

    method: str
    question: Question
    query_set: str
    queries: int
    kind: str
    width: int
    settings: Mapping[str, Any]
    knows_kind: bool


@dataclasses.dataclass(frozen=True, eq=False)
class Fragments:
    """The DNA of source and suspect, as one MGMP reads it.

    Args:
        method: the name of the MGMP.
        source: at most 300 of the source's fragments, ``[k, o]``, drawn evenly from all queries.
        suspect: the suspect's fragments of the same queries, ``[k, o]``.
        scores: the fragment scores of all queries, ``[n]``; their mean is the DNA score.
    """

    method: str
    source: Float[np.ndarray, "k o"]
    suspect: Float[np.ndarray, "k o"]
    scores: Float[np.ndarray, " n"]


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What a verifier has to say of one suspect, with all that a page needs to show it.

    Args:
        report: the answers.
        source: the name of the owner's model; empty where none was given.
        threshold: δ.
        level: the largest p-value of a homologous suspect.
        verifier: SHA-256 of the file of the verifier.
        conditions: how each method of the report asked.
        references: how many models of each part of the reference set the verifier knows.
        references_digest: SHA-256 of the digests of all of them, sorted, a line each.
        source_digests: of the source's responses, one for each query set.
        fragments: where an MGMP reads the suspect.
        growth: what fewer queries would have said, by question.
        versions: of Python and the packages that computed it.
        seed: of the draws of queries.
        created: when the suspect was verified, in ISO 8601; empty where nobody said.
        source_queries: the query set that each of ``source_digests`` answers, by name; empty
            where it is not known.
        calibrated_by: which models calibrate, in words.
    """

    report: Report
    source: str
    threshold: float
    level: float
    verifier: str
    conditions: tuple[Conditions, ...]
    references: Mapping[str, int]
    references_digest: str
    source_digests: tuple[str, ...]
    fragments: Fragments | None
    growth: Mapping[str, tuple[Point, ...]]
    versions: Mapping[str, str]
    seed: int = 0
    created: str = ""
    source_queries: tuple[str, ...] = ()
    calibrated_by: str = ""

    def save(self, path: str | Path) -> None:
        """Writes an ``.npz`` of plain arrays at ``path``, whole or not at all.

        It holds fragments of source and suspect, names and scores; no query and no response.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        plain = dataclasses.replace(self, fragments=None)
        about: dict[str, Any] = {"format": _FORMAT, **dataclasses.asdict(plain)}
        arrays = {}
        if self.fragments is not None:
            about["fragments"] = self.fragments.method
            arrays = {n: getattr(self.fragments, n) for n in ("source", "suspect", "scores")}
        files.write_arrays(path, arrays, about)

    @classmethod
    def load(cls, path: str | Path) -> Evidence:
        """Reads what :meth:`save` wrote; nothing in the file is ever executed.

        Raises:
            FileNotFoundError: there is no file.
            ValueError: it is damaged or of another format.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"no evidence at {path}; `mgmp verify` gathers it")
        arrays, about = files.read_arrays(path)
        try:
            if about.pop("format") != _FORMAT:
                raise ValueError("its format is another")
            report, method = about.pop("report"), about.pop("fragments")
            return cls(
                report=Report(report["suspect"], tuple(map(_answer, report["answers"]))),
                source_digests=tuple(about.pop("source_digests")),
                source_queries=tuple(about.pop("source_queries", ())),
                conditions=tuple(Conditions(**one) for one in about.pop("conditions")),
                growth={
                    question: tuple(Point(**point) for point in points)
                    for question, points in about.pop("growth").items()
                },
                fragments=None if method is None else Fragments(method, **arrays),
                **about,
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"{path} is no readable file of evidence ({error}); expected the format "
                f"{_FORMAT}: verify the suspect again"
            ) from error


def gather_evidence(
    verifier: Verifier,
    suspect: Answers,
    *,
    threshold: float = 0.9,
    level: float = 0.05,
    seed: int = 0,
    created: str = "",
) -> Evidence:
    """Verifies a suspect and computes all that a report shows.

    Args:
        verifier: with its calibration.
        suspect: its responses on the query set, or on each by name.
        threshold: the paper's δ, from 0.5 to 1.
        level: the largest p-value of a homologous suspect.
        seed: of the draws of fewer queries.
        created: when the suspect is verified, in ISO 8601.

    Raises:
        ValueError: as :meth:`mgmp_jax.verifier.Verifier.verify`.
    """
    report = verifier.verify(suspect, threshold=threshold, level=level)
    asked = [(method, answers_to(suspect, method.asks)) for method in verifier.methods]
    growth: dict[str, tuple[Point, ...]] = {}
    for (method, responses), answer in zip(asked, report.answers, strict=True):
        if method.question in growth:
            continue
        models = verifier.calibrating(method.asks, responses.kind)
        unrelated = list(comparable(method, responses, models).values())
        growth[method.question] = grow(method, responses, answer, unrelated, seed=seed)
    digests = "\n".join(sorted(verifier.known))
    of_source = sorted(digest for digest, place in verifier.known.items() if place == "source")
    return Evidence(
        report,
        verifier.source_name,
        threshold,
        level,
        verifier.digest,
        tuple(_conditions(method, responses) for method, responses in asked),
        _count(verifier),
        hashlib.sha256(digests.encode()).hexdigest(),
        tuple(of_source),
        next(filter(None, (_fragments(method, responses) for method, responses in asked)), None),
        growth,
        {"mgmp_jax": library_version(), **versions()},
        seed,
        created,
        _source_queries(verifier, of_source),
        _calibrated_by(verifier),
    )


def _answer(found: dict[str, Any]) -> Answer:
    if found["question"] not in get_args(Question) or found["verdict"] not in get_args(Verdict):
        raise ValueError(f"an answer is {found['verdict']!r} to {found['question']!r}")
    others = tuple((str(name), float(score)) for name, score in found.pop("others"))
    return Answer(**found, others=others)


def _count(verifier: Verifier) -> dict[str, int]:
    """How many models there are of each part, by places such as ``siblings[3]``.

    A model has one place, and one digest for each query set.
    """
    places = dict.fromkeys(verifier.known.values())
    parts = (place.rsplit("[", 1)[0] for place in places)
    names = (
        "pool " + part.rsplit(" ", 1)[1] if part.startswith("pool ") else part for part in parts
    )
    return dict(collections.Counter(names))


def _source_queries(verifier: Verifier, digests: list[str]) -> tuple[str, ...]:
    """The query set of each of the source's digests, where there are several."""
    named = {
        method.source.digest: method.asks
        for method in verifier.methods
        if isinstance(method, FittedMGMP | FittedSimilarity)
    }
    left = {method.asks for method in verifier.methods} - set(named.values())
    unnamed = [digest for digest in digests if digest not in named]
    if len(digests) == 1:  # the owner named no query set
        return ("",)
    if len(left) == len(unnamed) == 1:
        named[unnamed[0]] = left.pop()
    return tuple(named.get(digest, "") for digest in digests)


def _calibrated_by(verifier: Verifier) -> str:
    """Which models calibrate: the controls, where the owner gave no others."""
    places = set()
    for model in verifier.calibration:
        answers = [model] if isinstance(model, Responses) else list(model.values())
        places |= {verifier.known.get(one.digest, "").split("[")[0] for one in answers}
    if not places:
        return "none"
    if places == {"controls"}:
        too = any(isinstance(method, FittedSiblingTest) for method in verifier.methods)
        used = ", which question 2 uses too" if too else ""
        return f"the {len(verifier.calibration)} controls{used}"
    count = len(verifier.calibration)
    if "controls" in places:
        return f"{count} models, controls among them"
    return f"models of their own ({count}), not the controls"


def _conditions(method: Fitted, suspect: Responses) -> Conditions:
    n, width = suspect.values.shape
    return Conditions(
        method.name,
        method.question,
        method.asks,
        n,
        suspect.kind,
        width,
        cast(Kept, method).settings,
        not isinstance(method, FittedMGMP) or method.knows_kind(suspect),
    )


def _fragments(method: Fitted, suspect: Responses) -> Fragments | None:
    """The fragments of an MGMP that reads the suspect."""
    if not isinstance(method, FittedMGMP) or method.reads(suspect) is not None:
        return None
    source, target = method.fragments(suspect)
    count = min(_MOST_FRAGMENTS, len(source))
    places = np.linspace(0, len(source) - 1, count).round().astype(int)
    scores = method.fragment_scores(suspect)
    return Fragments(method.name, source[places], target[places], scores)
