"""Writes the tables of README.md and docs/ from the committed ``results/*/results.json``."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cifar
import nlp
import numpy as np
from ablation import TABLE_5
from robustness import traced

from mgmp_jax import reporting

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def committed(key: str, script: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of every committed ``results.json`` of a script that has ``key``."""
    for path in sorted((ROOT / "experiments" / "results").glob("*/results.json")):
        results = json.loads(path.read_text())
        if key in results and script in results["run"]["command"]:
            yield path.parent.name, results


def rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """The committed rows of Table 1 and 2."""
    yield from committed("paper", "cifar.py")
    yield from committed("paper", "nlp.py")


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


def summary_table() -> str:
    """One line for each committed row of Table 1 and 2."""
    methods = ["paper, without generator", "paper", "extended, consensus only", "extended"]
    header = ["row, preset", "the paper's own, with (without) generator", *methods]
    lines = []
    for name, results in rows():
        of_row = [results["methods"][method] for method in methods]
        size = f"{of_row[0]['pairs']} × {of_row[0]['seeds']}"
        scored = [f"{reporting.accuracy(s)} ({s['auc']:.2f})" for s in of_row]
        lines.append([link(name, ""), results["paper"], *scored, size, device(results)])
    return markdown([*header, "pairs × seeds", "device"], lines)


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
            scored = [link(name, "../"), method, reporting.accuracy(s), f"{s['auc']:.3f}", tpr(s)]
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


def tpr(summary: dict[str, Any]) -> str:
    """The share of homologous models above every non-homologous one, with its interval."""
    scores: dict[str, list[float]] = {"homologous": [], "not homologous": []}
    for judged in summary["evaluation"]:
        scores[judged["truth"]].append(float(np.mean(judged["dna_score_by_seed"])))
    s = reporting.separation(*(np.array(of_kind) for of_kind in scores.values()))
    low, high = s["tpr_1_interval"]
    return f"{s['tpr_1']:.2f} ({low:.2f} to {high:.2f})"


def with_table(readme: str) -> str:
    """The README with its table made anew."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{summary_table()}\n{END}{rest.split(END)[1]}"


def model_tables() -> Iterator[str]:
    """For each committed row the accuracies of its models."""
    for name, results in rows():
        yield f"\n### {name}\n\n{provenance(results)}.\n"
        lines = [
            [address.rsplit("-", 1)[0], f"{accuracy['train']:.3f}", f"{accuracy['test']:.3f}"]
            for address, accuracy in results["models"].items()
        ]
        yield markdown(["model", "accuracy on its training data", "on its test data"], lines)


def ablation_tables() -> Iterator[str]:
    """For each committed ablation: its variants, beside the paper's Table 5."""
    header = ["variant", "the paper", "accuracy per fragment", "AUC by model", "TPR", "missed"]
    for name, results in committed("paper", "ablation.py"):
        yield f"\n### {link(name, '../')}\n\n{provenance(results)}.\n"
        lines = []
        for variant, s in results["methods"].items():
            paper = f"{TABLE_5[variant]:.4f}" if variant in TABLE_5 else ""
            scored = [reporting.accuracy(s), f"{s['auc']:.3f}", tpr(s)]
            counts = [reporting.count(s, key) for key in ("missed", "false_alarms")]
            lines.append([variant, paper, *scored, *counts])
        yield markdown([*header, "false alarms"], lines)


def forgetting_tables() -> Iterator[str]:
    """For each committed figure: the accuracies that it shows, and the distances of the weights."""
    for name, results in committed("panels"):
        yield f"\n### {link(name, '../')}\n\n{provenance(results)}.\n"
        yield f"![Accuracy over epochs](../experiments/results/{name}/forgetting.png)\n"
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
    for name, results in committed("against_queries"):
        yield f"\n### {link(name, '../')}\n\n{provenance(results)}.\n"
        kinds = next(iter(results["methods"].values()))["against"]
        header = ["method", *(f"{kind} ({s['negatives']})" for kind, s in kinds.items())]
        rows = [
            [method, *(_separation(s) for s in of_method["against"].values())]
            for method, of_method in results["methods"].items()
        ]
        few = next(iter(kinds.values()))
        least = min(s["negatives"] for s in kinds.values())
        yield (
            f"{few['positives']} homologous models against each kind, one source, "
            f"{results['num_queries']} queries: AUC by model; in brackets the true positive rate "
            "at false positive rates of 5 % and 1 %, with its 95 % interval at 5 %, in which the "
            f"threshold's own uncertainty is not. With {least} negatives, no false positive at all "
            f"still allows a rate of {1 - 0.025 ** (1 / least):.0%} (95 %).\n"
        )
        yield markdown(header, rows)
        yield f"\n![AUC against the number of queries](../experiments/results/{name}/queries.png)"
        yield from _sibling_tables(results["sibling_test"])


def _separation(s: dict[str, Any]) -> str:
    low, high = s["tpr_5_interval"]
    return f"{s['auc']:.2f} ({s['tpr_5']:.2f}, {s['tpr_1']:.2f}; {low:.2f} to {high:.2f})"


