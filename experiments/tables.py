"""Write the tables of README.md and docs/results/ from the committed ``results/*/results.json``.

python experiments/tables.py
"""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from _render import (
    ROOT,
    auc,
    committed,
    device,
    first_places,
    link,
    markdown,
    p_values,
    provenance,
    revision,
    separation,
    tpr,
)
from _run import run
from configs import cifar, nlp
from configs.ablation import TABLE_5

from mgmp_jax import reporting

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """The committed rows of Table 1 and 2."""
    yield from committed("cifar", "nlp")


def summary_table() -> str:
    """One line for each committed row of Table 1 and 2."""
    methods = {
        "paper, without generator": "without generator",
        "paper": "paper's method",
        "extended, background only": "extended, background only",
        "extended": "extended",
    }
    lines = []
    for name, results in rows():
        scored = [results["methods"][method] for method in methods]
        label = name.removesuffix("-small").removesuffix("-small-pretrained")
        link_ = f"[{label}](experiments/results/{name}/results.json)"
        figures = [f"{s['accuracy']:.3f} ({s['auc']:.2f})" for s in scored]
        lines.append([link_, results["paper"], *figures])
    header = ["row", "the paper's own, with (without) generator", *methods.values()]
    return markdown(header, lines)


def rows_table() -> str:
    """One line for each method of each committed row of Table 1 and 2."""
    header = ["row, preset", "method", "accuracy per fragment", "AUC by model", "TPR", "missed"]
    header += ["false alarms", "pairs × seeds", "device"]
    lines = []
    for name, results in rows():
        paper = "*the paper, with (without) generator*"
        lines.append([name, paper, results["paper"], "", "", "", "", "", ""])
        for method, s in results["methods"].items():
            counts = [reporting.count(s, key) for key in ("missed", "false_alarms")]
            scored = [
                link(name, "../../"),
                method,
                reporting.accuracy(s),
                f"{s['auc']:.3f}",
                tpr(s),
            ]
            lines.append([*scored, *counts, f"{s['pairs']} × {s['seeds']}", device(results)])
    return markdown(header, lines)


def not_run() -> Iterator[str]:
    """The rows of Table 1 and 2 of which no result is committed."""
    names = [name for name, _ in rows()]
    for table, of_table, script in ((1, cifar.ROWS, "cifar"), (2, nlp.ROWS, "(?!cifar)")):
        for number, (arch, *_) in of_table.items():
            if not any(re.match(rf"{script}.*-row{number}-", name) for name in names):
                yield f"Table {table}, row {number} ({arch})"


def missing_rows() -> str:
    """One sentence on them."""
    missing = "; ".join(not_run())
    return f"\nNot run: {missing}." if missing else ""


def with_table(readme: str) -> str:
    """The README with its table made anew."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{summary_table()}\n{END}{rest.split(END)[1]}"


def ablation_tables() -> Iterator[str]:
    """For each committed ablation: its variants, beside the paper's Table 5."""
    header = ["variant", "the paper", "accuracy per fragment", "AUC by model", "TPR", "missed"]
    for name, results in committed("ablation"):
        yield f"\n### {link(name, '../../')}\n\n{provenance(results)}.\n"
        lines = []
        for variant, s in results["methods"].items():
            paper = f"{TABLE_5[variant]:.4f}" if variant in TABLE_5 else ""
            scored = [reporting.accuracy(s), f"{s['auc']:.3f}", tpr(s)]
            counts = [reporting.count(s, key) for key in ("missed", "false_alarms")]
            lines.append([variant, paper, *scored, *counts])
        yield markdown([*header, "false alarms"], lines)


def forgetting_tables() -> Iterator[str]:
    """For each committed figure: the accuracies that it shows, and the distances of the weights."""
    for name, results in committed("forgetting"):
        yield f"\n### {link(name, '../../')}\n\n{provenance(results)}.\n"
        yield f"![Accuracy over epochs](../../experiments/results/{name}/forgetting.png)\n"
        lines = [
            [panel, *(f"{p[of][i]:.3f}" for of in ("source data", "target data") for i in (0, -1))]
            for panel, p in results["panels"].items()
        ]
        header = ["panel", "source data, first", "source data, last", "target data, first"]
        yield markdown([*header, "target data, last"], lines)
        found = results["weights"]
        lines = []
        for kind in ("homologous", "non-homologous"):
            models = [m for m in found["models"] if m["kind"] == kind]
            columns = ("distance", "cosine", "bound", "forgetting", "forgetting_of_weights_alone")
            spans = ([min(m[c] for m in models), max(m[c] for m in models)] for c in columns)
            lines.append([f"{kind} ({len(models)})", *(f"{a:.3g} to {b:.3g}" for a, b in spans)])
        yield (
            f"\nλ_max {found['lambda_max']:.3g}, norm of the gradient "
            f"{found['gradient_norm']:.3g}, loss of the source {found['source_loss']:.3g}. AUC of "
            f"‖Δw‖ by model: {found['distance']['auc']:.3f}.\n"
        )
        header = ["models", "‖Δw‖", "cosine", "bound", "forgetting", "of weights alone"]
        yield markdown(header, lines)


