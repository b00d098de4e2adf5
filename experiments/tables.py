"""Writes the README's table of results from the committed ``results/*/results.json``."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def results_table() -> str:
    """The table in Markdown, one line for each method of each committed row."""
    lines = [
        "| row, preset | method | accuracy per fragment | AUC by model | wrong at δ = 0.9 "
        "| wrong at ½ | evaluation models × seeds | device |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted((ROOT / "experiments" / "results").glob("*/results.json")):
        results = json.loads(path.read_text())
        name = path.parent.name
        lines.append(f"| {name} | *the paper, with (without) generator* | {results['paper']} |||||")
        for method, s in results["methods"].items():
            seeds = s["judged"] // s["models"]
            device = f"{results['run']['cores']} CPU cores"
            if "cpu" not in results["run"]["device"]:
                device = results["run"]["device"]
            lines.append(
                f"| [{name}](experiments/results/{name}/results.json) | {method} "
                f"| {s['accuracy']:.4f} ± {s['std']:.4f} | {s['auc']:.3f} "
                f"| {s['wrong']} of {s['judged']} | {s['wrong_at_half']} of {s['judged']} "
                f"| {s['models']} × {seeds} | {device} |"
            )
    return "\n".join(lines)


def with_table(readme: str) -> str:
    """The README with its table made anew."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{results_table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text()))
