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
        few, number = next(iter(kinds.values())), max(results["num_queries"].values())
        least = min(s["negatives"] for s in kinds.values())
        yield (
            f"{few['positives']} homologous models against each kind, one source, "
            f"{number} queries: AUC by model; in brackets the true positive rate "
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


def _sibling_tables(by_queries: dict[str, dict[str, Any]]) -> Iterator[str]:
    chosen = "; ".join(f"by {name} *{found['chosen']}*" for name, found in by_queries.items())
    yield (
        "\nThe sibling test with every candidate in turn as the source and the others as its "
        "siblings: how many of its descendants were traced to it, on pool tasks (1,000 queries), "
        "by which the variant was chosen, and on evaluation tasks (all queries), for each kind of "
        "queries. The candidates are the same in all. In brackets the median approximate p-value "
        f"(Student's t). *Regressed out* is what of the other candidates. Chosen: {chosen}.\n"
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
            line += [_traced(t) for t in (tried["descendants"], *families)]
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
        [queries, group, f"{t['first']} of {t['models']}", f"1 in {t['candidates']}", *_p_values(t)]
        for queries, found in by_queries.items()
        for group, t in found["suspects"].items()
    ]
    yield markdown(["queries", "suspects", "first", "chance", "p (exact)", "p (t)"], tested)
    yield (
        "\nDescendants traced by numbers of queries and of siblings, mean over sources; on pool "
        "tasks with everything that can be regressed out (what was not chosen with all siblings "
        "only), on evaluation tasks with the chosen variant. With so few siblings no exact p-value "
        "is below 1 / (siblings + 1), the chance of a first place.\n"
    )
    header = ["kind of queries", "tasks", "regressed out", "queries", "siblings"]
    header += ["own source first", "chance", "p (t) ≤ 0.05", "a source's median p (t)"]
    yield markdown(header, [line for of in by_queries.items() for line in _power_lines(*of)])


def _power_lines(queries: str, found: dict[str, Any]) -> Iterator[list[str]]:
    chosen = found["chosen"].rsplit(", ")[-1]
    kinds = [("pool", consensus, rows) for consensus, rows in found["power_on_pool_tasks"].items()]
    kinds += [("evaluation", chosen, found["power"])]
    for tasks, consensus, rows in kinds:
        most = max(p["siblings"] for p in rows)
        for p in rows:
            if consensus != chosen and p["siblings"] < most:
                continue
            counts = [f"{p['queries']:.0f}", f"{p['siblings']:.0f}", f"{p['first']:.0%}"]
            rates = [f"{1 / (p['siblings'] + 1):.0%}", f"{p['t_tail']:.0%}"]
            yield [queries, tasks, consensus, *counts, *rates, f"{p['t_p_median']:.2g}"]


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
            traces = [
                traced(of_one, of, kind)
                for kind in ("homologous", "sibling")
                for of in results["chosen"]
            ]
            rows.append([transformation, *traces, *(_auc(m, "sibling") for m in scored)])
            if all("scratch" in m["against"] for m in scored if m):
                rejected = [traced(of_one, of, "scratch") for of in results["chosen"]]
                rejected += [_auc(m, "scratch") for m in scored]
                against_scratch.append([transformation, *rejected])
        header = ["transformation"]
        header += [
            f"{k} traced, {of}" for k in ("homologous", "sibling") for of in results["chosen"]
        ]
        yield markdown([*header, *methods], rows)
        yield "\nThe same against `scratch` models, where they were changed likewise:\n"
        header = ["transformation", *(f"scratch traced, {of}" for of in results["chosen"])]
        yield markdown([*header, *methods], against_scratch)
        yield f"\n![AUC of each method](../experiments/results/{name}/robustness.png)\n"


def queries_tables() -> Iterator[str]:
    """For each committed trial of queries: the kinds, and what the variants traced by them."""
    for name, results in committed("kinds"):
        yield f"\n### {link(name, '../')}\n\n{provenance(results)}.\n"
        variants = ["both fits, none", "both fits, mean", "both fits, all"]
        header = ["kind of queries", "number", "candidates agree", "the best variant", "traced"]
        lines = []
        for kind, found in results["kinds"].items():
            by_variant = {t["statistic"]: t["descendants"] for t in found["on_pool_tasks"]}
            agree = f"{found['agreement_of_candidates']:.2f}"
            tried = [by_variant[variant] for variant in (found["chosen"], *variants)]
            traces = [_traced(t) for t in tried]
            lines.append([kind, str(found["queries"]), agree, found["chosen"], *traces])
        yield markdown([*header, *variants], lines)


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
    "queries": queries_tables,
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
