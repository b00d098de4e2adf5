"""Every method on recorded answers, in minutes and without any data or training of models.

    python experiments/recorded.py

The cohorts of compare.py were trained once; what their models answered comes with the project in
``experiments/recorded/``, whose README says what the files hold. To compare a method of your own,
write a function in ``experiments/_methods.py``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _run import address, claim, run, settings, show, write_results

FOLDER = Path(__file__).parent / "recorded"


@dataclasses.dataclass(frozen=True)
class Args:
    """Compare all methods on recorded answers."""

    recorded: Path = FOLDER
    """Folder of recorded cohorts, files that compare.py writes."""
    only: tuple[str, ...] = ()
    """Names of methods to compare, by default all of experiments/_methods.py."""
    out: Path = Path("runs")
    """Folder for results."""


def compare(path: Path, wanted: Sequence[str]) -> dict[str, Any]:
    """Scores the suspects of one cohort by the wanted methods.

    Raises:
        ValueError: the cohort cannot be read, or a score is not finite.
    """
    import _recorded
    from _methods import METHODS
    from _scoring import by_kind

    from mgmp_jax.training import console

    cohort = _recorded.read(path)
    found: dict[str, dict[str, Any]] = {}
    unread = {}
    for name in wanted:
        start = time.perf_counter()
        try:
            score = METHODS[name](cohort.known)
            scores = np.array([score(suspect) for suspect in cohort.suspects])
        except ValueError as error:
            unread[name] = str(error)
            console.print(f"{path.stem}: {name} cannot be compared: {error}")
            continue
        if not np.isfinite(scores).all():
            raise ValueError(f"{name} gave suspects of {path} the scores {scores.tolist()}")
        seconds = round(time.perf_counter() - start, 2)
        console.print(f"{path.stem}: {name}, {seconds} s")
        against = by_kind(cohort.kinds, scores)
        found[name] = {"scores": scores.tolist(), "seconds": seconds, "against": against}
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "suspects": cohort.kinds,
        "methods": found,
        "unread": unread,
    }


def main(args: Args) -> dict[str, Any]:
    """Compares methods on all recorded cohorts; see the module's docstring."""
    import tables
    from _methods import METHODS

    unknown = sorted(set(args.only) - set(METHODS))
    if unknown:
        raise ValueError(f"unknown method {unknown[0]!r}; choose of {', '.join(METHODS)}")
    paths = sorted(args.recorded.glob("*.npz"))
    if not paths:
        raise FileNotFoundError(
            f"no recorded cohort in {args.recorded}; copy recorded.npz of a run of compare.py there"
        )
    claim(args.out)
    start, wanted = time.perf_counter(), args.only or tuple(METHODS)
    results = {"cohorts": {path.stem: compare(path, wanted) for path in paths}}
    took = round(time.perf_counter() - start, 1)
    digests = {stem: cohort["sha256"] for stem, cohort in results["cohorts"].items()}
    folder = args.out / address("recorded", [wanted, digests])
    results["settings"] = settings(args)
    write_results("recorded", folder / "results.json", results, wall_time_s=took)
    show(tables.pivot("method", tables.recorded(results)), folder, "results.json")
    return results


if __name__ == "__main__":
    run(main, Args)
