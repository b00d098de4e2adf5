"""Models behind an HTTP endpoint: asked gently, each answer kept on disk as it comes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.adapters.batches import Progress, Queries
from mgmp_jax.adapters.http_client import Batch, Client, StoppedError
from mgmp_jax.adapters.http_endpoint import Endpoint, open_model
from mgmp_jax.adapters.http_formats import gather, with_metadata
from mgmp_jax.adapters.http_journal import BudgetExhaustedError, EndpointError, Journal
from mgmp_jax.answers import Answers
from mgmp_jax.arrays import check_whole
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import ResponseKind, Responses

__all__ = [
    "BudgetExhaustedError",
    "Endpoint",
    "EndpointError",
    "open_model",
    "reads",
    "record",
]

_EVERY = 0.1  # seconds between two reports of progress


def reads(model: Any) -> bool:
    """Says whether a model is an :class:`Endpoint`."""
    return isinstance(model, Endpoint)


def record(
    endpoint: Endpoint,
    queries: Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    journal: str | Path | None = None,
    progress: Progress | None = None,
) -> Answers:
    """Records what a model behind an endpoint answers.

    With a journal the recording goes on where it was, after an error, Ctrl-C or ``kill -9``:
    nothing that was answered *and written down* is asked again. Of requests that were on their
    way at a kill nobody knows whether the server answered them. They count against the budget
    and are asked again; at most ``concurrency`` requests can be in this state. The budget also
    holds for the queries of failed requests, but for those that found no connection.

    Args:
        endpoint: where, in which protocol, how fast and how many queries at most.
        queries: one query set, or several by name.
        kind: what the model's numbers are. Protocol ``hf`` gives ``"probabilities"``,
            ``"top-k"`` or ``"labels"``; probabilities that lack labels become top-k.
        name: of the model.
        batch_size: how many queries one request holds.
        journal: a file that the answers are appended to, and read from when it is there. Without
            one an error loses them.
        progress: called now and then, from this thread.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        EndpointError: the endpoint refused queries or failed too often; the message says which.
        BudgetExhaustedError: the budget is spent.
        ValueError: the journal is damaged or of another endpoint or query set, no token is in the
            environment, the endpoint takes other inputs, or the answers are not of that kind.
        ImportError: httpx is not installed; the message says what to install.
    """
    check_whole("batch_size", batch_size, 1)
    if endpoint.protocol == "hf" and kind not in ("probabilities", "top-k", "labels"):
        raise ValueError(
            f"Hugging Face's classification JSON holds probabilities, not {kind}; give the kind "
            "'probabilities', 'top-k' or 'labels'"
        )
    sets = dict(queries) if isinstance(queries, Mapping) else {"": queries}
    about = {
        "url": endpoint.place,
        "endpoint": endpoint.digest,
        "queries": {query_set: one.digest for query_set, one in sets.items()},
        "kind": kind,
        "batch_size": batch_size,
    }
    with contextlib.closing(Journal(None if journal is None else Path(journal), about)) as kept:
        _ask_all(endpoint, sets, kept, batch_size, progress)
        found = _responses(kept, sets, kind, name)
    return found if isinstance(queries, Mapping) else found[""]


def _ask_all(
    endpoint: Endpoint,
    sets: Mapping[str, QuerySet],
    journal: Journal,
    size: int,
    progress: Progress | None,
) -> None:
    batches = list(_batches(sets, journal, size))
    total = sum(map(len, sets.values()))
    if not batches:
        if progress:
            progress(total, total)
        return
    stop = threading.Event()
    client = Client(endpoint, journal, stop)
    try:
        if endpoint.protocol == "v2":
            metadata = client.metadata()
            journal.check_served(metadata)
            for one in sets.values():
                client.endpoint = with_metadata(endpoint, metadata, one)
        _run(client, batches, stop, lambda: progress and progress(journal.answered, total))
    finally:
        client.close()


def _run(
    client: Client, batches: list[Batch], stop: threading.Event, report: Callable[[], Any]
) -> None:
    """Asks all batches in threads; the first error stops all, once what is on its way is in."""
    left, lock = iter(batches), threading.Lock()

    def work() -> None:
        while not stop.is_set():
            with lock:
                batch = next(left, None)
            if batch is None:
                return
            try:
                client.ask(batch)
            except BaseException:
                stop.set()
                raise

    with ThreadPoolExecutor(client.endpoint.concurrency) as pool:
        futures = [pool.submit(work) for _ in range(client.endpoint.concurrency)]
        try:
            running: set[Future[None]] = set(futures)
            while running:
                _, running = wait(running, _EVERY, FIRST_EXCEPTION)
                report()
        except BaseException:
            stop.set()
            raise
    errors = [error for error in (future.exception() for future in futures) if error is not None]
    for error in errors:
        if not isinstance(error, StoppedError):
            raise error


def _batches(sets: Mapping[str, QuerySet], journal: Journal, size: int) -> Iterator[Batch]:
    """The queries without an answer, in runs that follow each other, at most ``size`` long."""
    for name, queries in sets.items():
        run: list[int] = []
        for i in [*journal.missing(name, len(queries)), -1]:
            if run and (len(run) == size or i != run[-1] + 1):
                yield Batch(name, run[0], queries.take(slice(run[0], run[-1] + 1)))
                run = []
            run.append(i)


def _responses(
    journal: Journal, sets: Mapping[str, QuerySet], kind: ResponseKind, name: str
) -> dict[str, Responses]:
    labels = journal.finish()
    rows = {query_set: journal.rows(query_set, len(one)) for query_set, one in sets.items()}
    if kind == "probabilities" and any(
        len(row) < len(labels) for query_set in rows for row in rows[query_set]
    ):
        kind = "top-k"
    found = {}
    for query_set, queries in sets.items():
        values = gather(rows[query_set], labels)
        if kind == "labels" and labels:
            values = values.argmax(axis=1)
        elif kind == "labels" and values.shape[1] == 1:
            values = _whole(values[:, 0])
        found[query_set] = Responses(values, kind, queries, name)
    return found


def _whole(values: np.ndarray) -> np.ndarray:
    """Class numbers that were written as 3.0 are whole numbers too."""
    return values.astype(np.int64) if (values == np.rint(values)).all() else values
