"""Pictures: fragments in two dimensions, score histograms, curves, grids of numbers."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "plot_curves",
    "plot_forgetting",
    "plot_fragments",
    "plot_grid",
    "plot_scores",
    "plot_training",
]

COLOURS = {"source": "#d62728", "homologous": "#e6b800", "non-homologous": "#1f77b4"}
"""The paper's colours (figures 4 and 6)."""


def plot_fragments(path: str | Path, pairs: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """t-SNE of DNA fragments, as the paper's figures 4 and 6.

    A panel whose fragments do not differ, or are too few, has a sentence in the picture's place.

    Args:
        path: of the PNG.
        pairs: for each panel's title, the fragments ``[n, o]`` of ``"source"``,
            ``"homologous"`` and ``"non-homologous"``.
    """
    figure, axes = _panels(len(pairs), 3.4, 3.4)
    for axis, (title, sets) in zip(axes, pairs.items(), strict=True):
        axis.set(title=title, xticks=[], yticks=[])
        points = _embed(np.concatenate(list(sets.values())).astype(np.float64))
        if points is None:
            sentence = "The fragments do not differ\nenough for a picture."
            axis.text(0.5, 0.5, sentence, ha="center", va="center", transform=axis.transAxes)
            continue
        ends = np.cumsum([len(s) for s in sets.values()])[:-1]
        for role, part in zip(sets, np.split(points, ends), strict=True):
            axis.scatter(*part.T, s=4, color=COLOURS[role], label=role, alpha=0.7, linewidths=0)
    _legend_below(figure, axes[0])
    _save(figure, path, "DNA fragments, t-SNE")


def _embed(fragments: np.ndarray) -> np.ndarray | None:
    """Two coordinates of each fragment, ``[n, 2]``; ``None`` where t-SNE has nothing to show."""
    if not np.isfinite(fragments).all() or len(np.unique(fragments, axis=0)) < 5:
        return None
    from sklearn.manifold import TSNE

    scaled = fragments / np.abs(fragments).max()
    perplexity = min(30.0, (len(fragments) - 1) / 3)
    start = "pca" if fragments.shape[1] > 1 else "random"
    return TSNE(perplexity=perplexity, init=start, random_state=0).fit_transform(scaled)


def plot_scores(
    path: str | Path,
    pairs: Mapping[str, Mapping[str, np.ndarray]],
    threshold: float,
) -> None:
    """Histograms of the fragment scores of each evaluation pair.

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


def plot_training(path: str | Path, panels: Mapping[str, Mapping[str, Sequence[Path]]]) -> None:
    """Training accuracy over epochs, one panel for each kind of training.

    Args:
        path: of the PNG.
        panels: for each panel's title, the ``metrics.jsonl`` files of each label.
    """
    figure, axes = _panels(len(panels), 3.4, 3.0)
    extra = (f"C{i}" for i in itertools.cycle((2, 4, 5, 7)))
    for axis, (title, groups) in zip(axes, panels.items(), strict=True):
        for label, files in groups.items():
            colour = COLOURS.get(label) or next(extra)
            for i, file in enumerate(files):
                rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
                marker = "." if len(rows) < 30 else ""
                x, y = [row["epoch"] for row in rows], [row["accuracy"] for row in rows]
                axis.plot(x, y, color=colour, label=label if i == 0 else None, marker=marker)
        axis.set(title=title, xlabel="epoch", ylim=(0, 1.02))
        axis.legend(fontsize="x-small", loc="lower right")
    axes[0].set_ylabel("training accuracy")
    _save(figure, path, None)


HIGHLIGHTED = {
    "sibling test, halves of two": "#d62728",
    "sibling test, training images": "#ff9896",
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
    """A number of each method against the number of queries, one panel for each kind of model.

    A few methods are in colour (:data:`HIGHLIGHTED`), all others in grey.

    Args:
        path: of the PNG.
        curves: ``method -> kind -> number of queries -> value``.
        label: of the value.
    """
    kinds = list(dict.fromkeys(kind for of_method in curves.values() for kind in of_method))
    figure, axes = _panels(len(kinds), 3.4, 3.6)
    others = [method for method in curves if method not in HIGHLIGHTED]
    shown = [method for method in HIGHLIGHTED if method in curves]
    for axis, kind in zip(axes, kinds, strict=True):
        for method in (*others, *shown):
            points = curves[method].get(kind, {})
            style: dict[str, Any] = {"color": "lightgrey", "linewidth": 0.9}
            name = f"other methods ({len(others)})" if method == others[0] else None
            if method in HIGHLIGHTED:
                style, name = (
                    {"color": HIGHLIGHTED[method], "marker": ".", "linewidth": 1.8},
                    method,
                )
            axis.plot([int(n) for n in points], list(points.values()), label=name, **style)
        axis.axhline(0.5, color="black", linewidth=0.6, linestyle=":")
        axis.set(title=f"against {kind}", xlabel="queries", xscale="log", ylim=(0, 1.03))
    axes[0].set_ylabel(label)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
    _save(figure, path, None)


def plot_forgetting(path: str | Path, panels: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Accuracy on the source's and on the target's data over epochs, the paper's figures 1 and 5.

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


def plot_grid(path: str | Path, rows: Mapping[str, Mapping[str, float]], label: str) -> None:
    """A number between 0 and 1 for each row and column; grey where there is none.

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


def _figure(size: tuple[float, float]) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: pip install 'mgmp_jax[plots]'") from error
    return Figure(figsize=size, layout="constrained")


def _panels(number: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    figure = _figure((width * number, height + 0.5))
    return figure, list(np.atleast_1d(figure.subplots(1, number)))


def _legend_below(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, frameon=False, markerscale=3
    )


def _save(figure: Figure, path: str | Path, title: str | None) -> None:
    import matplotlib

    if title:
        figure.suptitle(title)
    with matplotlib.rc_context({"savefig.dpi": 130}):
        figure.savefig(path)
