"""The reference set: the responses of all models whose truth the owner knows, checked once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mgmp_jax.answers import Answers, answers_to
from mgmp_jax.arrays import check_varied
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import ResponseKind, Responses

__all__ = ["OnePair", "OneQuerySet", "Pair", "ReferenceSet", "same_answers", "same_numbers"]


@dataclasses.dataclass(frozen=True)
class Pair:
    """What MGMP learns from of one task: models that started from the source, and others.

    Args:
        task: its name.
        homologous: answers of models of the task that started from the source; checkpoints along
            one training count as models, the last one at the end.
        non_homologous: answers of models of the same task that did not.

    Raises:
        ValueError: one side is empty.
    """

    task: str
    homologous: Sequence[Answers]
    non_homologous: Sequence[Answers]

    def __post_init__(self) -> None:
        for side in ("homologous", "non_homologous"):
            models = getattr(self, side)
            if not isinstance(models, Sequence) or not models:
                empty = isinstance(models, Sequence)
                raise ValueError(
                    f"{side} of the pair {self.task!r} must be a list of at least one model's "
                    f"responses; got {'none' if empty else type(models).__name__}"
                )


@dataclasses.dataclass(frozen=True, eq=False)
class ReferenceSet:
    """All models whose truth the owner knows, by what they are for.

    Args:
        source: the owner's model.
        pool: pairs that MGMP learns from, each of a task of its own.
        siblings: the source's recipe and data, other seeds: the sibling test's candidates, and a
            part of MGMP's background.
        controls: models known to be unrelated, which train nothing. They calibrate p-values and
            centre the sibling test's scores. They should be such as an innocent suspect could be.
        calibration: models to calibrate p-values by in place of the controls.
        queries: the query set itself, which only an MGMP whose generator is trained needs; one by
            name where there are several.

    Raises:
        ValueError: models answered different query sets; two of them gave equal answers, both are
            named; one answers every query alike; or two pairs are of one task.
    """

    source: Answers
    pool: Sequence[Pair] = ()
    siblings: Sequence[Answers] = ()
    controls: Sequence[Answers] = ()
    calibration: Sequence[Answers] = ()
    queries: QuerySet | Mapping[str, QuerySet] | None = None

    def __repr__(self) -> str:
        parts = "siblings", "controls", "calibration"
        counts = "".join(f", {len(getattr(self, part))} {part}" for part in parts)
        return f"ReferenceSet({len(self.pool)} pairs{counts})"

    def __post_init__(self) -> None:
        for name in ("siblings", "controls", "calibration", "pool"):
            given = getattr(self, name)
            if not isinstance(given, Sequence):
                raise ValueError(f"{name} must be a list; got {type(given).__name__}")
        for i, pair in enumerate(self.pool):
            if not isinstance(pair, Pair):
                raise ValueError(
                    f"pool[{i}] must be a Pair of homologous and non-homologous models; got "
                    f"{type(pair).__name__}"
                )
        tasks = [pair.task for pair in self.pool]
        twice = sorted({task for task in tasks if tasks.count(task) > 1})
        if twice:
            raise ValueError(
                f"two pairs of the pool are of the task {twice[0]!r}; put all models of a task "
                "into one Pair, so that none of them is taken for another task's background"
            )
        if not self.names:
            raise ValueError("the source must have answered at least one query set; got none")
        for name in self.names:
            models = {place: _part(answers, name, place) for place, answers in self._all()}
            _check_queries(models, self._queries(name))
            _check_apart(models)

    @property
    def names(self) -> tuple[str | None, ...]:
        """The names of the query sets, ``None`` of the only one where it has none."""
        return tuple(self.source) if isinstance(self.source, Mapping) else (None,)

    def on(self, name: str) -> OneQuerySet:
        """Selects the answers to one query set: the named one, or the only one there is.

        Raises:
            ValueError: there is none of that name.
        """
        if isinstance(self.source, Mapping) and name not in self.source:
            raise ValueError(
                f"no model answered a query set called {name!r}; the reference set has "
                f"{list(self.source)}"
            )

        def part(models: Sequence[Answers]) -> list[Responses]:
            return [answers_to(answers, name) for answers in models]

        return OneQuerySet(
            answers_to(self.source, name),
            [OnePair(p.task, part(p.homologous), part(p.non_homologous)) for p in self.pool],
            part(self.siblings),
            part(self.controls),
            self._queries(name if isinstance(self.source, Mapping) else None),
        )

    @property
    def digests(self) -> dict[str, str]:
        """The place of every model by the digest of its responses."""
        found = {}
        for place, answers in self._all():
            named = [answers] if isinstance(answers, Responses) else answers.values()
            found |= {responses.digest: place for responses in named}
        return found

    def _all(self) -> Iterator[tuple[str, Answers]]:
        """All models, each with a name that says its place."""
        yield "source", self.source
        for pair in self.pool:
            for side in ("homologous", "non_homologous"):
                for i, answers in enumerate(getattr(pair, side)):
                    yield f"pool {pair.task!r} {side}[{i}]", answers
        for name in ("siblings", "controls", "calibration"):
            for i, answers in enumerate(getattr(self, name)):
                yield f"{name}[{i}]", answers

    def _queries(self, name: str | None) -> QuerySet | None:
        if isinstance(self.queries, Mapping):
            return None if name is None else self.queries.get(name)
        return self.queries


@dataclasses.dataclass(frozen=True, eq=False)
class OnePair:
    """What a pair of the pool answered on one query set; see :class:`Pair`."""

    task: str
    homologous: Sequence[Responses]
    non_homologous: Sequence[Responses]


@dataclasses.dataclass(frozen=True, eq=False)
class OneQuerySet:
    """What all models of a :class:`ReferenceSet` answered on one of its query sets."""

    source: Responses
    pool: Sequence[OnePair]
    siblings: Sequence[Responses]
    controls: Sequence[Responses]
    queries: QuerySet | None


_COMPARABLE: tuple[ResponseKind, ...] = ("logits", "log-probabilities", "probabilities")


def same_answers(one: Responses, other: Responses) -> bool:
    """Says whether two models answer alike, up to what rounding does to one model's answers.

    Logits, log-probabilities and probabilities are compared as the poorer of the two kinds, unless
    every row is then as good as a label, which two good models may share.
    """
    if one.kind != other.kind:
        if one.kind not in _COMPARABLE or other.kind not in _COMPARABLE:
            return False
        poorer = _COMPARABLE[max(map(_COMPARABLE.index, (one.kind, other.kind)))]
        one, other = one.to(poorer), other.to(poorer)
        if poorer == "probabilities" and one.values.max(axis=1).min() > 0.999:
            return False
    if one.kind == "labels":
        return np.array_equal(one.values.argmax(axis=1), other.values.argmax(axis=1))
    return same_numbers(one.values, other.values)


def same_numbers(one: np.ndarray, other: np.ndarray) -> bool:
    """Says whether two arrays ``[n, d]`` are equal up to a hundred-thousandth.

    That is of a number itself or, for small ones, of the largest of its column as it is in the
    median of all columns, so that a column of fill values does not hide the others.
    """
    if one.shape != other.shape:
        return False
    largest = np.abs(one).max(axis=0)
    scale = np.median(largest[largest > 0]) if largest.any() else 0.0
    some = slice(None, None, max(len(one) // 16, 1))
    return all(
        np.allclose(x, y, rtol=1e-5, atol=1e-5 * scale)
        for x, y in ((one[some], other[some]), (one, other))
    )


def _part(answers: Any, name: str | None, place: str) -> Responses:
    if name is None:
        if not isinstance(answers, Responses):
            as_source = "" if place == "source" else ", as the source is"
            raise ValueError(
                f"{place} must be Responses{as_source}; got {type(answers).__name__}. "
                "Responses(values, kind, queries) makes them of an array"
            )
        return answers
    if not isinstance(answers, Mapping):
        raise ValueError(
            f"the source answered several query sets by name, but {place} is "
            f"{type(answers).__name__}; give a mapping with the same names"
        )
    found = answers_to(answers, name)
    if not isinstance(found, Responses):
        raise ValueError(f"{place} on {name!r} must be Responses; got {type(found).__name__}")
    return found


def _check_queries(models: Mapping[str, Responses], queries: QuerySet | None) -> None:
    source = models["source"]
    for place, model in models.items():
        try:
            source.check_same_queries(model)
        except ValueError as error:
            raise ValueError(f"source and {place}: {error}") from error
    if queries is not None and not isinstance(queries, QuerySet):
        raise ValueError(
            f"queries must be a QuerySet, got {type(queries).__name__}: QuerySet.images, .texts "
            "and .rows make one"
        )
    if queries is not None and queries.digest != source.queries:
        raise ValueError(
            "the responses were taken on other queries than those given; take them on exactly "
            "these, in this order"
        )


def _check_apart(models: Mapping[str, Responses]) -> None:
    seen: list[tuple[str, Responses]] = []
    for place, model in models.items():
        check_varied(model.values, f"{place} ({model.model or 'no name'})")
        for other, earlier in seen:
            if same_answers(earlier, model):
                raise ValueError(
                    f"{other} and {place} give equal answers: they are one model (a copy, or a "
                    "seed without effect), or too few labels to tell two apart. Leave one of them "
                    "out, or train it again"
                )
        seen.append((place, model))
