"""Trains the models of a store on all cores of a machine, or on a cluster.

    from mgmp_jax.store import ModelStore, jobs

    if __name__ == "__main__":  # the processes import the script that starts them
        jobs.train(ModelStore("models"), specs, jobs=4)

The models are a graph of independent trainings: a model comes after those that it starts or
learns from. However many processes train them, and on whatever machine of one kind, the models are
the same bit for bit, as long as XLA computes with equally many threads and CPU devices in each
(:func:`mgmp_jax.training.use_cores`): with one thread and two devices, where each process has one
core. With other numbers the last bits differ.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import jax

from mgmp_jax import training
from mgmp_jax.store import cluster as ray_cluster
from mgmp_jax.store import workers
from mgmp_jax.store.plan import Plan
from mgmp_jax.store.spec import ModelSpec
from mgmp_jax.store.store import ModelStore

__all__ = ["best_number", "train"]


def best_number() -> int:
    """Gives the number of processes that train small models fastest on this machine.

    On the CPU it is one for each core that this process may use: twelve small ResNet18 took 1.25
    times as long in one process on two cores as in two processes with one each. Elsewhere, and
    where several processes train together already, it is 1.
    """
    alone = jax.process_count() == 1
    return training.num_cores() if alone and jax.default_backend() == "cpu" else 1


def train(
    store: ModelStore,
    specs: Iterable[ModelSpec],
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    num_gpus: float = 0.0,
) -> None:
    """Trains those models that are not there yet, several at a time.

    A training that fails, or whose process dies, is tried once more; the others go on. What was
    cut off resumes where it was.

    Args:
        store: where the models are kept.
        specs: any models; what is there already is passed over.
        jobs: how many processes train on this machine, each bound to its own cores; by default
            :func:`best_number`. With 1 this process trains, as :meth:`ModelStore.train`.
        cluster: the address of a Ray cluster that trains instead, all of whose machines see the
            store's folder and the data; ``"ray"`` starts Ray on this machine.
        num_gpus: what share of a GPU a model gets on a Ray cluster.

    Raises:
        FileNotFoundError: a data set is missing; nothing is trained then.
        ValueError: ``jobs`` is below 1 or ``num_gpus`` below 0; with one job also as
            :meth:`ModelStore.train`.
        ChildProcessError: models could not be trained; it says which and why.
        ImportError: Ray is not installed.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    if num_gpus < 0:
        raise ValueError(f"num_gpus must be at least 0, got {num_gpus}")
    specs = list(specs)
    plan = Plan(store, specs)
    _load_data(store, plan)
    number = min(best_number() if jobs is None else jobs, len(plan.needs))
    if cluster is not None and plan.needs:
        ray_cluster.run(store, plan, cluster, num_gpus)
    elif number > 1:
        workers.run(store, plan, number)
    else:
        store.train(specs)
    if plan.failures:
        lines = [f"  {spec.address}: {reason}" for spec, reason in plan.failures.items()]
        raise ChildProcessError(
            f"{len(lines)} of {len(plan.needs)} models could not be trained; the others are kept, "
            "rerun to try these again:\n" + "\n".join(lines)
        )


def _load_data(store: ModelStore, plan: Plan) -> None:
    """Loads every data set once: what is missing is said at once, or fetched by one process."""
    for spec in {spec.data: spec for spec in plan.needs if spec.teacher is None}.values():
        with contextlib.suppress(ValueError):  # of this one model, which its training will say
            for split in ("train", "test"):
                store.examples(spec, split)