def comparison_tables() -> Iterator[str]:
    """For each committed comparison: methods against kinds, and the sibling test."""
    for name, results in committed("compare"):
        yield f"\n### {link(name, '../../')}\n\n{provenance(results)}.\n"
        kinds = next(iter(results["methods"].values()))["against"]
        header = ["method", *(f"{kind} ({s['negatives']})" for kind, s in kinds.items())]
        rows = [
            [method, *(separation(s) for s in of_method["against"].values())]
            for method, of_method in results["methods"].items()
        ]
        few, number = next(iter(kinds.values())), max(results["num_queries"].values())
        least = min(s["negatives"] for s in kinds.values())
        yield (
            f"{few['positives']} homologous models against each kind, one source, {number} queries: "
            "AUC by model; in brackets the true positive rate at a false positive rate of 5 %. With "
            f"{least} negatives, no false positive at all still allows a rate of "
            f"{1 - 0.025 ** (1 / least):.0%} (95 %).\n"
        )
        yield markdown(header, rows)
        yield f"\n![AUC against the number of queries](../../experiments/results/{name}/queries.png)"
        yield from _sibling_tables(results["sibling_test"])


def _sibling_tables(by_queries: dict[str, dict[str, Any]]) -> Iterator[str]:
    chosen = "; ".join(f"by {name} *{found['chosen']}*" for name, found in by_queries.items())
    yield (
        "\nThe sibling test with every candidate in turn as the source and the others as its "
        "siblings: for how many of its descendants it came first, on pool tasks (1,000 queries), "
        "by which the variant was chosen, and on evaluation tasks (all queries), for each kind of "
        "queries. The candidates are the same in all. "
        f"*Regressed out* is what of the other candidates. Chosen: {chosen}.\n"
    )
    header = ["statistic", "regressed out"]
    lines: dict[str, list[str]] = {}
    for name, found in by_queries.items():
        groups = found["on_evaluation_tasks"][found["chosen"]]
        header += [f"{name}, pool tasks", *(f"{name}, {group}" for group in groups)]
        for tried in found["on_pool_tasks"]:
            variant = tried["statistic"]
            families = found["on_evaluation_tasks"][variant].values()
            line = lines.setdefault(variant, variant.rsplit(", ", 1))
            line += [first_places(t) for t in (tried["descendants"], *families)]
    yield markdown(header, list(lines.values()))
    yield (
        "\nLevel of the approximate p-value: pairs of a descendant and a candidate that is not its "
        "source (its source left out), for the chosen variant. Pairs share models and are not "
        "independent.\n"
    )
    levels = {name: found["level"] for name, found in by_queries.items()}
    yield markdown(
        ["queries", "pairs", "p (t) ≤ 0.05", "p (t) ≤ 0.01"],
        [
            [name, str(of["pairs"]), f"{of['t_tail_5']:.3f}", f"{of['t_tail_1']:.3f}"]
            for name, of in levels.items()
        ],
    )
    yield (
        "\nThe suspects of the first table, tested with the source as the source: how often it "
        "came first, with the median exact p-value and the smallest, median and largest "
        "approximate one. All suspects share candidates and strangers and are not independent.\n"
    )
    tested = [
        [queries, group, f"{t['first']} of {t['models']}", f"1 in {t['candidates']}", *p_values(t)]
        for queries, found in by_queries.items()
        for group, t in found["suspects"].items()
    ]
    yield markdown(["queries", "suspects", "first", "chance", "p (exact)", "p (t)"], tested)
    yield (
        "\nDescendants on evaluation tasks by numbers of queries and of siblings, mean over sources, "
        "for the chosen statistic. No exact p-value is below 1 / (siblings + 1), the chance of a "
        "first place.\n"
    )
    header = ["kind of queries", "queries", "siblings", "own source first", "chance"]
    header += ["p (t) ≤ 0.05", "a source's median p (t)"]
    lines = []
    for queries, found in by_queries.items():
        for p in found["power"]:
            counts = [f"{p['queries']:.0f}", f"{p['siblings']:.0f}", f"{p['first']:.0%}"]
            rates = [f"{1 / (p['siblings'] + 1):.0%}", f"{p['t_tail']:.0%}"]
            lines.append([queries, *counts, *rates, f"{p['t_p_median']:.2g}"])
    yield markdown(header, lines)


