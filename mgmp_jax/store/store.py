"""The model store: trains models, keeps them, and takes their responses."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from mgmp_jax import data as datasets
from mgmp_jax import files, models, training
from mgmp_jax.checkpoint import Checkpoints
from mgmp_jax.data import Examples
from mgmp_jax.data.buckets import bucket
from mgmp_jax.data.tokenizer import Tokenizer
from mgmp_jax.models.pretrained import digest_pretrained, load_pretrained, pretrained_vocab_size
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import ResponseKind, Responses
from mgmp_jax.store.spec import ModelSpec
from mgmp_jax.training.recipe import classification_step

__all__ = ["ModelStore"]

_IMAGE = (32, 32, 3)


class ModelStore:
    """Keeps trained models in a folder, each made once and found again by its spec.

    Args:
        folder: one sub-folder a model lies there.
        data_dir: as for :func:`mgmp_jax.data.load`.
        download: as for :func:`mgmp_jax.data.load`.
        tokenizer: as for :func:`mgmp_jax.data.load`; models of texts need one.
        pretrained: the folder of the checkpoint that models with ``pretrained`` start from.
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
        self._tokenizer = tokenizer
        self._tokens = None if tokenizer is None else tokenizer.tokens
        self._pretrained = pretrained
        self._load = functools.cache(
            lambda name, split, limit: datasets.load(
                name, split, data_dir, limit=limit, download=download, tokenizer=tokenizer
            )
        )

    def examples(self, spec: ModelSpec, split: str) -> Examples:
        """What a model is trained (``"train"``) or tested on.

        The labels of a student are its teacher's answers, which must be trained.

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
        is_generated = spec.data.startswith(("glyphs", "topics"))
        whole = self._load(spec.data, split, _num_generated(spec, split) if is_generated else None)
        if spec.subset is not None:
            whole = whole.of_classes(self.classes(spec))
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
        """The classes of ``spec.subset``, in the order of their new labels."""
        num_subsets = datasets.NUM_SUBSETS.get(spec.data, 1)
        subsets = datasets.class_subsets(datasets.NUM_CLASSES[spec.data], num_subsets)
        if spec.subset is None or not 0 <= spec.subset < len(subsets):
            raise ValueError(f"{spec.data} has subsets 0 to {len(subsets) - 1}, got {spec.subset}")
        return subsets[spec.subset].tolist()

    def module(self, spec: ModelSpec) -> Any:
        """The Flax module of a model."""
        if spec.teacher is not None:
            outputs = self.module(spec.teacher).num_outputs
            return self.module(dataclasses.replace(spec, teacher=None)).clone(num_outputs=outputs)
        whole = datasets.NUM_CLASSES[spec.data]
        num_outputs = whole if spec.subset is None else len(self.classes(spec))
        options: dict[str, Any] = {"dtype": training.compute_dtype()}
        if spec.width is not None:
            options["width"] = spec.width
        if spec.tokens is not None:
            options["vocab_size"] = max(spec.tokens.vocab_size, self._pretrained_vocab_size())
        return models.create(spec.arch, num_outputs=num_outputs, **options)

    def is_trained(self, spec: ModelSpec) -> bool:
        """Whether the model is there, trained to its end."""
        return (self.folder / spec.address / "model.json").is_file()

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
            if self.is_trained(spec):  # another of them needed it
                continue
            # Texts are batched by length, so no two models of texts have the same batches.
            alone = spec.address if spec.tokens else len(self.examples(spec, "train"))
            kinds.setdefault((self.module(spec), spec.recipe, alone), []).append(spec)
        for group in kinds.values():
            for i in range(0, len(group), together):
                self._train_group(group[i : i + together])

    def variables(self, spec: ModelSpec, epoch: int | None = None) -> dict[str, Any]:
        """Parameters and batch statistics after ``epoch`` (one of ``kept_epochs``) or the last.

        Raises:
            FileNotFoundError: the model is not trained, or that epoch was not kept.
            ValueError: the stored weights are damaged.
        """
        like = _abstract_variables(self.module(spec))
        return Checkpoints(self.folder / spec.address / "weights").restore(like, epoch)

    def starting_params(self, spec: ModelSpec) -> dict[str, Any]:
        """The parameters that a model starts from, layer by layer, without its last layer."""
        params, last = self._initial_variables(spec)["params"], self.module(spec).layers[0]
        return {layer: below for layer, below in params.items() if layer != last}

    def accuracy(self, spec: ModelSpec) -> dict[str, float]:
        """Accuracy of a trained model on its ``"train"`` examples and on its ``"test"`` split.

        Of a student it is the agreement with its teacher.
        """
        return files.read_json(self.folder / spec.address / "model.json")["accuracy"]

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encodes raw texts to the token ids ``[n, l]`` that its models read.

        Raises:
            ValueError: the store has no tokenizer.
        """
        if self._tokenizer is None:
            raise ValueError("the store has no tokenizer: give ModelStore(tokenizer=...)")
        return self._tokenizer.encode(texts)

    def queries(self, spec: ModelSpec, split: str = "train", count: int | None = None) -> QuerySet:
        """Makes a query set of the first examples of a model's ``split``, in their order.

        Args:
            spec: the model.
            split: what it was trained (``"train"``) or is tested on.
            count: how many, ``None`` for all.

        Raises:
            ValueError: as :meth:`examples`.
        """
        examples = self.examples(spec, split).take(count)
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
        """Takes the responses of a trained model; logits and embeddings are kept.

        Args:
            spec: the model.
            queries: what it is asked.
            kind: of the responses; an embedding is the input of the last layer, or of a text the
                first token's last hidden state.
            epoch: which of the recipe's ``kept_epochs``; the last by default.

        Raises:
            ValueError: the model does not read such queries.
        """
        if kind not in ("logits", "embedding"):
            return self.responses(spec, queries, epoch=epoch).to(kind)
        epoch = spec.recipe.epochs if epoch is None else epoch
        name = f"{kind}-epoch{epoch}-{queries.digest[:12]}.npz"
        path = self.folder / spec.address / "responses" / name
        if path.is_file():
            return Responses.load(path)
        logits, embedding = training.predict(
            self.module(spec), self.variables(spec, epoch), self._inputs(spec, queries)
        )
        values = logits if kind == "logits" else embedding
        responses = Responses(values, kind, queries, f"{spec.address}@{epoch}")
        responses.save(path)
        return responses

    def _inputs(self, spec: ModelSpec, queries: QuerySet) -> np.ndarray:
        """What a model is fed of queries: their pixels, or the token ids of their texts."""
        reads = "texts" if spec.tokens else "images"
        if queries.modality != reads:
            raise ValueError(f"{spec.address} reads {reads}, the queries are {queries.modality}")
        if reads == "texts":
            return self.encode(queries.inputs)
        shape = queries.inputs.shape[1:]
        if shape != _IMAGE:
            raise ValueError(f"{spec.address} reads images {list(_IMAGE)}, got {list(shape)}")
        return queries.inputs

    def _pretrained_vocab_size(self) -> int:
        return 0 if self._pretrained is None else pretrained_vocab_size(self._pretrained)

    def _train_group(self, group: list[ModelSpec]) -> None:
        """Trains one model, or several of one kind stacked; stores weights and accuracies."""
        recipe, module = group[0].recipe, self.module(group[0])
        examples = [self.examples(spec, "train") for spec in group]
        n = len(examples[0])
        by_length = group[0].tokens is not None
        buckets = bucket(examples[0].inputs) if by_length else None
        steps = max(n // recipe.batch_size, 1) * recipe.epochs
        step, optimizer = classification_step(module, recipe, steps, stacked=len(group) > 1)
        states = [training.create_state(self._initial_variables(spec), optimizer) for spec in group]
        keys = [jax.random.key(spec.seed) for spec in group]

        def order(epoch: int) -> np.ndarray:
            orders = [
                training.epoch_order(n, recipe.batch_size, spec.seed, epoch, buckets)
                for spec in group
            ]
            return np.stack(orders, axis=1) if len(group) > 1 else orders[0]

        def keep_weights(epoch: int, state: training.TrainState) -> None:
            if epoch in recipe.kept_epochs:
                for i, spec in enumerate(group):
                    one = state if len(group) == 1 else jax.tree.map(lambda x, i=i: x[i], state)
                    weights = Checkpoints(self.folder / spec.address / "weights", keep=None)
                    weights.save(epoch, one.variables)

        if len(group) == 1:
            data = {"inputs": examples[0].inputs, "labels": examples[0].labels}
            state, key = states[0], keys[0]
            gather = training.take_trimmed if by_length else training.take
            folder = self.folder / group[0].address
        else:
            data = {
                "inputs": np.stack([d.inputs for d in examples]),
                "labels": np.stack([d.labels for d in examples]),
            }
            state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
            key, gather = jnp.stack(keys), _take_stacked
            together = hashlib.sha256("".join(s.address for s in group).encode()).hexdigest()
            folder = self.folder / f"together-{together[:10]}"
        training.fit(
            step,
            state,
            data,
            order=order,
            epochs=recipe.epochs,
            key=key,
            gather=gather,
            folder=folder,
            on_epoch=keep_weights,
            scan=False if by_length else None,
            name=" + ".join(spec.address.rsplit("-", 1)[0] for spec in group),
        )
        accuracies = [self._accuracy(*one) for one in zip(group, examples, strict=True)]
        for spec, accuracy in zip(group, accuracies, strict=True):
            about = {"spec": dataclasses.asdict(spec), "accuracy": accuracy}
            files.write_json(self.folder / spec.address / "model.json", about)
        Checkpoints(folder / "state").delete()

    def _accuracy(self, spec: ModelSpec, train_examples: Examples) -> dict[str, float]:
        variables = self.variables(spec)
        accuracy = {}
        for split, data in (("train", train_examples), ("test", self.examples(spec, "test"))):
            logits, _ = training.predict(self.module(spec), variables, data.inputs)
            labels = data.labels if data.labels.ndim == 1 else data.labels.argmax(axis=-1)
            accuracy[split] = float(np.mean(logits.argmax(axis=-1) == labels))
        return accuracy

    def _initial_variables(self, spec: ModelSpec) -> dict[str, Any]:
        module = self.module(spec)
        if spec.start is None and spec.pretrained is not None:
            return self._pretrained_variables(spec)
        fresh = _compiled_init(module)(jax.random.key(spec.seed), _example(module))
        if spec.start is None:
            return fresh
        start = jax.tree.map(jnp.asarray, self.variables(spec.start))
        head = module.layers[0]
        if spec.head == "reinit":
            return {**start, "params": {**start["params"], head: fresh["params"][head]}}
        shapes = [jax.tree.map(jnp.shape, v["params"][head]) for v in (start, fresh)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{spec.address} cannot keep the head of {spec.start.address}: it has "
                f'{shapes[0]} and {shapes[1]} is needed; choose head="reinit"'
            )
        return start

    def _pretrained_variables(self, spec: ModelSpec) -> dict[str, Any]:
        if self._pretrained is None or digest_pretrained(self._pretrained) != spec.pretrained:
            raise ValueError(
                f"{spec.address} starts from the checkpoint {spec.pretrained}, but the store was "
                f"given {self._pretrained}; give the folder of that checkpoint"
            )
        module = self.module(spec)
        found, variables = load_pretrained(
            self._pretrained, num_outputs=module.num_outputs, head="reinit", seed=spec.seed
        )
        given, wanted = found.sizes, module.sizes
        if given != wanted:
            differences = [
                f"{k} is {given[k]}, not {wanted[k]}" for k in given if given[k] != wanted[k]
            ]
            raise ValueError(
                f"the checkpoint in {self._pretrained} is no {spec.arch} for this vocabulary: its "
                f"{'; its '.join(differences)}. Choose the architecture of the checkpoint, and "
                "its own tokenizer"
            )
        return variables


def _example(module: Any) -> np.ndarray:
    """The least input that a module can be initialised with."""
    if isinstance(module, models.Transformer):
        return np.zeros((1, 1), np.int32)
    return np.zeros((1, *_IMAGE), np.float32)


@functools.lru_cache(maxsize=8)
def _compiled_init(module: Any) -> Callable[[Any, Any], dict[str, Any]]:
    return jax.jit(lambda key, example: _split(module.init(key, example, train=False)))


@functools.lru_cache(maxsize=8)
def _abstract_variables(module: Any) -> dict[str, Any]:
    return jax.eval_shape(_compiled_init(module), jax.random.key(0), _example(module))


def _take_stacked(data: Any, index: Any) -> Any:
    models_axis = np.arange(index.shape[0])[:, None]
    return jax.tree.map(lambda array: array[models_axis, index], data)


def _split(variables: Any) -> dict[str, Any]:
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}


def _num_generated(spec: ModelSpec, split: str) -> int:
    """Examples are generated on demand, classes in turn: enough for every subset's share."""
    if split == "test":
        return 1000 if spec.subset is None else 10_000
    wanted = spec.skip + (spec.num_examples or 10_000)
    return wanted if spec.subset is None else 10 * wanted
