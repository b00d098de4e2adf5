"""The methods that recorded.py compares: a function each. To add one, write it and name it below.

A method is given what the owner has, :class:`_recorded.Known`, and returns a function that scores
one suspect's answers, larger for one that looks homologous. It never sees the other suspects.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from _recorded import Known
from configs.cohort import PRESETS
from scipy import stats

from mgmp_jax.answers import Answers, answers_to
from mgmp_jax.config import EXTENDED, PAPER_WITHOUT_GENERATOR, MGMPConfig
from mgmp_jax.methods import MGMP, SiblingTest, Similarity
from mgmp_jax.methods.protocol import Method as LibraryMethod
from mgmp_jax.queries import TRAINING, UNSEEN
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.similarities import SIMILARITIES, mistake_agreement

BATCH = PRESETS["small"].mgmp["batch_size"]
"""Queries in a mini-batch of MGMP, as in compare.py."""

Score = Callable[[Answers], float]
Method = Callable[[Known], Score]


def of_library(method: LibraryMethod, known: Known) -> Score:
    """Fits a method of the library."""
    fitted = method.fit(known.references)
    return lambda suspect: fitted.score(answers_to(suspect, fitted.asks))


def mgmp(config: MGMPConfig, known: Known) -> Score:
    """Fits an MGMP without generator, with the siblings in the background if it has one."""
    return of_library(MGMP(config.replace(batch_size=BATCH)), known)


def with_last_checkpoints(known: Known) -> Known:
    """Leaves out the pool's checkpoints but the last, and the siblings."""
    pool = [
        Pair(pair.task, pair.homologous[-1:], pair.non_homologous[-1:])
        for pair in known.references.pool
    ]
    return known._replace(references=ReferenceSet(known.references.source, pool))


def with_siblings(number: int, known: Known) -> Known:
    """Leaves out all siblings but the first."""
    own = known.references
    return known._replace(references=ReferenceSet(own.source, own.pool, own.siblings[:number]))


def sibling_test(asks: str, known: Known) -> Score:
    """Fits the sibling test that asks one of the query sets, with compare.py's controls."""
    own = known.references
    controls = [pair.non_homologous[-1] for pair in own.pool]  # so there is no pool beside them
    few = ReferenceSet(own.source, siblings=own.siblings, controls=controls)
    return of_library(SiblingTest(asks=asks), known._replace(references=few))


def with_descendants(known: Known) -> Known:
    """Makes descendants of some siblings non-homologous models of the pool.

    These siblings are left out, the others stay for a background.

    Raises:
        ValueError: no descendants were recorded.
    """
    if not known.parents:
        raise ValueError("no descendants of siblings were recorded")
    own = known.references
    pool = [
        Pair(pair.task, pair.homologous, [*known.descendants[pair.task], *pair.non_homologous])
        for pair in own.pool
    ]
    others = [one for one in own.siblings if answers_to(one, UNSEEN).model not in known.parents]
    return known._replace(references=ReferenceSet(own.source, pool, others))


def agreement_on_mistakes(known: Known) -> Score:
    """Compares which of the source's mistakes on unseen images the suspect repeats."""
    source, labels = answers_to(known.references.source, UNSEEN), known.labels
    return lambda suspect: float(mistake_agreement(source, answers_to(suspect, UNSEEN), labels))


def dataset_inference(known: Known) -> Score:
    """Asks whether the suspect is surer of the source's training images than of unseen ones.

    After Maini, Yaghini and Papernot, "Dataset Inference" (ICLR 2021): the owner learns on his own
    model what of its margins tells members from others, and a t-test compares what that says of the
    suspect's. Theirs are distances to the decision boundaries of a suspect of the same task, found
    by many more queries, and their learner is a network; here the margins are those of the recorded
    answers, the logarithms of the sorted odds of the first answer against the others, and the
    learner a linear discriminant. It asks who was trained on the data: siblings, and what started
    from them, were.
    """

    def margins(answers: Answers) -> list[np.ndarray]:
        both = (answers_to(answers, name).to("log-probabilities") for name in (TRAINING, UNSEEN))
        ordered = [np.sort(one.values.astype(np.float64), axis=1)[:, ::-1] for one in both]
        return [one[:, :1] - one[:, 1:] for one in ordered]

    members, others = margins(known.references.source)

    @functools.cache
    def direction(k: int) -> np.ndarray:
        spread = np.atleast_2d(np.cov(members[:, :k].T) + np.cov(others[:, :k].T))
        spread += 1e-3 * np.trace(spread) / k * np.eye(k)
        return np.linalg.solve(spread, members[:, :k].mean(axis=0) - others[:, :k].mean(axis=0))

    def score(suspect: Answers) -> float:
        theirs = margins(suspect)
        k = min(theirs[0].shape[1], members.shape[1])
        test = stats.ttest_ind(*(one[:, :k] @ direction(k) for one in theirs), equal_var=False)
        return float(np.asarray(test)[0])

    return score


