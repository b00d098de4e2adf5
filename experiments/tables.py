"""Writes the tables of README.md and docs/ from the committed ``results/*/results.json``."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from robustness import traced

from mgmp_jax import reporting

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def committed(key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of every committed ``results.json`` that has ``key``."""
    for path in sorted((ROOT / "experiments" / "results").glob("*/results.json")):
        results = json.loads(path.read_text())
        if key in results:
            yield path.parent.name, results


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def device(results: dict[str, Any]) -> str:
    """Where it ran."""
    ran = results["run"]
    return f"{ran['cores']} CPU cores" if "cpu" in ran["device"] else ran["device"]


def link(name: str, to_root: str) -> str:
    return f"[{name}]({to_root}experiments/results/{name}/results.json)"


def provenance(results: dict[str, Any]) -> str:
    """Command, revision and machine, in one line."""
    ran = results["run"]
    return (
        f"`{ran['command']}`, revision {ran['git_revision'][:7]}, {device(results)}, "
        f"{ran['wall_time_s'] / 60:.0f} minutes with {ran['models_trained_before']} models there "
        "before"
    )


def rows_table(to_root: str = "") -> str:
    """One line for each method of each committed row of Table 1 and 2."""
    header = ["row, preset", "method", "accuracy per fragment", "AUC by model", "missed"]
    header += ["false alarms", "pairs × seeds", "device"]
    rows = []
    for name, results in committed("paper"):
        paper = "*the paper, with (without) generator*"
        rows.append([name, paper, results["paper"], "", "", "", "", ""])
        for method, s in results["methods"].items():
            counts = [reporting.count(s, key) for key in ("missed", "false_alarms")]
            scored = [link(name, to_root), method, reporting.accuracy(s), f"{s['auc']:.3f}"]
            rows.append([*scored, *counts, f"{s['pairs']} × {s['seeds']}", device(results)])
    return markdown(header, rows)


