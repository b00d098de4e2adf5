"""Do students give their teacher away? Which statistic of which queries traces them.

    python experiments/students.py --preset small --siblings 19 --data-dir DIR
    python experiments/students.py --preset demo                    # generated images

A student starts from random weights and learns what a teacher answers: its probabilities, or its
labels only. Ten candidates of compare.py's cohort, whose models are read from the same --out or
trained, teach one student of each kind. A statistic traces a student where it puts the teacher
before all other candidates. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from _run import open_store, results_of, run, show
from configs import cohort as config
from configs.cohort import DEFAULT_TEST, OTHER_ARCH, UNSEEN

if TYPE_CHECKING:
    from _cohort import AllAnswers, Cohort

    from mgmp_jax.store import ModelSpec, ModelStore

TEACHERS = 10
"""Of each kind of students, the source and its first siblings, or all where there are fewer."""

ANSWERS: tuple[Literal["probabilities", "labels"], ...] = ("probabilities", "labels")


@dataclasses.dataclass(frozen=True)
class Args(config.Args):
    """Train students of the source and its siblings, and try to trace them."""


def make_students(cohort: Cohort, args: Args) -> dict[str, list[ModelSpec]]:
    """Makes the students by kind: what the teacher answers, on which images, architecture.

    A thief's own images are of the source's distribution, but neither its own nor its cousins';
    other images are those of the targets' data. He has half as many as the source was trained on,
    and takes the source's architecture where no other is said.
    """
    from _specs import source_and_target

    preset, source = config.PRESETS[args.preset], cohort.row.source
    another, _ = source_and_target(preset, OTHER_ARCH[args.arch], preset.data)
    number = source.num_examples
    assert number is not None
    own = {"skip": 2 * number, "num_examples": number // 2}
    other = {"data": cohort.suspects[0].spec.data, "num_examples": number // 2}
    thieves: dict[str, tuple[ModelSpec, dict[str, Any]]] = {
        "own images": (source, own),
        "other images": (source, other),
        "own images, other architecture": (another, own),
    }
    made = {}
    for answers, (how, (like, images)) in itertools.product(ANSWERS, thieves.items()):
        made[f"{answers}, {how}"] = [
            teacher.student(dataclasses.replace(like, seed=401 + i, **images), answers)
            for i, teacher in enumerate(cohort.candidates[:TEACHERS])
        ]
    return made


Compare = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Log-probabilities of candidates ``[c, n, d]`` and of a suspect ``[n, d]`` to scores ``[c]``."""


def negative_divergence(candidates: np.ndarray, suspect: np.ndarray) -> np.ndarray:
    """Minus the mean Kullback-Leibler divergence of the suspect's answers from a candidate's."""
    return -np.mean(np.sum(np.exp(candidates) * (candidates - suspect), axis=2), axis=1)


def label_agreement(candidates: np.ndarray, suspect: np.ndarray) -> np.ndarray:
    """The share of queries to which both give the same label."""
    return np.mean(candidates.argmax(axis=2) == suspect.argmax(axis=1), axis=1)


def own_part(candidates: np.ndarray, suspect: np.ndarray) -> np.ndarray:
    """How what a candidate alone says correlates with what the suspect says otherwise.

    From candidate and suspect the mean of all other candidates is taken away first.
    """
    means = (candidates.sum(axis=0) - candidates) / (len(candidates) - 1)
    ours, theirs = candidates - means, suspect - means
    both = np.stack([ours, theirs])
    both = both - both.mean(axis=3, keepdims=True)
    norms = np.sqrt(np.sum(both**2, axis=(2, 3)))
    return np.sum(both[0] * both[1], axis=(1, 2)) / np.maximum(norms[0] * norms[1], 1e-12)


def own_labels(candidates: np.ndarray, suspect: np.ndarray) -> np.ndarray:
    """The same, of a suspect that answers with labels only."""
    labels = np.eye(suspect.shape[1])[suspect.argmax(axis=1)]
    return own_part(np.exp(candidates), labels)


STATISTICS: dict[str, Compare] = {
    "same labels": label_agreement,
    "divergence of probabilities": negative_divergence,
    "what the candidate alone says": own_part,
    "the same, from labels only": own_labels,
}
"""They need the same classes, which the sibling test does not."""

SIBLING_TESTS = (DEFAULT_TEST, ("both fits", "none"), ("linear CKA", "mean"))
"""What is compared, and what is regressed out first."""


