"""Writes the tables of README.md and docs/ from the committed ``results/*/results.json``."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
        "\nDescendants traced on evaluation tasks by numbers of queries (unseen images) and of "
        "siblings, mean over sources:\n"
    )
    lines = [
        [
            f"{p['queries']:.0f}",
            f"{p['siblings']:.0f}",
            f"{p['first']:.0%}",
            f"{p['t_tail']:.0%}",
            f"{p['t_p_median']:.2g}",
        ]
        for p in found["power"]
    ]
    header = ["queries", "siblings", "own source first", "p (t) ≤ 0.05", "a source's median p (t)"]
    yield markdown(header, lines)


def _traced(t: dict[str, Any]) -> str:
    return f"{t['first']} of {t['models']} ({np.median(t['p_t_tail']):.1g})"


def _p_values(t: dict[str, Any]) -> tuple[str, str]:
    approximate = ", ".join(f"{of(t['p_t_tail']):.2g}" for of in (np.min, np.median, np.max))
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
            traces = [traced(of_one, kind) for kind in ("homologous", "sibling")]
            rows.append([transformation, *traces, *aucs])
        header = ["transformation", "homologous models traced", "sibling models traced"]
        yield markdown([*header, *methods], rows)
        yield f"\n![AUC of each method](../experiments/results/{name}/robustness.png)\n"


def results_page() -> str:
    """docs/results.md."""
    parts = [RESULTS, rows_table(), FRAGMENTS]
    parts += ["\n## The models of these rows", *model_tables()]
    for title, about, tables in (
        ("Generators, assemblies and the parts of the loss", ABLATION, list(ablation_tables())),
        ("What fine-tuning leaves of its start", FORGETTING, list(forgetting_tables())),
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
        parts.append(f"({revision(results['run'])}, {results['run']['cores']} cores)\n")
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
alarms non-homologous ones with at least that, in brackets with one half instead. TPR is the share
of homologous models whose DNA score (mean over seeds) is above that of every non-homologous one,
with its 95 % interval: so few negatives allow no finer false positive rate. Negatives are the
paper's: trained from random weights, or, for texts where the row says so, from the public
checkpoint. The paper's figures are for its own, far larger models.
"""

FRAGMENTS = """
## DNA fragments

Figures 4 and 6 of the paper, by t-SNE, from the fragments of the extended method (first seed):
Table 1, row 1, then Table 2, row 3.

![Table 1, row 1](../experiments/results/cifar-resnet18-row1-small/fragments.png)

As in the paper, fragments of a homologous model (yellow) lie among and beside the source's (red),
and those of a non-homologous one (blue) lie apart; but the border is not sharp.

![Table 2, row 3](../experiments/results/minilm-row3-stand-ins-small-pretrained/fragments.png)

Unlike the paper's, texts form no clusters: a homologous fragment lies on the source's of the same
query (orange where the two meet), and non-homologous ones gather in the middle, where residuals are
small."""

ABLATION = """
Table 5 of the paper, and the paper's method with one thing changed at a time; columns as
above, one seed each, so that differences of a few hundredths say nothing. At this scale no
generator and no assembly comes near the paper's figures: 0.50 to 0.63 per fragment. Another τ, or
no regulariser (λ = 0), L_S or L_I, leaves it at 0.58 to 0.65; sums in place of the means, as Eq. 5
and 6 print them, come to 0.55. The response type matters: from logits or probabilities instead of
log-probabilities nothing is learned that carries over to new tasks (0.50). Ten times the epochs
give 0.63, so the training is not too short. The DNA scores of all models lie within 0.45 to 0.61:
their order is mostly right (AUC), and the threshold of 0.9 misses every homologous one. All but the
variant of ten times the epochs were trained by an earlier call of the same command, in 48
minutes."""

FORGETTING = """
Figures 1 and 5 of the paper: a source goes on training on a task; accuracies after each kept epoch,
with the target's own last layers and with the source's in their place, both on training images; a
target starts as the source, a random target's first state is after one epoch. Then section 3.2: the
distance of the weights, the second-order bound on forgetting λ_max ‖Δw‖² / 2, and the forgetting
itself, the rise of the source's loss, with the target's batch statistics and without; from the
smallest to the largest model.

As in the paper's figure 1, a ResNet18 target forgets the source's data at once; the source's last
layers bring back the more of it the more are replaced, and nothing to a random target. Unlike the
paper's figure 5, they bring nothing back to the narrow AlexNet, whose last three layers are fully
connected. The bound is hundreds of times the forgetting and says nothing here; ‖Δw‖ itself
separates homologous from non-homologous models without an error."""

COMPARISON = """
Homologous suspects started from the source. Of the negatives, `scratch` had random weights;
`sibling` started from another model of the same data; `cousin` from a model of other data of the
same distribution; `independent` is such another model of the same data itself. All but the last
were trained on the same tasks as the homologous ones. MGMP learnt from `scratch` negatives of other
tasks. A frozen random generator is one that stays as it was initialised. The extended MGMP's
generator is a network of the source's own kind, trained on the source's data with another seed. The
sibling test's score is minus its approximate p-value. See [verdicts.md](verdicts.md) for what
follows from this."""

ROBUSTNESS = """
AUC by model of changed homologous models against models changed likewise that started from, or were
taught by, another model of the source's data (`sibling`); and how many of both the sibling test
traced to the source, one in ten candidates. Methods without alignment cannot read other numbers of
classes. With ten models on either side an AUC of 0.5 has a standard deviation of 0.13, with five
0.19, with three 0.25.

What breaks a method: against `sibling` the plain similarities and the paper's MGMP are near chance
whatever is done to a suspect, unless only its last layer was trained, it has 100 classes or it is a
student. ModelDiff, LEEP and the paper's MGMP with generator fall far below chance when 80 % of the
weights are pruned. The extended MGMP loses some where answers are labels only (0.89) or the three
largest (0.93), and with distilled students (0.89). Nothing here breaks the sibling test's order; it
missed one of three distilled students, and with answers cut to ranks, labels or the three largest
it put the source first for one sibling model of ten, which is chance."""

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