def with_table(readme: str) -> str:
    """The README with its table made anew."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{rows_table()}\n{END}{rest.split(END)[1]}"


def model_tables() -> Iterator[str]:
    """For each committed row the accuracies of its models."""
    for name, results in committed("paper"):
        yield f"\n### {name}\n\n{provenance(results)}.\n"
        rows = [
            [address.rsplit("-", 1)[0], f"{accuracy['train']:.3f}", f"{accuracy['test']:.3f}"]
            for address, accuracy in results["models"].items()
        ]
        yield markdown(["model", "accuracy on its training data", "on its test data"], rows)


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
    tried = found["on_pool_tasks"]
    yield (
        f"\nThe sibling test's statistic was chosen by descendants of other models on pool tasks, "
        "to which the source and its siblings are strangers alike: "
        f"*{found['chosen']}* (statistic, what of the other candidates is regressed out).\n"
    )
    header = ["statistic", "regressed out", "median p (t) of descendants", "descendants traced"]
    rows = [
        [
            t["statistic"],
            t["consensus"],
            f"{t['median_t_p']:.2g}",
            _first(t["descendants"]),
        ]
        for t in tried
    ]
    yield markdown(header, rows)
    yield (
        "\nOn evaluation tasks, how often the source came first among the candidates, with the "
        "median exact p-value and the median and largest approximate one (Student's t). Chance is "
        "one in the number of candidates, over sources: here there is one source, and all suspects "
        "share its candidates and strangers, so strangers are not independent of each other.\n"
    )
    rows = [
        [statistic, queries, group, _first(t), f"1 in {t['candidates']}", *_p_values(t)]
        for statistic, of_queries in found["on_evaluation_tasks"].items()
        for queries, groups in of_queries.items()
        if statistic == found["chosen"]
        for group, t in groups.items()
    ]
    header = ["statistic", "queries", "suspects", "traced", "chance", "p (exact)", "p (t)"]
    yield markdown(header, rows)
    yield "\nDescendants of the source traced, by numbers of queries and of siblings:\n"
    header = ["queries", "siblings", "source first", "p (t) ≤ 0.05", "median p (t)"]
    rows = [
        [
            str(p["queries"]),
            str(p["siblings"]),
            f"{p['first']:.0%}",
            f"{p['t_tail']:.0%}",
            f"{p['t_p_median']:.2g}",
        ]
        for p in found["power"]
    ]
    yield markdown(header, rows)
    groups = list(next(iter(found["on_evaluation_tasks"].values()))["training images"])
    rows = [
        [statistic, queries, *(str(of_group[group]["first"]) for group in groups)]
        for statistic, of_queries in found["on_evaluation_tasks"].items()
        for queries, of_group in of_queries.items()
    ]
    yield "\nThe same of every statistic that was tried, models traced:\n"
    yield markdown(["statistic", "queries", *groups], rows)


def _first(t: dict[str, Any]) -> str:
    return f"{t['first']} of {t['models']}"


def _p_values(t: dict[str, Any]) -> tuple[str, str]:
    approximate = f"{np.median(t['p_t_tail']):.2g}, {max(t['p_t_tail']):.2g}"
    return f"{np.median(t['p_exact']):.2g}", approximate


def robustness_tables() -> Iterator[str]:
    """For each committed robustness run: transformations against methods."""
    for name, results in committed("transformations"):
        yield f"\n### {link(name, '../')}\n\n{provenance(results)}.\n"
        found = results["transformations"]
        methods = list(found["none"]["methods"])
        rows = []
        for transformation, of_one in found.items():
            scored = [of_one["methods"].get(method) for method in methods]
            aucs = [f"{m['against']['sibling']['auc']:.2f}" if m else "–" for m in scored]
            rows.append([transformation, traced(of_one, "homologous"), *aucs])
        yield markdown(["transformation", "traced by the sibling test", *methods], rows)


def results_page() -> str:
    """docs/results.md."""
    parts = [RESULTS, rows_table("../"), "\n## The models of these rows", *model_tables()]
    for title, about, tables in (
        ("Every method against every kind of negative", COMPARISON, list(comparison_tables())),
        ("What a descendant may have gone through", ROBUSTNESS, list(robustness_tables())),
    ):
        parts += [f"\n## {title}", about, *tables] if tables else []
    return "\n".join(parts) + "\n"


def crossvalidation_page() -> str:
    """docs/crossvalidation.md: what was compared on pool tasks, one table for each stage."""
    parts = [CROSSVALIDATION]
    for name, results in committed("variants"):
        tasks = [task.removeprefix("subset ") for task in results["tasks"]]
        parts.append(f"\n## {name}\n\n`{results['run']['command']}`")
        parts.append(f"({results['run']['git_revision'][:7]}, {results['run']['cores']} cores)\n")
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
        parts.append(markdown(header, rows))
    return "\n".join(parts) + "\n"


RESULTS = """# Results

Made by `make tables` from `experiments/results/`.

## The paper's tables

Accuracy per fragment is the paper's `(A_n + A_o) / 2N`; the other columns count whole models, over
all seeds of the MGMP training: missed are homologous models with a DNA score below 0.9, false
alarms non-homologous ones with at least that, in brackets with one half instead. Negatives are the
paper's: trained from random weights, or, for texts where the row says so, from the public
checkpoint. The paper's figures are for its own, far larger models.
"""

COMPARISON = """
Homologous suspects started from the source. Of the negatives, `scratch` had random weights;
`sibling` started from another model of the same data; `cousin` from a model of other data of the
same distribution; `independent` is such another model of the same data itself. All but the last
were trained on the same tasks as the homologous ones. MGMP learnt from `scratch` negatives of other
tasks. See [verdicts.md](verdicts.md) for what follows from this."""

ROBUSTNESS = """
AUC by model of changed homologous models against models changed likewise that started from, or were
taught by, another model of the source's data (`sibling`); and how many of the former the sibling
test traced to the source. Methods without alignment cannot read other numbers of classes."""

CROSSVALIDATION = """# What the paper leaves open, and how it was chosen

Made by `make tables` from the results of `experiments/crossvalidate.py`. Every variant learnt from
all pool tasks of a row but one and was judged, per fragment, on the homologous and the
non-homologous model of that one. The AUC counts models: with two a fold it is 0, a half or 1.
Evaluation models were not trained for this. One seed each: differences of a few hundredths say
nothing, as the last stage shows, which was done twice, the second time with models trained again
from other seeds. In the first stage *extended, without generator* is alignment and set context
only, and *extended* has no consensus."""


PAGES = {"crossvalidation.md": crossvalidation_page, "results.md": results_page}

if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text()))
    for page, make in PAGES.items():
        (ROOT / "docs" / page).write_text(make())
