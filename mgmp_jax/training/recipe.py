"""How a classifier is trained: a recipe, and the supervised step that it asks for."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mgmp_jax import data as datasets
from mgmp_jax.arrays import check_whole
from mgmp_jax.data.augment import Augmentation, augment
from mgmp_jax.training import loop

__all__ = ["Recipe", "classification_step"]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    Args:
        epochs: passes over the training examples.
        batch_size: examples a step.
        learning_rate: the highest; it rises over the first tenth of the steps and falls to
            zero as a cosine.
        optimizer: SGD with Nesterov momentum 0.9, or Adam.
        weight_decay: L2 penalty, added to the gradient.
        augment: of the training images.
        frozen: how many of the lowest layers keep the weights that they start with. Their batch
            norms use the batch's statistics in training, and their own when the model answers.
        checkpoints: how many along the training to keep, evenly spaced, the last included.
    """

    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    optimizer: Literal["sgd", "adam"] = "sgd"
    weight_decay: float = 5e-4
    augment: Augmentation = "crop-flip"
    frozen: int = 0
    checkpoints: int = 1

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("frozen", 0), ("checkpoints", 1)):
            check_whole(name, getattr(self, name), least)
        if self.checkpoints > self.epochs:
            raise ValueError(
                f"checkpoints must be from 1 to the {self.epochs} epochs, got {self.checkpoints}"
            )
        for name, value in (
            ("learning_rate", self.learning_rate),
            ("weight_decay", self.weight_decay),
        ):
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if not is_number or not 0 <= value < float("inf"):
                raise ValueError(f"{name} must be a finite number, at least 0; got {value!r}")
        for name, choices in (("optimizer", ("sgd", "adam")), ("augment", get_args(Augmentation))):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} must be one of {', '.join(choices)}; got {getattr(self, name)!r}"
                )

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """Lists the epochs after which the weights are kept, ascending."""
        kept = np.linspace(self.epochs / self.checkpoints, self.epochs, self.checkpoints)
        return tuple(round(float(epoch)) for epoch in kept)


@functools.lru_cache(maxsize=8)
def classification_step(
    module: Any, recipe: Recipe, steps: int, *, stacked: bool
) -> tuple[loop.Step, optax.GradientTransformation]:
    """Makes the supervised step of a recipe and its optimiser.

    Args:
        module: a classifier from :func:`mgmp_jax.models.create`; batches hold its ``inputs``
            and their ``labels``: classes ``[b]`` or probabilities ``[b, c]``.
        recipe: how it is trained.
        steps: of the whole training, over which the learning rate runs its course.
        stacked: whether states, batches and keys are those of several models, by ``vmap``.

    Raises:
        ValueError: more layers are to be frozen than leave one to train.
    """
    if not 0 <= recipe.frozen < len(module.layers):
        raise ValueError(
            f"frozen must be from 0 to {len(module.layers) - 1}, the model has "
            f"{len(module.layers)} layers; got {recipe.frozen}"
        )
    frozen = module.layers[len(module.layers) - recipe.frozen :]
    optimizer = _optimizer(recipe, steps, frozen)

    def loss_fn(params: Any, batch_stats: Any, batch: loop.Batch, key: Any):
        augment_key, dropout_key = jax.random.split(key)
        inputs = augment(datasets.model_inputs(batch["inputs"]), augment_key, recipe.augment)
        params = {
            layer: jax.lax.stop_gradient(below) if layer in frozen else below
            for layer, below in params.items()
        }
        logits, updates = module.apply(
            {"params": params, "batch_stats": batch_stats},
            inputs,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        labels = batch["labels"]
        if labels.ndim == 1:
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        else:
            losses, labels = optax.softmax_cross_entropy(logits, labels), labels.argmax(axis=-1)
        accuracy = jnp.mean(logits.argmax(axis=-1) == labels)
        new = {**updates.get("batch_stats", {})}
        new |= {layer: batch_stats[layer] for layer in frozen if layer in batch_stats}
        return jnp.mean(losses), (new, {"accuracy": accuracy})

    step = loop.make_step(loss_fn, optimizer)
    return (jax.vmap(step) if stacked else step), optimizer


def _optimizer(recipe: Recipe, steps: int, frozen: tuple[str, ...]) -> optax.GradientTransformation:
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, recipe.learning_rate, max(steps // 10, 1), max(steps, 2)
    )
    optimizer = optax.chain(
        optax.add_decayed_weights(recipe.weight_decay),
        optax.sgd(schedule, momentum=0.9, nesterov=True)
        if recipe.optimizer == "sgd"
        else optax.adam(schedule),
    )
    if not frozen:
        return optimizer
    return optax.partition(
        {True: optax.set_to_zero(), False: optimizer},
        lambda params: {layer: layer in frozen for layer in params},
    )