def places(
    cohort: Cohort, students: Sequence[ModelSpec], answers: AllAnswers
) -> dict[str, list[int]]:
    """Finds the place of each student's teacher among all candidates, from 1, by every statistic.

    A candidate's mean score with the cohort's controls is subtracted. What scores as high as the
    teacher is put before it.
    """
    import _scoring

    def of_specs(specs: Sequence[ModelSpec]) -> np.ndarray:
        return np.stack([answers[spec].to("log-probabilities").values for spec in specs])

    candidates, scores = of_specs(cohort.candidates).astype(np.float64), {}
    for name, compare in STATISTICS.items():
        known, asked = (
            np.stack([compare(candidates, one) for one in of_specs(specs)])
            for specs in (cohort.controls, students)
        )
        scores[name] = asked - known.mean(axis=0)
    for way, found in _scoring.all_scores(cohort, answers, students, SIBLING_TESTS).items():
        scores[f"sibling test: {', '.join(way)}"] = found
    return {name: place(name, cohort, students, found) for name, found in scores.items()}


def place(
    name: str, cohort: Cohort, students: Sequence[ModelSpec], scores: np.ndarray
) -> list[int]:
    """Finds the place of each student's teacher by a statistic's scores ``[t, c]``, from 1."""
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} is not finite for some students")
    own = [cohort.candidates.index(spec.teacher) for spec in students if spec.teacher]
    teachers = scores[np.arange(len(own)), own]
    return np.sum(scores >= teachers[:, None], axis=1).tolist()


def conditions(cohort: Cohort, same_classes: Sequence[ModelSpec]) -> dict[str, Cohort]:
    """Makes the cohort with all siblings or only those that teach, and with either controls."""
    kinds = {"the source's": tuple(same_classes), "other": cohort.controls}
    siblings = dict.fromkeys((cohort.siblings, cohort.siblings[: TEACHERS - 1]))
    return {
        f"{len(some)} siblings, controls of {classes} classes": dataclasses.replace(
            cohort, siblings=some, controls=controls
        )
        for some, (classes, controls) in itertools.product(siblings, kinds.items())
    }


def trace(
    cohort: Cohort, store: ModelStore, students: Mapping[str, Sequence[ModelSpec]]
) -> dict[str, Any]:
    """Tries every statistic on every kind of queries and of students.

    Controls are what sibling and cousin descendants started from: models of the same classes, of
    which none is a candidate. The default is tried with the cohort's own too, and with fewer
    siblings.
    """
    import _scoring
    from _cohort import ask

    starts = dict.fromkeys(suspect.spec.start for suspect in cohort.suspects)
    controls = [spec for spec in starts if spec is not None and spec not in cohort.candidates]
    tried = conditions(cohort, controls)
    one = next(iter(tried.values()))
    found: dict[str, dict[str, Any]] = {
        kind: {"places": {}, "by_condition": {name: {} for name in tried}} for kind in students
    }
    queries = ask(cohort, store)
    for which, asked in queries.items():
        known = (*cohort.candidates, *controls, *cohort.controls)
        answers = {spec: store.responses(spec, asked) for spec in known}
        for kind, specs in students.items():
            answers |= {spec: store.responses(spec, asked) for spec in specs}
            found[kind]["places"][which] = places(one, specs, answers)
            for name, other in tried.items():
                (scores,) = _scoring.all_scores(other, answers, specs, [DEFAULT_TEST]).values()
                found[kind]["by_condition"][name][which] = place(name, other, specs, scores)
            if which == UNSEEN:
                found[kind]["agreement"] = agreement(specs, answers)
    return {
        "candidates": len(cohort.candidates),
        "num_queries": {which: len(asked) for which, asked in queries.items()},
        "kinds": found,
    }


def agreement(students: Sequence[ModelSpec], answers: AllAnswers) -> dict[str, float]:
    """How often each student says what its teacher says."""
    pairs = {spec: (answers[spec.teacher], answers[spec]) for spec in students if spec.teacher}
    return {
        spec.address: float(label_agreement(teacher.values[None], student.values)[0])
        for spec, (teacher, student) in pairs.items()
    }


def main(args: Args) -> dict[str, Any]:
    """Trains and traces all students; see the module's docstring."""
    import tables
    from _cohort import make_cohort
    from _rows import train_models

    cohort, store = make_cohort(args), open_store(args)
    students = make_students(cohort, args)
    folder = args.out / cohort.folder(
        "students", [students, list(STATISTICS), SIBLING_TESTS, TEACHERS]
    )

    def make() -> dict[str, Any]:
        taught = list(itertools.chain(*students.values()))
        others = [suspect.spec.start for suspect in cohort.suspects if suspect.spec.start]
        known = [*cohort.candidates, *cohort.controls, *others]
        train_models(list(dict.fromkeys([*known, *taught])), store, args)
        return trace(cohort, store, students)

    results = results_of("students", folder, args, make)
    show(tables.pivot("students", tables.students(results)), folder, "results.json")
    return results


if __name__ == "__main__":
    run(main, Args)
