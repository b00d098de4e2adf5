"""How the pages of docs/ are made: committed results, and tables in Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax import reporting

ROOT = Path(__file__).parents[1]


def committed(*experiments: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of every committed ``results.json`` of some experiments."""
    for path in sorted((ROOT / "experiments" / "results").glob("*/results.json")):
        results = json.loads(path.read_text())
        if results["experiment"] in experiments:
            yield path.parent.name, results


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def device(results: dict[str, Any]) -> str:
    """Where it ran."""
    ran = results["run"]
    cores = f"{ran['cores']} CPU core{'s' * (ran['cores'] > 1)}"
    return cores if "cpu" in ran["device"] else ran["device"]


def link(name: str, to_root: str) -> str:
    """A link to a committed result."""
    return f"[{name}]({to_root}experiments/results/{name}/results.json)"


def revision(ran: dict[str, Any]) -> str:
    """The revision that ran, in few letters."""
    commit, *changes = ran["git_revision"].split(" ", 1)
    return " ".join([commit[:7], *changes])


def provenance(results: dict[str, Any]) -> str:
    """Command, revision and machine, in one line."""
    ran = results["run"]
    return (
        f"`{ran['command']}`, revision {revision(ran)}, {device(results)}, "
        f"{ran['wall_time_s'] / 60:.0f} minutes with {ran['models_trained_before']} models there "
        "before"
    )


def tpr(summary: dict[str, Any]) -> str:
    """The share of homologous models above every non-homologous one, with its interval."""
    scores: dict[str, list[float]] = {"homologous": [], "not homologous": []}
    for judged in summary["evaluation"]:
        scores[judged["truth"]].append(float(np.mean(judged["dna_score_by_seed"])))
    s = reporting.separation(*(np.array(of_kind) for of_kind in scores.values()))
    low, high = s["tpr_1_interval"]
    return f"{s['tpr_1']:.2f} ({low:.2f} to {high:.2f})"


def separation(s: dict[str, Any]) -> str:
    """AUC, and the true positive rate at a false positive rate of 5 %, in words."""
    return f"{s['auc']:.2f} ({s['tpr_5']:.2f})"


def first_places(t: dict[str, Any]) -> str:
    return f"{t['first']} of {t['models']}"


def p_values(t: dict[str, Any]) -> tuple[str, str]:
    approximate = ", ".join(f"{of(t['p_t_tail']):.2g}" for of in (np.min, np.median, np.max))
    return f"{np.median(t['p_exact']):.2g}", approximate


def auc(of_method: dict[str, Any] | None, kind: str) -> str:
    return f"{of_method['against'][kind]['auc']:.2f}" if of_method else "–"
