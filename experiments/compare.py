"""MGMP, every baseline and the sibling test on the same queries, against every kind of negative.

    python experiments/compare.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/compare.py --preset demo                    # generated images

Scores are counted by model. The sibling test's statistic is chosen on the pool's models and
judged on the suspects. Run it again to go on after an interruption.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from command import claim, run, settings
from rich.table import Table
from row import take_responses, train_mgmp
from zoo import KINDS, Args, Suspect, Zoo, make_zoo

from mgmp_jax import baselines, files, mgmp, models, reporting, sibling, training
from mgmp_jax.config import PAPER
from mgmp_jax.pool import Pool
from mgmp_jax.responses import Responses, query_digest
from mgmp_jax.spec import ModelSpec
from mgmp_jax.training import console
from mgmp_jax.verifier import Verifier

QUERIES = (8, 16, 32, 64, 128, 256, 1000)
DRAWS = 3
STATISTICS: dict[str, tuple[sibling.Statistic, ...]] = {
    "linear CKA": (baselines.linear_cka,),
    "fit to target": (baselines.fit_to_target,),
    "fit to source": (baselines.fit_to_source,),
    "all three": (baselines.linear_cka, baselines.fit_to_target, baselines.fit_to_source),
}
"""What the sibling test is tried with, each with every consensus."""

Answers = Mapping[ModelSpec, np.ndarray]
"""Logits ``[n, d]`` of every model on one set of queries."""


@dataclasses.dataclass(frozen=True)
class Statistic:
    """One way to do the sibling test."""

    name: str
    consensus: sibling.Consensus

    def scores(
        self,
        candidates: Sequence[ModelSpec],
        suspects: Sequence[ModelSpec],
        strangers: Sequence[ModelSpec],
        answers: Answers,
    ) -> np.ndarray:
        """Centred scores of each suspect with each candidate, ``[t, c]``."""
        return sibling.centred_scores(
            np.stack([answers[spec] for spec in candidates]),
            [answers[spec] for spec in suspects],
            [answers[spec] for spec in strangers],
            STATISTICS[self.name],
            self.consensus,
            np.array([[spec != other for other in strangers] for spec in suspects]),
        )


def take_part(answers: Answers, part: np.ndarray) -> Answers:
    """The answers to some of the queries."""
    return {spec: values[part] for spec, values in answers.items()}


def similarities(zoo: Zoo, answers: Answers, labels: np.ndarray) -> dict[str, np.ndarray]:
    """Every baseline's scores of all suspects."""
    source, scores = answers[zoo.row.source], {}
    targets = [answers[suspect.spec] for suspect in zoo.suspects]
    for name, statistic in baselines.RESPONSE_STATISTICS.items():
        if name == "mutual neighbours" and len(source) <= 10:
            continue
        scores[name] = np.array([float(statistic(source, target)) for target in targets])
    scores["agreement on mistakes"] = np.array(
        [float(baselines.mistake_agreement(source, target, labels)) for target in targets]
    )
    return scores


def weights(zoo: Zoo, pool: Pool) -> dict[str, np.ndarray]:
    """What can be said with the weights in hand."""
    source = pool.variables(zoo.row.source)["params"]
    targets = [pool.variables(suspect.spec)["params"] for suspect in zoo.suspects]
    distances = {
        f"‖Δw‖{' relative' * relative}": np.array(
            [float(baselines.weight_distance(source, t, relative=relative)) for t in targets]
        )
        for relative in (False, True)
    }
    cosines = [float(baselines.weight_cosine(source, target)) for target in targets]
    return {**distances, "weight cosine": np.array(cosines)}


def verdict_scores(
    verifier: Verifier, zoo: Zoo, answers: Answers, part: np.ndarray | None = None
) -> np.ndarray:
    """DNA scores of all suspects on all queries or a part of them."""
    if part is not None:
        queries = verifier.queries[part]
        latents = verifier.latents if verifier.config.generator is None else None
        verifier = Verifier(
            verifier.config,
            verifier.variables,
            queries,
            _as_responses(verifier, verifier.source.values[part], queries),
            None if latents is None else latents[part],
        )
    scores = []
    for suspect in zoo.suspects:
        values = answers[suspect.spec]
        if verifier.config.response == "logprobs":
            values = np.asarray(jax.nn.log_softmax(values))
        values = values if part is None else values[part]
        scores.append(verifier.score(_as_responses(verifier, values, verifier.queries)))
    return np.array(scores)


