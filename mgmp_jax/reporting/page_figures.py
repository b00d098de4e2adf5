"""Figures of the page: inline SVG whose colours are the page's own, the same bytes every time."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from mgmp_jax.growth import Point
from mgmp_jax.reporting.figures import place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BINS", "draw_dots", "draw_fragments", "draw_growth", "draw_histogram"]

BINS = np.linspace(0, 1, 11)
"""Edges of the histogram of fragment scores."""

_INK, _MUTED, _RULE, _SUSPECT, _OTHER, _PAPER = (f"#0{i}0{i}0{i}" for i in range(1, 7))
_VARIABLES = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _RULE: "var(--rule)",
    _SUSPECT: "var(--suspect)",
    _OTHER: "var(--other)",
    _PAPER: "var(--paper)",
}
_SETTINGS = {
    "svg.fonttype": "none",
    "font.size": 11,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
}
_COLUMNS = 45


def draw_dots(
    name: str,
    marked: tuple[str, float],
    others: Sequence[float],
    label: str,
    lines: Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> str:
    """Draws scores as dots, stacked where they are alike, with one marked by a diamond.

    Args:
        name: of the figure, for the ids in it.
        marked: name and score of the model in question.
        others: the scores of all others.
        label: of the scores.
        lines: scores that are marked by dotted lines, by their labels.
        limits: of the axis; by default from the least to the greatest score.

    Returns:
        An ``svg`` element.

    Raises:
        ImportError: matplotlib is missing.
    """
    with _settings():
        figure, axis = _panel(2.4)
        scores = np.array([marked[1], *others], np.float64)
        low, high = limits or (float(scores.min()), float(scores.max()))
        pad = 0.04 * (high - low) or 1.0
        heights, column = [], np.round((scores - low) / (high - low + pad) * _COLUMNS)
        for i, x in enumerate(column[1:], 1):
            heights.append(1 + int(np.sum(column[1:i] == x)))
        top = max([5, *heights]) + 2
        _mark_scores(axis, lines or {})
        axis.scatter(scores[1:], heights, s=22, facecolors=_PAPER, edgecolors=_OTHER, zorder=3)
        axis.vlines(marked[1], 0, top - 1, color=_SUSPECT, linewidth=1.4)
        axis.scatter(marked[1], top - 1, s=60, marker="D", color=_SUSPECT, zorder=4)
        right = marked[1] > (low + high) / 2
        axis.annotate(
            marked[0],
            (marked[1], top - 1),
            (-9 if right else 9, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            color=_SUSPECT,
            fontweight="bold",
            bbox={"facecolor": _PAPER, "edgecolor": "none", "pad": 1},
        )
        axis.set(xlabel=label, yticks=[], xlim=(low - pad, high + pad), ylim=(0, top))
        axis.spines["left"].set_visible(False)
        return _to_svg(figure, name)


def draw_fragments(name: str, source: np.ndarray, suspect: np.ndarray) -> str | None:
    """Draws the fragments of two models in the plane by t-SNE.

    Args:
        name: of the figure, for the ids in it.
        source: fragments ``[k, o]``.
        suspect: fragments ``[k, o]``.

    Returns:
        An ``svg`` element; ``None`` where the fragments are too few or hardly differ.

    Raises:
        ImportError: matplotlib or scikit-learn is missing.
    """
    points = place(np.concatenate([source, suspect]).astype(np.float64))
    if isinstance(points, str):
        return None
    with _settings():
        figure, axis = _panel(3.9)
        ours, theirs = np.split(points, [len(source)])
        axis.scatter(
            *ours.T, s=20, facecolors="none", edgecolors=_OTHER, linewidths=0.9, label="source"
        )
        axis.scatter(*theirs.T, s=13, marker="^", color=_SUSPECT, linewidths=0, label="suspect")
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        figure.legend(loc="outside lower center", ncols=2, frameon=False, markerscale=1.4)
        return _to_svg(figure, name)


def draw_histogram(name: str, scores: np.ndarray, lines: Mapping[str, float]) -> str:
    """Draws a histogram of fragment scores over :data:`BINS`, with their mean.

    Args:
        name: of the figure, for the ids in it.
        scores: ``[n]``, from 0 to 1.
        lines: scores that are marked by dotted lines, by their labels.

    Returns:
        An ``svg`` element.

    Raises:
        ImportError: matplotlib is missing.
    """
    with _settings():
        figure, axis = _panel(2.5)
        axis.hist(scores, BINS.tolist(), color=_SUSPECT, edgecolor=_PAPER, rwidth=0.94)
        _mark_scores(axis, lines)
        axis.plot(scores.mean(), 0, marker="D", color=_INK, markersize=8, clip_on=False, zorder=5)
        axis.set(xlabel="fragment score (◆ their mean)", ylabel="fragments", xlim=(-0.01, 1.01))
        return _to_svg(figure, name)


def draw_growth(
    name: str,
    points: Sequence[Point],
    label: str,
    lines: Mapping[str, float] | None = None,
    limits: tuple[float, float] | None = None,
) -> str:
    """Draws scores against the number of queries, with the range over the draws.

    Args:
        name: of the figure, for the ids in it.
        points: at least one.
        label: of the scores.
        lines: scores that are marked by dotted lines, by their labels.
        limits: of the scores' axis.

    Returns:
        An ``svg`` element.

    Raises:
        ImportError: matplotlib is missing.
    """
    with _settings():
        figure, axis = _panel(2.7)
        x = [point.queries for point in points]
        y = np.array([point.score for point in points])
        ends = [y - [p.least for p in points], [p.greatest for p in points] - y]
        axis.errorbar(
            x,
            y,
            yerr=np.maximum(ends, 0),
            color=_SUSPECT,
            marker="o",
            markersize=6,
            capsize=4,
            linewidth=1.6,
        )
        for text, height in (lines or {}).items():
            axis.axhline(height, color=_MUTED, linestyle=":", linewidth=1.2)
            axis.text(1.01, height, text, va="center", transform=axis.get_yaxis_transform())
        axis.set(xscale="log", xlabel="queries", ylabel=label, ylim=limits)
        axis.set_xticks(x, [f"{n:,}" for n in x])
        axis.minorticks_off()
        axis.margins(x=0.08, y=0.1)
        return _to_svg(figure, name)


def _mark_scores(axis: Any, lines: Mapping[str, float]) -> None:
    """Marks scores along the axis by dotted lines with their labels."""
    for text, x in lines.items():
        axis.axvline(x, color=_MUTED, linestyle=":", linewidth=1.2)
        axis.text(x, 1.05, text, ha="center", transform=axis.get_xaxis_transform())


def _settings():
    """The figures' own settings, whatever the user's are."""
    try:
        import matplotlib.style
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'mgmp_jax[report]'") from error
    return matplotlib.style.context(["default", _SETTINGS])


def _panel(height: float) -> tuple[Figure, Axes]:
    """A figure as wide as a telephone, so that its letters are never small."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, height), layout="constrained")
    return figure, figure.subplots()


def _to_svg(figure: Figure, name: str) -> str:
    """The figure as an ``svg`` element named by ids ``name-title`` and ``name-desc``."""
    import matplotlib

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    root = ElementTree.fromstring(stream.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = dict(_own(key, value, name) for key, value in element.attrib.items())
        element.tail = None
    kept = {"viewBox": root.attrib["viewBox"], "role": "img", "focusable": "false"}
    root.attrib = {**kept, "aria-labelledby": f"{name}-title", "aria-describedby": f"{name}-desc"}
    return ElementTree.tostring(root, encoding="unicode")


def _own(key: str, value: str, name: str) -> tuple[str, str]:
    """An attribute with the page's colours and font, and an id that no other figure has."""
    key = key.rpartition("}")[2]
    if key == "id":
        return key, f"{name}-{value}"
    if key == "href":
        return key, f"#{name}-{value.removeprefix('#')}"
    if key == "d":
        return key, " ".join(value.split())
    value = value.replace("url(#", f"url(#{name}-")
    for colour, variable in _VARIABLES.items():
        value = value.replace(colour, variable)
    return key, re.sub(r"font-family: [^;]*;?", "", value)
