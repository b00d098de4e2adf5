"""Columns of the tables that come from a cohort: comparison, suspects, statistics, queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Results = Mapping[str, Any]
Columns = dict[str, dict[str, str]]
"""Cells by column and row."""


def comparison(results: Results) -> Columns:
    """Makes the columns of a comparison: AUC of each method against each kind of negatives."""
    methods = results["methods"]
    return {
        kind: {name: f"{method['against'][kind]['auc']:.2f}" for name, method in methods.items()}
        for kind in methods["linear CKA"]["against"]
    }


def suspects(results: Results) -> Columns:
    """Makes the columns of a comparison's suspects: first places of the source."""
    return {
        queries: {group: f"{t['first']}/{t['models']}" for group, t in one["suspects"].items()}
        for queries, one in results["sibling_test"].items()
    }


def statistics(results: Results) -> Columns:
    """Makes the columns of every way of the sibling test, on pool and evaluation tasks."""
    columns: Columns = {}
    for queries, found in results["sibling_test"].items():
        cells = columns[queries] = {}
        for tried in found["on_pool_tasks"]:
            way = tried["statistic"]
            groups = found["on_evaluation_tasks"][way].values()
            cell = f"{tried['descendants']['first']}/{sum(t['first'] for t in groups)}"
            cells[way] = f"**{cell}**" if way == found["chosen"] else cell
    return columns


def level(results: Results) -> Columns:
    """Makes the columns of small p-values for candidates that are not the source."""
    return {
        f"p (t) ≤ {p}": {
            one: f"{t['level'][key]:.1%}" for one, t in results["sibling_test"].items()
        }
        for p, key in (("0.05", "t_tail_5"), ("0.01", "t_tail_1"))
    }


def power(results: Results) -> Columns:
    """Makes the columns of first places by numbers of queries and of siblings."""
    return {
        queries: {
            f"{p['queries']:.0f}, {p['siblings']:.0f}": f"{p['first']:.0%}" for p in one["power"]
        }
        for queries, one in results["sibling_test"].items()
    }


def kinds_of_queries(results: Results) -> Columns:
    """Makes the columns of kinds of queries: how alike candidates answer, and first places."""
    columns: Columns = {"agree": {}, "both fits": {}, "best": {}}
    for kind, found in results["kinds"].items():
        first = {t["statistic"]: t["descendants"]["first"] for t in found["on_pool_tasks"]}
        ours = (str(first[f"both fits, {what}"]) for what in ("none", "mean", "others"))
        columns["agree"][kind] = f"{found['agreement_of_candidates']:.2f}"
        columns["both fits"][kind] = "/".join(ours)
        columns["best"][kind] = f"{first[found['chosen']]}: {found['chosen']}"
    return columns
