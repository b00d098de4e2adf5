"""The verifier: methods fitted to a reference set, calibrated, that say something of suspects."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mgmp_jax import files
from mgmp_jax.answers import Answers, answers_to
from mgmp_jax.arrays import check_varied, check_whole
from mgmp_jax.methods import (
    MGMP,
    Fitted,
    FittedMGMP,
    FittedSiblingTest,
    FittedSimilarity,
    Kept,
    Method,
    SiblingTest,
)
from mgmp_jax.references import ReferenceSet, same_answers
from mgmp_jax.report import Answer, Report, conformal_p
from mgmp_jax.responses import ResponseKind, Responses, can_convert
from mgmp_jax.verdict_rules import (
    check_limits,
    comparable,
    has_thresholds,
    knowledge_verdict,
    lineage_answer,
    why_not_compared,
)

__all__ = ["Verifier", "kind_of"]

_FORMAT = "mgmp_jax.verifier.v4"
_FILE = "verifier.npz"
_KINDS: dict[str, Any] = {
    "MGMP": FittedMGMP,
    "sibling test": FittedSiblingTest,
    "similarity": FittedSimilarity,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Verifier:
    """Says of suspects whether they know what the source knows, and depend on its training.

    >>> queries = QuerySet.images(train[:2500])
    >>> references = ReferenceSet(
    ...     source=Responses(mine(train[:2500]), "logits", queries, "mine"),
    ...     pool=[Pair("flowers", homologous=[...], non_homologous=[...]), ...],
    ...     siblings=[...],   # the source's recipe and data, other seeds
    ...     controls=[...],   # unrelated models that train nothing
    ... )
    >>> verifier = Verifier.fit(references)
    >>> print(verifier.verify(Responses(suspect(train[:2500]), "logits", queries, "theirs")))

    Make one by :meth:`fit` or :meth:`load`; ask it by :meth:`verify`; keep it by :meth:`save`.

    Args:
        methods: fitted methods; the first of each question gives the verdict.
        calibration: answers of unrelated models that trained no part of the methods, by which
            the p-values of knowledge are made.
        known: the digest of every model's responses in the reference set, with its place there.
    """

    methods: tuple[Fitted, ...]
    calibration: tuple[Answers, ...]
    known: Mapping[str, str]
    _scores: dict[tuple[int, str], dict[int, tuple[str, float]]] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )
    _calibrating: dict[tuple[str, str], Mapping[int, Responses]] = dataclasses.field(
        default_factory=dict, init=False, repr=False
    )

    def __repr__(self) -> str:
        methods = ", ".join(method.name for method in self.methods)
        return f"Verifier({methods}; {len(self.calibration)} calibration models)"

    @classmethod
    def fit(
        cls,
        references: ReferenceSet,
        methods: Sequence[Method] | None = None,
        *,
        seed: int = 0,
        folder: str | Path | None = None,
    ) -> Verifier:
        """Fits methods to a reference set and calibrates them.

        Args:
            references: the models whose truth the owner knows. Its ``calibration`` models, or
                where there are none its ``controls``, calibrate the p-values of knowledge.
            methods: by default :class:`mgmp_jax.methods.MGMP` where there is a pool, and
                :class:`mgmp_jax.methods.SiblingTest` where there are at least two siblings.
            seed: of whatever is drawn, a whole number.
            folder: for checkpoints of trainings, which are resumed; ``None`` keeps nothing.

        Raises:
            ValueError: the reference set has neither pool nor siblings, or a method cannot be
                fitted to it.
        """
        if not isinstance(references, ReferenceSet):
            raise ValueError(
                f"give a ReferenceSet, got {type(references).__name__}; "
                "ReferenceSet(source=..., pool=[...], siblings=[...], controls=[...]) makes one"
            )
        check_whole("seed", seed, 0)
        if methods is None:
            methods = _default_methods(references)
        if not isinstance(methods, list | tuple) or any(isinstance(m, type | str) for m in methods):
            raise ValueError("give a list of methods, such as [MGMP(), SiblingTest()]")
        if not len(methods):
            raise ValueError(
                "nothing can be asked: give ReferenceSet a pool for MGMP, at least two siblings "
                "for the sibling test, or methods such as Similarity('linear CKA')"
            )
        fitted = [
            method.fit(
                references,
                seed=seed,
                folder=None if folder is None else Path(folder) / f"{i}-{method.name}",
            )
            for i, method in enumerate(methods)
        ]
        for one in fitted:
            if one.question != "knowledge" and not isinstance(one, FittedSiblingTest):
                raise ValueError(f"{one.name} must ask about knowledge, not {one.question!r}")
        calibration = references.calibration or references.controls
        return cls(tuple(fitted), tuple(calibration), references.digests)

    @property
    def source_name(self) -> str:
        """The name of the owner's model; empty where no method knows one."""
        named = (
            m.source.model for m in self.methods if isinstance(m, FittedMGMP | FittedSimilarity)
        )
        return next(named, "")

    def verify(self, suspect: Answers, *, threshold: float = 0.9, level: float = 0.05) -> Report:
        """Answers both questions for one suspect.

        Homologous, to *knowledge*: the DNA score is at least ``threshold`` and, where there are
        calibration models, p is at most ``level``. Not homologous: the DNA score is at most
        ``1 - threshold``. Of another similarity, and of responses of a kind that MGMP did not learn
        from, no score is large or small by itself: homologous is a p of at most ``level``, all
        else is inconclusive. Homologous, to *lineage*: the exact p is at most ``level``; it is
        inconclusive otherwise, as a large p says nothing. No verdict of one question looks at the
        other.

        Args:
            suspect: its responses on the query set, or on each by name.
            threshold: the paper's δ, from 0.5 to 1.
            level: the largest p-value of a homologous suspect.

        Raises:
            ValueError: the suspect answered other queries, or every query alike; its answers are
                those of a model of the reference set, for which no p-value would hold; or an
                argument is out of range.
        """
        check_limits(threshold, level)
        answers, name = [], ""
        for i, method in enumerate(self.methods):
            responses = answers_to(suspect, method.asks)
            _check_responses(responses, method, "the suspect")
            self._check_new(responses, "the suspect")
            self._check_unlike(responses, method.asks)
            check_varied(responses.values, responses.model or "the suspect")
            name = name or responses.model
            reason = method.reads(responses)
            if reason:
                reason = f"Not read: {reason}."
                answer = Answer(method.question, method.name, "inconclusive", reason)
            elif isinstance(method, FittedSiblingTest):
                answer = lineage_answer(method, responses, level)
            else:
                answer = self._knowledge(i, responses, threshold, level)
            about = {"queries": responses.queries, "responses": responses.digest}
            if responses.digest in self.known:  # only the source's own may be
                about["reason"] = f"{answer.reason} These are the answers of the source itself."
            answers.append(dataclasses.replace(answer, **about))
        return Report(name, tuple(answers))

    def calibrate(self, unrelated: Iterable[Answers]) -> Verifier:
        """Makes the same verifier with other calibration models.

        Args:
            unrelated: models that trained no part of it, such as an innocent suspect could be.
                Controls and calibration models of the reference set are among these.

        Raises:
            ValueError: they are no list of models' responses; one of them did train it or is the
                source, gave the answers of another, answered other queries, or every query alike.
        """
        if isinstance(unrelated, Responses | Mapping):
            raise ValueError("give a list of calibration models, each with its Responses; got one")
        unrelated = tuple(unrelated)
        for method in self.methods:
            for i, answers in enumerate(unrelated):
                _check_responses(answers_to(answers, method.asks), method, f"calibration model {i}")
        for asks in {method.asks for method in self.methods}:
            given = [answers_to(answers, asks) for answers in unrelated]
            for i, responses in enumerate(given):
                name = f"calibration model {i}"
                self._check_new(responses, name, allowed=("controls", "calibration"))
                check_varied(responses.values, responses.model or name)
                for j, earlier in enumerate(given[:i]):
                    if same_answers(earlier, responses):
                        raise ValueError(
                            f"calibration models {j} and {i} give equal answers: they are one "
                            "model; leave one of them out"
                        )
        return Verifier(self.methods, unrelated, self.known)

    def save(self, folder: str | Path) -> None:
        """Writes ``verifier.npz`` to a folder, in place of an earlier one, whole or not at all.

        It holds plain arrays with their SHA-256: weights, latents, and the answers of the source,
        the siblings, the controls and the calibration models; not the queries.

        Raises:
            OSError: the disk is full or the folder cannot be written.
            ValueError: a method is not one of this library's.
        """
        files.write_arrays(Path(folder) / _FILE, *self._contents())

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the file that :meth:`save` writes."""
        return files.digest_of_arrays(*self._contents())

    def _contents(self) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays: dict[str, Any] = {}
        methods, calibration = [], []
        for i, method in enumerate(self.methods):
            kind = kind_of(method)
            about, of_method = cast(Kept, method).to_arrays()
            methods.append({"kind": kind, **about})
            arrays |= {f"methods/{i}/{name}": array for name, array in of_method.items()}
        for i, answers in enumerate(self.calibration):
            named = {"": answers} if isinstance(answers, Responses) else answers
            calibration.append({name: r.about for name, r in named.items()})
            arrays |= {f"calibration/{i}/{name}": r.values for name, r in named.items()}
        about = {
            "format": _FORMAT,
            "methods": methods,
            "calibration": calibration,
            "known": dict(self.known),
        }
        return arrays, about

    @classmethod
    def load(cls, folder: str | Path) -> Verifier:
        """Reads what :meth:`save` wrote; nothing in it is ever executed.

        Raises:
            FileNotFoundError: there is no verifier in the folder.
            NotADirectoryError: it is a file.
            ValueError: it is damaged, in whatever way.
        """
        if Path(folder).is_file():
            raise NotADirectoryError(f"{folder} is a file; give the folder of a verifier")
        if not (path := Path(folder) / _FILE).exists():
            raise FileNotFoundError(f"no verifier in {folder}: it would hold {_FILE}")
        arrays, about = files.read_arrays(path)
        try:
            if about["format"] != _FORMAT:
                raise ValueError(f"its format is {about['format']!r}, expected {_FORMAT!r}")
            methods = []
            for i, of_method in enumerate(about["methods"]):
                prefix = f"methods/{i}/"
                own = {
                    name.removeprefix(prefix): array
                    for name, array in arrays.items()
                    if name.startswith(prefix)
                }
                methods.append(_KINDS[of_method["kind"]].from_arrays(of_method, own))
            calibration = [
                _named(
                    {
                        name: Responses(arrays[f"calibration/{i}/{name}"], **one)
                        for name, one in of_model.items()
                    }
                )
                for i, of_model in enumerate(about["calibration"])
            ]
            return cls(tuple(methods), tuple(calibration), dict(about["known"]))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"the verifier in {folder} is damaged or of another version: {error}. Take a copy "
                "that is sound, or fit it again with this version"
            ) from error

    def _knowledge(self, number: int, suspect: Responses, threshold: float, level: float) -> Answer:
        method = self.methods[number]
        score = float(method.score(suspect))
        models = self.calibrating(method.asks, suspect.kind)
        scores = self._calibration_scores(number, suspect.kind)
        read = {i: models[i] for i in scores}
        others = tuple(scores[i] for i in comparable(method, suspect, read))
        p = conformal_p(score, [other for _, other in others])
        m = len(others)
        verdict, reason = knowledge_verdict(method, suspect, score, p, m, threshold, level)
        lacking = why_not_compared(method, suspect, models, read, m, len(self.calibration))
        unlike = verdict == "homologous" or not has_thresholds(method, suspect)
        if lacking and p is None and unlike:
            verdict, reason = "inconclusive", "The score has no p-value."
        reason += lacking
        beyond = isinstance(method, FittedMGMP) and method.knows_siblings
        return Answer(
            "knowledge", method.name, verdict, reason, score, p, others, beyond_siblings=beyond
        )

    def calibrating(self, asks: str, kind: ResponseKind) -> Mapping[int, Responses]:
        """Selects the calibration models' responses as a suspect of a kind gives them.

        Args:
            asks: the name of the query set.
            kind: of the suspect's responses.

        Returns:
            The responses by the place of the model, without those that hold less than that.
        """
        if (asks, kind) not in self._calibrating:
            models = [answers_to(answers, asks) for answers in self.calibration]
            self._calibrating[asks, kind] = {
                i: m.to(kind) for i, m in enumerate(models) if can_convert(m.kind, kind)
            }
        return self._calibrating[asks, kind]

    def _calibration_scores(self, number: int, kind: ResponseKind) -> dict[int, tuple[str, float]]:
        """Names and scores of calibration models by place, which answer as a suspect of a kind."""
        if (number, kind) not in self._scores:
            method = self.methods[number]
            self._scores[number, kind] = {
                i: (model.model or f"calibration model {i}", float(method.score(model)))
                for i, model in self.calibrating(method.asks, kind).items()
                if method.reads(model) is None
            }
        return self._scores[number, kind]

    def _check_new(
        self, responses: Responses, name: str, allowed: tuple[str, ...] = ("source",)
    ) -> None:
        """Refuses answers of a model of the reference set, but in some places of it."""
        place = self.known.get(responses.digest)
        if place is not None and not place.startswith(allowed):
            raise ValueError(
                f"{responses.model or name} gives the answers of {place}, a model of the "
                "reference set: no p-value holds for a model that made the verifier. Give "
                "another model's answers"
            )

    def _check_unlike(self, suspect: Responses, asks: str) -> None:
        """Refuses what a calibration model answers, rounded or in another kind too."""
        for i, model in self.calibrating(asks, suspect.kind).items():
            if same_answers(model, suspect):
                raise ValueError(
                    f"{suspect.model or 'the suspect'} answers as calibration model {i} "
                    f"({model.model or 'no name'}) does: no p-value holds for it. Give another "
                    "model's answers"
                )


def kind_of(method: Fitted) -> str:
    """Names the kind of a fitted method, as files do.

    Raises:
        ValueError: it is not one of this library's.
    """
    for kind, one in _KINDS.items():
        if type(method) is one:
            return kind
    raise ValueError(f"{type(method).__name__} is no method that a verifier can save")


def _check_responses(responses: Any, method: Fitted, name: str) -> None:
    if not isinstance(responses, Responses):
        raise ValueError(
            f"{name} must answer {method.asks!r} with Responses, got {type(responses).__name__}: "
            "Responses(values, kind, queries) makes them of an array"
        )
    method.check_queries(responses)


def _default_methods(references: ReferenceSet) -> list[Method]:
    methods: list[Method] = []
    if references.pool:
        methods.append(MGMP())
    if len(references.siblings) > 1:
        methods.append(SiblingTest())
    return methods


def _named(answers: dict[str, Responses]) -> Answers:
    return answers[""] if set(answers) == {""} else answers
