"""Writes the tables of README.md and docs/ from the committed ``results/*/results.json``."""

import json
from pathlib import Path

from mgmp_jax import reporting

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def results_table() -> str:
    """The table in Markdown, one line for each method of each committed row."""
    lines = [
        "| row, preset | method | accuracy per fragment | AUC by model | missed | false alarms "
        "| pairs × seeds | device |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted((ROOT / "experiments" / "results").glob("*/results.json")):
        results = json.loads(path.read_text())
        if "methods" not in results:
            continue
        name = path.parent.name
        lines.append(f"| {name} | *the paper, with (without) generator* | {results['paper']} |||||")
        for method, s in results["methods"].items():
            device = f"{results['run']['cores']} CPU cores"
            if "cpu" not in results["run"]["device"]:
                device = results["run"]["device"]
            lines.append(
                f"| [{name}](experiments/results/{name}/results.json) | {method} "
                f"| {reporting.accuracy(s)} | {s['auc']:.3f} | {reporting.count(s, 'missed')} "
                f"| {reporting.count(s, 'false_alarms')} | {s['pairs']} × {s['seeds']} | {device} |"
            )
    return "\n".join(lines)


def with_table(readme: str) -> str:
    """The README with its table made anew."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{results_table()}\n{END}{rest.split(END)[1]}"


def crossvalidation_tables() -> str:
    """docs/crossvalidation.md: what was compared on pool tasks, one table for each stage."""
    parts = [CROSSVALIDATION]
    for path in sorted((ROOT / "experiments" / "results").glob("*/results.json")):
        results = json.loads(path.read_text())
        if "variants" not in results:
            continue
        name = path.parent.name
        tasks = [task.removeprefix("subset ") for task in results["tasks"]]
        parts.append(f"\n## {name}\n\n`{results['run']['command']}`")
        parts.append(f"({results['run']['git_revision'][:7]}, {results['run']['cores']} cores)\n")
        parts.append(f"| variant | accuracy | left out: {' | '.join(tasks)} | AUC |")
        parts.append("|---|---|" + "---|" * (len(tasks) + 1))
        for variant, v in results["variants"].items():
            by_task = " | ".join(f"{accuracy:.3f}" for accuracy in v["by_task"])
            parts.append(f"| {variant} | {v['accuracy']:.4f} | {by_task} | {v['auc']:.2f} |")
    return "\n".join(parts) + "\n"


CROSSVALIDATION = """# What the paper leaves open, and how it was chosen

Made by `make tables` from the results of `experiments/crossvalidate.py`. Every variant learnt from
all pool tasks of a row but one and was judged, per fragment, on the homologous and the
non-homologous model of that one. The AUC counts models: with two a fold it is 0, a half or 1.
Evaluation models were not trained for this. One seed each: differences of a few hundredths say
nothing, as the last stage shows, which was done twice, the second time with models trained again
from other seeds. In the first stage *extended, without generator* is alignment and set context
only, and *extended* has no consensus."""


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text()))
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "crossvalidation.md").write_text(crossvalidation_tables())
