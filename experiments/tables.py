"""Write the tables of README.md and docs/results/ from the committed ``results/*/results.json``.

python experiments/tables.py
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from _columns import (
    Columns,
    Results,
    above_half,
    accuracies,
    by_controls,
    comparison,
    conditions,
    false_firsts,
    kinds_of_queries,
    late,
    level,
    power,
    recorded,
    retention,
    robustness,
    siblings,
    stage,
    statistics,
    students,
    suspects,
)
from _run import run
from ablation import TABLE_5
from configs import cifar, nlp

from mgmp_jax import reporting

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "experiments" / "templates"
PAGES = ROOT / "docs" / "results"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
SPELT = {"resnet18": "ResNet18", "alexnet": "AlexNet", "vit-small": "ViT-small", "minilm": "MiniLM"}
"""Architectures on pages."""
METHODS = {
    "paper, without generator": "without generator",
    "paper": "paper's method",
    "extended, background only": "extended, background only",
    "extended": "extended",
}
"""What the rows of Table 1 and 2 are done with, and their columns."""


def committed(*experiments: str) -> dict[str, Results]:
    """Reads every committed ``results.json`` of some experiments, by name."""
    paths = sorted((ROOT / "experiments" / "results").glob("*/results.json"))
    found = {path.parent.name: json.loads(path.read_text()) for path in paths}
    return {name: one for name, one in found.items() if one["experiment"] in experiments}


def by_family(experiment: str) -> dict[str, Results]:
    """Reads the committed results of an experiment by family, ResNet18 first."""
    found = {}
    for name, results in committed(experiment).items():
        family = name.removeprefix(f"{experiment}-cifar-").removesuffix("-small")
        arch = family.split("-")[0]
        found[family.replace(arch, SPELT.get(arch, arch), 1)] = results
    return dict(sorted(found.items(), reverse=True))


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Makes a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)


def pivot(first: str, columns: Columns) -> str:
    """Makes a table of columns, with a dash where one has no such row.

    Args:
        first: the header of the rows' names.
        columns: rows are in the order in which they are first met.
    """
    rows = dict.fromkeys(row for column in columns.values() for row in column)
    lines = [[row, *(column.get(row, "–") for column in columns.values())] for row in rows]
    return markdown([first, *columns], lines)


def link(name: str, label: str = "") -> str:
    """Links a page to a committed result, by its name or another label."""
    return f"[{label or name}](../../experiments/results/{name}/results.json)"


def wrong(summary: Results) -> str:
    """Counts missed models and false alarms over all seeds, with δ and with one half."""
    sums = [
        f"{sum(summary[f'missed{end}'])}/{sum(summary[f'false_alarms{end}'])}"
        for end in ("", "_at_half")
    ]
    return f"{sums[0]} ({sums[1]})"


def rows() -> dict[str, Results]:
    """Reads the committed rows of Table 1 and 2, in their order."""
    found = committed("cifar", "nlp")
    return {name: found[name] for name in sorted(found, key=row_label)}


def row_label(name: str) -> str:
    """Names the row of a committed result: table and row, as 1.7, and architecture."""
    arch, number = name.removeprefix("cifar-").split("-row")
    stand_ins = ", stand-ins" if "stand-ins" in name else ""
    table = 1 if name.startswith("cifar-") else 2
    negatives = ", random negatives" if "random-negatives" in name else ""
    return f"{table}.{number[0]} {SPELT.get(arch, arch)}{stand_ins}{negatives}"


def by_method(results: Results, cell: Callable[[Results], str]) -> list[str]:
    """Makes a cell for each method of a row."""
    return [cell(results["methods"][method]) for method in METHODS]


def with_table(readme: str) -> str:
    """Makes the README's table anew: one line for each committed row of Table 1 and 2.

    Rows with random negatives stand on their page only.
    """
    lines = []
    for name, results in rows().items():
        if "random-negatives" in name:
            continue
        figures = by_method(results, lambda s: f"{s['accuracy']:.3f} ({s['auc']:.2f})")
        linked = f"[{row_label(name)}](experiments/results/{name}/results.json)"
        lines.append([linked, results["paper"], *figures])
    header = ["row", "the paper's own, with (without) generator", *METHODS.values()]
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n{markdown(header, lines)}\n{END}{rest.split(END)[1]}"


def rows_tables() -> str:
    """Makes tables of each method's accuracy and verdicts in each committed row."""
    accuracies, verdicts, choices, candidates = [], [], [], {}
    header = ["pairs × seeds", "left of the source", "own task (from scratch)"]
    for name, results in rows().items():
        pairs, seeds = (results["methods"]["paper"][key] for key in ("pairs", "seeds"))
        figures = by_method(results, lambda s: f"{reporting.accuracy(s)} ({s['auc']:.2f})")
        about = [f"{pairs} × {seeds}", left(results), own_task(results)]
        accuracies.append([link(name, row_label(name)), *about, *figures])
        verdicts.append([row_label(name), f"{pairs * seeds}", *by_method(results, wrong)])
        if "choice" in results:
            choices.append([row_label(name), *choice(results)])
            candidates = results["choice"]["candidates"]
    return (
        markdown(["row", *header, *METHODS.values()], accuracies)
        + "\n\nVerdicts: missed/false alarms, in brackets with one half for δ.\n\n"
        + markdown(["row", "of each", *METHODS.values()], verdicts)
        + "\n\nChosen on the pool: loss on its tasks left out in turn; accuracy per fragment.\n\n"
        + markdown(["row", *candidates], choices)
        + f"\n\nNot run: {'; '.join(not_run())}."
    )


