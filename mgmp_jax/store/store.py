"""The model store: trains models, keeps them, and takes their responses."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special

from mgmp_jax import data as datasets
from mgmp_jax import models, training
from mgmp_jax.checkpoint import Checkpoints
from mgmp_jax.data import Examples
from mgmp_jax.data.tokenizer import Tokenizer
from mgmp_jax.models.pretrained import pretrained_vocab_size
from mgmp_jax.processes import first_alone, first_says
from mgmp_jax.queries import Modality, QuerySet, modality_of
from mgmp_jax.responses import ResponseKind, Responses
from mgmp_jax.seal import read_sealed
from mgmp_jax.store import initial
from mgmp_jax.store.group import train_group
from mgmp_jax.store.spec import ModelSpec

__all__ = ["ModelStore"]


class ModelStore:
    """Keeps trained models in a folder, each made once and found again by its spec.

    Args:
        folder: one sub-folder a model lies there.
        data_dir: as for :func:`mgmp_jax.data.load`.
        download: as for :func:`mgmp_jax.data.load`.
        tokenizer: as for :func:`mgmp_jax.data.load`; models of texts need one.
        pretrained: the folder of the checkpoint that models with ``pretrained`` start from;
            needed also to read them where its embedding table exceeds the tokenizer's vocabulary.

    Raises:
        ValueError: checkpoints cannot be kept in the folder.
    """

    def __init__(
        self,
        folder: str | Path,
        data_dir: str | Path | None = None,
        *,
        download: bool = False,
        tokenizer: Tokenizer | None = None,
        pretrained: str | Path | None = None,
    ) -> None:
        self.folder = Path(folder)
        options = {"download": download, "tokenizer": tokenizer, "pretrained": pretrained}
        self._opened_by = functools.partial(ModelStore, folder, data_dir, **options)
        Checkpoints(self.folder)  # refuses a path that none can be kept in, before any training
        self._tokenizer = tokenizer
        self._tokens = None if tokenizer is None else tokenizer.tokens
        self._pretrained = pretrained
        self._table_size = functools.cache(
            lambda: 0 if pretrained is None else pretrained_vocab_size(pretrained)
        )
        self._encoded = functools.lru_cache(4)(lambda queries: self.encode(queries.inputs))
        self._load = functools.cache(
            lambda name, split, **part: datasets.load(
                name, split, data_dir, download=download, tokenizer=tokenizer, **part
            )
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Goes to another process as what it was opened with, without what it has loaded."""
        return self._opened_by, ()

    def examples(self, spec: ModelSpec, split: str) -> Examples:
        """Loads what a model is trained or tested on.

        The labels of a student are the answers of its teacher, which must be trained.

        Args:
            spec: the model.
            split: ``"train"`` or ``"test"``.

        Raises:
            ValueError: there are fewer than ``spec.num_examples``, or the spec reads other
                tokens than the store's tokenizer makes.
        """
        if spec.tokens != self._tokens:
            raise ValueError(
                f"{spec.address} reads {spec.tokens}, but the store's tokenizer makes "
                f"{self._tokens}"
            )
        is_training = split == "train"
        skip, wanted = (spec.skip, spec.num_examples) if is_training else (0, None)
        classes = None if spec.subset is None else tuple(self.classes(spec))
        is_generated = spec.data.startswith(("glyphs", "topics"))
        number = _num_generated(spec, split) if is_generated else None
        drawn = classes if spec.data.startswith("glyphs") else None
        whole = self._load(spec.data, split, limit=number, classes=drawn)
        if classes is not None and drawn is None:
            whole = whole.of_classes(classes)
        self._check_reads(spec, modality_of(whole.inputs), f"the examples of {spec.data}")
        if skip + (wanted or 1) > len(whole):
            raise ValueError(
                f"{spec.address} is to be trained on {wanted} examples"
                f"{f' after the first {skip}' if skip else ''}, but its part of {spec.data} has "
                f"{len(whole)}; ask for fewer, or bring the whole data set"
            )
        examples = whole.take(wanted, skip)
        if spec.teacher is None:
            return examples
        logits, _ = training.predict(
            self.module(spec.teacher), self.variables(spec.teacher), examples.inputs
        )
        taught = scipy.special.softmax(logits, axis=-1)
        if spec.answers == "labels":
            taught = logits.argmax(axis=-1).astype(np.int32)
        return dataclasses.replace(examples, labels=taught, num_classes=logits.shape[1])

    def classes(self, spec: ModelSpec) -> list[int]:
        """Lists the classes of ``spec.subset``, in the order of their new labels.

        Raises:
            ValueError: there is no such subset.
        """
        num_subsets = _num_subsets(spec)
        subsets = datasets.class_subsets(_num_classes(spec), num_subsets)
        if spec.subset is None or not 0 <= spec.subset < len(subsets):
            raise ValueError(f"{spec.data} has subsets 0 to {len(subsets) - 1}, got {spec.subset}")
        return subsets[spec.subset].tolist()

    def module(self, spec: ModelSpec) -> Any:
        """Makes the Flax module of a model.

        The embedding table of a model of texts is as large as that of the store's checkpoint,
        where this is larger than the tokenizer's vocabulary.

        Raises:
            ValueError: the spec is impossible.
        """
        if spec.arch in models.names() and (spec.arch in models.TEXT_MODELS) != bool(spec.tokens):
            raise ValueError(
                f"{spec.address}: {spec.arch} reads "
                + ("images; leave tokens out" if spec.tokens else "texts; give tokens")
            )
        if spec.teacher is not None:
            outputs = self.module(spec.teacher).num_outputs
            return self.module(dataclasses.replace(spec, teacher=None)).clone(num_outputs=outputs)
        whole = _num_classes(spec)
        num_outputs = whole if spec.subset is None else len(self.classes(spec))
        options: dict[str, Any] = {"dtype": training.compute_dtype()}
        if spec.width is not None:
            options["width"] = spec.width
        if spec.tokens is not None:
            options["vocab_size"] = max(spec.tokens.vocab_size, self._table_size())
        return models.create(spec.arch, num_outputs=num_outputs, **options)

    def forget(self, spec: ModelSpec) -> None:
        """Deletes what is kept of a model that is to be trained anew: weights, answers, accuracy.

        Raises:
            OSError: the disk refuses it.
        """
        folder = self.folder / spec.address
        (folder / "model.json").unlink(missing_ok=True)
        for part in ("weights", "responses"):
            if (folder / part).exists():
                shutil.rmtree(folder / part)

    def is_trained(self, spec: ModelSpec) -> bool:
        """Says whether the model is there, trained to its end."""
        is_done = (self.folder / spec.address / "model.json").is_file()
        return first_says(is_done and {*self.weights(spec).steps()} >= {*spec.recipe.kept_epochs})

    def train(self, specs: Sequence[ModelSpec], *, together: int = 1) -> None:
        """Trains those models that are not there yet, those they start or learn from first.

        Args:
            specs: any models; what is there already is passed over.
            together: how many models of one kind, with equally many images, are trained at
                once, by ``vmap`` over stacked parameters; models of texts are trained alone.

        Raises:
            ValueError: a spec is impossible.
            FloatingPointError: a training diverged.
        """
        if together < 1:
            raise ValueError(f"together must be at least 1, got {together}")
        missing = [spec for spec in dict.fromkeys(specs) if not self.is_trained(spec)]
        needed = [m for spec in missing for m in (spec.start, spec.teacher) if m is not None]
        if needed:
            self.train(needed, together=together)
        kinds: dict[tuple, list[ModelSpec]] = {}
        for spec in missing:
            if not self.is_trained(spec):  # else another needed it; texts differ in their batches
                plain = dataclasses.replace(spec, teacher=None)  # whose labels ask no teacher
                alone = spec.address if spec.tokens else len(self.examples(plain, "train"))
                taught = spec.teacher is not None and spec.answers == "probabilities"
                kind = self.module(spec), spec.recipe, alone, taught
                kinds.setdefault(kind, []).append(spec)
        for group in kinds.values():
            for i in range(0, len(group), together):
                train_group(self, group[i : i + together])

    def variables(self, spec: ModelSpec, epoch: int | None = None) -> dict[str, Any]:
        """Reads parameters and batch statistics.

        Args:
            spec: the model.
            epoch: after which of the recipe's ``kept_epochs``; the last by default.

        Raises:
            FileNotFoundError: the model is not trained, or that epoch was not kept.
            ValueError: the stored weights are damaged.
        """
        return self.weights(spec).restore(initial.abstract_variables(self.module(spec)), epoch)

    def starting_params(self, spec: ModelSpec) -> dict[str, Any]:
        """Gives the parameters that a model starts from, by layer, without its last layer."""
        params, last = self.initial_variables(spec)["params"], self.module(spec).layers[0]
        return {layer: below for layer, below in params.items() if layer != last}

    def accuracy(self, spec: ModelSpec) -> dict[str, float]:
        """Reads the accuracy of a trained model on its ``"train"`` and ``"test"`` examples.

        Of a student it is the agreement with its teacher.

        Raises:
            FileNotFoundError: the model is not trained.
            ValueError: what was written of it is damaged.
        """
        return read_sealed(self.folder / spec.address / "model.json")["accuracy"]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes raw texts to the int32 token ids ``[n, l]`` that its models read.

        Raises:
            ValueError: the store has no tokenizer.
        """
        if self._tokenizer is None:
            raise ValueError("the store has no tokenizer: give ModelStore(tokenizer=...)")
        return self._tokenizer.encode(texts)

    def queries(self, spec: ModelSpec, split: str = "train", count: int | None = None) -> QuerySet:
        """Makes a query set of a model's examples, in their order.

        Args:
            spec: the model.
            split: what it was trained (``"train"``) or is tested on (``"test"``).
            count: only the first so many.

        Raises:
            ValueError: there are fewer, or none at all as :meth:`examples` says.
        """
        examples = self.examples(dataclasses.replace(spec, teacher=None), split)
        if count is not None and not 1 <= count <= len(examples):
            raise ValueError(
                f"count must be from 1 to the {len(examples)} examples of {spec.address} "
                f"({split}), got {count}"
            )
        examples = examples.take(count)
        if examples.texts is not None:
            return QuerySet.texts(examples.texts)
        return QuerySet.images(examples.inputs)

    def responses(
        self,
        spec: ModelSpec,
        queries: QuerySet,
        *,
        kind: ResponseKind = "logits",
        epoch: int | None = None,
    ) -> Responses:
        """Takes the responses of a trained model.

        Logits and embeddings are computed once and kept; other kinds are converted from logits.
        Whoever asks for an embedding has the logits kept beside it: ask for it first.

        Args:
            spec: the model.
            queries: what it is asked; texts are encoded by the store's tokenizer.
            kind: of the responses; an embedding is the input of the last layer, or of a text the
                first token's last hidden state.
            epoch: after which of the recipe's ``kept_epochs``; the last by default.

        Raises:
            FileNotFoundError: the model is not trained, or that epoch was not kept.
            ValueError: the model does not read such queries, the kind cannot be had from logits,
                or what is kept is damaged.
        """
        if kind not in ("logits", "embedding"):
            return self.responses(spec, queries, epoch=epoch).to(kind)
        self._check_queries(spec, queries)
        epoch = spec.recipe.epochs if epoch is None else epoch
        end = f"epoch{epoch}-{queries.digest[:12]}"
        dtype = np.dtype(training.compute_dtype()).name
        end += "" if dtype == "float32" else f"-{dtype}"
        folder = self.folder / spec.address / "responses"
        path = folder / f"{kind}-{end}.npz"
        if first_says(path.is_file()):
            return Responses.load(path)
        variables = self.variables(spec, epoch)
        logits, embedding = training.predict(self.module(spec), variables, self._inputs(queries))
        values = logits if kind == "logits" else embedding
        kept: dict[ResponseKind, np.ndarray] = {"logits": logits, kind: values}
        model = f"{spec.address}@{epoch}"
        found = {one: Responses(values, one, queries, model) for one, values in kept.items()}
        for one, responses in found.items():
            path = folder / f"{one}-{end}.npz"
            if not first_says(path.is_file()):
                first_alone(functools.partial(responses.save, path))
        return found[kind]

    def _check_reads(self, spec: ModelSpec, given: Modality, what: str) -> None:
        wanted = initial.reads(self.module(spec))
        if given != wanted:
            raise ValueError(f"{spec.address} reads {wanted}, but {what} are {given}")

    def _check_queries(self, spec: ModelSpec, queries: QuerySet) -> None:
        self._check_reads(spec, queries.modality, "the queries")
        if queries.modality == "images" and queries.inputs.shape[1:] != initial.IMAGE:
            raise ValueError(
                f"{spec.address} reads images {list(initial.IMAGE)}, got "
                f"{list(queries.inputs.shape[1:])}; scale them"
            )

    def _inputs(self, queries: QuerySet) -> np.ndarray:
        """What a model is fed of queries: their pixels, or the token ids of their texts."""
        return self._encoded(queries) if queries.modality == "texts" else queries.inputs

    def weights(self, spec: ModelSpec) -> Checkpoints:
        """Opens what is kept of a model's training: its variables after each kept epoch."""
        return Checkpoints(self.folder / spec.address / "weights", keep=None)

    def initial_variables(self, spec: ModelSpec) -> dict[str, Any]:
        """Makes what a model's training starts from.

        Raises:
            FileNotFoundError: the model that it starts from is not trained, or the checkpoint not
                there.
            ValueError: either does not fit.
        """
        module = self.module(spec)
        if spec.start is not None:
            trained = self.variables(spec.start)
            return initial.descended_variables(module, spec, spec.start, trained)
        if spec.pretrained is not None:
            return initial.pretrained_variables(module, spec, self._pretrained)
        return initial.fresh_variables(module, spec.seed)


def _num_classes(spec: ModelSpec) -> int:
    datasets.check_name(spec.data)
    return datasets.NUM_CLASSES[spec.data]


def _num_subsets(spec: ModelSpec) -> int:
    return spec.subsets or datasets.NUM_SUBSETS.get(spec.data, 1)


def _num_generated(spec: ModelSpec, split: str) -> int:
    """Examples are generated on demand, classes in turn: enough for every subset's share."""
    wanted = 1000 if split == "test" else spec.skip + (spec.num_examples or 10_000)
    return wanted if spec.subset is None else _num_subsets(spec) * wanted