def _as_responses(verifier: Verifier, values: np.ndarray, queries: np.ndarray) -> Responses:
    return Responses(values, verifier.config.response, query_digest(queries))


def frozen_random(zoo: Zoo, pool: Pool, queries: np.ndarray, folder: Path) -> Verifier:
    """The paper's MGMP with a generator that stays as it was initialised."""
    paper = zoo.row.methods["paper"].config
    source = pool.responses(zoo.row.source, queries, kind="logprobs")
    module = models.create(
        paper.generator or "", num_outputs=source.values.shape[1], **_width(paper.generator_width)
    )
    variables = module.init(jax.random.key(0), np.zeros((1, 32, 32, 3), np.float32), train=False)
    latents, _ = training.predict(module, variables, queries)
    config = PAPER.replace(generator=None, epochs=100, batch_size=paper.batch_size)
    homologous, non_homologous = (
        [pool.responses(spec, queries, kind="logprobs") for spec in side]
        for side in (
            [pair.homologous for pair in zoo.row.pool],
            [pair.non_homologous for pair in zoo.row.pool],
        )
    )
    fitted = mgmp.fit(
        config,
        queries,
        source,
        homologous,
        non_homologous,
        latents=latents,
        folder=folder / "frozen-random",
        name="paper, frozen random generator",
    )
    return Verifier(config, fitted, queries, source, latents)


def _width(width: int | None) -> dict[str, int]:
    return {} if width is None else {"width": width}


def by_kind(zoo: Zoo, scores: np.ndarray) -> dict[str, Any]:
    """How well the homologous suspects stand apart from those of each other kind."""
    positive = scores[zoo.of_kind("homologous")]
    return {
        kind: reporting.separation(positive, scores[zoo.of_kind(kind)])
        for kind in KINDS
        if kind != "homologous"
    }


def strangers(zoo: Zoo) -> list[ModelSpec]:
    """The non-homologous models of the pool, by which scores are centred."""
    return [pair.non_homologous for pair in zoo.row.pool]


def trace(statistic: Statistic, zoo: Zoo, answers: Answers) -> list[np.ndarray]:
    """For each suspect its scores with the candidates, the zoo's source first.

    A suspect that is itself a sibling is left out of its own candidates.
    """
    everybody = [zoo.row.source, *zoo.siblings]
    outside = [s.spec for s in zoo.suspects if s.spec not in everybody]
    scores = dict(
        zip(outside, statistic.scores(everybody, outside, strangers(zoo), answers), strict=True)
    )
    for spec in zoo.siblings:
        if any(suspect.spec == spec for suspect in zoo.suspects):
            candidates = [c for c in everybody if c != spec]
            scores[spec] = statistic.scores(candidates, [spec], strangers(zoo), answers)[0]
    return [scores[suspect.spec] for suspect in zoo.suspects]


def trace_origin(
    statistic: Statistic, zoo: Zoo, answers: Answers
) -> tuple[list[Suspect], np.ndarray]:
    """The descendants of other sources, each with its own source among the candidates, first."""
    found, scores = [], []
    for origin in dict.fromkeys(s.origin for s in zoo.suspects if s.kind == "sibling"):
        suspects = [s for s in zoo.suspects if s.kind == "sibling" and s.origin == origin]
        candidates = [origin, zoo.row.source, *zoo.siblings]
        specs = [suspect.spec for suspect in suspects]
        found += suspects
        scores.append(statistic.scores(candidates, specs, strangers(zoo), answers))
    return found, np.concatenate(scores)


