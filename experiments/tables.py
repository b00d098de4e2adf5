"""Write the tables of README.md and docs/results/ from the committed ``results/*/results.json``.

python experiments/tables.py
"""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import _render
from _render import ROOT, by_family, committed, first_of, link, markdown, picture, pivot
from _run import run
from configs import cifar, nlp
from configs.ablation import TABLE_5

from mgmp_jax import reporting

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
METHODS = {
    "paper, without generator": "without generator",
    "paper": "paper's method",
    "extended, background only": "extended, background only",
    "extended": "extended",
}
"""What the rows of Table 1 and 2 are done with, and their columns."""


def rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """The committed rows of Table 1 and 2."""
    yield from committed("cifar", "nlp")


def summary_table() -> str:
    """One line for each committed row of Table 1 and 2."""
    lines = []
    for name, results in rows():
        scored = [results["methods"][method] for method in METHODS]
        label = name.removesuffix("-pretrained").removesuffix("-small")
        link_ = f"[{label}](experiments/results/{name}/results.json)"
        figures = [f"{s['accuracy']:.3f} ({s['auc']:.2f})" for s in scored]
        lines.append([link_, results["paper"], *figures])
    header = ["row", "the paper's own, with (without) generator", *METHODS.values()]
    return markdown(header, lines)


def with_table(readme: str) -> str:
    """The README with its table made anew."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{summary_table()}\n{END}{rest.split(END)[1]}"


def rows_tables() -> Iterator[str]:
    """Accuracy and verdicts of each method in each committed row of Table 1 and 2."""
    accuracies, verdicts = [], []
    for name, results in rows():
        found = [results["methods"][method] for method in METHODS]
        size = f"{found[0]['pairs']} × {found[0]['seeds']}"
        accuracies.append(
            [link(name), size, *(f"{reporting.accuracy(s)} ({s['auc']:.2f})" for s in found)]
        )
        verdicts.append([name, f"{found[0]['pairs'] * found[0]['seeds']}", *map(wrong, found)])
    yield markdown(["row", "pairs × seeds", *METHODS.values()], accuracies)
    yield "\nVerdicts: missed/false alarms, in brackets with one half for δ.\n"
    yield markdown(["row", "of each", *METHODS.values()], verdicts)
    missing = "; ".join(not_run())
    yield f"\nNot run: {missing}." if missing else ""


def wrong(summary: Mapping[str, Any]) -> str:
    """Missed homologous models and false alarms over all seeds, with δ and with one half."""
    sums = [
        f"{sum(summary[f'missed{end}'])}/{sum(summary[f'false_alarms{end}'])}"
        for end in ("", "_at_half")
    ]
    return f"{sums[0]} ({sums[1]})"


def not_run() -> Iterator[str]:
    """The rows of Table 1 and 2 of which no result is committed."""
    names = [name for name, _ in rows()]
    for table, of_table, script in ((1, cifar.ROWS, "cifar"), (2, nlp.ROWS, "(?!cifar)")):
        for number, (arch, *_) in of_table.items():
            if not any(re.match(rf"{script}.*-row{number}-", name) for name in names):
                yield f"Table {table}, row {number} ({arch})"


def ablation_tables() -> Iterator[str]:
    """For each committed ablation: its variants, beside the paper's Table 5."""
    for _, results in sorted(committed("ablation"), reverse=True):
        found = results["methods"]
        columns: dict[str, dict[str, str]] = {
            "the paper": {v: f"{TABLE_5[v]:.4f}" for v in found if v in TABLE_5},
            "accuracy per fragment": {v: reporting.accuracy(s) for v, s in found.items()},
            "AUC": {v: f"{s['auc']:.2f}" for v, s in found.items()},
            "missed/false alarms": {v: wrong(s) for v, s in found.items()},
        }
        yield "\n" + pivot("variant", {of: cells for of, cells in columns.items() if cells})