def choice(results: Results) -> list[str]:
    """Gives loss on the pool and accuracy of each candidate of a row, the chosen one in bold."""
    chosen, found = results["choice"]["chosen"], results["choice"]["candidates"]
    cells = {
        name: "not fitted" if "unfit" in one else f"{one['loss']:.3f}, {one['accuracy']:.4f}"
        for name, one in found.items()
    }
    return [f"**{cell}**" if name == chosen else cell for name, cell in cells.items()]


def left(results: Results) -> str:
    """Says what of the source is left in a row's descendants, and of what it was."""
    shares = results.get("left_of_the_source")
    if shares is None:
        return "not measured"
    whole = f"{next(iter(results['models'].values()))['train']:.2f}"
    return f"{fmean(shares.values()):.2f} of {whole}" if shares else f"new last layers ({whole})"


def own_task(results: Results) -> str:
    """Says how well the models that a row evaluates do their own task, by truth."""
    evaluated = results["methods"]["paper"]["evaluation"]
    descendants, others = (
        fmean(results["models"][one["model"]]["test"] for one in evaluated if one["truth"] == truth)
        for truth in ("homologous", "not homologous")
    )
    return f"{descendants:.2f} ({others:.2f})"


def not_run() -> Iterator[str]:
    """Names the rows of Table 1 and 2 of which no result is committed."""
    names = rows()
    for table, of_table, script in ((1, cifar.ROWS, "cifar"), (2, nlp.ROWS, "(?!cifar)")):
        for number, (arch, *_) in of_table.items():
            if not any(re.match(rf"{script}.*-row{number}-", name) for name in names):
                yield f"Table {table}, row {number} ({arch})"


def variants(results: Results) -> Columns:
    """Makes the columns of an ablation, or of a row: what each variant of MGMP reached."""
    found = results["methods"]
    columns = {
        "the paper": {v: f"{TABLE_5[v]:.4f}" for v in found if v in TABLE_5},
        "accuracy per fragment": {v: reporting.accuracy(s) for v, s in found.items()},
        "AUC": {v: f"{s['auc']:.2f}" for v, s in found.items()},
        "missed/false alarms (at one half)": {v: wrong(s) for v, s in found.items()},
    }
    return {name: cells for name, cells in columns.items() if cells}


