"""MGMP as a method: learns from the pool of a reference set, scores suspects by their DNA."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Float

from mgmp_jax import files, models, training
from mgmp_jax.background import Background
from mgmp_jax.config import EXTENDED, MGMPConfig
from mgmp_jax.linear import check_width
from mgmp_jax.methods import mgmp_step
from mgmp_jax.methods.fragments import (
    check_equal_width,
    fragment_maker,
    gather_pair,
    gather_trimmed_pair,
    make_source_fragments,
    pool_arrays,
    read_as,
)
from mgmp_jax.methods.protocol import Question
from mgmp_jax.queries import TRAINING, QuerySet
from mgmp_jax.references import OneQuerySet, ReferenceSet
from mgmp_jax.responses import Responses

__all__ = ["MGMP", "FittedMGMP"]


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
        own = references.on(self.asks)
        config = self._check(own)
        background = None
        if config.assemble == "residual" and config.background:
            behind = references.on(self.background_asks or self.asks)
            own.source.check_same_queries(behind.source)
            background = Background.of(behind, self.generator)
        source = read_as(config, own.source)
        fixed = None if self.generator is None else self.generator.values
        data = pool_arrays(config, own, source, background, fixed)
        inputs = None
        if config.generator is not None:
            inputs = data["inputs"] = self._inputs(config, own.queries)
        variables = self._train(config, data, inputs, seed, folder, background is not None)
        latents = fixed if background is None else background.matrix()
        if inputs is not None:
            latents = mgmp_step.generate(config, variables, inputs, source.values.shape[1])
        return FittedMGMP(
            config,
            source,
            latents,
            variables["params"]["classifier"],
            self.asks,
            self.name,
            knows_siblings=background is not None and bool(own.siblings),
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

    def _train(
        self,
        config: MGMPConfig,
        data: dict[str, np.ndarray],
        inputs: np.ndarray | None,
        seed: int,
        folder: str | Path | None,
        paired: bool,
    ) -> dict[str, Any]:
        pairs, n, width = data["source"].shape
        key = jax.random.key(seed)
        step, optimizer = mgmp_step.make_step(config, width)
        variables = mgmp_step.init(config, inputs, width, key)
        if self.generator_params is not None:
            _start_generator(variables, config, self.generator_params)
        if folder is not None:
            _claim(Path(folder), config, seed, {"data": data, "start": variables})
        is_text = config.generator in models.TEXT_MODELS
        state = training.fit(
            step,
            training.create_state(variables, optimizer),
            data,
            order=functools.partial(_order, n, config.batch_size, seed, pairs, paired=paired),
            epochs=config.epochs,
            key=jax.random.fold_in(key, 1),
            gather=gather_trimmed_pair if is_text else gather_pair,
            scan=False if is_text else None,
            folder=folder,
            name=self.name,
        )
        return jax.device_get(state.variables)


@dataclasses.dataclass(frozen=True, eq=False)
class FittedMGMP:
    """A trained MGMP with the source's responses; reads suspects from theirs.

    Args:
        config: of the MGMP.
        source: the source's responses.
        latents: what is assembled with all responses, ``[n, z]``; ``None`` for nothing.
        classifier: parameters of the provenance classifier.
        asks: the name of the query set that it asks.
        name: of the method.
        knows_siblings: whether siblings of the source were in the background.
    """

    config: MGMPConfig
    source: Responses
    latents: np.ndarray | None
    classifier: Mapping[str, Any]
    asks: str = TRAINING
    name: str = "MGMP"
    knows_siblings: bool = False
    question: ClassVar[Question] = "knowledge"

    @property
    def settings(self) -> dict[str, Any]:
        """Its config, and whether siblings were in the background."""
        return {
            "config": dataclasses.asdict(self.config),
            "knows_siblings": self.knows_siblings,
        }

    def reads(self, suspect: Responses) -> str | None:
        """Says why responses cannot be read, in a sentence; ``None`` where they can.

        With alignment responses of any kind and width are read, as long as there are enough
        queries for a linear fit from so many coordinates. Without, they must convert to
        ``config.response`` and be as wide as the source's.
        """
        try:
            found = read_as(self.config, suspect)
            if self.config.assemble == "residual" and self.latents is not None:
                check_width(self.latents.shape[1], len(found), "the background is")
            if self.config.align:
                check_width(found.values.shape[1], len(found), "the suspect's responses are")
            else:
                check_equal_width(self.source, found)
        except ValueError as error:
            return str(error)
        return None

    def fragments(
        self, suspect: Responses
    ) -> tuple[Float[np.ndarray, "n o"], Float[np.ndarray, "n o"]]:
        """Computes the DNA of source and suspect (Eq. 4).

        Raises:
            ValueError: the suspect answered other queries, or cannot be read.
        """
        self.source.check_same_queries(suspect)
        return self._make(read_as(self.config, suspect))

    @functools.cached_property
    def _make(self) -> Callable[[Responses], tuple[np.ndarray, np.ndarray]]:
        return fragment_maker(self.config, self.source, self.latents)

    def source_fragments(self) -> Float[np.ndarray, "n o"]:
        """Computes the DNA of the source alone (Eq. 4).

        Raises:
            ValueError: the latents are too wide for the queries.
        """
        return make_source_fragments(self.config, self.source, self.latents)

    def fragment_scores(self, suspect: Responses) -> Float[np.ndarray, " n"]:
        """Computes ``f_p`` for each query: near 1 where the fragment looks homologous (Eq. 9).

        Raises:
            ValueError: as :meth:`fragments`; or a score is not finite.
        """
        s, t = self.fragments(suspect)
        scores = mgmp_step.classify(self.config, self.classifier, s, t)
        if not np.isfinite(scores).all():
            raise ValueError(
                f"the scores of {suspect.model or 'the suspect'} are not finite: its responses "
                f"reach {np.abs(suspect.values).max():.3g}, far from what the pool answers"
            )
        return scores

    def score(self, suspect: Responses) -> float:
        """Computes the DNA score, the mean of the fragment scores, from 0 to 1.

        Raises:
            ValueError: as :meth:`fragment_scores`.
        """
        return float(np.mean(self.fragment_scores(suspect), dtype=np.float64))

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Gives all that :meth:`from_arrays` needs."""
        about = {
            **self.settings,
            "source": self.source.about,
            "asks": self.asks,
            "name": self.name,
        }
        flat = flatten_dict(self.classifier, sep="/")
        arrays = {f"classifier/{k}": np.asarray(v) for k, v in flat.items()}
        arrays["source"] = self.source.values
        if self.latents is not None:
            arrays["latents"] = self.latents
        return about, arrays

    @classmethod
    def from_arrays(cls, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> FittedMGMP:
        """Makes it again from what :meth:`to_arrays` gave.

        Raises:
            ValueError: the weights are not finite, or not those of the config.
        """
        flat = {
            name.removeprefix("classifier/"): array
            for name, array in arrays.items()
            if name.startswith("classifier/")
        }
        for name, array in flat.items():
            if not np.isfinite(array).all():
                raise ValueError(f"the classifier's weights {name} are not finite")
        return cls(
            MGMPConfig(**about["config"]),
            Responses(arrays["source"], **about["source"]),
            arrays.get("latents"),
            unflatten_dict(flat, sep="/"),
            about["asks"],
            about["name"],
            about["knows_siblings"],
        )


def _order(
    n: int, batch_size: int, seed: int, pairs: int, epoch: int, *, paired: bool
) -> dict[str, np.ndarray]:
    """An epoch's queries and, for each mini-batch, one pair of models drawn at random.

    Models whose background is their own task's are drawn as they are ``paired``.
    """
    queries = training.epoch_order(n, batch_size, seed, epoch)
    drawn = np.random.default_rng([seed, epoch, 1]).integers((pairs, pairs), size=(len(queries), 2))
    if paired:
        drawn[:, 1] = drawn[:, 0]
    return {"query": queries, "pair": drawn}


def _start_generator(
    variables: dict[str, Any], config: MGMPConfig, params: Mapping[str, Any]
) -> None:
    generator = variables["params"].get("generator", {})
    shapes = {layer: jax.tree.map(np.shape, below) for layer, below in generator.items()}
    for layer, below in params.items():
        if jax.tree.map(np.shape, below) != shapes.get(layer):
            raise ValueError(
                f"generator_params[{layer!r}] does not fit the generator {config.generator!r}: "
                f"expected {shapes.get(layer, f'one of the layers {list(shapes)}')}"
            )
    variables["params"]["generator"] = {**generator, **params}


def _claim(folder: Path, config: MGMPConfig, seed: int, arrays: Any) -> None:
    """Writes down what is trained in a folder, or checks that it is what is written there."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(arrays):
        digest.update(np.asarray(leaf).tobytes())
    run = {"config": dataclasses.asdict(config), "seed": seed, "arrays": digest.hexdigest()}
    path = folder / "run.json"
    if not path.is_file():
        files.write_json(path, run)
        return
    found = files.read_json(path)
    different = [name for name in run if found.get(name) != run[name]]
    if different:
        raise ValueError(
            f"{folder} holds an MGMP trained with other {' and '.join(different)} (arrays are the "
            "responses, latents and starting weights); choose another folder, or delete it"
        )
