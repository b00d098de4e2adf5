"""The one supervised loop, which trains the store's models and MGMP alike.

A *step* is a pure function ``(state, batch, key) -> (state, metrics)``. :func:`fit` runs it
over epochs: one dispatch an epoch where an accelerator is there (``lax.scan`` over batches
gathered on the device), one dispatch a step on the CPU, where XLA runs convolutions inside a
loop some 35 times slower (jax issue 12868); without convolutions ``scan=True`` is as fast there.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from mgmp_jax.checkpoint import check_finite
from mgmp_jax.data.buckets import trim
from mgmp_jax.processes import place
from mgmp_jax.training.display import Display
from mgmp_jax.training.mesh import data_mesh
from mgmp_jax.training.run_folder import RunFolder, StackedRunFolder

__all__ = [
    "TrainState",
    "compute_dtype",
    "create_state",
    "epoch_order",
    "fit",
    "make_step",
    "take",
    "take_trimmed",
]


@flax.struct.dataclass
class TrainState:
    """What training changes: parameters, batch statistics, optimiser state and step count."""

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The collections that ``module.apply`` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats}


Batch = Mapping[str, Any]
Metrics = dict[str, Any]
LossFn = Callable[[Any, Any, Batch, Any], tuple[Any, tuple[Any, Metrics]]]
Step = Callable[[TrainState, Batch, Any], tuple[TrainState, Metrics]]


def create_state(
    variables: Mapping[str, Any], optimizer: optax.GradientTransformation
) -> TrainState:
    """Makes the state before the first step, from initial ``params`` and ``batch_stats``."""
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.init(params),
    )


def make_step(loss_fn: LossFn, optimizer: optax.GradientTransformation) -> Step:
    """Makes the train step for a loss.

    Args:
        loss_fn: ``(params, batch_stats, batch, key) -> (loss, (batch_stats, metrics))``.
        optimizer: from optax.

    Returns:
        A pure function ``(state, batch, key) -> (state, metrics)``. It draws from
        ``fold_in(key, state.step)``, so a resumed run repeats an uninterrupted one, and
        adds ``loss`` to the metrics.
    """

    def step(state: TrainState, batch: Batch, key: Any) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(key, state.step)
        grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, (batch_stats, metrics)), grads = grad_fn(state.params, state.batch_stats, batch, key)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        state = TrainState(state.step + 1, params, batch_stats, opt_state)
        return state, {"loss": loss, **metrics}

    return step


def compute_dtype() -> Any:
    """Chooses bfloat16 where the device computes in it, float32 on the CPU."""
    return jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16


def epoch_order(
    n: int, batch_size: int, seed: int, epoch: int, buckets: np.ndarray | None = None
) -> np.ndarray:
    """Draws the indices of an epoch's batches, ``[n // batch_size, batch_size]``.

    They depend on ``(seed, epoch)`` and ``buckets`` alone. Each epoch leaves out other rows.

    Args:
        n: how many examples there are.
        batch_size: examples in a batch.
        seed: of the order.
        epoch: its number.
        buckets: a number for each example, ``[n]``; batches are made of examples whose numbers
            are alike, and come in random order.

    Raises:
        ValueError: a batch is larger than the data.
    """
    if not 1 <= batch_size <= n:
        raise ValueError(
            f"batch_size must be from 1 to the {n} examples there are, got {batch_size}"
        )
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(n)[: n - n % batch_size]
    if buckets is None:
        return order.reshape(-1, batch_size)
    order = order[np.argsort(buckets[order], kind="stable")]
    return rng.permutation(order.reshape(-1, batch_size))


def take(data: Any, index: Any) -> Any:
    """Takes the rows at ``index`` of every array of ``data``."""
    return jax.tree.map(lambda array: array[index], data)


def take_trimmed(data: Mapping[str, np.ndarray], index: np.ndarray) -> Batch:
    """Takes rows as :func:`take`, ``inputs`` cut to the width of their bucket; on the host."""
    batch = {name: array[index] for name, array in data.items()}
    return {**batch, "inputs": trim(batch["inputs"])}


def fit(
    step: Step,
    state: TrainState,
    data: Any,
    *,
    order: Callable[[int], Any],
    epochs: int,
    key: Any,
    gather: Callable[[Any, Any], Batch] = take,
    folder: str | Path | Sequence[str | Path] | None = None,
    keep_every: int = 1,
    on_epoch: Callable[[int, TrainState], None] | None = None,
    mesh: Mesh | None = None,
    scan: bool | None = None,
    name: str = "training",
) -> TrainState:
    """Trains for ``epochs`` epochs, from where a previous call was cut off if there was one.

    Args:
        step: from :func:`make_step`; compiled once for each function object. Arguments of a
            :class:`jax.tree_util.Partial` come before the state, and are not compiled in; every
            device has them whole. No mesh is set while it runs, nor in ``on_epoch``: shardings
            name theirs.
        state: the state before the first epoch.
        data: a pytree of arrays, not sharded along explicit mesh axes.
        order: ``epoch -> indices [steps, ...]``, a pytree; the largest names each example.
        epochs: how many there are in all.
        key: a PRNG key, or several for a stack of models.
        gather: ``(data, index) -> batch``; the arrays of a batch are ``[batch_size, ...]``.
        folder: for ``metrics.jsonl`` and checkpoints (``state/``), or one for each of a stack of
            models; ``None`` keeps nothing.
        keep_every: epochs from one checkpoint to the next; there is always one after the last.
        on_epoch: called as ``(epochs done, state)`` after each epoch, before its checkpoint. The
            next epoch takes the state's memory: copy what you want to keep.
        mesh: devices over which the batch is split, by default those of :func:`data_mesh`. Where
            several processes train together (:func:`mgmp_jax.training.start_processes`), every one
            gives the same arguments and gets the same state; the first writes.
        scan: whether an epoch is one dispatch, by default not on the CPU; ``gather`` must be
            traceable then, and the data fit on the device.
        name: for the progress display.

    Returns:
        The state after the last epoch.

    Raises:
        FloatingPointError: the loss or a weight is no longer finite.
        ValueError: the batch cannot be split evenly over the devices, or no checkpoint is sound.
    """
    scan = jax.default_backend() != "cpu" if scan is None else scan
    run_folder = None if folder is None else _run_folder(folder)
    first, state = (0, state) if run_folder is None else run_folder.resume(state)
    if first > epochs:
        raise ValueError(
            f"{folder} holds a training of {first} epochs, not {epochs}; choose another folder"
        )
    if first == epochs:
        return state
    mesh = _mesh_for(_batch_size(gather, data, order(first), scan), mesh, scan)
    # A copy, since the compiled epoch takes the memory of the state that it is given.
    whole = NamedSharding(mesh, PartitionSpec())
    state = place(jax.tree.map(np.array, state), whole)
    if scan:
        data = place(data, whole)
    run_epoch = _epoch_runner(step, gather, mesh, scan, key)
    kept = {*range(keep_every, epochs, keep_every), epochs}
    with jax.set_mesh(None), Display(name, epochs, first) as display:
        for epoch in range(first, epochs):
            start, index = time.perf_counter(), order(epoch)
            state, metrics = run_epoch(state, data, index)
            row = _row(name, epoch + 1, metrics, index, start)
            if on_epoch is not None:
                on_epoch(epoch + 1, state)
            if run_folder is not None:
                run_folder.keep(row, state if epoch + 1 in kept else None)
            display.update(row)
    if run_folder is None:
        check_finite(jax.device_get(state), epochs)
    return state


def _epoch_runner(
    step: Step, gather: Callable[[Any, Any], Batch], mesh: Mesh, scan: bool, key: Any
) -> Callable[[TrainState, Any, Any], tuple[TrainState, Metrics]]:
    """``(state, data, index) -> (state, metrics [steps])``, what is common to epochs bound."""
    is_partial = isinstance(step, jax.tree_util.Partial)
    function, numbers = (step.func, step.args) if is_partial else (step, ())
    key, numbers = place((key, numbers), NamedSharding(mesh, PartitionSpec()))
    run_epoch = _compiled_epoch(function, gather, mesh, scan)
    return lambda state, data, index: run_epoch(state, data, index, key, numbers)


_AHEAD = 4
"""Steps sent to the CPU before the last one is done: where many wait on several of its devices,
XLA's threads all wait for one another (32 computations in flight, then none can begin)."""