def stages() -> str:
    """Makes the table of each committed cross-validation."""
    return "\n\n".join(
        f"## Stage {name.rsplit('crossvalidation', 1)[1].replace('-', ', ')}\n\n"
        + pivot("variant", stage(results))
        for name, results in committed("crossvalidate").items()
    )


def weights() -> str:
    """Says how far weights are apart, and what the bound of section 3.2 is."""
    paragraphs, lines = [], []
    for family, results in by_family("forgetting").items():
        at = results["weights"]
        paragraphs.append(
            f"{family}: λ_max {at['lambda_max']:.3g}, norm of the gradient "
            f"{at['gradient_norm']:.3g}, loss of the source {at['source_loss']:.3g}; AUC of ‖Δw‖ "
            f"by model {at['distance']['auc']:.2f}."
        )
        for kind in ("homologous", "non-homologous"):
            models = [m for m in at["models"] if m["kind"] == kind]
            keys = ("distance", "cosine", "bound", "forgetting", "forgetting_of_weights_alone")
            values = [[m[key] for m in models] for key in keys]
            spanned = [f"{min(of_key):.3g} to {max(of_key):.3g}" for of_key in values]
            lines.append([f"{family}, {kind} ({len(models)})", *spanned])
    header = ["models", "‖Δw‖", "cosine", "bound", "forgetting", "with the source's statistics"]
    paragraphs.append("From the least to the greatest of the models:")
    return "\n\n".join([*paragraphs, markdown(header, lines)])


def of_families(experiment: str, first: str, columns: Callable[[Results], Columns]) -> str:
    """Makes a table of the columns of all committed results of an experiment."""
    found = {
        f"{family}: {name}": cells
        for family, results in by_family(experiment).items()
        for name, cells in columns(results).items()
    }
    return pivot(first, found)


def of_families_by_line(experiment: str, first: str, columns: Callable[[Results], Columns]) -> str:
    """Makes a table of the columns of all committed results of an experiment, with a line for each
    family and row.
    """
    found: Columns = {}
    for family, results in by_family(experiment).items():
        for name, cells in columns(results).items():
            lines = {f"{family}: {line}": cell for line, cell in cells.items()}
            found.setdefault(name, {}).update(lines)
    return pivot(first, found)


def of_each(experiment: str, first: str, columns: Callable[[Results], Columns]) -> str:
    """Makes a table of each committed result of an experiment, ResNet18's first."""
    found = sorted(committed(experiment).items(), reverse=True)
    made = []
    for _, results in found:
        of_family = f"{SPELT[results['arch']]}, " if "arch" in results else ""
        made.append(pivot(f"{of_family}{first}", columns(results)))
    return "\n\n".join(made)


def benchmarks() -> str:
    """Makes the table and names the picture of each machine's committed benchmark."""
    made = []
    for name, results in committed("benchmark").items():
        picture, ran = f"![ratios](../../experiments/results/{name}/benchmark.png)", results["run"]
        device = "CPU" if "cpu" in ran["device"] else ran["device"]
        device = f"## {device}, {ran['cores']} cores"
        made.append(f"{device}\n\n{picture}\n\n{benchmark(results['figures'])}")
    return "\n\n".join(made) or "No run is recorded yet."


def benchmark(figures: Results) -> str:
    """Makes the table of one machine: seconds, and how many times as long as the first."""
    lines = []
    for part, cases in figures.items():
        for case, of in cases.items():
            what = case if case == part else f"{part}, {case}"
            for name, seconds in of["seconds"].items():
                times = share = ""
                if name in of.get("ratio", {}):
                    low, high = of["quartiles"][name]
                    times = f"{of['ratio'][name]:.3g} ({low:.3g} to {high:.3g})"
                if name in of.get("share", {}):
                    share = f"{of['share'][name]:.2f} of the square product's rate"
                lines.append([what, name, f"{seconds:.3g}", times, share])
            memory = {f"memory, {k}": f"{mb:.0f} MB" for k, mb in of.get("memory_mb", {}).items()}
            notes = {**of.get("absent", {}), **memory}
            lines += [[what, name, "", "", note] for name, note in notes.items()]
    return markdown(["what", "by", "seconds", "times the first (quartiles)", ""], lines)


