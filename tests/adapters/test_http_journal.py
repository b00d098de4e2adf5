import errno
import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.adapters import http_journal
from mgmp_jax.adapters.http import BudgetExhaustedError, Endpoint, EndpointError
from mgmp_jax.adapters.http_journal import Journal
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import Responses
from tests.adapters.faulty_server import Server, probabilities

pytest.importorskip("httpx", reason="pip install 'mgmp_jax[http]'")

ROWS = QuerySet.rows(np.random.default_rng(0).normal(size=(60, 4)))


def ask(url: str, queries: QuerySet = ROWS, batch_size: int = 4, **options: Any) -> Any:
    recording = {key: options.pop(key) for key in ("journal", "progress") if key in options}
    quick = {"protocol": "json", "path": "predictions.*.scores", "backoff": 0.001}
    endpoint = Endpoint(url, **quick | options)
    return adapters.record(
        endpoint, queries, kind="probabilities", batch_size=batch_size, **recording
    )


def entries(path: Path) -> list[Any]:
    return [json.loads(line)["entry"] for line in path.read_text().splitlines()]


def is_right(found: Any) -> bool:
    return np.allclose(found.values, probabilities(ROWS.inputs), rtol=1e-5)


def test_a_spent_budget_keeps_the_answers(tmp_path: Path) -> None:
    server = Server(lambda i: "status 503" if i == 2 else "")
    with server.running() as url:
        for _ in range(2):
            with pytest.raises(BudgetExhaustedError, match=r"30 queries is spent: 28 were sent"):
                ask(url, budget=30, journal=tmp_path / "j")
            assert server.queries == 28
        found = ask(url, budget=64, journal=tmp_path / "j")
        assert server.queries == 64
        again = ask(url, budget=64, journal=tmp_path / "j", batch_size=9)
    assert is_right(found) and again.digest == found.digest
    assert server.queries == 64


def test_no_connection_costs_no_budget(tmp_path: Path) -> None:
    server = Server()
    with server.running() as url:
        pass
    with pytest.raises(EndpointError, match=r"did not answer queries 0 to 3 .* no connection"):
        ask(url, budget=60, retries=3, journal=tmp_path / "j")
    with server.running(int(url.rpartition(":")[2])):
        assert is_right(ask(url, budget=60, journal=tmp_path / "j"))


def test_what_was_answered_before_an_interruption_is_kept(tmp_path: Path) -> None:
    def interrupt(answered: int, _: int) -> None:
        if answered >= 8:
            raise KeyboardInterrupt

    server = Server(delay=0.02)
    with server.running() as url:
        with pytest.raises(KeyboardInterrupt):
            ask(url, journal=tmp_path / "j", progress=interrupt, batch_size=2, concurrency=2)
        assert 8 <= server.queries < 60
        assert is_right(ask(url, journal=tmp_path / "j"))
    assert server.queries == 60