def _sibling_tables(found: dict[str, Any]) -> Iterator[str]:
    yield (
        "\nThe sibling test with every candidate in turn as the source and the others as its "
        "siblings: how many of its descendants on pool tasks were traced to it (1,000 training "
        "images), by which the statistic was chosen, and on evaluation tasks (all queries). The "
        "candidates are the same in both. In "
        "brackets the median approximate p-value (Student's t). *Regressed out* is what of the "
        f"other candidates. Chosen: *{found['chosen']}*.\n"
    )
    header = ["statistic", "regressed out", "pool tasks"]
    of_all = found["on_evaluation_tasks"]
    groups = of_all[found["chosen"]]
    header += [f"{queries}, {group}" for queries, of in groups.items() for group in of]
    lines = []
    for tried in found["on_pool_tasks"]:
        line = [*tried["statistic"].rsplit(", ", 1), _traced(tried["descendants"])]
        for families in of_all[tried["statistic"]].values():
            line += [_traced(t) for t in families.values()]
        lines.append(line)
    yield markdown(header, lines)
    yield (
        "\nLevel of the approximate p-value: pairs of a descendant and a candidate that is not its "
        "source (its source left out), for the chosen statistic. Pairs share models and are not "
        "independent.\n"
    )
    yield markdown(
        ["queries", "pairs", "p (t) ≤ 0.05", "p (t) ≤ 0.01"],
        [
            [name, str(of["pairs"]), f"{of['t_tail_5']:.3f}", f"{of['t_tail_1']:.3f}"]
            for name, of in found["level"].items()
        ],
    )
    yield (
        "\nThe suspects of the table above, tested with the source as the source: how often it "
        "came first, with the median exact p-value and the smallest, median and largest "
        "approximate one. All suspects share candidates and strangers and are not independent.\n"
    )
    lines = [
        [queries, group, f"{t['first']} of {t['models']}", f"1 in {t['candidates']}", *_p_values(t)]
        for queries, suspects in found["suspects"].items()
        for group, t in suspects.items()
    ]
    yield markdown(["queries", "suspects", "first", "chance", "p (exact)", "p (t)"], lines)
    yield (
        "\nDescendants traced by numbers of queries (unseen images) and of siblings, mean over "
        "sources. With so few siblings no exact p-value is below 1 / (siblings + 1), the chance of "
        "a first place.\n"
    )
    of_pool = found.get("power_on_pool_tasks", {})
    kinds = [("pool", consensus, rows) for consensus, rows in of_pool.items()]
    kinds += [("evaluation", found["chosen"].rsplit(", ")[-1], found["power"])]
    lines = [
        [
            tasks,
            consensus,
            f"{p['queries']:.0f}",
            f"{p['siblings']:.0f}",
            f"{p['first']:.0%}",
            f"{1 / (p['siblings'] + 1):.0%}",
            f"{p['t_tail']:.0%}",
            f"{p['t_p_median']:.2g}",
        ]
        for tasks, consensus, rows in kinds
        for p in rows
    ]
    header = ["tasks", "regressed out", "queries", "siblings", "own source first", "chance"]
    yield markdown([*header, "p (t) ≤ 0.05", "a source's median p (t)"], lines)


def _traced(t: dict[str, Any]) -> str:
    return f"{t['first']} of {t['models']} ({np.median(t['p_t_tail']):.1g})"


def _p_values(t: dict[str, Any]) -> tuple[str, str]:
    approximate = ", ".join(f"{of(t['p_t_tail']):.2g}" for of in (np.min, np.median, np.max))
    return f"{np.median(t['p_exact']):.2g}", approximate


def _auc(of_method: dict[str, Any] | None, kind: str) -> str:
    return f"{of_method['against'][kind]['auc']:.2f}" if of_method else "–"


def robustness_tables() -> Iterator[str]:
    """For each committed robustness run: transformations against methods."""
    for name, results in committed("transformations"):
        yield f"\n### {link(name, '../')}\n\n{provenance(results)}.\n"
        found = results["transformations"]
        methods = list(found["none"]["methods"])
        rows, against_scratch = [], []
        for transformation, of_one in found.items():
            scored = [of_one["methods"].get(method) for method in methods]
            traces = [traced(of_one, kind) for kind in ("homologous", "sibling")]
            rows.append([transformation, *traces, *(_auc(m, "sibling") for m in scored)])
            if all("scratch" in m["against"] for m in scored if m):
                rejected = [traced(of_one, "scratch"), *(_auc(m, "scratch") for m in scored)]
                against_scratch.append([transformation, *rejected])
        header = ["transformation", "homologous models traced", "sibling models traced"]
        yield markdown([*header, *methods], rows)
        yield "\nThe same against `scratch` models, where they were changed likewise:\n"
        yield markdown(["transformation", "scratch models traced", *methods], against_scratch)
        yield f"\n![AUC of each method](../experiments/results/{name}/robustness.png)\n"


def stage_tables() -> Iterator[str]:
    """For each committed cross-validation: what was compared on pool tasks."""
    for name, results in committed("variants"):
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
    "models": model_tables,
    "ablation": ablation_tables,
    "forgetting": forgetting_tables,
    "comparison": comparison_tables,
    "robustness": robustness_tables,
    "stages": stage_tables,
}
"""The tables that stand for ``{part}`` in ``templates/``."""


def page(name: str) -> str:
    """A page of docs/: its template with the tables in it."""
    text = (ROOT / "experiments" / "templates" / name).read_text()
    for part, tables in PARTS.items():
        place = f"{{{part}}}\n"
        if place in text:
            text = text.replace(place, "\n".join(tables()) + "\n")
    return text


PAGES = ("crossvalidation.md", "results.md")

if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text()))
    for name in PAGES:
        (ROOT / "docs" / name).write_text(page(name))
