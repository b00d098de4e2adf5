"""Kills commands at random moments, runs them again, and compares every byte that they leave.

python -m tests.faults.kills --times 20
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tests.faults import page

TOYS = Path(__file__).parents[2] / "examples" / "toy_models.py"
MODELS = [
    "source",
    *(f"{group}/{i:02}" for group in ("siblings", "controls") for i in range(4)),
    *(f"pool/task{i}/{side}homologous" for i in range(2) for side in ("", "non_")),
]
COMMANDS = {
    "queries": "queries train.npy --unseen test.npy --count 300 --out out/queries",
    "record": f"record --model python:{TOYS}:stolen --queries queries --out out/stolen.npz",
    "fit": "fit references --out out/verifier",
    "verify": "verify verifier suspects/stolen.npz --evidence out/evidence.npz",
    "scan": "scan verifier suspects --out out/table.csv",
    "report": "report evidence.npz --suspect suspects/stolen.npz --out out/report",
    "dna": "dna verifier --queries queries --out out/mine.dna",
}


def start(folder: Path, command: str, before: Callable[[], None] | None = None) -> subprocess.Popen:
    """Starts ``mgmp`` in a folder; its files say the same time whenever they are made.

    Args:
        folder: in which it runs.
        command: without ``mgmp``.
        before: is called in the process first.
    """
    arguments = [sys.executable, "-m", "mgmp_jax.cli", *command.split()]
    env = {**os.environ, "SOURCE_DATE_EPOCH": "1760000000", "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        arguments,
        cwd=folder,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def finish(folder: Path, command: str) -> None:
    """Runs ``mgmp`` in a folder to its end.

    Raises:
        RuntimeError: it ended with an error.
    """
    process = start(folder, command)
    _, errors = process.communicate()
    if process.returncode not in (0, 3, 4):
        raise RuntimeError(f"mgmp {command}: exit code {process.returncode}\n{errors}")


def prepare(folder: Path) -> None:
    """Makes all that the commands read: images, queries, answers, a verifier, evidence."""
    from mgmp_jax.cli import main

    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        np.save(folder / f"{name}.npy", rng.integers(0, 256, (400, 4, 4, 3), np.uint8))
    finish(folder, COMMANDS["queries"].replace("out/queries", "queries"))
    wanted = {f"references/{name}": name for name in MODELS}
    wanted |= {f"suspects/{name}": name for name in ("stolen", "innocent1", "innocent2")}
    for place, name in wanted.items():
        model, queries = f"python:{TOYS}:{name}", str(folder / "queries")
        out = str(folder / f"{place}.npz")
        if main(["record", "--model", model, "--queries", queries, "--out", out]):
            raise RuntimeError(f"{name} was not recorded")
    finish(folder, COMMANDS["fit"].replace("out/verifier", "verifier"))
    finish(folder, COMMANDS["verify"].replace("out/", ""))


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files in a folder, hidden ones too."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def kill(folder: Path, name: str, times: int, seed: int = 0) -> list[str]:
    """Kills a command at random moments, and runs it again to its end.

    Args:
        folder: that :func:`prepare` has filled.
        name: of the command.
        times: how often.
        seed: of the moments.

    Returns:
        What differed from an uninterrupted run, a line each.
    """
    out, wrong = folder / "out", []
    shutil.rmtree(out, ignore_errors=True)
    began = time.monotonic()
    finish(folder, COMMANDS[name])
    took, expected = time.monotonic() - began, contents(out)
    for moment in np.random.default_rng(seed).uniform(0.2, 1.0, times) * took:
        shutil.rmtree(out)
        process = start(folder, COMMANDS[name])
        time.sleep(moment)
        process.kill()
        process.communicate()
        if (found := contents(out)) != expected:
            try:
                finish(folder, COMMANDS[name])
            except RuntimeError as error:
                wrong.append(f"{name} killed after {moment:.2f} s: {error}")
                continue
            found = contents(out)
        different = {path for path in found | expected if found.get(path) != expected.get(path)}
        wrong += [f"{name} killed after {moment:.2f} s: {path} differs" for path in different]
    return wrong


def main(names: Sequence[str], times: int, seed: int, place: Path | None) -> int:
    """Kills all commands; 1 where something differed."""
    wrong, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for name in names:
            found = kill(Path(folder), name, times, seed)
            sys.stdout.write(f"{name}: {times} kills, {len(found)} differences\n")
            wrong += found
            rows.append([f"`mgmp {name}`", str(times), str(len(found))])
    sys.stdout.write("".join(f"{line}\n" for line in wrong))
    if place is not None:
        page.write(place, "kills", page.markdown(["command", "kills", "differences"], rows))
    return int(bool(wrong))


def parse(about: str | None) -> argparse.Namespace:
    """Reads from the command line which commands meet faults, how often and when."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(COMMANDS))
    parser.add_argument("--page", type=Path, help="a page whose table is made anew")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse(__doc__)
    sys.exit(main(given.only, given.times, given.seed, given.page))
