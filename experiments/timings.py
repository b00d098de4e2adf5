"""What steps cost on this machine: ratios of two things timed in turn in one process.

    python experiments/timings.py            # needs PyTorch for the first of them

Writes ``results/timings.json``.
"""

import dataclasses
import importlib
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _run import SCHEMA, claim, run

from mgmp_jax import files, models, reporting, training
from mgmp_jax.config import PAPER
from mgmp_jax.methods import mgmp_step
from mgmp_jax.methods.fragments import gather_pair
from mgmp_jax.training.recipe import Recipe, classification_step


@dataclasses.dataclass(frozen=True)
class Args:
    """What steps cost on this machine."""

    repeats: int = 15
    """How often each thing is timed."""
    out: Path = Path(__file__).parent / "results" / "timings.json"
    """Where the figures go."""


def compare(first: Callable[[], Any], second: Callable[[], Any], repeats: int) -> dict[str, Any]:
    """Median seconds of both, called in turn, and the ratio of first to second."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(2):
        jax.block_until_ready((first(), second()))
    for _ in range(repeats):
        for call, kept in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(call())
            kept.append(time.perf_counter() - start)
    medians = [statistics.median(kept) for kept in seconds]
    ratios = sorted(a / b for a, b in zip(*seconds, strict=True))
    return {
        "first_s": round(medians[0], 4),
        "second_s": round(medians[1], 4),
        "ratio": round(medians[0] / medians[1], 3),
        "ratio_quartiles": [round(ratios[len(ratios) * q // 4], 3) for q in (1, 3)],
    }


def step_of(step: training.Step, variables: Any, optimizer: Any, batch: Any) -> Callable[[], Any]:
    """A step that goes on from where the last call ended."""
    compiled = jax.jit(step, donate_argnums=0)
    state = [training.create_state(variables, optimizer)]

    def call() -> Any:
        state[0], metrics = compiled(state[0], batch, jax.random.key(0))
        return metrics

    return call


def encoder_against_torch(repeats: int) -> dict[str, Any]:
    """A DistilBERT-size training step, 16 texts of 128 tokens, against PyTorch's."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 30522, size=(16, 128)).astype(np.int32)
    labels = rng.integers(0, 4, size=16).astype(np.int32)
    theirs = transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(id2label={i: str(i) for i in range(4)})
    ).train()
    adam = torch.optim.Adam(theirs.parameters(), lr=5e-5)
    ids, targets = torch.tensor(tokens.astype(np.int64)), torch.tensor(labels.astype(np.int64))
    mask = torch.ones_like(ids)

    def torch_step() -> None:
        adam.zero_grad()
        theirs(input_ids=ids, attention_mask=mask, labels=targets).loss.backward()
        adam.step()

    module = models.create("distilbert", num_outputs=4)
    variables = jax.jit(lambda key: module.init(key, jnp.asarray(tokens), train=False))(
        jax.random.key(0)
    )
    recipe = Recipe(3, 16, 5e-5, "adam", 0.0, "none")
    step, optimizer = classification_step(module, recipe, 1000, stacked=False)
    batch = {"inputs": jnp.asarray(tokens), "labels": jnp.asarray(labels)}
    return compare(step_of(step, variables, optimizer, batch), torch_step, repeats)


def mgmp_step_of_two_pools(repeats: int) -> dict[str, Any]:
    """A step of the paper's MGMP, gathering included, with a pool of 50 against one of 2."""
    config = PAPER.replace(generator="resnet18", generator_width=8, batch_size=250)
    rng = np.random.default_rng(0)
    queries = rng.integers(0, 256, size=(2500, 32, 32, 3), dtype=np.uint8)
    variables = mgmp_step.init(config, queries, 10, jax.random.key(0))

    def of_pool(size: int) -> Callable[[], Any]:
        sides = ("source", "homologous", "non_homologous")
        data: dict[str, Any] = {
            name: rng.normal(size=(size, 2500, 10)).astype(np.float32) for name in sides
        }
        data["inputs"] = queries
        step, optimizer = mgmp_step.make_step(config, 10)
        compiled = jax.jit(step, donate_argnums=0)
        state = [training.create_state(jax.tree.map(jnp.copy, variables), optimizer)]

        def call() -> Any:
            index = {"query": rng.permutation(2500)[:250], "pair": rng.integers(size, size=2)}
            batch = gather_pair(data, index)
            state[0], metrics = compiled(state[0], batch, jax.random.key(0))
            return metrics

        return call

    return compare(of_pool(50), of_pool(2), repeats)


def stacked_against_alone(repeats: int) -> dict[str, Any]:
    """A step of four stacked ResNet18 of width 16, batch 64, against four steps of one."""
    module = models.create("resnet18", num_outputs=10, width=16)
    recipe = Recipe(6, 64, 0.05)
    images = np.random.default_rng(0).integers(0, 256, size=(4, 64, 32, 32, 3), dtype=np.uint8)
    labels = np.zeros((4, 64), np.int32)
    variables = jax.jit(lambda key: module.init(key, jnp.zeros((1, 32, 32, 3)), train=False))(
        jax.random.key(0)
    )
    step, optimizer = classification_step(module, recipe, 1000, stacked=False)
    alone = step_of(
        step, variables, optimizer, {"inputs": images[0], "labels": jnp.asarray(labels[0])}
    )
    step, optimizer = classification_step(module, recipe, 1000, stacked=True)
    one = training.create_state(variables, optimizer)
    state = [jax.tree.map(lambda x: jnp.stack([x] * 4), one)]
    keys = jax.random.split(jax.random.key(0), 4)
    batch = {"inputs": images, "labels": labels}
    compiled = jax.jit(step, donate_argnums=0)

    def stacked() -> Any:
        state[0], metrics = compiled(state[0], batch, keys)
        return metrics

    return compare(stacked, lambda: [alone() for _ in range(4)], repeats)


def main(args: Args) -> None:
    """Times everything; see the module's docstring."""
    claim(Path("runs"))
    timed = (encoder_against_torch, mgmp_step_of_two_pools, stacked_against_alone)
    figures = {}
    for thing in timed:
        figures[thing.__name__] = {"what": thing.__doc__, **thing(args.repeats)}
        training.console.print(figures[thing.__name__])
    about = {"experiment": "timings", "schema": SCHEMA}
    files.write_json(args.out, {**about, "figures": figures, "run": reporting.environment()})


if __name__ == "__main__":
    run(main, Args)