def forgetting_tables() -> Iterator[str]:
    """Accuracies that the figures show, and the distances of the weights."""
    found = by_family("forgetting")
    for name, _ in reversed([*committed("forgetting")]):
        yield picture("Accuracy over epochs", name, "forgetting.png") + "\n"
    yield "Accuracy, first → last:\n"
    columns = {
        f"{family}: {data}": {
            panel: f"{p[data][0]:.2f} → {p[data][-1]:.2f}" for panel, p in results["panels"].items()
        }
        for family, results in found.items()
        for data in ("source data", "target data")
    }
    yield pivot("panel", columns)
    lines = []
    for family, results in found.items():
        at = results["weights"]
        yield (
            f"\n{family}: λ_max {at['lambda_max']:.3g}, norm of the gradient "
            f"{at['gradient_norm']:.3g}, loss of the source {at['source_loss']:.3g}; AUC of ‖Δw‖ "
            f"by model {at['distance']['auc']:.2f}."
        )
        for kind in ("homologous", "non-homologous"):
            models = [m for m in at["models"] if m["kind"] == kind]
            keys = ("distance", "cosine", "bound", "forgetting", "forgetting_of_weights_alone")
            spans = ([min(m[k] for m in models), max(m[k] for m in models)] for k in keys)
            spanned = [f"{low:.3g} to {high:.3g}" for low, high in spans]
            lines.append([f"{family}, {kind} ({len(models)})", *spanned])
    header = ["models", "‖Δw‖", "cosine", "bound", "forgetting", "with the source's statistics"]
    yield "\nFrom the least to the greatest of the models:\n"
    yield markdown(header, lines)


def comparison_tables() -> Iterator[str]:
    """Methods against kinds of negatives, in all committed comparisons."""
    found = by_family("compare")
    columns = {
        f"{family}: {kind}": {
            method: f"{of_method['against'][kind]['auc']:.2f}"
            for method, of_method in results["methods"].items()
        }
        for family, results in found.items()
        for kind in next(iter(results["methods"].values()))["against"]
    }
    yield pivot("method", columns)
    for name, _ in reversed([*committed("compare")]):
        yield "\n" + picture("AUC against the number of queries", name, "queries.png")


def sibling_suspects_table() -> Iterator[str]:
    """The suspects of the comparison, by the sibling test with the source as the source."""
    columns = {
        f"{family}: {queries}": {group: first_of(t) for group, t in of["suspects"].items()}
        for family, results in by_family("compare").items()
        for queries, of in results["sibling_test"].items()
    }
    yield pivot("suspects", columns)


def sibling_statistics_table() -> Iterator[str]:
    """Every variant of the sibling test, on pool and on evaluation tasks; the chosen one bold."""
    columns = {}
    for family, results in by_family("compare").items():
        for queries, found in results["sibling_test"].items():
            cells = columns[f"{family}: {queries}"] = {}
            for tried in found["on_pool_tasks"]:
                variant = tried["statistic"]
                groups = found["on_evaluation_tasks"][variant].values()
                cell = f"{tried['descendants']['first']}/{sum(t['first'] for t in groups)}"
                cells[variant] = f"**{cell}**" if variant == found["chosen"] else cell
    yield pivot("statistic, regressed out", columns)


def sibling_level_table() -> Iterator[str]:
    """How often the approximate p-value is small for a candidate that is not the source."""
    columns = {
        f"{family}: p (t) ≤ {level}": {
            queries: f"{of['level'][key]:.1%}" for queries, of in results["sibling_test"].items()
        }
        for family, results in by_family("compare").items()
        for level, key in (("0.05", "t_tail_5"), ("0.01", "t_tail_1"))
    }
    yield pivot("queries", columns)


def sibling_power_table() -> Iterator[str]:
    """First places by numbers of queries and of siblings, for the chosen statistic."""
    columns = {
        f"{family}: {queries}": {
            f"{p['queries']:.0f}, {p['siblings']:.0f}": f"{p['first']:.0%}" for p in of["power"]
        }
        for family, results in by_family("compare").items()
        for queries, of in results["sibling_test"].items()
    }
    yield pivot("queries, siblings", columns)


