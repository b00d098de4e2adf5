"""Every method on recorded answers, in minutes and without any data or training of models.

    python experiments/recorded.py

The cohorts of compare.py were trained once; what their models answered comes with the project in
``experiments/recorded/``, whose README says what the files hold. To compare a method of your own,
write a function in ``experiments/_methods.py``.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
from _run import claim, run, settings, show, write_results

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


def compare(path: Path, wanted: tuple[str, ...]) -> dict[str, Any]:
    """Scores the suspects of one cohort by the wanted methods."""
    import _recorded
    from _methods import METHODS
    from configs.cohort import KINDS

    from mgmp_jax import reporting
    from mgmp_jax.training import console

    cohort = _recorded.read(path)
    kinds, found = np.array(cohort.kinds), {}
    for name in wanted:
        start = time.perf_counter()
        score = METHODS[name](cohort.known)
        scores = np.array([score(suspect) for suspect in cohort.suspects])
        console.print(f"{path.stem}: {name}, {time.perf_counter() - start:.1f} s")
        positive = scores[kinds == "homologous"]
        found[name] = {
            "scores": scores.tolist(),
            "seconds": round(time.perf_counter() - start, 2),
            "against": {
                kind: reporting.separation(positive, scores[kinds == kind])
                for kind in KINDS
                if kind != "homologous" and kind in kinds
            },
        }
    return {"suspects": cohort.kinds, "methods": found}


def main(args: Args) -> dict[str, Any]:
    """Compares methods on all recorded cohorts; see the module's docstring."""
    import tables
    from _methods import METHODS

    unknown = sorted(set(args.only) - set(METHODS))
    if unknown:
        raise ValueError(f"unknown method {unknown[0]!r}; choose of {', '.join(METHODS)}")
    paths = sorted(args.recorded.glob("*.npz"))
    if not paths:
        raise FileNotFoundError(f"no recorded cohort in {args.recorded}; compare.py writes them")
    wanted = args.only or tuple(METHODS)
    claim(args.out)
    start = time.perf_counter()
    results = {"cohorts": {path.stem: compare(path, wanted) for path in paths}}
    took, folder = round(time.perf_counter() - start, 1), args.out / "recorded"
    results["settings"] = settings(args)
    write_results("recorded", folder / "results.json", results, wall_time_s=took)
    show(tables.pivot("method", tables.recorded(results)), folder, "results.json")
    return results


if __name__ == "__main__":
    run(main, Args)