def origins(*experiments: str) -> str:
    """Says where the numbers of a page come from: files, commands, machines and times."""
    lines = []
    for name, results in committed(*experiments).items():
        ran = results["run"]
        command = re.sub(r" --(data-dir|out) \S+|^python experiments/", "", ran["command"])
        commit, *changes = ran["git_revision"].split(" ", 1)
        revision = " ".join([commit[:7], *changes])
        cores = f"{ran['cores']} CPU{'s' * (ran['cores'] > 1)}"
        device = "" if "cpu" in ran["device"] else f", {ran['device']}"
        wall = f", {ran['wall_time_s'] / 60:.0f} min" if "wall_time_s" in ran else ""
        lines.append(f"- {link(name)}: `{command}`, {revision}, {cores}{device}{wall}")
    return "\n".join(lines)


PARTS: dict[str, Callable[[], str]] = {
    "rows": rows_tables,
    "ablation": partial(of_each, "ablation", "variant", variants),
    "accuracies": partial(of_families, "forgetting", "panel", accuracies),
    "weights": weights,
    "comparison": partial(of_families, "compare", "method", comparison),
    "suspects": partial(of_families, "compare", "suspects", suspects),
    "false firsts": partial(of_families_by_line, "compare", "queries", false_firsts),
    "controls": partial(of_families, "compare", "suspects", by_controls),
    "statistics": partial(of_families, "compare", "statistic, regressed out", statistics),
    "level": partial(of_families, "compare", "queries", level),
    "power": partial(of_families, "compare", "queries, siblings", power),
    "queries": partial(of_families, "queries", "kind of queries", kinds_of_queries),
    "robustness": partial(of_each, "robustness", "transformation", robustness),
    "stages": stages,
    "students": partial(of_each, "students", "students", students),
    "conditions": partial(of_each, "students", "students", conditions),
    "late": partial(of_families_by_line, "late", "shared epochs", late),
    "siblings": partial(of_families, "siblings", "queries, siblings", siblings),
    "siblings, nothing regressed out": partial(
        of_families, "siblings", "queries, siblings", partial(siblings, way="both fits, none")
    ),
    "recorded": partial(of_each, "recorded", "method", recorded),
    "above half": partial(of_each, "recorded", "method", above_half),
    "retention": partial(of_each, "retention", "fine-tuned for", retention),
    "benchmarks": benchmarks,
}
"""What stands for ``{part}`` in ``templates/``, beside ``{runs of EXPERIMENT ...}``."""


def part(name: str) -> str:
    """Makes what stands for ``{name}`` in ``templates/``."""
    _, runs, experiments = name.rpartition("runs of ")
    return origins(*experiments.split()) if runs else PARTS[name]()


def page(name: str) -> str:
    """Makes a page of docs/results/: its template with the tables in place of ``{part}``."""
    text = (TEMPLATES / name).read_text()
    return re.sub(r"^\{(.+)\}$", lambda found: part(found[1]), text, flags=re.MULTILINE)


def pages() -> list[str]:
    """Lists the names of all pages."""
    return sorted(path.name for path in TEMPLATES.glob("*.md"))


@dataclasses.dataclass(frozen=True)
class Args:
    """Write README.md's table and the pages of docs/results/ from the committed results."""


def main(args: Args) -> None:
    """Writes all pages."""
    path = ROOT / "README.md"
    path.write_text(with_table(path.read_text()))
    for name in pages():
        (PAGES / name).write_text(page(name))


if __name__ == "__main__":
    run(main, Args)