def queries_table() -> Iterator[str]:
    """Kinds of queries: how alike candidates answer, and the first places by several variants."""
    columns: dict[str, dict[str, str]] = {}
    for family, results in by_family("queries").items():
        for kind, found in results["kinds"].items():
            by_variant = {t["statistic"]: t["descendants"]["first"] for t in found["on_pool_tasks"]}
            ours = (by_variant[f"both fits, {what}"] for what in ("none", "mean", "others"))
            for title, cell in (
                ("agree", f"{found['agreement_of_candidates']:.2f}"),
                ("both fits", "/".join(map(str, ours))),
                ("best", f"{by_variant[found['chosen']]}: {found['chosen']}"),
            ):
                columns.setdefault(f"{family}: {title}", {})[kind] = cell
    yield pivot("kind of queries", columns)


def robustness_tables() -> Iterator[str]:
    """For each committed robustness run: transformations against methods."""
    shown = ("linear CKA", "ridge R², target to source", "MGMP paper", "MGMP extended", "‖Δw‖")
    for name, results in committed("robustness"):
        columns: dict[str, dict[str, str]] = {}
        for transformation, found in results["transformations"].items():
            for kind in ("homologous", "sibling descendant", "scratch"):
                firsts = [reporting.first_places(found, of, kind) for of in results["chosen"]]
                if not firsts[0].endswith("of 0"):
                    cell = ", ".join(first.replace(" of ", "/") for first in firsts)
                    columns.setdefault(f"{kind} first", {})[transformation] = cell
        for method in shown:
            columns[method] = {
                transformation: f"{m['against']['sibling descendant']['auc']:.2f}"
                for transformation, found in results["transformations"].items()
                if (m := found["methods"].get(method))
            }
        yield pivot("transformation", columns)
        yield "\n" + picture("AUC of all methods", name, "robustness.png")


def stage_tables() -> Iterator[str]:
    """For each committed cross-validation: what was compared on pool tasks."""
    for name, results in committed("crossvalidate"):
        found = results["variants"]
        stage = name.rsplit("crossvalidation", 1)[1].replace("-", ", ")
        yield f"\n## Stage {stage}\n"
        yield pivot(
            "variant",
            {
                "accuracy": {v: f"{of['accuracy']:.3f}" for v, of in found.items()},
                "least to most": {
                    v: f"{min(of['by_task']):.2f} to {max(of['by_task']):.2f}"
                    for v, of in found.items()
                },
                "AUC": {v: f"{of['auc']:.1f}" for v, of in found.items()},
            },
        )


PARTS = {
    "rows": rows_tables,
    "ablation": ablation_tables,
    "forgetting": forgetting_tables,
    "comparison": comparison_tables,
    "suspects": sibling_suspects_table,
    "statistics": sibling_statistics_table,
    "level": sibling_level_table,
    "power": sibling_power_table,
    "queries": queries_table,
    "robustness": robustness_tables,
    "stages": stage_tables,
    "runs of rows": partial(_render.origins, "cifar", "nlp"),
    "runs of ablation": partial(_render.origins, "ablation"),
    "runs of forgetting": partial(_render.origins, "forgetting"),
    "runs of compare": partial(_render.origins, "compare"),
    "runs of queries": partial(_render.origins, "queries"),
    "runs of robustness": partial(_render.origins, "robustness"),
    "runs of crossvalidate": partial(_render.origins, "crossvalidate"),
}
"""What stands for ``{part}`` in ``templates/``."""


def page(name: str) -> str:
    """A page of docs/results/."""
    return _render.page(name, PARTS)


@dataclasses.dataclass(frozen=True)
class Args:
    """Write README.md's table and the pages of docs/results/ from the committed results."""


def main(args: Args) -> None:
    """Writes all pages."""
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text()))
    for name in _render.pages():
        (_render.PAGES / name).write_text(page(name))


if __name__ == "__main__":
    run(main, Args)
