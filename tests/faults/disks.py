"""Runs commands on disks that are full, read-only or fail halfway, and then again on a good one.

python -m tests.faults.disks --times 20

A disk is a file system in memory, in a name space of its own: Linux, no rights needed.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.faults import page
from tests.faults.kills import COMMANDS, contents, finish, parse, prepare, start

_INSIDE = ["unshare", "--map-root-user", "--mount"]
_HIDDEN = re.compile(r"/\.\S*-\d+'")
"""The name of an unfinished file, which nobody asked for."""
FAULTS = ("full", "read-only", "fails halfway")


def can_mount() -> bool:
    """Says whether this machine gives a process a disk of its own."""
    try:
        done = subprocess.run(
            [*_INSIDE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
        )
    except OSError:
        return False
    return done.returncode == 0


def _mount(out: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(out)], check=True)


def _limit_files(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fail(folder: Path, name: str, fault: str, size: int) -> tuple[bool, str]:
    """Runs a command where its results do not fit, then where they do.

    Args:
        folder: that :func:`tests.faults.kills.prepare` has filled.
        name: of the command.
        fault: one of :data:`FAULTS`.
        size: bytes that are written before the fault.

    Returns:
        Whether the fault was met, and what was wrong, in a line: nothing where it was said in a
        sentence, and the second run left what a run without a fault leaves.
    """
    out, failed = folder / "out", False
    out.mkdir(exist_ok=True)
    _mount(out, {"full": f"size={size}", "read-only": "ro"}.get(fault, "size=64m"))
    try:
        before = _limit_files(size) if fault == "fails halfway" else None
        process = start(folder, COMMANDS[name], before)
        _, errors = process.communicate()
        failed = process.returncode == 2
        if not failed and (process.returncode not in (0, 3, 4) or fault == "read-only"):
            return failed, f"exit code {process.returncode}: {errors[-300:]}"
        said = errors.splitlines()[-1:] if "Traceback" not in errors else []
        names_it = bool(said) and re.match("error:.*out/", said[0]) and not _HIDDEN.search(said[0])
        if failed and not names_it:
            return failed, f"said: {errors[-300:]}"
        if failed:
            subprocess.run(["mount", "-o", "remount,rw,size=64m", str(out)], check=True)
            finish(folder, COMMANDS[name])
        expected, found = contents(folder / "expected" / name), contents(out)
        different = {path for path in found | expected if found.get(path) != expected.get(path)}
        return failed, f"{sorted(different)} differ" if different else ""
    except RuntimeError as error:
        return failed, str(error)
    finally:
        subprocess.run(["umount", str(out)], check=True)


def main(names: Sequence[str], times: int, seed: int, place: Path | None) -> int:
    """Meets all commands with all faults; 1 where something was wrong."""
    rng, rows, any_wrong = np.random.default_rng(seed), [], False
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        prepare(folder)
        for name in names:
            finish(folder, COMMANDS[name])
            expected = folder / "expected" / name
            expected.parent.mkdir(exist_ok=True)
            (folder / "out").rename(expected)
            largest = max(map(len, contents(expected).values()))
            rows.append([f"`mgmp {name}`"])
            for fault in FAULTS:
                sizes = rng.integers(1, largest, 1 if fault == "read-only" else times)
                found = [fail(folder, name, fault, int(size)) for size in sizes]
                wrong, met = [line for _, line in found if line], sum(failed for failed, _ in found)
                sys.stdout.write(
                    f"{name}, {fault}: met in {met} of {len(found)} runs, {len(wrong)} wrong\n"
                )
                sys.stdout.write("".join(f"{line}\n" for line in wrong))
                sys.stdout.flush()
                any_wrong |= bool(wrong)
                rows[-1].append(f"{met} of {len(found)}, {len(wrong)}")
    if place is not None:
        page.write(place, "disks", page.markdown(["command", *FAULTS], rows))
    return int(any_wrong)


if __name__ == "__main__":
    given = parse(__doc__)
    if not can_mount():
        sys.exit("no disk to fail: unshare gives a process no file system of its own here")
    if os.environ.get("MGMP_DISKS") != "mounted":
        inside = [*_INSIDE, sys.executable, "-m", "tests.faults.disks", *sys.argv[1:]]
        os.execvpe(inside[0], inside, {**os.environ, "MGMP_DISKS": "mounted"})
    sys.exit(main(given.only, given.times, given.seed, given.page))
