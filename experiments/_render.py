"""How the pages of docs/ are made: committed results, and tables in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "experiments" / "templates"
PAGES = ROOT / "docs" / "results"
TO_ROOT = "../../"
"""From a page to the root."""

SPELT = {"resnet18": "ResNet18", "alexnet": "AlexNet"}
"""Architectures on pages."""


def committed(*experiments: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of every committed ``results.json`` of some experiments."""
    for path in sorted((ROOT / "experiments" / "results").glob("*/results.json")):
        results = json.loads(path.read_text())
        if results["experiment"] in experiments:
            yield path.parent.name, results


def by_family(experiment: str) -> dict[str, dict[str, Any]]:
    """Committed results of an experiment by family, ResNet18 first."""
    found = {}
    for name, results in committed(experiment):
        family = name.removeprefix(f"{experiment}-cifar-").removesuffix("-small")
        arch = family.split("-")[0]
        found[family.replace(arch, SPELT.get(arch, arch), 1)] = results
    return dict(sorted(found.items(), reverse=True))


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def pivot(first: str, columns: Mapping[str, Mapping[str, str]]) -> str:
    """A table of columns ``{header: {row: cell}}``, with a dash where a column has no such row.

    Args:
        first: the header of the rows' names.
        columns: rows are in the order in which they are first met.
    """
    rows = dict.fromkeys(row for column in columns.values() for row in column)
    lines = [[row, *(column.get(row, "–") for column in columns.values())] for row in rows]
    return markdown([first, *columns], lines)


def link(name: str) -> str:
    """A link from a page to a committed result."""
    return f"[{name}]({TO_ROOT}experiments/results/{name}/results.json)"


def picture(title: str, name: str, file: str) -> str:
    """A picture of a committed result, on a page."""
    return f"![{title}]({TO_ROOT}experiments/results/{name}/{file})"


def origins(*experiments: str) -> Iterator[str]:
    """Where the numbers of a page come from: files, commands, revisions, machines and times."""
    yield "\n## Runs\n"
    for name, results in committed(*experiments):
        ran = results["run"]
        command = re.sub(r" --(data-dir|out) \S+|^python experiments/", "", ran["command"])
        commit, *changes = ran["git_revision"].split(" ", 1)
        wall = f", {ran['wall_time_s'] / 60:.0f} min" if "wall_time_s" in ran else ""
        device = "" if "cpu" in ran["device"] else f", {ran['device']}"
        yield (
            f"- {link(name)}: `{command}`, "
            f"{' '.join([commit[:7], *changes])}, {ran['cores']} CPU"
            f"{'s' * (ran['cores'] > 1)}{device}{wall}"
        )


def first_of(t: Mapping[str, Any]) -> str:
    """For how many suspects the source came first in the sibling test."""
    return f"{t['first']}/{t['models']}"


def page(name: str, parts: Mapping[str, Any]) -> str:
    """A page of docs/results/: its template with the tables in place of ``{part}``."""
    text = (TEMPLATES / name).read_text()
    for part, tables in parts.items():
        place = f"{{{part}}}\n"
        if place in text:
            text = text.replace(place, "\n".join(tables()) + "\n")
    return text


def pages() -> list[str]:
    """The names of all pages."""
    return sorted(path.name for path in TEMPLATES.glob("*.md"))
