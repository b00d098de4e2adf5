"""Damages files by the thousand, reads them, and counts what comes of it.

    python -m tests.faults.campaign --seconds 600

Every file is read in a worker process with little memory and little time, so that a crash, a hang
or a bomb is one outcome among others. ``--json`` keeps the counts.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults import mutations, page
from tests.faults.targets import TARGETS, Target, fingerprint

HANGS = 20
"""Seconds."""
HANGS_UNDISTURBED, STARTS = 2 * HANGS, 240
MEMORY = 2**30
"""Bytes that one read may take beside what the worker has."""
EXPECTED = (ValueError, OSError, FloatingPointError)
"""What the library promises to raise; an ImportError would speak of packages."""

REFUSED, UNCHANGED = "refused by a sentence that names the file", "read, same values"
OTHER_UNSEALED = "read, other values, where no digest guards them"
OTHER_FILE = "read, a whole file gone or in the place of another"
GOOD = (REFUSED, UNCHANGED, OTHER_UNSEALED, OTHER_FILE)
OTHER, UNNAMED = "read, other values, though a digest guards them", "refused without its name"
FOREIGN, HANG, MEMORY_TAKEN = "another exception", "hang", "memory"
CRASH = "crash"
BAD = (OTHER, UNNAMED, FOREIGN, HANG, MEMORY_TAKEN, CRASH)


class HangError(BaseException):
    """Raised by the alarm; no ``except Exception`` catches it."""


def outcome(target: Target, folder: Path, damaged: Path, expected: str) -> tuple[str, str]:
    """Reads a damaged folder; says what came of it, and the error.

    Args:
        target: what is read.
        folder: where it lies.
        damaged: the file.
        expected: the fingerprint of what was written.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.alarm(HANGS)
    try:
        found = fingerprint(target.read(folder))
    except EXPECTED as error:
        said = str(error)
        # the folder is enough where the file is one of several that make one thing
        named = damaged.name in said or any(part.name in said for part in _parents(damaged, folder))
        result = REFUSED if named else UNNAMED, said
    except HangError:
        result = HANG, ""
    except MemoryError:
        result = MEMORY_TAKEN, traceback.format_exc()
    except BaseException:
        result = FOREIGN, traceback.format_exc()
    else:
        other = OTHER if target.sealed else OTHER_UNSEALED
        result = (UNCHANGED if found == expected else other), ""
    finally:
        signal.alarm(0)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if (after - before) * 1024 > MEMORY // 2 and result[0] in GOOD:
        return MEMORY_TAKEN, f"{(after - before) / 1024:.0f} MiB"
    return result


def _parents(damaged: Path, folder: Path) -> Iterator[Path]:
    yield folder
    for parent in damaged.parents:
        if parent == folder:
            return
        yield parent


def work(names: list[str], seed: int, seconds: float, first: int, one: int | None) -> None:
    """Damages and reads until the time is over; a line of JSON before and after each."""
    signal.signal(signal.SIGALRM, _raise_hang)
    warnings.simplefilter("ignore")
    told = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the library may print

    def tell(*words: Any) -> None:
        told.write(json.dumps(words) + "\n")
        told.flush()

    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as scratch:
        ready = []
        for i, name in enumerate(names):
            base = Path(scratch) / f"base{i}"
            base.mkdir()
            TARGETS[name].make(base)
            expected = fingerprint(TARGETS[name].read(base))
            assert fingerprint(TARGETS[name].read(base)) == expected, name
            parts = sorted(p for p in base.rglob("*") if p.is_file() and p.name != ".lock")
            ready.append((name, base, expected, parts))
        everything = [part for _, _, _, parts in ready for part in parts]
        taken = _virtual_memory()
        resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, -1))
        number = first
        while time.monotonic() < end and (one is None or number == one):
            rng = np.random.default_rng([seed, number])
            name, base, expected, parts = ready[number % len(ready)]
            folder = Path(scratch) / "damaged"
            shutil.copytree(base, folder)
            damaged = folder / parts[int(rng.integers(len(parts)))].relative_to(base)
            way = mutations.draw(rng)
            tell(number, name, way.__name__, damaged.name)
            way(damaged, rng, everything)
            what, error = outcome(TARGETS[name], folder, damaged, expected)
            if what == OTHER and way in (mutations.become_another, mutations.vanish):
                what = OTHER_FILE  # nothing says which sound files belong there
            tell(number, what, error if what in BAD else "")
            shutil.rmtree(folder)
            number += 1


