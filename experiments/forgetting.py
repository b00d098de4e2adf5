"""Figures 1 and 5 and section 3.2 of the paper: what fine-tuning leaves of its start.

    python experiments/forgetting.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/forgetting.py --preset demo --data glyphs      # generated images

A source goes on training on ten classes of other data. After each kept epoch: what the target
still knows of the source's data with its own layers, and with its last layers replaced by the
source's. Then the straightforward test of provenance, the distance of the weights, beside its
bound. Reads the models of cifar.py from the same --out; after them the preset small took 5 minutes
on two CPU cores for ResNet18. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from _run import address, draw_picture, open_store, results_of, run, show
from configs import cifar
from configs.common import Arch, ImageArgs

if TYPE_CHECKING:
    from _rows import Row

    from mgmp_jax.data import Examples
    from mgmp_jax.store import ModelStore

REPLACED = (0, 1, 2, 3)
"""How many of a target's last layers are taken from the source."""
IMAGES = 2000
HESSIAN_IMAGES = 500


@dataclasses.dataclass(frozen=True)
class Args(ImageArgs):
    """Draw figures 1 and 5 of the paper, and check section 3.2."""

    archs: tuple[Arch, ...] = ("resnet18", "alexnet")
    """Architectures, each a figure."""


def replace_last(module: Any, target: Any, source: Any, number: int) -> Any:
    """Takes the last layers of a target's variables from the source."""
    layers = module.layers[:number]
    return {
        collection: {
            layer: source[collection][layer] if layer in layers else below
            for layer, below in of_target.items()
        }
        for collection, of_target in target.items()
    }


def panels(row: Row, store: ModelStore) -> dict[str, Any]:
    """Measures accuracies on training images after each kept epoch: the five panels of a figure.

    A target's first state is its start, the source itself; the random target has none.
    """
    from mgmp_jax import training

    source, pair = row.source, row.evaluation[0]
    images = store.examples(source, "train").take(IMAGES)
    of_task = store.examples(pair.homologous, "train").take(IMAGES)
    module, of_source = store.module(source), store.variables(source)

    def accuracy(variables: Any, on: Examples) -> float:
        logits, _ = training.predict(module, variables, on.inputs)
        return float(np.mean(logits.argmax(axis=-1) == on.labels))

    found: dict[str, Any] = {}
    for name, spec, numbers in (
        ("target", pair.homologous, REPLACED),
        ("random target", pair.non_homologous, REPLACED[-1:]),
    ):
        states = {epoch: store.variables(spec, epoch) for epoch in spec.recipe.kept_epochs}
        if spec.start:
            states = {0: of_source, **states}
        target_data = [accuracy(state, of_task) for state in states.values()]
        for number in numbers:
            replaced = [replace_last(module, s, of_source, number) for s in states.values()]
            found[f"{name}, last {number} replaced" if number else name] = {
                "epochs": list(states),
                "source data": [accuracy(state, images) for state in replaced],
                "target data": target_data,
            }
    return found


def bound(row: Row, store: ModelStore) -> dict[str, Any]:
    """Measures the weights' distance, its second-order bound and the forgetting (section 3.2).

    The bound is for weights alone, at a point where the gradient is zero: the gradient's norm, and
    the loss with the source's batch statistics, stand beside it. Losses are over the first
    ``HESSIAN_IMAGES`` training images.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from mgmp_jax import data, reporting, weights
    from mgmp_jax.curvature import largest_eigenvalue

    source = store.variables(row.source)
    module = store.module(row.source).clone(dtype=jnp.float32)
    images = store.examples(row.source, "train").take(HESSIAN_IMAGES)
    inputs = jnp.asarray(data.model_inputs(images.inputs))

    @jax.jit
    def loss(params: Any, batch_stats: Any, inputs: Any) -> Any:
        variables = {"params": params, "batch_stats": batch_stats}
        logits = module.apply(variables, inputs, train=False)
        return optax.softmax_cross_entropy_with_integer_labels(logits, images.labels).mean()

    at, stats = jax.tree.map(jnp.asarray, source["params"]), source["batch_stats"]
    key = jax.random.key(0)
    curvature = largest_eigenvalue(lambda params: loss(params, stats, inputs), at, key)
    slope, start = jax.grad(loss)(at, stats, inputs), float(loss(at, stats, inputs))
    models, distances = [], {"homologous": [], "non-homologous": []}
    for pair in row.pairs:
        for kind, spec in zip(distances, pair.specs, strict=True):
            target = store.variables(spec)
            params = target["params"]
            distance = -float(weights.weight_distance(at, params))
            distances[kind].append(-distance)
            models.append(
                {
                    "model": spec.address,
                    "kind": kind,
                    "distance": distance,
                    "cosine": float(weights.weight_cosine(at, params)),
                    "bound": curvature * distance**2 / 2,
                    "forgetting": float(loss(params, target["batch_stats"], inputs)) - start,
                    "forgetting_of_weights_alone": float(loss(params, stats, inputs)) - start,
                }
            )
    return {
        "lambda_max": curvature,
        "gradient_norm": float(optax.tree.norm(slope)),
        "source_loss": start,
        "models": models,
        "distance": reporting.separation(*map(np.array, distances.values())),
    }


def draw(args: Args, arch: Arch, store: ModelStore) -> dict[str, Any]:
    """Makes the figure of one architecture."""
    import tables
    from _rows import cifar_row, train_models

    from mgmp_jax import reporting

    row = cifar_row(cifar.Args(arch=arch, preset=args.preset, data=args.data))
    what = [row, REPLACED, IMAGES, HESSIAN_IMAGES]
    folder = args.out / address(f"forgetting-{args.data}-{arch}-{args.preset}", what)

    def make() -> dict[str, Any]:
        train_models([row.source, *sum((pair.specs for pair in row.pairs), ())], store, args)
        return {"arch": arch, "panels": panels(row, store), "weights": bound(row, store)}

    results = results_of("forgetting", folder, args, make)
    draw_picture(reporting.plot_forgetting, folder / "forgetting.png", results["panels"])
    show(
        tables.pivot("panel", tables.accuracies(results)), folder, "results.json", "forgetting.png"
    )
    return results


def main(args: Args) -> list[dict[str, Any]]:
    """Draws the figures; see the module's docstring."""
    if not args.archs:
        raise ValueError("give at least one of --archs")
    store = open_store(args)
    return [draw(args, arch, store) for arch in dict.fromkeys(args.archs)]


if __name__ == "__main__":
    run(main, Args)
