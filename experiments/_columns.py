"""Columns of tables: what of one committed result fills which cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from configs.cohort import DEFAULT_TEST

from mgmp_jax import reporting

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
    """Makes the columns of recorded cohorts: AUC of each method against each kind."""
    columns: Columns = {}
    for cohort, found in results["cohorts"].items():
        for name, method in found["methods"].items():
            for kind, separation in method["against"].items():
                column = f"{cohort}: {kind} ({separation['negatives']})"
                cell = f"{separation['auc']:.2f} ({separation['tpr_5']:.2f})"
                columns.setdefault(column, {})[name] = cell
    return columns


def above_half(results: Results) -> Columns:
    """Makes the columns of recorded cohorts: how many DNA scores are above one half, by kind."""
    columns: Columns = {}
    for cohort, found in results["cohorts"].items():
        kinds = found["suspects"]
        for name, method in found["methods"].items():
            if name.startswith("MGMP"):
                for kind in dict.fromkeys(kinds):
                    pairs = zip(kinds, method["scores"], strict=True)
                    scores = [score for one, score in pairs if one == kind]
                    cell = f"{sum(score > 0.5 for score in scores)}/{len(scores)}"
                    columns.setdefault(f"{cohort}: {kind}", {})[name] = cell
    return columns


def suspects(results: Results) -> Columns:
    """Makes the columns of a comparison's suspects: first places of the source."""
    return {
        queries: {group: f"{t['first']}/{t['models']}" for group, t in one["suspects"].items()}
        for queries, one in results["sibling_test"].items()
    }


def false_firsts(results: Results) -> Columns:
    """Makes the columns of suspects that did not come from the source: how many put it first.

    In brackets is the exact interval of 95 %, by kind of queries and kind of suspect.
    """
    columns: Columns = {}
    for queries, one in results["sibling_test"].items():
        counts: dict[str, list[int]] = {}
        for group, found in one["suspects"].items():
            kind = group.removesuffix(", head kept").removesuffix(", new head")
            if kind != "homologous":
                first, models = counts.get(kind, (0, 0))
                counts[kind] = [first + found["first"], models + found["models"]]
        for kind, (first, models) in counts.items():
            low, high = reporting.clopper_pearson(first, models)
            columns.setdefault(kind, {})[queries] = f"{first}/{models} ({low:.2f} to {high:.2f})"
    return columns


def by_controls(results: Results) -> Columns:
    """Makes the columns of first places by what the controls are, where both were tried."""
    columns: Columns = {}
    for queries, one in results["sibling_test"].items():
        if "by_tuned_controls" in one:
            families = one["on_evaluation_tasks"][one["chosen"]]
            groups = {"scratch": families | one["suspects"]}
            groups["tuned"] = one["by_tuned_controls"]["groups"]
            for controls, found in groups.items():
                cells = {group: f"{t['first']}/{t['models']}" for group, t in found.items()}
                columns[f"{queries}, {controls}"] = cells
    return columns


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
    """Makes the columns of students: how often their teacher came first, by kind of queries."""
    columns: Columns = {"agreement with the teacher": {}}
    for kind, found in results["kinds"].items():
        mean = sum(found["agreement"].values()) / len(found["agreement"])
        columns["agreement with the teacher"][kind] = f"{mean:.2f}"
        for statistic in next(iter(found["places"].values())):
            firsts = [one[statistic].count(1) for one in found["places"].values()]
            columns.setdefault(statistic, {})[kind] = ", ".join(map(str, firsts))
    return columns


def conditions(results: Results) -> Columns:
    """Makes the columns of students by number of siblings and kind of controls: first places."""
    columns: Columns = {}
    for kind, found in results["kinds"].items():
        for condition, by_queries in found["by_condition"].items():
            firsts = ", ".join(str(one.count(1)) for one in by_queries.values())
            columns.setdefault(condition, {})[kind] = firsts
    return columns


def late(results: Results) -> Columns:
    """Makes the columns of late siblings: cost, likeness, how often the own source came first."""
    columns: Columns = {}
    for shared, found in results["shared"].items():
        cells = {
            "cost": f"{1 - int(shared) / results['epochs']:.2f}",
            "accuracy": f"{found['accuracy']:.2f}",
            "agree": f"{found['agreement']:.2f}",
        }
        for which, groups in found["by_queries"].items():
            cells[which] = ", ".join(f"{one['first']}/{one['models']}" for one in groups.values())
        for column, cell in cells.items():
            columns.setdefault(column, {})[f"{shared} of {results['epochs']}"] = cell
    return columns


