"""Several processes that train together, on one host or many: what they share and who writes.

All run the same program on the same host data and see the same folder. Nothing here does
anything in a program of one process.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

__all__ = ["first_alone", "first_says", "is_first", "place", "start_processes"]

_ADDRESS, _NUMBER, _INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"


def start_processes(
    address: str | None = None, number: int | None = None, index: int | None = None
) -> None:
    """Joins this process with the others, before anything else is done with JAX.

    What is neither given nor in the environment JAX finds out by itself on a cluster that it
    knows (Slurm, Open MPI, TPU).

    Args:
        address: of the first process, ``host:port``; by default ``JAX_COORDINATOR_ADDRESS``.
        number: of processes; by default ``JAX_NUM_PROCESSES``.
        index: of this process, from 0; by default ``JAX_PROCESS_ID``.

    Raises:
        ValueError: an argument is missing or impossible.
        RuntimeError: JAX was used already, or the first process does not answer.
    """
    address = address or os.environ.get(_ADDRESS)
    number = _whole(_NUMBER) if number is None else number
    index = _whole(_INDEX) if index is None else index
    if number is not None and index is not None and not 0 <= index < number:
        raise ValueError(f"of {number} processes the indices are 0 to {number - 1}; got {index}")
    # Of use on the CPU alone; which device there is JAX says only once it is too late.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM away
    try:
        jax.distributed.initialize(address, number, index)
    except ValueError as error:
        raise ValueError(
            f"the processes cannot be started ({error}); set {_ADDRESS} to the host:port of the "
            f"first, {_NUMBER} to how many there are and {_INDEX} to the index of this one"
        ) from error


def is_first() -> bool:
    """Says whether this is the process that writes, the first or only one."""
    return jax.process_index() == 0


def first_says(answer: bool) -> bool:
    """Gives every process the answer of the first, which may see a file before the others do."""
    if jax.process_count() == 1:
        return answer
    return bool(multihost_utils.broadcast_one_to_all(np.int32(answer)))


def first_alone(action: Callable[[], object]) -> None:
    """Calls ``action`` in the first process, once all have come here; the others wait for its end.

    Args:
        action: writes or deletes files.

    Raises:
        Exception: what ``action`` raised, in the first process.
        OSError: ``action`` raised, in the others.
    """
    if jax.process_count() == 1:
        action()
        return
    multihost_utils.sync_global_devices("first_alone")
    wrong: Exception | None = None
    if is_first():
        try:
            action()
        except Exception as error:  # the others would wait for ever
            wrong = error
    went_well = first_says(wrong is None)
    if wrong is not None:
        raise wrong
    if not went_well:
        raise OSError("the first process could not write its files; it says why")


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Puts arrays that every process has whole onto the devices of all.

    Args:
        tree: a pytree of arrays and PRNG keys, the same in every process.
        sharding: on a mesh of the devices of all processes; each copies to its own devices what
            belongs there.
    """
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: _place(leaf, sharding), tree)


def _place(leaf: Any, sharding: NamedSharding) -> Any:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        numbers = _place(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(numbers, impl=jax.random.key_impl(leaf))
    array = np.asarray(leaf)
    return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])


def _whole(name: str) -> int | None:
    value = os.environ.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal()):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return int(value)
