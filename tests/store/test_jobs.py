import dataclasses
import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from mgmp_jax.store import ModelSpec, ModelStore, jobs
from mgmp_jax.store.attempt import attempt
from mgmp_jax.store.plan import Outcome, Plan
from mgmp_jax.training import Recipe

RECIPE = Recipe(6, 16, 0.02, augment="none")
SOURCE = ModelSpec("alexnet", "glyphs10", RECIPE, width=2, num_examples=64)
STRANGERS = [
    ModelSpec("alexnet", "glyphs100", RECIPE, width=2, subset=3, num_examples=48, seed=seed)
    for seed in (5, 6)
]
DESCENDANTS = [SOURCE.descendant(spec) for spec in STRANGERS]
ALL = [*DESCENDANTS, *STRANGERS]
IMPOSSIBLE = dataclasses.replace(STRANGERS[0], subset=99)


def same(one: ModelStore, other: ModelStore) -> None:
    """Asserts that all models of two stores are equal bit for bit."""
    for spec in (SOURCE, *ALL):
        trees = one.variables(spec), other.variables(spec)
        jax.tree.map(np.testing.assert_array_equal, *trees)


@pytest.fixture(scope="module", autouse=True)
def two_cores() -> Iterator[None]:
    """Each of two processes has one core, as Ray's have: bits depend on the number of threads."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("processes cannot be bound to cores here")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:2])
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store = ModelStore(tmp_path_factory.mktemp("by_two"))
    jobs.train(store, ALL, jobs=2)
    return store


def test_sources_come_first_and_long_waits_before_short_ones() -> None:
    plan = Plan(ModelStore("nowhere"), ALL)
    assert list(plan.needs) == [SOURCE, *ALL]
    assert plan.next() == SOURCE
    assert {plan.next(), plan.next()} == set(STRANGERS)
    assert plan.next() is None  # the descendants wait
    assert list(plan.finish(SOURCE, Outcome())) == [SOURCE]
    assert {plan.next(), plan.next()} == set(DESCENDANTS)


def test_what_needs_a_model_that_failed_is_given_up() -> None:
    plan = Plan(ModelStore("nowhere"), [*DESCENDANTS])
    assert list(plan.finish(SOURCE, Outcome("no memory"))) == [SOURCE, *DESCENDANTS]
    assert plan.is_done and plan.failures[DESCENDANTS[0]] == f"it needs {SOURCE.address}"


@pytest.mark.slow
def test_a_killed_process_is_replaced(by_two: ModelStore, tmp_path: Path) -> None:
    store, killed = ModelStore(tmp_path), []

    def kill_one() -> None:
        while not killed:
            time.sleep(0.05)
            if any(tmp_path.glob("*/metrics.jsonl")):  # one of them is in the middle of a model
                process = multiprocessing.active_children()[0]
                os.kill(process.pid or 0, signal.SIGKILL)
                killed.append(process)

    thread = threading.Thread(target=kill_one, daemon=True)
    thread.start()
    jobs.train(store, ALL, jobs=2)
    thread.join()
    assert all(map(store.is_trained, (SOURCE, *ALL)))
    same(store, by_two)


@pytest.mark.slow
def test_a_model_that_fails_is_named_and_others_go_on(by_two: ModelStore) -> None:
    more = dataclasses.replace(STRANGERS[0], seed=7)
    with pytest.raises(ChildProcessError, match=r"1 of 2 models could not") as error:
        jobs.train(by_two, [*ALL, IMPOSSIBLE, more], jobs=2)
    assert IMPOSSIBLE.address in str(error.value) and "got 99" in str(error.value)
    assert by_two.is_trained(more)


def test_a_model_that_was_there_already_is_said_to_be(by_two: ModelStore) -> None:
    assert attempt(by_two, SOURCE) == Outcome(text="nothing left to train")


def test_specs_may_come_from_a_generator(by_two: ModelStore) -> None:
    more = dataclasses.replace(STRANGERS[0], seed=8)
    jobs.train(by_two, (spec for spec in [SOURCE, more]), jobs=1)
    assert by_two.is_trained(more)


def test_wrong_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="jobs must be at least 1, got 0"):
        jobs.train(ModelStore(tmp_path), ALL, jobs=0)
    with pytest.raises(ValueError, match="num_gpus must be at least 0"):
        jobs.train(ModelStore(tmp_path), ALL, num_gpus=-1.0)


CLUSTER = """
import json, os, sys, threading, time
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from ray.cluster_utils import Cluster
from pathlib import Path
from mgmp_jax.store import ModelStore, jobs
from tests.store.test_jobs import ALL

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
node = cluster.add_node(num_cpus=1)
folder = Path(sys.argv[1])

def lose_a_node():
    while not any(folder.glob("*/metrics.jsonl")):
        time.sleep(0.05)
    cluster.remove_node(node, allow_graceful=False)
    print("lost", flush=True)

thread = threading.Thread(target=lose_a_node)
thread.start()
jobs.train(ModelStore(folder), ALL, cluster=cluster.address)
thread.join()
cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="pip install 'mgmp_jax[ray]'")
def test_a_cluster_that_loses_a_machine_trains_all(by_two: ModelStore, tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, tmp_path], env=env, cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "lost" in done.stdout
    same(ModelStore(tmp_path), by_two)