def siblings(results: Results, way: str = ", ".join(DEFAULT_TEST)) -> Columns:
    """Makes the columns of numbers of siblings: how many p are small, of how many.

    Args:
        results: of a run.
        way: in which the sibling test was done.

    Returns:
        In a cell how many p are at most 0.1, 0.05 and 0.01, as far as so many siblings allow any,
        or else how many are as small as can be.
    """
    columns: Columns = {}
    for which, by_number in results["by_queries"].items():
        for queries, by_siblings in by_number.items():
            for number, ways in by_siblings.items():
                least = 1 / (int(number) + 1)
                levels = [level for level in (0.1, 0.05, 0.01) if level >= least] or [least]
                for kind, p in _by_descent(ways[way]).items():
                    small = (str(sum(one <= level for one in p)) for level in levels)
                    cell = f"{', '.join(small)} of {len(p)}"
                    columns.setdefault(f"{which}: {kind}", {})[f"{queries}, {number}"] = cell
    return columns


def _by_descent(groups: Results) -> dict[str, list[float]]:
    """Gathers exact p of the source's descendants, of other models of tasks, of independent."""
    found: dict[str, list[float]] = {}
    for group, summary in groups.items():
        kind = group.split(",")[0]
        ours = "descendants" if kind == "homologous" else "others"
        found.setdefault(kind if kind == "independent" else ours, []).extend(summary["p_exact"])
    return found


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


def robustness(results: Results) -> Columns:
    """Makes the columns of a robustness run: first places and AUCs of some methods."""
    changes = results["transformations"].items()
    columns: Columns = {}
    for change, found in changes:
        for kind in ("homologous", "sibling descendant", "scratch"):
            firsts = [reporting.first_places(found, one, kind) for one in results["chosen"]]
            if not firsts[0].endswith("of 0"):
                cell = ", ".join(first.replace(" of ", "/") for first in firsts)
                columns.setdefault(f"{kind} first", {})[change] = cell
    similar = ("linear CKA", "ridge R², target to source")
    mgmp = ("MGMP paper", "MGMP extended", "MGMP extended, with siblings")
    for method in (*similar, *mgmp, "‖Δw‖"):
        columns[method] = {}
        for change, found in changes:
            against = found["methods"].get(method, {"against": {}})["against"]
            if "sibling descendant" in against:
                columns[method][change] = f"{against['sibling descendant']['auc']:.2f}"
            elif "scratch" in against:
                columns[method][change] = f"({against['scratch']['auc']:.2f})"
    return columns


def retention(results: Results) -> Columns:
    """Makes a column of each strength of fine-tuning in a retention run: means over families,
    with their standard deviation where there are several.
    """

    def column(families: Sequence[Results]) -> dict[str, str]:
        def mean(cell: Callable[[Results], float], form: str = ".3f") -> str:
            found = [cell(family) for family in families]
            spread = f" ± {stdev(found):{form}}" if len(found) > 1 else ""
            return f"{fmean(found):{form}}{spread}"

        cells = {
            name: mean(lambda family, k=key: fmean(family[k].values()))
            for name, key in (
                ("left of the source", "left_of_the_source"),
                ("own task", "own_task"),
                ("own task, from scratch", "own_task_from_scratch"),
            )
        }
        for method, first in families[0]["methods"].items():
            accuracies = [
                mean(lambda family, m=method, k=key: family["methods"][m][k])
                for key in ("accuracy", "on_pool")
            ]
            cells[method] = "{} ({})".format(*accuracies)
            sizes = [
                mean(lambda family, m=method, k=key: family["methods"][m][k], ".3g")
                for key in ("rms_z", "rms_y")
                if first[key] is not None
            ]
            cells[f"{method}: rms of {'z, y' if len(sizes) == 2 else 'y'}"] = ", ".join(sizes)
        found = [
            [p <= 0.05 for family in families for p in family["independence_p"][kind].values()]
            for kind in ("homologous", "non_homologous")
        ]
        cells["weights not independent, p ≤ 0.05: descendants; from scratch"] = "; ".join(
            f"{sum(one)}/{len(one)}" for one in found
        )
        return cells

    return {strength: column(families) for strength, families in results["strengths"].items()}


def stage(results: Results) -> Columns:
    """Makes the columns of a cross-validation: what was compared on pool tasks."""
    found = results["variants"].items()
    spans = {v: (min(one["by_task"]), max(one["by_task"])) for v, one in found}
    return {
        "accuracy": {v: f"{one['accuracy']:.3f}" for v, one in found},
        "least to most": {v: f"{least:.2f} to {most:.2f}" for v, (least, most) in spans.items()},
        "AUC": {v: f"{one['auc']:.1f}" for v, one in found},
    }


def accuracies(results: Results) -> Columns:
    """Makes the columns of a figure of forgetting: accuracies, first and last."""
    return {
        data: {
            panel: f"{one[data][0]:.2f} → {one[data][-1]:.2f}"
            for panel, one in results["panels"].items()
        }
        for data in ("source data", "target data")
    }
