"""MGMP whose settings are chosen on the pool, one task left out at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from mgmp_jax.answers import answers_to
from mgmp_jax.config import EXTENDED, PAPER_WITHOUT_GENERATOR, MGMPConfig
from mgmp_jax.kinds import Question
from mgmp_jax.methods.fragments import check_equal_width, read_as
from mgmp_jax.methods.mgmp import MGMP, Fit, fit_together
from mgmp_jax.methods.mgmp_fitted import FittedMGMP
from mgmp_jax.references import Pair, ReferenceSet
from mgmp_jax.training import console

__all__ = ["CANDIDATES", "ChosenMGMP", "LeftOut"]

CANDIDATES: dict[str, MGMPConfig] = {
    "extended": EXTENDED,
    "extended, not aligned": EXTENDED.replace(align=False),
    "extended, not aligned, without context": EXTENDED.replace(align=False, context=False),
    "paper, without generator": PAPER_WITHOUT_GENERATOR,
}
"""Settings worth trying where nothing is known of a modality. Alignment helps where models of other
tasks share no coordinates, as image classifiers with new last layers. Where all start from one
public checkpoint and their embeddings are compared, it takes away what tells them apart."""

_LEAST = 1e-3
"""The least probability that a score is taken to give to what is true."""


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """How an MGMP does on the tasks of the pool that were left out of its training in turn.

    Args:
        accuracy: share of fragments judged rightly at one half, by task.
        loss: mean of minus the logarithm of what a fragment's score gives to the truth, by task; it
            counts as giving it at least 0.001.
        unfit: why it could not be fitted; it has no figures then.
    """

    accuracy: dict[str, float]
    loss: dict[str, float]
    unfit: str | None = None

    @property
    def mean_loss(self) -> float:
        """Over tasks; infinite where it is unfit."""
        return float(np.mean(list(self.loss.values()))) if self.loss else np.inf


@dataclasses.dataclass(frozen=True, eq=False)
class ChosenMGMP:
    """The one of several MGMPs that does best on tasks of the pool that it has not seen.

    Ask for it where the settings of :class:`MGMP` do badly on your own kind of models, as they do
    on embeddings of texts where all models start from one checkpoint. A verifier does not do so by
    default: settings that do not align take a descendant whose outputs were permuted, scaled or
    shifted for an innocent model.

    Each learns from all tasks of the pool but one and scores the last homologous and the last
    non-homologous model of that one, for each task in turn; the one with the least loss is fitted
    to the whole pool. With ``c`` candidates and ``p`` tasks that is ``c p + 1`` trainings.

    Args:
        candidates: of which one is chosen; the first of equals. By default :data:`CANDIDATES`,
            which read logits; for others give them ``replace(response=...)``. One that does not
            align reads only suspects as wide as the source.
        name: of the method in reports.

    Raises:
        ValueError: there is no candidate, or they do not ask the same query set.
    """

    candidates: Sequence[MGMP] = tuple(MGMP(made, name=name) for name, made in CANDIDATES.items())
    name: str = "MGMP"
    question: ClassVar[Question] = "knowledge"

    def __post_init__(self) -> None:
        asked = sorted({candidate.asks for candidate in self.candidates})
        if len(asked) != 1:
            raise ValueError(
                f"candidates must be at least one MGMP, all asking one query set; got "
                f"{len(self.candidates)} that ask {asked}"
            )

    @property
    def asks(self) -> str:
        """The name of the query set that all candidates ask."""
        return self.candidates[0].asks

    def fit(
        self, references: ReferenceSet, *, seed: int = 0, folder: str | Path | None = None
    ) -> FittedMGMP:
        """Chooses on the pool, says how each candidate did, and fits the chosen one to all of it.

        Raises:
            ValueError: as :meth:`left_out`, or no candidate can be fitted; each reason is said.
            FloatingPointError: the training of the chosen one diverged.
        """
        found = self.left_out(references, seed=seed, folder=folder)
        best = int(np.argmin([one.mean_loss for one in found]))
        if found[best].unfit is not None:
            reasons = dict.fromkeys(one.unfit or "" for one in found)
            raise ValueError(f"none of the candidates can be fitted: {'; '.join(reasons)}")
        for i, one in enumerate(found):
            how = one.unfit or f"loss {one.mean_loss:.3f} on tasks left out"
            name = self.candidates[i].name
            console.print(f"  candidate {i}, {name}: {how}{', chosen' * (i == best)}")
        chosen = dataclasses.replace(self.candidates[best], name=self.name)
        place = None if folder is None else Path(folder) / "chosen"
        return chosen.fit(references, seed=seed, folder=place)

    def left_out(
        self, references: ReferenceSet, *, seed: int = 0, folder: str | Path | None = None
    ) -> list[LeftOut]:
        """Finds how each candidate does on the tasks of the pool that it has not seen.

        Args:
            references: with a pool of at least three tasks.
            seed: of all trainings.
            folder: for metrics and checkpoints; trainings that were cut off are resumed from it.

        Returns:
            One for each candidate, in their order. One is unfit that cannot be fitted to the whole
            pool, cannot read a control or calibration model, takes no account of siblings that
            there are, or whose training diverges.

        Raises:
            ValueError: there are too few tasks, or the folder holds other trainings.
        """
        if len(references.pool) < 3:
            raise ValueError(
                f"tasks are left out in turn, so the pool must have at least three; got "
                f"{len(references.pool)}"
            )
        folds = list(_folds(references))
        found = []
        for i, candidate in enumerate(self.candidates):
            try:
                _check(candidate, references)
            except ValueError as error:
                found.append(LeftOut({}, {}, str(error)))
                continue
            place = None if folder is None else Path(folder) / f"candidate-{i}"
            fits = [
                Fit(candidate, rest, seed, None if place is None else place / str(j))
                for j, (rest, _) in enumerate(folds)
            ]
            try:
                found.append(_judge(fit_together(fits), [pair for _, pair in folds]))
            except FloatingPointError as error:
                found.append(LeftOut({}, {}, str(error)))
        return found


def _check(candidate: MGMP, references: ReferenceSet) -> None:
    """Raises ``ValueError`` where a candidate would be worse than none, whatever its loss."""
    candidate.check(references)
    config = candidate.config
    if references.siblings and not (config.assemble == "residual" and config.background):
        raise ValueError(
            "it has no background for the siblings to join, and would take their descendants for "
            "the source's"
        )
    if config.align:
        return
    source = read_as(config, answers_to(references.source, candidate.asks))
    for answers in (*references.controls, *references.calibration):
        check_equal_width(source, read_as(config, answers_to(answers, candidate.asks)))


def _folds(references: ReferenceSet) -> Iterator[tuple[ReferenceSet, Pair]]:
    """Leaves each pair of the pool out in turn; calibration is no part of a choice."""
    for held_out in references.pool:
        rest = [pair for pair in references.pool if pair is not held_out]
        yield dataclasses.replace(references, pool=rest, controls=(), calibration=()), held_out


def _judge(fitted: Sequence[FittedMGMP], pairs: Sequence[Pair]) -> LeftOut:
    accuracy, loss = {}, {}
    for method, pair in zip(fitted, pairs, strict=True):
        near, far = (
            method.fragment_scores(answers_to(models[-1], method.asks)).astype(np.float64)
            for models in (pair.homologous, pair.non_homologous)
        )
        right = np.stack([near, 1 - far])
        accuracy[pair.task] = float((np.mean(near >= 0.5) + np.mean(far < 0.5)) / 2)
        loss[pair.task] = float(-np.mean(np.log(np.maximum(right, _LEAST))))
    return LeftOut(accuracy, loss)
