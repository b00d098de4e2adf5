"""Trains models in several processes of this machine, each bound to its own cores."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from mgmp_jax.store.attempt import adopt, attempt, settings, use_threads
from mgmp_jax.store.board import Board
from mgmp_jax.store.plan import Outcome, Plan
from mgmp_jax.store.spec import ModelSpec
from mgmp_jax.store.store import ModelStore
from mgmp_jax.training import num_cores
from mgmp_jax.training.display import console

__all__ = ["run"]

_LIVES = 2
"""How many processes a model may take down with it before it is given up."""


def run(store: ModelStore, plan: Plan, number: int) -> None:
    """Trains what is planned in ``number`` processes; a process that dies is replaced.

    Args:
        store: where the models are kept.
        plan: what is trained; takes up the outcomes.
        number: how many processes.
    """
    deaths = dict.fromkeys(plan.needs, 0)
    with Board(plan, number) as board, contextlib.ExitStack() as stack:
        workers = [_Worker(store, place) for place in _places(number)]
        stack.callback(lambda: [worker.end() for worker in workers])
        while not plan.is_done:
            _give_out(plan, workers, board)
            ready = multiprocessing.connection.wait([worker.connection for worker in workers])
            for i, worker in enumerate(workers):
                if worker.connection not in ready:
                    continue
                try:
                    kind, content = worker.connection.recv()
                except (EOFError, OSError):
                    _bury(plan, workers, i, deaths, board)
                    continue
                if kind == "epoch":
                    board.update(i, *content)
                elif kind == "said":
                    board.say(content)
                elif worker.job is not None:
                    board.finish(plan.finish(worker.job, content))
                    worker.job = None
                    board.rest(i)


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a process runs: its cores, none where it cannot be bound, its threads, its GPU."""

    cores: tuple[int, ...]
    threads: int
    environment: Mapping[str, str]


class _Worker:
    """A process that trains one model after the other, so that what it compiled is used again."""

    def __init__(self, store: ModelStore, place: _Place) -> None:
        self._made_of = store, place
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, place, settings(), store), daemon=True
        )
        with _interrupts_blocked():
            self._process.start()
        theirs.close()  # so that the end of the process ends the connection
        self.job: ModelSpec | None = None
        self.had: set[ModelSpec] = set()

    def start(self, spec: ModelSpec) -> None:
        """Begins with a model."""
        self.job = spec
        self.had.add(spec)
        with contextlib.suppress(OSError):  # it died, which its connection will say
            self.connection.send(spec)

    def successor(self) -> _Worker:
        """Starts another process in its place."""
        return _Worker(*self._made_of)

    def end(self) -> int | None:
        """Ends the process at once, which loses no file that is whole; gives its exit code."""
        self._process.kill()
        self._process.join()
        self.connection.close()
        return self._process.exitcode


def _give_out(plan: Plan, workers: list[_Worker], board: Board) -> None:
    """Gives every process that has nothing to do a model, as long as there are some."""
    for i, worker in enumerate(workers):
        if worker.job is not None:
            continue
        others = set().union(*(other.had for other in workers if other is not worker))
        spec = plan.next(others)
        if spec is None:
            return
        board.start(i, spec)
        worker.start(spec)


def _bury(
    plan: Plan, workers: list[_Worker], i: int, deaths: dict[ModelSpec, int], board: Board
) -> None:
    """Replaces a process that died; its model is given to the new one, or given up."""
    died = workers[i]
    exitcode = died.end()
    workers[i] = died.successor()
    spec = died.job
    if spec is None:
        return
    deaths[spec] += 1
    reason = f"its process died {_how(exitcode)}"
    if deaths[spec] < _LIVES:
        board.say(f"  {spec.address}: {reason}; it is trained in another one")
        workers[i].start(spec)
    else:
        board.finish(plan.finish(spec, Outcome(reason)))
        board.rest(i)


def _how(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"with exit code {exitcode}"
    name = signal.Signals(-exitcode).name
    hint = ", as when memory runs out: choose fewer jobs" if name == "SIGKILL" else ""
    return f"by {name}{hint}"


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return []


def _places(number: int) -> list[_Place]:
    """Shares cores and GPUs out to ``number`` processes."""
    cores, gpus = _cores(), _gpus()
    ends = [i * len(cores) // number for i in range(number + 1)]
    places = []
    for i in range(number):
        own = tuple(cores[ends[i] : ends[i + 1]]) if number <= len(cores) else ()
        environment = {}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[i % len(gpus)]
            if number > len(gpus):
                environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        places.append(_Place(own, len(own) or max(num_cores() // number, 1), environment))
    return places


def _gpus() -> list[str]:
    """Names the GPUs of this process as ``CUDA_VISIBLE_DEVICES`` does."""
    if jax.default_backend() != "gpu":
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else list(map(str, range(jax.local_device_count())))


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Lets processes that are started in the block not hear Ctrl-C, which is their parent's."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Said:
    """A file that sends what is printed to it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def write(self, text: str) -> int:
        """Sends a text."""
        if text.strip():
            self._connection.send(("said", text))
        return len(text)

    def flush(self) -> None:
        """Does nothing: all is sent already."""


def _work(connection: Any, place: _Place, given: Mapping[str, Any], store: ModelStore) -> None:
    """Trains the models that come through a connection until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if place.cores:
        os.sched_setaffinity(0, place.cores)
    use_threads(place.threads)
    os.environ |= place.environment
    adopt(given)
    console.file = _Said(connection)  # pyright: ignore[reportAttributeAccessIssue]

    def tell(_: str, done: int, __: int, text: str) -> None:
        connection.send(("epoch", (done, text)))

    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            connection.send(("done", attempt(store, connection.recv(), tell)))


def _end_with_parent() -> None:
    """Ends this process when the one that started it has ended, however that was."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