def robustness_tables() -> Iterator[str]:
    """For each committed robustness run: transformations against methods."""
    shown = ("linear CKA", "ridge R², target to source", "MGMP paper", "MGMP extended", "‖Δw‖")
    for name, results in committed("robustness"):
        yield f"\n{link(name, '../../')}: {provenance(results)}.\n"
        rows = []
        for transformation, of_one in results["transformations"].items():
            first = [
                reporting.first_places(of_one, of, kind)
                for kind in ("homologous", "sibling descendant")
                for of in results["chosen"]
            ]
            scored = [auc(of_one["methods"].get(m), "sibling descendant") for m in shown]
            rows.append([transformation, *first, *scored])
        kinds = ("homologous", "sibling descendant")
        header = [f"{kind} first, {of}" for kind in kinds for of in results["chosen"]]
        yield markdown(["transformation", *header, *shown], rows)
        yield f"\nAll methods:\n\n![AUC](../../experiments/results/{name}/robustness.png)\n"


def queries_tables() -> Iterator[str]:
    """For each committed trial of queries: the kinds, and how often each statistic put the own source first."""
    for name, results in committed("queries"):
        yield f"\n### {link(name, '../../')}\n\n{provenance(results)}.\n"
        variants = ["both fits, none", "both fits, mean", "both fits, others"]
        header = ["kind of queries", "number", "candidates agree", "the best variant", "first"]
        lines = []
        for kind, found in results["kinds"].items():
            by_variant = {t["statistic"]: t["descendants"] for t in found["on_pool_tasks"]}
            agree = f"{found['agreement_of_candidates']:.2f}"
            tried = [by_variant[variant] for variant in (found["chosen"], *variants)]
            traces = [first_places(t) for t in tried]
            lines.append([kind, str(found["queries"]), agree, found["chosen"], *traces])
        yield markdown([*header, *variants], lines)


def stage_tables() -> Iterator[str]:
    """For each committed cross-validation: what was compared on pool tasks."""
    for name, results in committed("crossvalidate"):
        tasks = [task.removeprefix("subset ") for task in results["tasks"]]
        yield f"\n## {name}\n\n`{results['run']['command']}`"
        yield f"({revision(results['run'])}, {results['run']['cores']} cores)\n"
        header = ["variant", "accuracy", f"left out: {tasks[0]}", *tasks[1:], "AUC"]
        rows = [
            [
                variant,
                f"{v['accuracy']:.4f}",
                *(f"{accuracy:.3f}" for accuracy in v["by_task"]),
                f"{v['auc']:.2f}",
            ]
            for variant, v in results["variants"].items()
        ]
        yield markdown(header, rows)


PARTS = {
    "rows": lambda: [rows_table(), missing_rows()],
    "ablation": ablation_tables,
    "forgetting": forgetting_tables,
    "comparison": comparison_tables,
    "queries": queries_tables,
    "robustness": robustness_tables,
    "stages": stage_tables,
}
"""The tables that stand for ``{part}`` in ``templates/``."""


def page(name: str) -> str:
    """A page of docs/results/: its template with the tables in it."""
    text = (ROOT / "experiments" / "templates" / name).read_text()
    for part, tables in PARTS.items():
        place = f"{{{part}}}\n"
        if place in text:
            text = text.replace(place, "\n".join(tables()) + "\n")
    return text


def pages() -> list[str]:
    """The names of all pages."""
    return sorted(path.name for path in (ROOT / "experiments" / "templates").glob("*.md"))


@dataclasses.dataclass(frozen=True)
class Args:
    """Write README.md's table and the pages of docs/results/ from the committed results."""


def main(args: Args) -> None:
    """Writes all pages."""
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text()))
    for name in pages():
        (ROOT / "docs" / "results" / name).write_text(page(name))


if __name__ == "__main__":
    run(main, Args)
