"""The journal: what was sent to an endpoint and what it answered, on disk before anything else.

A file of :class:`mgmp_jax.sealed_lines.SealedLines`. The first entry says who is asked what; then
follow ``sent`` (a number, a query set, a first and a last place, written *before* the request
leaves), ``unsent`` (the request of that number never left) and ``answer`` (the rows of the request
of that number), at last ``labels`` where there are some.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.adapters.http_formats import Rows
from mgmp_jax.sealed_lines import OfAnotherError, SealedLines

__all__ = ["BudgetExhaustedError", "EndpointError", "Journal"]

_FORMAT = "mgmp_jax.http.v1"
_MOST_NUMBERS = 2**28  # queries x labels: an endpoint may give each query labels of its own
_REMEDY = "put back the journal as it was, or choose another and ask everything again"


class EndpointError(ConnectionError):
    """An endpoint did not answer as it should; what it did answer is kept in the journal."""


class BudgetExhaustedError(EndpointError):
    """No further query may be sent; what was answered is kept in the journal."""


class Journal:
    """Keeps what was asked and answered, in memory and in a file.

    Only one process may hold a journal; where the system has ``flock``, a second one is refused.

    Args:
        path: of the file, which is continued where there is one; ``None`` keeps no file.
        about: who is asked what: ``url``, ``endpoint`` (a digest) and ``queries`` (digests by the
            names of query sets), which an earlier journal must have said too; and what else is
            worth noting.

    Raises:
        ValueError: the file is damaged, or of another endpoint or query set.
        BlockingIOError: another process holds it.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path | None, about: Mapping[str, Any]) -> None:
        self.sent = 0
        self.answered = 0
        self.labels: list[str] | None = None
        self._served: str | None = None
        self._rows: dict[tuple[str, int], Any] = {}
        self._seen: set[str] = set()
        self._open: dict[int, tuple[str, int, int]] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._path, self._lines = path, None
        if path is not None:
            first, check = {"format": _FORMAT, **about}, partial(_check_about, about, path)
            self._lines = SealedLines(path, first, check, self._apply, _REMEDY)

    def close(self) -> None:
        """Closes the file."""
        if self._lines is not None:
            self._lines.close()

    def missing(self, name: str, count: int) -> list[int]:
        """Gives the places of a query set of ``count`` queries that have no answer."""
        return [i for i in range(count) if (name, i) not in self._rows]

    def rows(self, name: str, count: int) -> Rows:
        """Gives the answers to a query set of which none is missing."""
        return [self._rows[name, i] for i in range(count)]

    def send(self, name: str, start: int, stop: int, budget: int) -> int:
        """Notes that queries are about to be sent.

        Args:
            name: of the query set.
            start: the first place.
            stop: the place after the last.
            budget: how many queries may be sent in all, 0 without limit.

        Returns:
            The number of the request.

        Raises:
            BudgetExhaustedError: they may not be sent.
            OSError: the disk is full; then nothing may be sent.
        """
        with self._lock:
            if budget and self.sent + stop - start > budget:
                raise BudgetExhaustedError(
                    f"the budget of {budget} queries is spent: {self.sent} were sent, retries and "
                    f"earlier runs included, and the next request holds {stop - start}. "
                    f"{self.answered} answers are {self._kept()}; run again with a larger budget"
                )
            number = self._next
            self._write({"sent": [number, name, start, stop]})
            self._note_sent(number, name, start, stop)
            return number

    def check_served(self, metadata: Any) -> None:
        """Notes what an endpoint says of its model, and checks that it says so after a resume.

        Raises:
            ValueError: the endpoint serves another model, or another version, than before.
        """
        digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
        with self._lock:
            if self._served is None:
                self._write({"served": digest})
                self._served = digest
            elif self._served != digest:
                raise OfAnotherError(
                    "the endpoint serves another model or version than when the journal was begun; "
                    f"its metadata are now {str(metadata)[:300]}. Choose another journal, or serve "
                    "what was served"
                )

    def take_back(self, number: int) -> None:
        """Notes that a request never left, so that its queries do not count."""
        with self._lock:
            self._write({"unsent": number})
            self._note_unsent(number)

    def answer(self, number: int, rows: Rows) -> None:
        """Notes what was answered to a request; once this returns, it is on the disk.

        Raises:
            ValueError: rows are of another width than those before, or all answers together have
                too many labels.
        """
        with self._lock:
            self._check_width(rows)
            self._check_labels(rows)
            self._write({"answer": number, "rows": rows})
            self._note_answer(number, rows)

    def finish(self) -> list[str]:
        """Notes the labels of all answers in their canonical order, sorted; none for numbers."""
        found = sorted(self._seen)
        if found and self.labels is None:
            self._write({"labels": found})
            self.labels = found
        return found

    def _kept(self) -> str:
        return f"kept in {self._path}" if self._path else "lost without a journal"

    def _note_sent(self, number: int, name: str, start: int, stop: int) -> None:
        if number != self._next or not 0 <= start < stop:
            raise ValueError(f"request {number} is out of order")
        self._open[number] = (name, start, stop)
        self._next += 1
        self.sent += stop - start

    def _note_unsent(self, number: int) -> None:
        _, start, stop = self._open.pop(number)
        self.sent -= stop - start

    def _note_answer(self, number: int, rows: Rows) -> None:
        name, start, stop = self._open.pop(number)
        if len(rows) != stop - start or any((name, i) in self._rows for i in range(start, stop)):
            raise ValueError(f"request {number} is answered twice, or with other rows than asked")
        for i, row in enumerate(rows, start):
            self._rows[name, i] = row if _named(row) else np.asarray(row, np.float64)
        self._seen |= _labels(rows)
        self.answered = len(self._rows)

    def _check_width(self, rows: Rows) -> None:
        before = next(iter(self._rows.values()), rows[0])
        for row in rows:
            if not _named(row) and len(row) != len(before):
                raise ValueError(f"it gave {len(row)} numbers a query, before {len(before)}")

    def _check_labels(self, rows: Rows) -> None:
        queries = self.answered + len(rows)
        labels = len(self._seen) + len(_labels(rows) - self._seen)
        if queries * labels > _MOST_NUMBERS:
            raise ValueError(
                f"it gave {queries} queries {labels} labels in all, and at most {_MOST_NUMBERS} "
                "numbers, queries times labels, are kept; ask fewer queries, or set top_k"
            )

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self._lines is not None:
            self._lines.append(entry)

    def _apply(self, entry: Mapping[str, Any]) -> None:
        if "sent" in entry:
            self._note_sent(*entry["sent"])
        elif "unsent" in entry:
            self._note_unsent(entry["unsent"])
        elif "answer" in entry:
            self._check_labels(entry["rows"])
            self._note_answer(entry["answer"], entry["rows"])
        elif "served" in entry:
            self._served = str(entry["served"])
        else:
            self.labels = list(entry["labels"])


def _labels(rows: Rows) -> set[str]:
    return {label for row in rows if _named(row) for label in row}


def _named(row: Any) -> bool:
    return isinstance(row, Mapping)


def _check_about(about: Mapping[str, Any], path: Path, entry: Mapping[str, Any]) -> None:
    if entry.get("format") != _FORMAT:
        raise ValueError(f"its format is {entry.get('format')!r}, expected {_FORMAT!r}")
    for key, what in (
        ("url", "another endpoint"),
        ("endpoint", "other settings of the endpoint"),
        ("queries", "other query sets"),
    ):
        if entry.get(key) != about[key]:
            raise OfAnotherError(
                f"the journal {path} is of {what}: it says {str(entry.get(key))[:200]}, now it is "
                f"{str(about[key])[:200]}; choose another journal, or ask what it says"
            )