@functools.lru_cache(maxsize=16)
def _compiled_epoch(
    step: Callable, gather: Callable[[Any, Any], Batch], mesh: Mesh, scan: bool
) -> Callable:
    """``(state, data, index, key, numbers) -> (state, metrics [steps])``, as fast as can be."""
    whole, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    several = jax.process_count() > 1  # JAX splits NumPy arrays itself where it has all devices

    def sharded_step(state: TrainState, batch: Batch, key: Any, numbers: tuple[Any, ...]):
        return step(*numbers, state, jax.lax.with_sharding_constraint(batch, split), key)

    if not scan:
        compiled = jax.jit(sharded_step, donate_argnums=0, out_shardings=whole)

        def run_steps(state: TrainState, data: Any, index: Any, key: Any, numbers: Any):
            steps = len(jax.tree.leaves(index)[0])
            on_devices = any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(data))
            rows = []
            for i in range(steps):
                if i >= _AHEAD:
                    jax.block_until_ready(rows[i - _AHEAD])
                batch = gather(data, jax.tree.map(lambda x, i=i: x[i], index))
                batch = place(batch, split) if several or on_devices else batch
                state, metrics = compiled(state, batch, key, numbers)
                rows.append(metrics)
            return state, jax.tree.map(lambda *leaves: np.stack(leaves), *rows)

        return run_steps

    @functools.partial(jax.jit, donate_argnums=0, out_shardings=whole)
    def scan_steps(state: TrainState, data: Any, index: Any, key: Any, numbers: Any):
        def one(state: TrainState, i: Any) -> tuple[TrainState, Metrics]:
            return sharded_step(state, gather(data, i), key, numbers)

        return jax.lax.scan(one, state, index)

    if several:
        return lambda state, data, index, *rest: scan_steps(state, data, place(index, whole), *rest)
    return scan_steps


