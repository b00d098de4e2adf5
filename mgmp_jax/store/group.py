"""Trains one model of a store, or several of one kind stacked; keeps weights and accuracies."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from mgmp_jax import training
from mgmp_jax.checkpoint import Checkpoints
from mgmp_jax.data import Examples
from mgmp_jax.data.buckets import bucket
from mgmp_jax.processes import first_alone, first_says
from mgmp_jax.seal import write_sealed
from mgmp_jax.store.spec import ModelSpec
from mgmp_jax.training.recipe import classification_step

if TYPE_CHECKING:
    from mgmp_jax.store.store import ModelStore

__all__ = ["train_group"]


def train_group(store: ModelStore, group: Sequence[ModelSpec]) -> None:
    """Trains models of one architecture and recipe, with equally many examples each.

    Args:
        store: where they are kept, and what they start or learn from is found.
        group: one model, or several that are trained at once, by ``vmap`` over stacked parameters.

    Raises:
        FloatingPointError: a training diverged.
    """
    recipe, module = group[0].recipe, store.module(group[0])
    examples = [store.examples(spec, "train") for spec in group]
    n, by_length, stacked = len(examples[0]), group[0].tokens is not None, len(group) > 1
    steps = max(n // recipe.batch_size, 1) * recipe.epochs
    step, optimizer = classification_step(module, recipe, steps, stacked=stacked)
    states = [training.create_state(store.initial_variables(spec), optimizer) for spec in group]
    buckets = bucket(examples[0].inputs) if by_length else None

    def order(epoch: int) -> np.ndarray:
        orders = [
            training.epoch_order(n, recipe.batch_size, spec.seed, epoch, buckets) for spec in group
        ]
        return np.stack(orders, axis=1) if stacked else orders[0]

    gather = training.take_trimmed if by_length else training.take
    folder = _folder(store, group)
    if first_says(not Checkpoints(folder / "state").steps()):
        for spec in group:
            first_alone(functools.partial(store.forget, spec))
    training.fit(
        step,
        _joined(states, jnp),
        _joined([{"inputs": e.inputs, "labels": e.labels} for e in examples], np),
        order=order,
        epochs=recipe.epochs,
        key=_joined([jax.random.key(spec.seed) for spec in group], jnp),
        gather=_take_stacked if stacked else gather,
        folder=folder,
        on_epoch=lambda epoch, state: _keep_weights(store, group, epoch, state),
        scan=False if by_length else None,
        name=" + ".join(spec.address.rsplit("-", 1)[0] for spec in group),
    )
    accuracies = [_accuracy(store, *one) for one in zip(group, examples, strict=True)]
    first_alone(lambda: _write_about(store, group, accuracies))
    Checkpoints(folder / "state").delete()


def _folder(store: ModelStore, group: Sequence[ModelSpec]) -> Path:
    if len(group) == 1:
        return store.folder / group[0].address
    together = hashlib.sha256("".join(spec.address for spec in group).encode()).hexdigest()
    return store.folder / f"together-{together[:10]}"


def _keep_weights(
    store: ModelStore, group: Sequence[ModelSpec], epoch: int, state: training.TrainState
) -> None:
    if epoch not in group[0].recipe.kept_epochs:
        return
    for i, spec in enumerate(group):
        one = state if len(group) == 1 else jax.tree.map(lambda x, i=i: x[i], state)
        store.weights(spec).save(epoch, one.variables)


def _write_about(
    store: ModelStore, group: Sequence[ModelSpec], accuracies: Sequence[dict[str, float]]
) -> None:
    for spec, accuracy in zip(group, accuracies, strict=True):
        about = {"spec": dataclasses.asdict(spec), "accuracy": accuracy}
        write_sealed(store.folder / spec.address / "model.json", about)


def _accuracy(store: ModelStore, spec: ModelSpec, train_examples: Examples) -> dict[str, float]:
    variables, accuracy = store.variables(spec), {}
    for split, data in (("train", train_examples), ("test", store.examples(spec, "test"))):
        logits, _ = training.predict(store.module(spec), variables, data.inputs)
        labels = data.labels if data.labels.ndim == 1 else data.labels.argmax(axis=-1)
        accuracy[split] = float(np.mean(logits.argmax(axis=-1) == labels))
    return accuracy


def _joined(trees: list[Any], library: Any) -> Any:
    """The only tree, or several of them stacked, by NumPy or JAX."""
    if len(trees) == 1:
        return trees[0]
    return jax.tree.map(lambda *leaves: library.stack(leaves), *trees)


def _take_stacked(data: Any, index: Any) -> Any:
    models = np.arange(index.shape[0])[:, None]
    return jax.tree.map(lambda array: array[models, index], data)
