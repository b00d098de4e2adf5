"""The journal: what was sent to an endpoint and what it answered, on disk before anything else.

A file of JSON lines, each ``{"sha256": ..., "entry": ...}`` with the SHA-256 of the entry's bytes.
The first entry says who is asked what; then follow ``sent`` (a number, a query set, a first and a
last place, written *before* the request leaves), ``unsent`` (the request of that number never left)
and ``answer`` (the rows of the request of that number), at last ``labels`` where there are some.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.adapters.http_formats import Rows

__all__ = ["BudgetExhaustedError", "EndpointError", "Journal"]

_FORMAT = "mgmp_jax.http.v1"


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
        self._open: dict[int, tuple[str, int, int]] = {}
        self._next = 0
        self._lock = threading.Lock()
        self._path, self._file = path, None
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no regular file; choose another journal")
        self._file = path.open("ab", buffering=0)  # a failed write leaves nothing to be written
        try:
            _hold(self._file, path)
            self._read(about)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()

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
                raise _OfAnotherError(
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
            ValueError: rows are of another width than those before.
        """
        with self._lock:
            self._check_width(rows)
            self._write({"answer": number, "rows": rows})
            self._note_answer(number, rows)

    def finish(self) -> list[str]:
        """Notes the labels of all answers in their canonical order, sorted; none for numbers."""
        found = sorted({label for row in self._rows.values() if _named(row) for label in row})
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
        self.answered = len(self._rows)

    def _check_width(self, rows: Rows) -> None:
        before = next(iter(self._rows.values()), rows[0])
        for row in rows:
            if not _named(row) and len(row) != len(before):
                raise ValueError(f"it gave {len(row)} numbers a query, before {len(before)}")

    def _write(self, entry: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        raw = json.dumps(entry, allow_nan=False, separators=(",", ":")).encode()
        line, place = _line(raw), self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(self._file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(place)
            raise

    def _read(self, about: Mapping[str, Any]) -> None:
        assert self._file is not None and self._path is not None
        whole = 0
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    break  # torn by a kill: it was not on the disk when anything depended on it
                try:
                    entry = _entry(line)
                    if number == 1:
                        _check_about(entry, about, self._path)
                    else:
                        self._apply(entry)
                except _OfAnotherError as error:
                    raise ValueError(str(error)) from None
                except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as e:
                    raise ValueError(
                        f"line {number} of {self._path} is damaged ({str(e)[:200]}); put back the "
                        "journal as it was, or choose another and ask everything again"
                    ) from e
                whole += len(line)
        self._file.truncate(whole)
        if not whole:
            self._write({"format": _FORMAT, **about})
            _sync_folder(self._path.parent)

    def _apply(self, entry: Mapping[str, Any]) -> None:
        if "sent" in entry:
            self._note_sent(*entry["sent"])
        elif "unsent" in entry:
            self._note_unsent(entry["unsent"])
        elif "answer" in entry:
            self._note_answer(entry["answer"], entry["rows"])
        elif "served" in entry:
            self._served = str(entry["served"])
        else:
            self.labels = list(entry["labels"])


class _OfAnotherError(ValueError):
    pass


def _named(row: Any) -> bool:
    return isinstance(row, Mapping)


def _line(raw: bytes) -> bytes:
    digest = hashlib.sha256(raw).hexdigest().encode()
    return b'{"sha256":"' + digest + b'","entry":' + raw + b"}\n"


def _entry(line: bytes) -> Any:
    raw = line[len(_line(b"")) - 2 : -2]
    if _line(raw) != line:
        raise ValueError("it is not what was written")
    return json.loads(raw)


def _check_about(entry: Mapping[str, Any], about: Mapping[str, Any], path: Path) -> None:
    if entry.get("format") != _FORMAT:
        raise ValueError(f"its format is {entry.get('format')!r}, expected {_FORMAT!r}")
    for key, what in (
        ("url", "another endpoint"),
        ("endpoint", "other settings of the endpoint"),
        ("queries", "other query sets"),
    ):
        if entry.get(key) != about[key]:
            raise _OfAnotherError(
                f"the journal {path} is of {what}: it says {str(entry.get(key))[:200]}, now it is "
                f"{str(about[key])[:200]}; choose another journal, or ask what it says"
            )


def _hold(file: Any, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(
            f"another process is recording into {path}; wait for its end, or choose another journal"
        ) from error


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some systems open no folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
