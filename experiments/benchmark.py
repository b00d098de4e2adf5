"""How fast the library is on this machine, beside PyTorch where that is installed.

    python experiments/benchmark.py                        # everything; rerun to resume
    python experiments/benchmark.py --parts mgmp training  # some parts

What is compared is timed in turn (A B A B ...) in one process: medians of ratios, with quartiles.
Each number is written as soon as it is there, to ``runs/benchmark-DEVICE/results.json``,
and the ratios to PyTorch are drawn beside it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import _measures as measures
from _run import claim, run, settings, show, write_results
from configs.benchmark import PRESETS, Part, Sizes

Figures = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Args:
    """Measure how fast everything is on this machine, beside PyTorch where that is installed."""

    parts: tuple[Part, ...] = get_args(Part)
    """What to measure."""
    preset: Literal["full", "toy"] = "full"
    """How large everything is."""
    out: Path = Path("runs")
    """Folder for the results."""


def cases(part: Part, sizes: Sizes) -> dict[str, Callable[[], Figures]]:
    """Lists what a part measures, by name."""
    if part == "mgmp":
        return {
            f"{g} of width {w}, batch {b}": partial(measures.mgmp, sizes, g, w, pool, pw, b)
            for g, w, pool, pw, b in sizes.generators
        }
    if part == "training":
        step = partial(measures.classifying, sizes, train=True)
        return {f"width {w}, batch {b}": partial(step, w, b) for w, b in sizes.training}
    if part == "inference":
        step = partial(measures.classifying, sizes, train=False)
        return {f"width {w}, {sizes.images} images": partial(step, w, b) for w, b in sizes.training}
    if part == "loss":
        return {f"{n} fragments": partial(measures.loss, sizes, n) for n in sizes.loss_rows}
    if part == "sibling":
        alone = partial(measures.alone, "sibling")
        return {f"{m} siblings": partial(alone, m, sizes.queries) for m in sizes.siblings}
    return {part: partial(getattr(measures, part), sizes)}


def draw(path: Path, figures: Figures) -> None:
    """Draws how many times as long PyTorch takes as the library, with quartiles."""
    from mgmp_jax import reporting

    bars = {
        f"{part}, {case}": {name: (r, of["quartiles"][name]) for name, r in of["ratio"].items()}
        for part in ("mgmp", "training", "inference")
        for case, of in figures.get(part, {}).items()
        if of["ratio"]
    }
    if bars:
        reporting.plot_ratios(path, bars, "PyTorch's time as a multiple of the library's")


def main(args: Args) -> Figures:
    """Measures what is not measured yet; see the module's docstring."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # others share the device
    claim(args.out)
    import jax
    import tables

    from mgmp_jax import files, reporting, training

    device, sizes = re.sub(r"\W+", "-", jax.devices()[0].device_kind.lower()), PRESETS[args.preset]
    folder = args.out / f"benchmark-{device}-{args.preset}".removesuffix("-full")
    path = folder / "results.json"
    results: Figures = {"figures": {}, "took_s": {}}
    if path.is_file():
        results, now = files.read_json(path), reporting.environment()
        for name in ("git_revision", "versions", "cores"):
            if results["run"][name] != now[name]:
                raise ValueError(
                    f"{path} is of {name} {results['run'][name]}, now it is {now[name]}: move it "
                    "away or choose another --out"
                )
    figures, took = results["figures"], results["took_s"]
    for part in args.parts:
        for case, measure in cases(part, sizes).items():
            if case in figures.get(part, {}):
                continue
            training.console.print(f"{part}: {case}", highlight=False)
            begun = time.perf_counter()
            figures.setdefault(part, {})[case] = measure()
            took[part] = round(took.get(part, 0) + time.perf_counter() - begun, 1)
            about = {"figures": figures, "took_s": took, "settings": settings(args)}
            write_results("benchmark", path, about, wall_time_s=round(sum(took.values()), 1))
    draw(folder / "benchmark.png", figures)
    show(tables.benchmark(figures), folder, "results.json", "benchmark.png")
    return figures


if __name__ == "__main__":
    run(main, Args)
