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


def recorded(results: Results) -> Columns:
    """Makes the columns of recorded cohorts: AUC of each method against each kind, and its time."""
    columns: Columns = {}
    for cohort, found in results["cohorts"].items():
        for name, method in found["methods"].items():
            for kind, separation in method["against"].items():
                columns.setdefault(f"{cohort}: {kind}", {})[name] = f"{separation['auc']:.2f}"
            columns.setdefault(f"{cohort}: seconds", {})[name] = f"{method['seconds']:.1f}"
    return columns


def suspects(results: Results) -> Columns:
    """Makes the columns of a comparison's suspects: first places of the source."""
    return {
        queries: {group: f"{t['first']}/{t['models']}" for group, t in one["suspects"].items()}
        for queries, one in results["sibling_test"].items()
    }


def by_controls(results: Results) -> Columns:
    """Makes the columns of first places by what the controls are, where both were tried."""
    return {
        f"{queries}, {controls}": {
            group: f"{t['first']}/{t['models']}" for group, t in groups.items()
        }
        for queries, one in results["sibling_test"].items()
        for controls, groups in one.get("by_controls", {}).items()
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


def students(results: Results) -> Columns:
    """Makes the columns of students: agreement on unseen images, and teachers that came first."""
    columns: Columns = {"agreement with the teacher": {}}
    for kind, found in results["kinds"].items():
        agreements = [one["test"] for one in found["agreement"].values()]
        cell = f"{sum(agreements) / len(agreements):.2f}"
        columns["agreement with the teacher"][kind] = cell
        for by_statistic in found["places"].values():
            for statistic, of_students in by_statistic.items():
                firsts = columns.setdefault(statistic, {}).setdefault(kind, "")
                cell = f"{of_students.count(1)}/{len(of_students)}"
                columns[statistic][kind] = f"{firsts}, {cell}" if firsts else cell
    return columns


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
