"""Source, homologous and non-homologous models: train them, keep them, take their responses."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.special

from mgmp_jax import data as datasets
from mgmp_jax import files, models, training
from mgmp_jax.checkpoint import Checkpoints
from mgmp_jax.data import ImageData
from mgmp_jax.data.augment import Augmentation, augment
from mgmp_jax.responses import ResponseKind, Responses, query_digest

__all__ = ["ModelSpec", "Pool", "Recipe"]

_EXAMPLE = np.zeros((1, 32, 32, 3), np.float32)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a pool model is trained.

    Args:
        epochs: passes over the training images.
        batch_size: images a step.
        learning_rate: the highest; it rises over the first tenth of the steps and falls to
            zero as a cosine.
        optimizer: SGD with Nesterov momentum 0.9, or Adam.
        weight_decay: L2 penalty, added to the gradient.
        augment: of the training images.
        snapshots: how many states along the training to keep, evenly spaced, the last included.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    optimizer: Literal["sgd", "adam"] = "sgd"
    weight_decay: float = 5e-4
    augment: Augmentation = "crop-flip"
    snapshots: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.snapshots <= self.epochs:
            raise ValueError(
                f"snapshots must be from 1 to the {self.epochs} epochs, got {self.snapshots}"
            )

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """The epochs after which the weights are kept, ascending."""
        kept = np.linspace(self.epochs / self.snapshots, self.epochs, self.snapshots)
        return tuple(round(float(epoch)) for epoch in kept)


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """All that makes a pool model what it is; equal specs are one model.

    Args:
        arch: a name that :func:`mgmp_jax.models.create` knows.
        width: of the architecture, ``None`` for its own.
        data: a name that :func:`mgmp_jax.data.load` knows.
        subset: which of the ten disjoint class subsets, ``None`` for all classes.
        num_images: how many training images, ``None`` for all.
        start: the model whose weights it starts from, ``None`` for random ones.
        head: whether the last layer of ``start`` is kept or initialised anew.
        seed: of initialisation, batch order, augmentation and dropout.
        recipe: how it is trained.
    """

    arch: str
    data: str
    recipe: Recipe
    width: int | None = None
    subset: int | None = None
    num_images: int | None = None
    start: ModelSpec | None = None
    head: Literal["keep", "reinit"] = "keep"
    seed: int = 0

    @property
    def address(self) -> str:
        """A readable name, unique to the spec; the model's folder."""
        text = json.dumps(dataclasses.asdict(self), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        task = self.data if self.subset is None else f"{self.data}.{self.subset}"
        start = "scratch" if self.start is None else f"from-{self.start.address[-6:]}"
        return f"{self.arch}-{task}-{start}-seed{self.seed}-{digest}"


class Pool:
    """Trained models in a folder, each made once and found again by its spec.

    Args:
        folder: one sub-folder a model lies there.
        data_dir: as for :func:`mgmp_jax.data.load`.
        download: as for :func:`mgmp_jax.data.load`.
    """

    def __init__(
        self, folder: str | Path, data_dir: str | Path | None = None, *, download: bool = False
    ) -> None:
        self.folder = Path(folder)
        self._load = functools.cache(
            lambda name, split, limit: datasets.load(
                name, split, data_dir, limit=limit, download=download
            )
        )

    def images(self, spec: ModelSpec, split: str) -> ImageData:
        """The images that a model is trained (``"train"``) or tested on.

        Raises:
            ValueError: there are fewer than ``spec.num_images``.
        """
        wanted = spec.num_images if split == "train" else None
        is_glyphs = spec.data.startswith("glyphs")
        whole = self._load(spec.data, split, _num_glyphs(spec, split) if is_glyphs else None)
        if spec.subset is not None:
            whole = whole.of_classes(self.classes(spec))
        if wanted is not None and wanted > len(whole):
            raise ValueError(
                f"{spec.address} is to be trained on {wanted} images, but its part of "
                f"{spec.data} has {len(whole)}; ask for fewer, or bring the whole data set"
            )
        return whole.take(wanted)

    def classes(self, spec: ModelSpec) -> list[int]:
        """The classes of ``spec.subset``, in the order of their new labels."""
        num_classes = 100 if spec.data.endswith("100") else 10
        subsets = datasets.class_subsets(num_classes, num_classes // 10)
        if spec.subset is None or not 0 <= spec.subset < len(subsets):
            raise ValueError(f"{spec.data} has subsets 0 to {len(subsets) - 1}, got {spec.subset}")
        return subsets[spec.subset].tolist()

    def module(self, spec: ModelSpec) -> Any:
        """The Flax module of a model."""
        num_outputs = 10 if spec.subset is not None else int(spec.data.lstrip("cifarglyphs"))
        options = {} if spec.width is None else {"width": spec.width}
        dtype = training.compute_dtype()
        return models.create(spec.arch, num_outputs=num_outputs, dtype=dtype, **options)

    def is_trained(self, spec: ModelSpec) -> bool:
        """Whether the model is there, trained to its end."""
        return (self.folder / spec.address / "model.json").is_file()

    def train(self, specs: Sequence[ModelSpec], *, together: int = 1) -> None:
        """Trains those models that are not there yet, their starting models first.

        Args:
            specs: any models; what is there already is passed over.
            together: how many models of one kind are trained at once, by ``vmap`` over
                stacked parameters.

        Raises:
            ValueError: a spec is impossible.
            FloatingPointError: a training diverged.
        """
        missing = [spec for spec in dict.fromkeys(specs) if not self.is_trained(spec)]
        self_and_starts = [spec.start for spec in missing if spec.start is not None]
        if self_and_starts:
            self.train(self_and_starts, together=together)
        kinds: dict[tuple, list[ModelSpec]] = {}
        for spec in missing:
            kinds.setdefault((spec.arch, spec.width, spec.recipe, spec.num_images), []).append(spec)
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

    def accuracy(self, spec: ModelSpec) -> dict[str, float]:
        """Accuracy of a trained model on its ``"train"`` images and on its ``"test"`` split."""
        return json.loads((self.folder / spec.address / "model.json").read_text())["accuracy"]

    def responses(
        self,
        spec: ModelSpec,
        queries: np.ndarray,
        *,
        kind: ResponseKind = "logits",
        epoch: int | None = None,
    ) -> Responses:
        """The responses of a trained model on ``queries``, computed once and kept.

        Args:
            spec: the model.
            queries: uint8 images, ``[n, h, w, 3]``.
            kind: of the responses; an embedding is the input of the last layer.
            epoch: which of the recipe's ``kept_epochs``; the last by default.
        """
        epoch = spec.recipe.epochs if epoch is None else epoch
        digest = query_digest(queries)
        name = f"{kind}-epoch{epoch}-{digest[:12]}.npz"
        path = self.folder / spec.address / "responses" / name
        if path.is_file():
            return Responses.load(path)
        logits, embedding = training.predict(
            self.module(spec), self.variables(spec, epoch), queries
        )
        values = {
            "logits": lambda: logits,
            "probs": lambda: scipy.special.softmax(logits, axis=-1),
            "logprobs": lambda: scipy.special.log_softmax(logits, axis=-1),
            "embedding": lambda: embedding,
        }[kind]()
        responses = Responses(values, kind, digest, f"{spec.address}@{epoch}")
        responses.save(path)
        return responses

    def _train_group(self, group: list[ModelSpec]) -> None:
        """Trains one model, or several of one kind stacked; stores weights and accuracies."""
        recipe, module = group[0].recipe, self.module(group[0])
        images = [self.images(spec, "train") for spec in group]
        n = min(len(data) for data in images)
        steps = max(n // recipe.batch_size, 1) * recipe.epochs
        step, optimizer = _classification_step(module, recipe, steps, stacked=len(group) > 1)
        states = [training.create_state(self._initial_variables(spec), optimizer) for spec in group]
        keys = [jax.random.key(spec.seed) for spec in group]

        def order(epoch: int) -> np.ndarray:
            seeds = [spec.seed for spec in group]
            orders = [training.epoch_order(n, recipe.batch_size, s, epoch) for s in seeds]
            return np.stack(orders, axis=1) if len(group) > 1 else orders[0]

        def keep_weights(epoch: int, state: training.TrainState) -> None:
            if epoch in recipe.kept_epochs:
                for i, spec in enumerate(group):
                    one = state if len(group) == 1 else jax.tree.map(lambda x, i=i: x[i], state)
                    weights = Checkpoints(self.folder / spec.address / "weights", keep=None)
                    weights.save(epoch, one.variables)

        if len(group) == 1:
            data = {"images": images[0].images, "labels": images[0].labels}
            state, key, gather = states[0], keys[0], training.take
            folder = self.folder / group[0].address
        else:
            data = {
                "images": np.stack([d.images[:n] for d in images]),
                "labels": np.stack([d.labels[:n] for d in images]),
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
            name=" + ".join(spec.address.rsplit("-", 1)[0] for spec in group),
        )
        for spec, train_images in zip(group, images, strict=True):
            self._finish(spec, train_images)
        Checkpoints(folder / "state").delete()

    def _finish(self, spec: ModelSpec, train_images: ImageData) -> None:
        variables = self.variables(spec)
        accuracy = {}
        for split, data in (("train", train_images), ("test", self.images(spec, "test"))):
            logits, _ = training.predict(self.module(spec), variables, data.images)
            accuracy[split] = float(np.mean(logits.argmax(axis=-1) == data.labels))
        about = {"spec": dataclasses.asdict(spec), "accuracy": accuracy}
        files.write_json(self.folder / spec.address / "model.json", about)

    def _initial_variables(self, spec: ModelSpec) -> dict[str, Any]:
        module = self.module(spec)
        fresh = _split(
            jax.jit(functools.partial(module.init, train=False))(
                jax.random.key(spec.seed), _EXAMPLE
            )
        )
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


@functools.lru_cache(maxsize=8)
def _abstract_variables(module: Any) -> dict[str, Any]:
    init = functools.partial(module.init, train=False)
    return jax.eval_shape(lambda x: _split(init(jax.random.key(0), x)), _EXAMPLE)


@functools.lru_cache(maxsize=8)
def _classification_step(
    module: Any, recipe: Recipe, steps: int, *, stacked: bool
) -> tuple[training.Step, optax.GradientTransformation]:
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, max(steps // 10, 1), max(steps, 2)
    )
    optimizer = optax.chain(
        optax.add_decayed_weights(recipe.weight_decay),
        optax.sgd(schedule, momentum=0.9, nesterov=True)
        if recipe.optimizer == "sgd"
        else optax.adam(schedule),
    )

    def loss_fn(params: Any, batch_stats: Any, batch: training.Batch, key: Any):
        augment_key, dropout_key = jax.random.split(key)
        images = augment(datasets.normalise(batch["images"]), augment_key, recipe.augment)
        logits, updates = module.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"])
        accuracy = jnp.mean(logits.argmax(axis=-1) == batch["labels"])
        return jnp.mean(losses), (updates.get("batch_stats", {}), {"accuracy": accuracy})

    step = training.make_step(loss_fn, optimizer)
    return (jax.vmap(step) if stacked else step), optimizer


def _take_stacked(data: Any, index: Any) -> Any:
    models_axis = np.arange(index.shape[0])[:, None]
    return jax.tree.map(lambda array: array[models_axis, index], data)


def _split(variables: Any) -> dict[str, Any]:
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}


def _num_glyphs(spec: ModelSpec, split: str) -> int:
    """Glyphs are generated on demand, classes in turn: enough for every subset's share."""
    if split == "test":
        return 1000 if spec.subset is None else 10_000
    wanted = spec.num_images or 10_000
    return wanted if spec.subset is None else 10 * wanted
