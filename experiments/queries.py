"""Which queries show the sibling test most: kinds of images, tried on pool tasks.

    python experiments/queries.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/queries.py --preset demo                    # generated images

Every candidate in turn is the source of its own descendants on the pool tasks of compare.py's zoo,
whose models are read from the same --out or trained. All kinds are made of images that no model
was trained on. Run it again to go on after an interruption.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from command import address, open_pool, run, settings, write_results
from material import HALVES, UNSEEN
from rich.table import Table
from tracing import ALL, choose_variant, strangers
from zoo import Args, Zoo, make_zoo

from mgmp_jax import files
from mgmp_jax.data.halves import halves, partners
from mgmp_jax.dna import standardise
from mgmp_jax.pool import Pool
from mgmp_jax.spec import ModelSpec
from mgmp_jax.training import console

NUMBER = 1000
SPARE = 3
"""How many times as many images the most disputed are chosen from."""

Images = np.ndarray


def mean_of_two(images: Images, seed: int = 0) -> Images:
    """Each image averaged with another one (mixup, Zhang et al., 2018, with weight one half)."""
    total = images.astype(np.uint16) + images[partners(len(images), seed)]
    return (total // 2).astype(np.uint8)


def shuffled(images: Images, rng: np.random.Generator) -> Images:
    """Sixteen square parts of each image in another order."""
    n, height, width, channels = images.shape
    parts = images.reshape(n, 4, height // 4, 4, width // 4, channels).swapaxes(2, 3)
    order = rng.permuted(np.tile(np.arange(16), (n, 1)), axis=1)
    parts = np.take_along_axis(parts.reshape(n, 16, -1), order[:, :, None], axis=1)
    parts = parts.reshape(n, 4, 4, height // 4, width // 4, channels).swapaxes(2, 3)
    return parts.reshape(images.shape)


def noisy(images: Images, rng: np.random.Generator) -> Images:
    """Each image with Gaussian noise of standard deviation 40."""
    return np.clip(images + 40 * rng.normal(size=images.shape), 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Images, np.random.Generator], Images]] = {
    UNSEEN: lambda images, _: images,
    "mixed images": lambda images, _: mean_of_two(images),
    "mean of four": lambda images, _: mean_of_two(mean_of_two(images), seed=1),
    HALVES: lambda images, _: halves(images),
    "parts shuffled": shuffled,
    "with noise": noisy,
}
"""What is done to unseen images."""


def disagreement(zoo: Zoo, pool: Pool, images: Images) -> np.ndarray:
    """How much the candidates' standardised logits differ on each image, ``[n]``."""
    logits = [pool.responses(spec, images).values for spec in zoo.candidates]
    return np.var([standardise(jnp.asarray(z)) for z in logits], axis=0).mean(axis=1)


def make_queries(zoo: Zoo, pool: Pool) -> dict[str, Images]:
    """As many queries of every kind."""
    unseen = pool.examples(zoo.row.source, "test").inputs
    number = min(NUMBER, len(unseen) // SPARE)
    made = {
        name: change(unseen[: SPARE * number], np.random.default_rng(0))
        for name, change in CHANGES.items()
    }
    queries = {name: images[:number] for name, images in made.items()}
    for name in (UNSEEN, "mixed images"):
        disputed = np.argsort(-disagreement(zoo, pool, made[name]))[:number]
        queries[f"{name}, most disputed of {SPARE * number}"] = made[name][np.sort(disputed)]
    target = dataclasses.replace(zoo.rehearsal[0], subset=None)
    queries[f"of {target.data}"] = pool.examples(target, "test").inputs[:number]
    return queries


def needed(zoo: Zoo) -> list[ModelSpec]:
    """The models that are asked."""
    return [*zoo.candidates, *zoo.rehearsal, *strangers(zoo)]


def try_queries(zoo: Zoo, pool: Pool) -> dict[str, Any]:
    """For each kind how alike the candidates answer, and what every variant traces."""
    specs = needed(zoo)
    pool.train(specs)
    found = {}
    for name, images in make_queries(zoo, pool).items():
        answers = {spec: pool.responses(spec, images).values for spec in specs}
        labels = np.stack([answers[spec].argmax(axis=1) for spec in zoo.candidates])
        alike = [np.mean(a == b) for i, a in enumerate(labels) for b in labels[:i]]
        chosen, tried = choose_variant(zoo, answers)
        console.print(f"{name}: {chosen}")
        found[name] = {
            "queries": len(images),
            "agreement_of_candidates": float(np.mean(alike)),
            "chosen": str(chosen),
            "on_pool_tasks": tried,
        }
    return {"kinds": found}


def main(args: Args) -> dict[str, Any]:
    """Tries all kinds; see the module's docstring."""
    pool = open_pool(args)
    zoo, start = make_zoo(args), time.perf_counter()
    what = [zoo.address, [str(variant) for variant in ALL], list(CHANGES), NUMBER, SPARE]
    folder = args.out / address(f"queries-{zoo.row.name}", what)
    if not (folder / "results.json").is_file():
        found = sum(map(pool.is_trained, needed(zoo)))
        write_results(folder, try_queries(zoo, pool), settings(args), start, found)
    results = files.read_json(folder / "results.json")
    table = Table(title="Descendants traced on pool tasks, by kind of queries")
    for column in ("queries", "candidates agree", "chosen", "own source first"):
        table.add_column(column)
    for name, kind in results["kinds"].items():
        best = next(t for t in kind["on_pool_tasks"] if t["statistic"] == kind["chosen"])
        first = f"{best['descendants']['first']} of {best['descendants']['models']}"
        table.add_row(name, f"{kind['agreement_of_candidates']:.2f}", kind["chosen"], first)
    console.print(table)
    console.print(f"File: {folder / 'results.json'}", soft_wrap=True)
    return results


if __name__ == "__main__":
    run(main, Args)