@pytest.mark.parametrize("last", [1, 2, 9, 10])
def test_a_full_disk_loses_nothing(
    last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, calls, sync = Server(), [], os.fsync

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > last:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    with server.running() as url:
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left.*run this again.*/j'"):
            ask(url, journal=tmp_path / "j")
        monkeypatch.undo()
        asked = server.queries
        assert asked == sum(
            entry["sent"][3] - entry["sent"][2]
            for entry in entries(tmp_path / "j")
            if "sent" in entry
        )
        done = sum(len(entry["rows"]) for entry in entries(tmp_path / "j") if "answer" in entry)
        assert is_right(ask(url, journal=tmp_path / "j"))
    assert server.queries == asked + 60 - done


def test_a_journal_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Server().running() as url:
        found = ask(url, journal=path)
        whole = path.read_bytes()
        with pytest.raises(ValueError, match=r"is of other query sets"):
            ask(url, QuerySet.rows(ROWS.inputs[::-1]), journal=path)
        with pytest.raises(ValueError, match=r"is of another endpoint"):
            ask(f"{url}/other", journal=path)
        with pytest.raises(ValueError, match=r"is of other settings"):
            ask(url, journal=path, key="other")
        assert path.read_bytes() == whole
        for length in (len(whole) - 9, 40, 0):
            path.write_bytes(whole[:length])  # torn by a kill
            assert ask(url, journal=path).digest == found.digest
            assert ask(url, journal=path).digest == found.digest
        for place in (30, len(whole) // 2, len(whole) - 5):
            changed = bytearray(whole)
            changed[place] ^= 1
            path.write_bytes(changed)
            with pytest.raises(ValueError, match=r"line \d+ of .* is damaged"):
                ask(url, journal=path)


def test_the_labels_of_all_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert http_journal._MOST_NUMBERS == 2**28
    monkeypatch.setattr(http_journal, "_MOST_NUMBERS", 2**18)
    journal = Journal(None, {})
    scores = dict.fromkeys(map(str, range(600)), 0.0)
    journal.answer(journal.send("", 0, 300, 0), [scores] * 300)
    number = journal.send("", 300, 600, 0)
    with pytest.raises(ValueError, match=r"gave 600 queries 600 labels in all, and at most 262"):
        journal.answer(number, [scores] * 300)
    assert journal.answered == 300 and journal.finish() == sorted(scores)


def test_answers_with_too_many_labels_are_not_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_labels(number: int) -> str:
        row = [{"label": f"{number}-{i}", "score": 0.5} for i in range(10)]
        return f"say {json.dumps([row] * 2)}"

    monkeypatch.setattr(http_journal, "_MOST_NUMBERS", 90, raising=False)
    texts, path = QuerySet.texts([f"text {i}" for i in range(10)]), tmp_path / "j"
    with Server(other_labels).running() as url:
        endpoint = Endpoint(url, "hf", retries=1, backoff=0.001)
        with pytest.raises(
            EndpointError, match=r"queries 4 to 5 .*gave 6 queries 30 labels in all"
        ):
            adapters.record(endpoint, texts, kind="top-k", batch_size=2, journal=path)
    assert [len(rows) for rows in _of(path, "rows")] == [2, 2]
    monkeypatch.setattr(http_journal, "_MOST_NUMBERS", 79)  # a journal of before is no trap either
    with pytest.raises(ValueError, match=r"line \d+ of .*gave 4 queries 20 labels in all"):
        adapters.record(endpoint, texts, kind="top-k", batch_size=2, journal=path)


def test_one_process_at_a_time_holds_a_journal(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl", reason="the system has no flock")
    with (tmp_path / "j").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match=r"another process writes to"):
            ask("http://127.0.0.1:1/", journal=tmp_path / "j")


def _record(line: str, journal: Path, out: Path) -> None:
    rows = QuerySet.rows(np.load(f"{out}.rows.npy"))
    model = adapters.open_model(line)
    adapters.record(model, rows, kind="probabilities", batch_size=2, journal=journal).save(out)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no kill -9")
def test_killed_twenty_times_nothing_is_lost_or_asked_twice(tmp_path: Path) -> None:
    draw = random.Random(time.time_ns())
    rows = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    np.save(tmp_path / "out.npz.rows.npy", rows)
    journal, out, budget = tmp_path / "j", tmp_path / "out.npz", 500
    server = Server(lambda i: "status 503" if i % 10 == 0 else "", delay=0.01)
    with server.running() as url:
        line = f"{url}/#protocol=json&path=predictions.*.scores&concurrency=3&backoff=0.001"
        processes = multiprocessing.get_context("forkserver")  # imports are waited for once
        processes.set_forkserver_preload(["httpx", "mgmp_jax.adapters.http", "pytest"])
        given = (f"{line}&budget={budget}", journal, out)
        for _ in range(20):
            process = processes.Process(target=_record, args=given)
            process.start()
            until = server.requests + draw.randrange(1, 8)
            while server.requests < until and process.is_alive():
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.02))
            assert process.is_alive(), "the recording ended before it was killed"
            process.kill()
            process.join()
        process = processes.Process(target=_record, args=given)
        process.start()
        process.join()
        assert process.exitcode == 0
        received = server.queries
        undisturbed = ask(url, QuerySet.rows(rows), 2)
    asked = {number: range(*places) for number, _, *places in _of(journal, "sent")}
    answered = [i for number in _of(journal, "answer") for i in asked[number]]
    assert sorted(answered) == list(range(300))
    sent = sum(map(len, asked.values())) - sum(len(asked[i]) for i in _of(journal, "unsent"))
    assert 300 < received <= sent <= budget
    assert Responses.load(out).digest == undisturbed.digest


def _of(journal: Path, what: str) -> list[Any]:
    return [entry[what] for entry in entries(journal) if what in entry]
