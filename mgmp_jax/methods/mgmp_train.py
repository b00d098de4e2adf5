"""Trainings of MGMP on arrays: one joint with its generator, or many classifiers together."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mgmp_jax import files, models, training
from mgmp_jax.checkpoint import Checkpoints
from mgmp_jax.config import MGMPConfig
from mgmp_jax.methods import mgmp_step
from mgmp_jax.methods.fragments import gather_pair, gather_trimmed_pair
from mgmp_jax.processes import first_alone

__all__ = ["Training", "groups", "order", "train"]

STEPS = 2000
"""At most so many from one checkpoint of a classifier to the next, which costs about 60 of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """One training.

    Args:
        config: of the MGMP, its batches no larger than the query set.
        data: from :func:`mgmp_jax.methods.fragments.pool_arrays`, with what a generator reads as
            ``inputs`` where one is trained.
        seed: of initialisation, order, pairs and dropout.
        folder: for metrics and checkpoints; ``None`` keeps nothing.
        paired: whether the two models of a pair are drawn together.
        generator_params: where a trained generator starts, layer by layer.
        name: for the progress display.
    """

    config: MGMPConfig
    data: Mapping[str, np.ndarray]
    seed: int = 0
    folder: Path | None = None
    paired: bool = False
    generator_params: Mapping[str, Any] | None = None
    name: str = "MGMP"

    @property
    def kind(self) -> tuple:
        """What is equal of trainings whose compiled step and epochs are the same."""
        shapes = tuple(sorted((name, array.shape) for name, array in self.data.items()))
        config = self.config
        static = mgmp_step.like(config), config.epochs, config.batch_size
        return *static, shapes, self.folder is None

    def start(self) -> dict[str, Any]:
        """Draws the variables that it starts from; claims the folder.

        Raises:
            ValueError: the folder holds another training, or ``generator_params`` do not fit.
        """
        width, inputs = self.data["source"].shape[-1], self.data.get("inputs")
        variables = mgmp_step.init(self.config, inputs, width, self._key)
        if self.generator_params is not None:
            _start_generator(variables, self.config, self.generator_params)
        if self.folder is not None:
            arrays = {"data": dict(self.data), "start": variables}
            _claim(self.folder, self.config, self.seed, arrays)
        return variables

    def order(self, epoch: int) -> dict[str, np.ndarray]:
        """Draws an epoch's mini-batches (:func:`order`)."""
        pairs, n, _ = self.data["source"].shape
        return order(n, self.config.batch_size, self.seed, pairs, epoch, paired=self.paired)

    @property
    def key(self) -> Any:
        """The PRNG key of dropout."""
        return jax.random.fold_in(self._key, 1)

    @property
    def _key(self) -> Any:
        return jax.random.key(self.seed, impl="threefry2x32")  # whatever JAX's settings are


def groups(trainings: Sequence[Training], together: int) -> list[list[int]]:
    """Groups the places of those that are trained at once: of one kind and without a generator.

    What is done is not grouped with the rest: a stack resumes from the newest state that all have.

    Args:
        trainings: any.
        together: how many there are in a group at most.
    """
    kinds: dict[tuple, list[int]] = {}
    for i, one in enumerate(trainings):
        alone = () if one.config.generator is None else (i,)
        steps = [] if one.folder is None else Checkpoints(one.folder / "state").steps()
        done = max(steps, default=0) >= one.config.epochs
        kinds.setdefault((one.kind, alone, done), []).append(i)
    return [
        alike[first : first + together]
        for alike in kinds.values()
        for first in range(0, len(alike), together)
    ]


def train(group: Sequence[Training]) -> list[dict[str, Any]]:
    """Trains what is not trained yet: one, or several of one kind without a generator, by ``vmap``.

    Args:
        group: from :func:`groups`.

    Returns:
        The trained variables of each, as NumPy arrays.

    Raises:
        ValueError: a folder holds another training.
        FloatingPointError: a training diverged.
    """
    return [_train_alone(group[0])] if len(group) == 1 else _train_stacked(group)


def _train_alone(one: Training) -> dict[str, Any]:
    step, optimizer = mgmp_step.make_step(one.config, one.data["source"].shape[-1])
    is_text = one.config.generator in models.TEXT_MODELS
    is_classifier = one.config.generator is None
    state = training.fit(
        step,
        training.create_state(one.start(), optimizer),
        one.data,
        order=one.order,
        epochs=one.config.epochs,
        key=one.key,
        gather=gather_trimmed_pair if is_text else gather_pair,
        scan=False if is_text else True if is_classifier else None,
        folder=one.folder,
        keep_every=_epochs_kept(one) if is_classifier else 1,
        name=one.name,
    )
    return jax.device_get(state.variables)


def _train_stacked(group: Sequence[Training]) -> list[dict[str, Any]]:
    width, epochs = group[0].data["source"].shape[-1], group[0].config.epochs
    _, optimizer = mgmp_step.make_step(group[0].config, width)
    states = [training.create_state(one.start(), optimizer) for one in group]
    folders = [one.folder for one in group if one.folder is not None]

    def orders(epoch: int) -> dict[str, np.ndarray]:
        return jax.tree.map(lambda *x: np.stack(x, axis=1), *(one.order(epoch) for one in group))

    state = training.fit(
        mgmp_step.make_stacked_step([one.config for one in group], width),
        jax.tree.map(lambda *x: np.stack(x), *states),
        jax.tree.map(lambda *x: np.stack(x), *(dict(one.data) for one in group)),
        order=orders,
        epochs=epochs,
        key=jnp.stack([one.key for one in group]),
        gather=_gather_stacked,
        scan=True,
        folder=folders or None,
        keep_every=_epochs_kept(group[0]),
        name=f"{group[0].name} + {len(group) - 1}",
    )
    variables = jax.device_get(state.variables)
    return [jax.tree.map(lambda x, i=i: x[i], variables) for i in range(len(group))]


_gather_stacked = jax.vmap(gather_pair, in_axes=0, out_axes=1)
"""The mini-batches of several trainings; the examples of a batch are still the first axis."""


def _epochs_kept(one: Training) -> int:
    """How many epochs there are from one checkpoint to the next."""
    return max(STEPS // max(len(one.data["source"][0]) // one.config.batch_size, 1), 1)


def order(
    n: int, batch_size: int, seed: int, pairs: int, epoch: int, *, paired: bool
) -> dict[str, np.ndarray]:
    """Draws an epoch's queries and, for each mini-batch, one pair of models.

    Args:
        n: how many queries there are.
        batch_size: of a mini-batch.
        seed: of the order.
        pairs: how many pairs there are.
        epoch: its number.
        paired: whether the two models are of one pair, as they must be where their background
            is their own task's.
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
    first_alone(lambda: None if path.is_file() else files.write_json(path, run))
    found = files.read_json(path)
    different = [name for name in run if found.get(name) != run[name]]
    if different:
        raise ValueError(
            f"{folder} holds an MGMP trained with other {' and '.join(different)} (arrays are the "
            "responses, latents and starting weights); choose another folder, or delete it"
        )