def _run_folder(folder: str | Path | Sequence[str | Path]) -> RunFolder | StackedRunFolder:
    if isinstance(folder, str | Path):
        return RunFolder(Path(folder))
    return StackedRunFolder([Path(one) for one in folder])


def _row(name: str, epoch: int, metrics: Metrics, index: Any, start: float) -> dict[str, Any]:
    """An epoch's metrics, each the mean over its steps, and its speed since ``start``."""
    means = {k: np.mean(v, axis=0).tolist() for k, v in jax.device_get(metrics).items()}
    if not np.all(np.isfinite(means["loss"])):
        raise FloatingPointError(
            f"{name}: the loss is {means['loss']} in epoch {epoch}; lower the learning rate"
        )
    examples = max(np.size(leaf) for leaf in jax.tree.leaves(index))
    speed = round(examples / (time.perf_counter() - start), 1)
    return {"epoch": epoch, **means, "examples_per_s": speed}


def _batch_size(gather: Callable[[Any, Any], Batch], data: Any, index: Any, scan: bool) -> int:
    """How many examples, or models of a stack, are in an epoch's batches."""
    take_one = functools.partial(jax.eval_shape, gather) if scan else gather
    return len(jax.tree.leaves(take_one(data, jax.tree.map(lambda i: i[0], index)))[0])


def _mesh_for(batch_size: int, mesh: Mesh | None, scan: bool) -> Mesh:
    """Checks that a mesh splits batches evenly, or chooses one that does where it can."""
    if mesh is None:  # what is worth a scan on the CPU is too small to be split there
        mesh = data_mesh(1 if scan and jax.default_backend() == "cpu" else batch_size)
    if batch_size % mesh.size:
        raise ValueError(
            f"a batch of {batch_size} cannot be split evenly over {mesh.size} devices; choose a "
            f"batch_size that is a multiple of {mesh.size}"
        )
    return mesh
