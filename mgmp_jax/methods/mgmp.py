"""MGMP as a method: learns from the pool of a reference set, scores suspects by their DNA."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from mgmp_jax import models
from mgmp_jax.arrays import check_whole
from mgmp_jax.background import Background
from mgmp_jax.config import EXTENDED, MGMPConfig
from mgmp_jax.kinds import Question
from mgmp_jax.linear import check_width
from mgmp_jax.methods import mgmp_step, mgmp_train
from mgmp_jax.methods.fragments import kind_read, pool_arrays, read_as
from mgmp_jax.methods.mgmp_fitted import FittedMGMP
from mgmp_jax.methods.mgmp_train import Training
from mgmp_jax.queries import TRAINING, QuerySet
from mgmp_jax.references import OneQuerySet, ReferenceSet
from mgmp_jax.responses import ResponseKind, Responses

__all__ = ["MGMP", "Fit", "fit_together"]


@dataclasses.dataclass(frozen=True, eq=False)
class MGMP:
    """Model Provenance via Model DNA: the paper's method, or the extended one.

    Args:
        config: what it is made of: :data:`mgmp_jax.config.EXTENDED`, the default,
            :data:`~mgmp_jax.config.PAPER`, :data:`~mgmp_jax.config.PAPER_WITHOUT_GENERATOR`, or
            one of them changed.
        generator: the embedding of a fixed generator on the query set: a network trained on the
            source's data without any part in the source. Its latents are assembled with the
            responses; under residual assembly it joins the background.
        generator_params: where a trained generator starts, layer by layer, for example from
            :func:`mgmp_jax.models.pretrained.load_pretrained`; other layers start at random.
        encode: raw texts to token ids ``[n, l]``, for a trained generator that reads texts
            (:meth:`mgmp_jax.data.tokenizer.Tokenizer.encode`).
        asks: the name of the query set that it asks.
        background_asks: the name of the answers that the background is made of, where they are
            others than those that are compared (logits beside embeddings of the same queries).
        name: of the method in reports.
    """

    config: MGMPConfig = EXTENDED
    generator: Responses | None = None
    generator_params: Mapping[str, Any] | None = None
    encode: Callable[[Sequence[str]], np.ndarray] | None = None
    asks: str = TRAINING
    background_asks: str | None = None
    name: str = "MGMP"
    question: ClassVar[Question] = "knowledge"

    def fit(
        self, references: ReferenceSet, *, seed: int = 0, folder: str | Path | None = None
    ) -> FittedMGMP:
        """Trains on the pool, jointly with the generator where there is one (Eq. 5 to 8).

        Args:
            references: with a pool. The background of a pair leaves the pair's own task out, and
                takes the source's siblings in where there are some.
            seed: of initialisation, order, pairs and dropout.
            folder: for metrics and checkpoints; a training that was cut off is resumed from it.
                ``None`` keeps nothing.

        Raises:
            ValueError: the pool is empty, responses cannot be read or compared, the generator has
                nothing to read, or the folder holds another training.
            FloatingPointError: the training diverged.
        """
        return fit_together([Fit(self, references, seed, folder)])[0]

    def check(self, references: ReferenceSet) -> None:
        """Raises ``ValueError`` where it cannot be fitted to a reference set."""
        self._prepare(references)

    def _prepare(self, references: ReferenceSet) -> _Prepared:
        """Makes what it is trained on, and what it keeps of the reference set."""
        own = references.on(self.asks)
        config = self._check(own)
        background = None
        if config.assemble == "residual" and config.background:
            behind = references.on(self.background_asks or self.asks)
            own.source.check_same_queries(behind.source)
            background = Background.of(behind, self.generator)
        source = read_as(config, own.source)
        models = [m for pair in own.pool for m in (*pair.homologous, *pair.non_homologous)]
        found: set[ResponseKind] = {kind_read(config, model.kind) for model in models}
        kinds = tuple(sorted(found))
        fixed = None if self.generator is None else self.generator.values
        data = pool_arrays(config, own, source, background, fixed)
        if config.generator is not None:
            data["inputs"] = self._inputs(config, own.queries)
        if background is None:
            return _Prepared(config, source, data, kinds, fixed)
        latents = background.matrix()
        check_width(latents.shape[1], len(source), "generator and non-homologous models are")
        return _Prepared(
            config, source, data, kinds, latents, True, knows_siblings=background.siblings > 0
        )

    def _check(self, own: OneQuerySet) -> MGMPConfig:
        """The config for this many queries, once everything that it needs is there."""
        config = self.config
        if not own.pool:
            raise ValueError(
                "MGMP learns from pairs of a homologous and a non-homologous model, and the "
                "reference set has none; give pool=[Pair(task, homologous, non_homologous), ...]"
            )
        if self.generator is not None:
            own.source.check_same_queries(self.generator)
            if config.generator is not None:
                raise ValueError(
                    f"a fixed generator is given, but generator={config.generator!r} of the "
                    "config is trained jointly; choose one of them"
                )
        if config.align and config.assemble != "residual" and self.generator is not None:
            raise ValueError(
                f"align=True maps a target's fragments onto the source's, and assemble="
                f"{config.assemble!r} puts the generator's latents in both: any target would look "
                "alike; choose assemble='residual', or align=False"
            )
        if config.assemble == "residual" and self.generator is None and not config.background:
            raise ValueError(
                "residual fragments are what the background leaves of the responses, but "
                "background=False and there is no fixed generator; choose assemble='addition' "
                "for responses alone"
            )
        return config.replace(batch_size=min(config.batch_size, len(own.source)))

    def _inputs(self, config: MGMPConfig, queries: QuerySet | None) -> np.ndarray:
        """What the generator reads of the queries."""
        if queries is None:
            raise ValueError(
                f"the generator {config.generator!r} reads the queries themselves: give "
                "ReferenceSet(queries=...)"
            )
        wanted = "texts" if config.generator in models.TEXT_MODELS else "images"
        if queries.modality != wanted:
            raise ValueError(
                f"the generator {config.generator!r} reads {wanted}, but the queries are "
                f"{queries.modality}"
            )
        if wanted == "images":
            return queries.inputs
        if self.encode is None:
            raise ValueError(
                f"the generator {config.generator!r} reads token ids: give MGMP(encode=...), for "
                "example Tokenizer.encode"
            )
        return self.encode(queries.inputs)


@dataclasses.dataclass(frozen=True, eq=False)
class Fit:
    """One of the fits of :func:`fit_together`.

    Args:
        method: that is fitted.
        references: as for :meth:`MGMP.fit`.
        seed: as for :meth:`MGMP.fit`.
        folder: as for :meth:`MGMP.fit`; no two fits have the same.
    """

    method: MGMP
    references: ReferenceSet
    seed: int = 0
    folder: str | Path | None = None

    @property
    def _prepared_from(self) -> tuple:
        """What decides what it is trained on."""
        method = self.method
        same = method.config, method.asks, method.background_asks
        return *same, id(method.generator), id(method.encode), id(self.references)

    def _training(self, prepared: _Prepared) -> Training:
        return Training(
            prepared.config,
            prepared.data,
            self.seed,
            None if self.folder is None else Path(self.folder),
            prepared.has_background,
            self.method.generator_params,
            self.method.name,
        )


def fit_together(fits: Sequence[Fit], *, together: int | None = None) -> list[FittedMGMP]:
    """Does what :meth:`MGMP.fit` does for several seeds, methods and reference sets.

    What is compiled they share, where their configs differ at most in the numbers
    :data:`mgmp_jax.methods.mgmp_step.NUMBERS` and their pools are equally large. Of these, those
    without a generator to train are trained at once, by ``vmap`` over stacked parameters. Results
    are those of :meth:`MGMP.fit` but for rounding. Each folder is as :meth:`MGMP.fit` leaves it,
    and trainings that were cut off are resumed from theirs.

    Args:
        fits: any; of the fitted methods each has the place of its fit.
        together: how many at most are trained at once; by default 16, or on the CPU, where
            ``vmap`` saves no time, 1: results are those of :meth:`MGMP.fit` bit for bit then.

    Raises:
        ValueError: as :meth:`MGMP.fit`, two fits have one folder, or ``together`` is below 1.
        FloatingPointError: a training diverged.
    """
    if together is None:
        together = 1 if jax.default_backend() == "cpu" else 16
    check_whole("together", together, 1)
    folders = [Path(fit.folder).resolve() for fit in fits if fit.folder is not None]
    if len(set(folders)) < len(folders):
        raise ValueError(f"each fit needs a folder of its own, got {sorted(map(str, folders))}")
    prepared: dict[tuple, _Prepared] = {}
    for fit in fits:
        if fit._prepared_from not in prepared:
            prepared[fit._prepared_from] = fit.method._prepare(fit.references)
    of_fits = [prepared[fit._prepared_from] for fit in fits]
    trainings = [fit._training(of_fit) for fit, of_fit in zip(fits, of_fits, strict=True)]
    fitted: dict[int, FittedMGMP] = {}
    for group in mgmp_train.groups(trainings, together):
        trained = mgmp_train.train([trainings[i] for i in group])
        for i, variables in zip(group, trained, strict=True):
            fitted[i] = of_fits[i].fitted(fits[i].method, variables)
    return [fitted[i] for i in range(len(fits))]


@dataclasses.dataclass(frozen=True, eq=False)
class _Prepared:
    """What an MGMP is trained on, ``data``, and what it keeps of a reference set."""

    config: MGMPConfig
    source: Responses
    data: dict[str, np.ndarray]
    kinds: tuple[ResponseKind, ...]
    latents: np.ndarray | None
    has_background: bool = False
    knows_siblings: bool = False

    def fitted(self, method: MGMP, variables: Mapping[str, Any]) -> FittedMGMP:
        """Makes the fitted method of trained variables."""
        latents = self.latents
        if self.config.generator is not None:
            inputs = self.data["inputs"]
            latents = mgmp_step.generate(self.config, variables, inputs, self.source.values)
        return FittedMGMP(
            self.config,
            self.source,
            latents,
            variables["params"]["classifier"],
            self.kinds,
            method.asks,
            method.name,
            self.knows_siblings,
        )