def tests(scores: Sequence[np.ndarray]) -> dict[str, Any]:
    """What the sibling test said of some suspects."""
    exact = np.array([float(sibling.exact_p(s)) for s in scores])
    t_tail = np.array([float(sibling.t_tail_p(s)) for s in scores])
    first = [p * len(s) < 1.5 for p, s in zip(exact, scores, strict=True)]
    return {
        "models": len(first),
        "candidates": len(scores[0]),
        "first": int(np.sum(first)),
        "first_interval": reporting.clopper_pearson(int(np.sum(first)), len(first)),
        "p_exact": exact.tolist(),
        "p_t_tail": t_tail.tolist(),
    }


def choose_statistic(zoo: Zoo, answers: Answers) -> tuple[Statistic, list[dict[str, Any]]]:
    """The statistic with the smallest median approximate p-value for the pool's descendants.

    Only pool models are looked at.
    """
    candidates = [zoo.row.source, *zoo.siblings]
    descendants = [pair.homologous for pair in zoo.row.pool]
    tried = []
    for name in STATISTICS:
        for consensus in ("none", "mean", "all"):
            statistic = Statistic(name, consensus)
            scores = statistic.scores(candidates, descendants, strangers(zoo), answers)
            null = statistic.scores(candidates, strangers(zoo), strangers(zoo), answers)
            tried.append(
                {
                    "statistic": name,
                    "consensus": consensus,
                    "median_t_p": float(np.median(sibling.t_tail_p(scores))),
                    "descendants": tests(list(scores)),
                    "strangers": tests(list(null)),
                }
            )
    best = min(tried, key=lambda row: row["median_t_p"])
    return Statistic(best["statistic"], best["consensus"]), tried


def sibling_results(statistic: Statistic, zoo: Zoo, answers: Answers) -> dict[str, Any]:
    """The sibling test of all suspects, by what they are."""
    scores = trace(statistic, zoo, answers)
    groups: dict[str, list[np.ndarray]] = {}
    for suspect, of_suspect in zip(zoo.suspects, scores, strict=True):
        name = f"{suspect.kind}{_head(suspect)}"
        groups.setdefault(name, []).append(of_suspect)
    others, of_others = trace_origin(statistic, zoo, answers)
    for suspect, of_suspect in zip(others, of_others, strict=True):
        groups.setdefault(f"homologous to another source{_head(suspect)}", []).append(of_suspect)
    return {name: tests(of_group) for name, of_group in groups.items()}


def _head(suspect: Suspect) -> str:
    if suspect.spec.start is None:
        return ""
    return ", head kept" if suspect.spec.head == "keep" else ", new head"


def margins(statistic: Statistic, zoo: Zoo, answers: Answers) -> np.ndarray:
    """How far the source stands above its siblings, for each suspect, in their deviations."""
    scores = trace(statistic, zoo, answers)
    return np.array([(s[0] - s[1:].mean()) / s[1:].std(ddof=1) for s in scores])


def against_queries(
    score: Callable[[np.ndarray], dict[str, np.ndarray]], zoo: Zoo, num_queries: int
) -> dict[str, dict[str, dict[str, float]]]:
    """The AUC of each method against each kind, for several numbers of queries, mean of draws."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for n in (n for n in QUERIES if n < num_queries):
        rng = np.random.default_rng(n)
        aucs: dict[tuple[str, str], list[float]] = {}
        for _ in range(DRAWS):
            part = np.sort(rng.permutation(num_queries)[:n])
            for method, scores in score(part).items():
                for kind, of_kind in by_kind(zoo, scores).items():
                    aucs.setdefault((method, kind), []).append(of_kind["auc"])
        for (method, kind), values in aucs.items():
            found.setdefault(method, {}).setdefault(kind, {})[str(n)] = float(np.mean(values))
    return found


def main(args: Args) -> dict[str, Any]:
    """Runs the comparison; see the module's docstring."""
    claim(args.out)
    zoo, start = make_zoo(args), time.perf_counter()
    pool = Pool(args.out / "models", args.data_dir, download=True)
    folder = args.out / f"compare-{zoo.row.address}"
    if not (folder / "results.json").is_file():
        found = sum(pool.is_trained(spec) for spec in zoo.specs)
        results = compare(zoo, pool, folder)
        results["settings"] = settings(args)
        results["run"] = {
            **reporting.environment(),
            "wall_time_s": round(time.perf_counter() - start, 1),
            "models_trained_before": found,
        }
        files.write_json(folder / "results.json", results)
    results = files.read_json(folder / "results.json")
    reporting.plot_curves(folder / "queries.png", results["against_queries"], "AUC by model")
    show(results, folder)
    return results