def provenance_tester(others: Callable[[ReferenceSet], Sequence[Answers]], known: Known) -> Score:
    """Asks whether the suspect says the same as the source more often than as any other model.

    After Nikolić, Baluta and Saxena, "Model Provenance Testing for Large Language Models" (NeurIPS
    2025): the shares of equal answers of the source and of each other model are compared by a test
    of two proportions. Their tester says yes where all tests are significant; the score is the
    least of the test statistics. A suspect's classes are other ones than the source's, so a class
    of the suspect stands for what the other model says most often where the suspect says it; this
    is learnt on one half of the queries and counted on the other. Their other models are unrelated
    ones; siblings are ours. An unrelated model that says nearly always the same is easy to agree
    with, and holds the least of the test statistics down for every suspect.
    """

    def says(answers: Answers) -> np.ndarray:
        return answers_to(answers, UNSEEN).values.argmax(axis=1)

    first = says(known.references.source)
    rest = [says(model) for model in others(known.references)]

    def score(suspect: Answers) -> float:
        theirs = says(suspect)
        ours, *shares = (share_of_equal(theirs, model) for model in (first, *rest))
        pooled = (ours + np.array(shares)) / 2
        errors = np.sqrt(np.maximum(2 * pooled * (1 - pooled) / len(theirs), 1e-12))
        return float(np.min((ours - np.array(shares)) / errors))

    return score


def share_of_equal(theirs: np.ndarray, ours: np.ndarray) -> float:
    """The share of queries, ``[n]``, where two models say the same once classes are matched."""
    half, equal = np.arange(len(ours)) % 2 == 0, 0
    for learnt in (half, ~half):
        counts = np.zeros((theirs.max() + 1, ours.max() + 1))
        np.add.at(counts, (theirs[learnt], ours[learnt]), 1)
        stands_for = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
        equal += np.sum(stands_for[theirs[~learnt]] == ours[~learnt])
    return float(equal / len(ours))


METHODS: dict[str, Method] = {
    **{name: functools.partial(of_library, Similarity(name)) for name in SIMILARITIES},
    "agreement on mistakes": agreement_on_mistakes,
    "dataset inference": dataset_inference,
    "provenance tester, among unrelated models": functools.partial(
        provenance_tester, lambda references: [p.non_homologous[-1] for p in references.pool]
    ),
    "provenance tester, among siblings": functools.partial(
        provenance_tester, lambda references: references.siblings
    ),
    "MGMP paper, without generator": (
        lambda known: mgmp(PAPER_WITHOUT_GENERATOR, with_last_checkpoints(known))
    ),
    "MGMP extended, background only": lambda known: mgmp(EXTENDED, with_siblings(0, known)),
    **{
        f"MGMP extended, background with {number} of the siblings": (
            lambda known, number=number: mgmp(EXTENDED, with_siblings(number, known))
        )
        for number in (1, 3, 7, 13)
    },
    "MGMP extended, background with siblings": functools.partial(mgmp, EXTENDED),
    "MGMP extended, background with siblings, others' descendants": (
        lambda known: mgmp(EXTENDED, with_descendants(known))
    ),
    "sibling test, training images": functools.partial(sibling_test, TRAINING),
    "sibling test, unseen images": functools.partial(sibling_test, UNSEEN),
}
"""All of them by name, as the table shows them."""
