"""Pictures: fragments in two dimensions, score histograms, curves, grids of numbers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "place",
    "plot_curves",
    "plot_forgetting",
    "plot_fragments",
    "plot_grid",
    "plot_ratios",
    "plot_retention",
    "plot_scores",
]

COLOURS = {"source": "#d62728", "homologous": "#e6b800", "non-homologous": "#1f77b4"}
"""The paper's colours (figures 4 and 6)."""

_LEAST_DIFFERENT = 5
"""Fragments that t-SNE is asked to place."""


def plot_fragments(path: str | Path, pairs: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Draws a t-SNE of DNA fragments, as the paper's figures 4 and 6.

    A panel whose fragments are too few, hardly differ or are not finite says so in a sentence.

    Args:
        path: of the PNG.
        pairs: for each panel's title, the fragments ``[n, o]`` of ``"source"``,
            ``"homologous"`` and ``"non-homologous"``.

    Raises:
        ImportError: matplotlib or scikit-learn is missing.
    """
    figure, axes = _panels(len(pairs), 3.4, 3.4)
    drawn = axes[0]
    for axis, (title, sets) in zip(axes, pairs.items(), strict=True):
        axis.set(title=title, xticks=[], yticks=[])
        points = place(np.concatenate(list(sets.values())).astype(np.float64))
        if isinstance(points, str):
            axis.text(0.5, 0.5, points, ha="center", va="center", transform=axis.transAxes)
            continue
        drawn = axis
        ends = np.cumsum([len(s) for s in sets.values()])[:-1]
        for role, part in zip(sets, np.split(points, ends), strict=True):
            axis.scatter(*part.T, s=4, color=COLOURS[role], label=role, alpha=0.7, linewidths=0)
    _legend_below(figure, drawn)
    _save(figure, path, "DNA fragments, t-SNE")


def place(fragments: np.ndarray) -> np.ndarray | str:
    """Places fragments in the plane by t-SNE, or says why there is no picture.

    t-SNE divides by distances: where all are nought, it crashes instead of raising an error.

    Args:
        fragments: ``[n, o]``.

    Returns:
        Places ``[n, 2]``, or a sentence.

    Raises:
        ImportError: scikit-learn is missing.
    """
    if not np.isfinite(fragments).all():
        return "Some fragments are\nnot finite numbers."
    if len(np.unique(fragments, axis=0)) < _LEAST_DIFFERENT:
        return f"Fewer than {_LEAST_DIFFERENT} fragments differ:\nthere is nothing to draw."
    centred = fragments - fragments.mean(axis=0)
    if np.abs(centred).max() <= 1e-6 * np.abs(fragments).max():
        return "The fragments hardly differ:\nthere is nothing to draw."
    try:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise ImportError("t-SNE needs scikit-learn: pip install 'mgmp_jax[plots]'") from error
    perplexity = min(30.0, (len(fragments) - 1) / 3)
    start = "pca" if fragments.shape[1] > 1 else "random"
    tsne = TSNE(perplexity=perplexity, init=start, random_state=0)
    with threadpool_limits(1):  # for so few fragments, threads mostly wait for each other
        return tsne.fit_transform(centred / np.abs(centred).max())


def plot_scores(
    path: str | Path,
    pairs: Mapping[str, Mapping[str, np.ndarray]],
    threshold: float,
) -> None:
    """Draws histograms of the fragment scores of each evaluation pair.

    Args:
        path: of the PNG.
        pairs: for each panel's title, the fragment scores ``[n]`` of ``"homologous"`` and
            ``"non-homologous"``.
        threshold: ``delta``, drawn with its mirror image.
    """
    figure, axes = _panels(len(pairs), 2.6, 2.6)
    bins = np.linspace(0, 1, 31).tolist()
    for axis, (title, sets) in zip(axes, pairs.items(), strict=True):
        for role, scores in sets.items():
            axis.hist(scores, bins, color=COLOURS[role], alpha=0.65, label=role)
            axis.axvline(scores.mean(), color=COLOURS[role], linewidth=2)
        for x in (threshold, 1 - threshold):
            axis.axvline(x, color="grey", linestyle=":", linewidth=1)
        axis.set(title=title, xlabel="fragment score", yticks=[], xlim=(0, 1))
    axes[0].set_ylabel("fragments")
    _legend_below(figure, axes[0])
    _save(figure, path, "Fragment scores of unseen models (thick line: DNA score)")


HIGHLIGHTED = {
    "sibling test, halves of two": "#d62728",
    "MGMP extended, with siblings": "#8c564b",
    "MGMP extended": "#2ca02c",
    "MGMP paper": "#1f77b4",
    "linear CKA": "#9467bd",
    "ridge R², target to source": "#e6b800",
}
"""The methods that curves show in colour."""


def plot_curves(
    path: str | Path, curves: Mapping[str, Mapping[str, Mapping[str, float]]], label: str
) -> None:
    """Draws a number of each method against the number of queries, one panel for each kind.

    Some methods are in colour (:data:`HIGHLIGHTED`), all others in grey.

    Args:
        path: of the PNG.
        curves: ``method -> kind of model -> number of queries -> value``.
        label: of the value.
    """
    kinds = list(dict.fromkeys(kind for of_method in curves.values() for kind in of_method))
    figure, axes = _panels(len(kinds), 3.2, 3.4)
    others = [method for method in curves if method not in HIGHLIGHTED]
    grey = {"color": "lightgrey", "linewidth": 0.9}
    for axis, kind in zip(axes, kinds, strict=True):
        for method in others:
            axis.plot(*_points(curves[method].get(kind, {})), **grey)
        for method in (method for method in HIGHLIGHTED if method in curves):
            colour = HIGHLIGHTED[method]
            points = _points(curves[method].get(kind, {}))
            axis.plot(*points, color=colour, marker=".", linewidth=1.8, label=method)
        if others:
            axis.plot([], [], **grey, label=f"other methods ({len(others)})")
        axis.axhline(0.5, color="black", linewidth=0.6, linestyle=":")
        axis.set(title=f"against {kind}", xlabel="queries", xscale="log", ylim=(0, 1.03))
        _write_ticks(axis, [n for m in curves for n in curves[m].get(kind, {})])
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel(label)
    _legend_below(figure, axes[0], markerscale=1.0)
    _save(figure, path, None)


def _points(by_number: Mapping[str, float]) -> tuple[list[int], list[float]]:
    return [int(number) for number in by_number], list(by_number.values())


def _write_ticks(axis: Axes, numbers: Sequence[str]) -> None:
    """Labels a logarithmic axis with about four of the numbers that were tried, written out."""
    tried = sorted({int(number) for number in numbers})
    shown = tried[:: -max(1, len(tried) // 4)]
    axis.set_xticks(shown, [str(number) for number in shown])
    axis.minorticks_off()


def plot_forgetting(
    path: str | Path, panels: Mapping[str, Mapping[str, Sequence[float | int]]]
) -> None:
    """Draws accuracy on the source's and the target's data over epochs (figures 1 and 5).

    Args:
        path: of the PNG.
        panels: for each panel's title its ``"epochs"``, and its accuracies on ``"source data"``
            and ``"target data"``.
    """
    figure, axes = _panels(len(panels), 2.9, 2.9)
    colours = {"source data": COLOURS["source"], "target data": COLOURS["non-homologous"]}
    for axis, (title, panel) in zip(axes, panels.items(), strict=True):
        for name, colour in colours.items():
            axis.plot(panel["epochs"], panel[name], marker=".", color=colour, label=name)
        axis.set(xlabel="epoch", ylim=(0, 1.02))
        axis.set_title(title, fontsize="medium")
    axes[0].set_ylabel("accuracy")
    _legend_below(figure, axes[0])
    _save(figure, path, None)


def plot_retention(
    path: str | Path,
    methods: Mapping[str, Mapping[str, Sequence[float]]],
    row: int,
    paper: tuple[float, float],
) -> None:
    """Draws accuracy per fragment against what fine-tuning left of the source, and what it taught.

    Args:
        path: of the PNG.
        methods: for each method the descendants' accuracy on the source's data, ``"left"``, and on
            their own task, ``"own"``, the ``"accuracy"`` per fragment and, where it was measured
            several times, its ``"spread"`` (a standard deviation): a number for each strength of
            fine-tuning.
        row: of the paper's Table 1.
        paper: the paper's accuracy in that row with and without generator, drawn as lines.
    """
    figure = _figure((9.6, 5.0))
    axes = figure.subplots(1, 2, sharey=True)
    labels = {"left": "accuracy left on the source's data", "own": "accuracy on the own task"}
    for axis, (x, label) in zip(axes, labels.items(), strict=True):
        for (method, points), marker in zip(methods.items(), itertools.cycle("osD^vPX*")):
            bars = {"yerr": points.get("spread"), "elinewidth": 0.8, "capsize": 2}
            axis.errorbar(points[x], points["accuracy"], marker=marker, label=method, **bars)
        for accuracy, line, which in zip(paper, ("--", "-."), ("with", "without"), strict=True):
            named = f"the paper, row {row}, {which} generator"
            axis.axhline(accuracy, color="black", linewidth=0.8, linestyle=line, label=named)
        axis.axhline(0.5, color="grey", linewidth=0.6, linestyle=":")
        axis.set(xlabel=label, xlim=(0, 1), ylim=(0.45, 1.02))
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy per fragment")
    _legend_below(figure, axes[0], markerscale=1.0)
    _save(figure, path, None)


def plot_grid(path: str | Path, rows: Mapping[str, Mapping[str, float]], label: str) -> None:
    """Draws a number between 0 and 1 for each row and column; grey where there is none.

    Args:
        path: of the PNG.
        rows: ``row -> column -> value``, in the order in which they are drawn.
        label: of the value.
    """
    columns = list(dict.fromkeys(column for of_row in rows.values() for column in of_row))
    values = np.array([[row.get(c, np.nan) for c in columns] for row in rows.values()])
    figure = _figure((0.5 * len(columns) + 3, 0.3 * len(rows) + 3.4))
    axis = figure.subplots()
    axis.set_facecolor("lightgrey")
    image = axis.imshow(values, vmin=0, vmax=1, cmap="RdYlBu", aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "black" if 0.15 < value < 0.85 else "white"
            axis.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=6, color=colour)
    axis.set_xticks(range(len(columns)), columns, rotation=90, fontsize="small")
    axis.set_yticks(range(len(rows)), list(rows), fontsize="small")
    figure.colorbar(image, label=label)
    _save(figure, path, None)


def plot_ratios(
    path: str | Path,
    bars: Mapping[str, Mapping[str, tuple[float, Sequence[float]]]],
    label: str,
) -> None:
    """Draws ratios with their quartiles, a group of bars for each thing that was measured.

    Args:
        path: of the PNG.
        bars: for each group, by name, a ratio and its two quartiles; of names the same colour.
        label: of the axis, on which a line marks equality.

    Raises:
        ImportError: matplotlib is missing.
    """
    names = list(dict.fromkeys(name for group in bars.values() for name in group))
    figure = _figure((7.5, 1.2 + 0.22 * sum(len(group) + 1 for group in bars.values())))
    axis, place, ticks = figure.subplots(), 0, []
    for group in bars.values():
        ticks.append(place + (len(group) - 1) / 2)
        for name, (ratio, (low, high)) in group.items():
            colour = f"C{names.index(name)}"
            axis.barh(place, ratio, color=colour, label=name)
            axis.plot([low, high], [place, place], color="black", linewidth=1)
            place += 1
        place += 1
    axis.axvline(1, color="black", linewidth=0.8, linestyle="--")
    axis.set_yticks(ticks, list(bars), fontsize="small")
    axis.invert_yaxis()
    axis.set(xlabel=label)
    shown = dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(
        shown.values(), shown, loc="outside lower center", ncols=2, frameon=False, fontsize="small"
    )
    _save(figure, path, None)


def _figure(size: tuple[float, float]) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'mgmp_jax[plots]'") from error
    return Figure(figsize=size, layout="constrained")


def _panels(number: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = _figure((width * number, height + 0.5))
    return figure, list(np.atleast_1d(figure.subplots(1, number)))


def _legend_below(figure: Figure, axis: Axes, markerscale: float = 3.0) -> None:
    handles, labels = axis.get_legend_handles_labels()
    if handles:
        letters = 13 * figure.get_figwidth()  # that fit in a line
        fitting = int(letters // (max(map(len, labels)) + 6))
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=min(4, max(1, fitting)),
            frameon=False,
            markerscale=markerscale,
        )


def _save(figure: Figure, path: str | Path, title: str | None) -> None:
    import matplotlib

    if title:
        figure.suptitle(title)
    with matplotlib.rc_context({"savefig.dpi": 130}):
        figure.savefig(path)