def compare(zoo: Zoo, pool: Pool, folder: Path) -> dict[str, Any]:
    """All scores of all methods."""
    generators = [g for method in zoo.row.methods.values() for g in method.generators]
    console.print(f"[bold]1. {len(zoo.specs)} models[/] and a generator")
    pool.train([*zoo.specs, *generators])
    examples = pool.examples(zoo.row.source, "train").take(zoo.row.num_queries)
    unseen = pool.examples(zoo.row.source, "test").take(zoo.row.num_queries)
    answers, of_unseen = (
        {spec: pool.responses(spec, inputs).values for spec in zoo.specs}
        for inputs in (examples.inputs, unseen.inputs)
    )
    of_row = take_responses(zoo.row, pool, examples.inputs)
    trained = train_mgmp(zoo.row, pool, folder, examples.inputs, of_row)
    verifiers = {f"MGMP {name}": verifier for (name, _), verifier in trained.items()}
    verifiers["MGMP paper, frozen random generator"] = frozen_random(
        zoo, pool, examples.inputs, folder
    )
    console.print("[bold]5. Comparison[/]")
    chosen, tried = choose_statistic(zoo, take_part(answers, np.arange(min(1000, len(examples)))))

    def scores(part: np.ndarray | None) -> dict[str, np.ndarray]:
        some = answers if part is None else take_part(answers, part)
        labels = examples.labels if part is None else examples.labels[part]
        return {
            **similarities(zoo, some, labels),
            **{name: verdict_scores(v, zoo, answers, part) for name, v in verifiers.items()},
            "sibling test": margins(chosen, zoo, some),
        }

    methods = {**scores(None), **weights(zoo, pool)}
    accuracies = {spec.address: pool.accuracy(spec) for spec in zoo.specs}
    everything = {
        f"{name}, {consensus}": {
            "training images": sibling_results(Statistic(name, consensus), zoo, answers),
            "unseen images": sibling_results(Statistic(name, consensus), zoo, of_unseen),
        }
        for name in STATISTICS
        for consensus in ("none", "mean", "all")
    }
    return {
        "models": accuracies,
        "suspects": [{"model": s.spec.address, "kind": s.kind} for s in zoo.suspects],
        "methods": {
            name: {"scores": values.tolist(), "against": by_kind(zoo, values)}
            for name, values in methods.items()
        },
        "against_queries": against_queries(scores, zoo, len(examples)),
        "num_queries": len(examples),
        "sibling_test": {
            "chosen": f"{chosen.name}, {chosen.consensus}",
            "on_pool_tasks": tried,
            "on_evaluation_tasks": everything,
        },
    }


def show(results: dict[str, Any], folder: Path) -> None:
    """Prints the two tables."""
    kinds = [kind for kind in KINDS if kind != "homologous"]
    table = Table(title="AUC by model: homologous against ...")
    for column in ("method", *kinds):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, method in results["methods"].items():
        table.add_row(name, *(f"{method['against'][kind]['auc']:.2f}" for kind in kinds))
    console.print(table)
    chosen = results["sibling_test"]["chosen"]
    for queries, groups in results["sibling_test"]["on_evaluation_tasks"][chosen].items():
        table = Table(title=f"Sibling test ({chosen}), {queries}: source first")
        for column in ("suspects", "first", "median p (t)"):
            table.add_column(column)
        for name, group in groups.items():
            median = float(np.median(group["p_t_tail"]))
            table.add_row(name, f"{group['first']} of {group['models']}", f"{median:.3g}")
        console.print(table)
    console.print(f"Files: {folder / 'results.json'}, {folder / 'queries.png'}", soft_wrap=True)


if __name__ == "__main__":
    run(main, Args)