def _raise_hang(*_: Any) -> None:
    raise HangError


def _virtual_memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def run(names: list[str], seed: int, seconds: float) -> Iterator[tuple[int, str, str, str, str]]:
    """Runs workers one after the other until the time is over.

    Yields:
        The number of each damaged file, its kind, how it was damaged, what came of it, the error.
    """
    end, number = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        command = [sys.executable, "-m", "tests.faults.campaign", "--worker", str(number)]
        command += ["--seed", str(seed), "--seconds", str(left), "--only", *names]
        begun: list[Any] = []
        with (
            tempfile.TemporaryFile("w+", errors="replace") as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as worker,
        ):
            assert worker.stdout is not None
            watch = _watch(worker, HANGS_UNDISTURBED + STARTS)
            for line in worker.stdout:
                watch.cancel()
                watch = _watch(worker, HANGS_UNDISTURBED)
                found = json.loads(line)
                if len(found) == 4:
                    begun = found
                    continue
                yield begun[0], f"{begun[1]}: {begun[3]}", begun[2], found[1], found[2]
                number, begun = found[0] + 1, []
            watch.cancel()
            code = worker.wait()
            errors.seek(0)
            said = errors.read()[-2000:]
        if not begun and code:
            raise RuntimeError(f"the worker did not start: {said}")
        if not begun:
            return
        came = HANG if code == -signal.SIGKILL else CRASH
        yield begun[0], f"{begun[1]}: {begun[3]}", begun[2], came, said
        number = begun[0] + 1


def _watch(worker: subprocess.Popen, seconds: float) -> threading.Timer:
    """Kills a worker that says nothing for so long: no alarm is heard in other people's code."""
    timer = threading.Timer(seconds, worker.kill)
    timer.daemon = True
    timer.start()
    return timer


def main() -> int:
    """Runs the campaign; 1 where something bad came of a damaged file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[n for n, t in TARGETS.items() if t.is_there])
    parser.add_argument("--worker", type=int, help="the first number; for the workers")
    parser.add_argument("--one", type=int, help="damage the file of this number only")
    parser.add_argument("--json", type=Path, help="where the counts are kept")
    parser.add_argument("--page", type=Path, help="a page whose table is made anew")
    args = parser.parse_args()
    if args.worker is not None or args.one is not None:
        first = args.one if args.worker is None else args.worker
        work(args.only, args.seed, args.seconds, first, args.one)
        return 0
    counts: collections.Counter = collections.Counter()
    for number, what, way, came, error in run(args.only, args.seed, args.seconds):
        counts[what.split(":")[0], came] += 1
        if came in BAD:
            sys.stderr.write(f"{number} {what} {way}: {came}\n{error}\n\n")
    total: collections.Counter = collections.Counter()
    for (_, came), count in counts.items():
        total[came] += count
    lines = [f"{count:8,} {came}\n" for came, count in total.most_common()]
    sys.stdout.write("".join(lines))
    if args.json:
        rows = [{"kind": k, "outcome": o, "count": c} for (k, o), c in sorted(counts.items())]
        args.json.write_text(json.dumps(rows, indent=1) + "\n")
    if args.page:
        page.write(args.page, "campaign", table(counts))
    return int(any(total[came] for came in BAD))


def table(counts: Mapping[tuple[str, str], int]) -> str:
    """Makes a table in Markdown: kinds of files by what came of them."""
    bad = [came for came in BAD if any(outcome == came for _, outcome in counts)]
    header = ["files", "damaged", *GOOD, *bad, *([] if bad else ["anything else"])]
    lines = []
    kinds = list(dict.fromkeys(kind for kind, _ in sorted(counts)))
    for name, of_kinds in (*((kind, [kind]) for kind in kinds), ("all", kinds)):
        cells = [sum(counts.get((k, came), 0) for k in of_kinds) for came in (*GOOD, *bad)]
        shown = [*cells, *([] if bad else [0])]
        lines.append([name, f"{sum(cells):,}", *(f"{cell:,}" for cell in shown)])
    return page.markdown(header, lines)


if __name__ == "__main__":
    sys.exit(main())
