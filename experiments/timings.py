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
from _run import claim, run, write_results

from mgmp_jax import models, training
from mgmp_jax.config import PAPER
from mgmp_jax.methods import mgmp_step
from mgmp_jax.methods.fragments import gather_pair
from mgmp_jax.training.recipe import Recipe, classification_step

Call = Callable[[], Any]
KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Args:
    """What steps cost on this machine."""

    repeats: int = 15
    """How often each thing is timed."""
    out: Path = Path(__file__).parent / "results" / "timings.json"
    """Where the figures go."""


def compare(first: Call, second: Call, repeats: int) -> dict[str, Any]:
    """Takes median seconds of both, called in turn, and the ratio of first to second."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(2):
        jax.block_until_ready((first(), second()))
    for _ in range(repeats):
        for call, kept in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(call())
            kept.append(time.perf_counter() - start)
    a, b = map(statistics.median, seconds)
    quarters = statistics.quantiles(map(float.__truediv__, *seconds), n=4, method="inclusive")
    spread = [round(quarters[0], 3), round(quarters[2], 3)]
    rounded = {"first_s": round(a, 4), "second_s": round(b, 4), "ratio": round(a / b, 3)}
    return {**rounded, "ratio_quartiles": spread}


def steps(step: training.Step, state: Any, batch: Call, key: Any = KEY) -> Call:
    """Makes a call that takes one more step each time."""
    compiled = jax.jit(step, donate_argnums=0)
    kept = [jax.tree.map(jnp.copy, state)]

    def call() -> Any:
        kept[0], metrics = compiled(kept[0], batch(), key)
        return metrics

    return call


def encoder_against_torch() -> tuple[Call, Call]:
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
    variables = jax.jit(lambda: module.init(KEY, jnp.asarray(tokens), train=False))()
    recipe = Recipe(3, 16, 5e-5, "adam", 0.0, "none")
    step, optimizer = classification_step(module, recipe, 1000, stacked=False)
    batch = {"inputs": jnp.asarray(tokens), "labels": jnp.asarray(labels)}
    return steps(step, training.create_state(variables, optimizer), lambda: batch), torch_step


def mgmp_step_of_two_pools() -> tuple[Call, Call]:
    """A step of the paper's MGMP, gathering included, with a pool of 50 against one of 2."""
    config = PAPER.replace(generator="resnet18", generator_width=8, batch_size=250)
    rng = np.random.default_rng(0)
    queries = rng.integers(0, 256, size=(2500, 32, 32, 3), dtype=np.uint8)
    step, optimizer = mgmp_step.make_step(config, 10)
    state = training.create_state(mgmp_step.init(config, queries, 10, KEY), optimizer)

    def of_pool(size: int) -> Call:
        sides = ("source", "homologous", "non_homologous")
        data: dict[str, Any] = {
            name: rng.normal(size=(size, 2500, 10)).astype(np.float32) for name in sides
        }
        data["inputs"] = queries

        def batch() -> Any:
            drawn = {"query": rng.permutation(2500)[:250], "pair": rng.integers(size, size=2)}
            return gather_pair(data, drawn)

        return steps(step, state, batch)

    return of_pool(50), of_pool(2)


def stacked_against_alone() -> tuple[Call, Call]:
    """A step of four stacked ResNet18 of width 16, batch 64, against four steps of one."""
    module, recipe = models.create("resnet18", num_outputs=10, width=16), Recipe(6, 64, 0.05)
    images = np.random.default_rng(0).integers(0, 256, size=(4, 64, 32, 32, 3), dtype=np.uint8)
    batch = {"inputs": images, "labels": np.zeros((4, 64), np.int32)}
    variables = jax.jit(lambda: module.init(KEY, jnp.zeros((1, 32, 32, 3)), train=False))()
    step, optimizer = classification_step(module, recipe, 1000, stacked=False)
    state = training.create_state(variables, optimizer)
    alone = steps(step, state, lambda: jax.tree.map(lambda x: x[0], batch))
    step, _ = classification_step(module, recipe, 1000, stacked=True)
    four = jax.tree.map(lambda x: jnp.stack([x] * 4), state)
    stacked = steps(step, four, lambda: batch, jax.random.split(KEY, 4))
    return stacked, lambda: [alone() for _ in range(4)]


def main(args: Args) -> None:
    """Times everything; see the module's docstring."""
    claim(Path("runs"))
    figures = {}
    for thing in (encoder_against_torch, mgmp_step_of_two_pools, stacked_against_alone):
        found = compare(*thing(), repeats=args.repeats)
        figures[thing.__name__] = {"what": thing.__doc__, **found}
        training.console.print(figures[thing.__name__])
    write_results("timings", args.out, {"figures": figures})


if __name__ == "__main__":
    run(main, Args)
