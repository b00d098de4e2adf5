"""Figures 1 and 5 and section 3.2 of the paper: what fine-tuning leaves of its start.

    python experiments/forgetting.py --preset small --data-dir DIR    # narrow models, for CPUs
    python experiments/forgetting.py --preset demo --data glyphs      # generated images

A source goes on training on ten classes of other data. After each kept epoch: what the target
still knows of the source's data with its own layers, and with its last layers replaced by the
source's. Then the straightforward test of provenance, the distance of the weights, beside its
bound. Reads the models of cifar.py from the same --out. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from _rows import Row, TaskPair
from _run import address, open_store, print_files, print_table, results_of, run
from configs import cifar

from mgmp_jax import data, reporting, training, weights
from mgmp_jax.curvature import largest_eigenvalue
from mgmp_jax.store import ModelSpec, ModelStore
from mgmp_jax.training import console

REPLACED = (0, 1, 2, 3)
IMAGES = 2000
HESSIAN_IMAGES = 500


@dataclasses.dataclass(frozen=True)
class Args:
    """Figures 1 and 5 and section 3.2 of the paper."""

    archs: tuple[Literal["resnet18", "alexnet", "vit-small"], ...] = ("resnet18", "alexnet")
    """Architectures, each a figure."""
    preset: Literal["demo", "small", "paper"] = "paper"
    """How large everything is, as in cifar.py."""
    data: Literal["cifar", "glyphs"] = "cifar"
    """CIFAR-10 and CIFAR-100, or generated digits and letters."""
    data_dir: Path | None = None
    """Where CIFAR lies; by default MGMP_DATA_DIR or ~/tensorflow_datasets."""
    out: Path = Path("runs")
    """Folder for models and results. One folder is for one state of the data in --data-dir, and
    for one command at a time."""


def replace_last(module: Any, target: Any, source: Any, number: int) -> Any:
    """The target's variables with its last layers taken from the source."""
    layers = module.layers[:number]
    return {
        collection: {
            layer: source[collection][layer] if layer in layers else below
            for layer, below in of_target.items()
        }
        for collection, of_target in target.items()
    }


def panels(source: ModelSpec, pair: TaskPair, store: ModelStore) -> dict[str, Any]:
    """The five panels of a figure: accuracies on training images after each kept epoch.

    A target's first state is its start, the source itself; the random target has none.
    """
    images = store.examples(source, "train").take(IMAGES)
    of_task = store.examples(pair.homologous, "train").take(IMAGES)
    module, of_source = store.module(source), store.variables(source)

    def accuracy(variables: Any, on: data.Examples) -> float:
        logits, _ = training.predict(module, variables, on.inputs)
        return float(np.mean(logits.argmax(axis=-1) == on.labels))

    def states(spec: ModelSpec) -> list[tuple[int, Any]]:
        kept = [(epoch, store.variables(spec, epoch)) for epoch in spec.recipe.kept_epochs]
        return [(0, of_source), *kept] if spec.start else kept

    found: dict[str, Any] = {}
    for name, spec, numbers in (
        ("target", pair.homologous, REPLACED),
        ("random target", pair.non_homologous, REPLACED[-1:]),
    ):
        epochs, variables = zip(*states(spec), strict=True)
        target_data = [accuracy(of_epoch, of_task) for of_epoch in variables]
        for number in numbers:
            replaced = f", last {number} replaced" if number else ""
            found[f"{name}{replaced}"] = {
                "epochs": list(epochs),
                "source data": [
                    accuracy(replace_last(module, of_epoch, of_source, number), images)
                    for of_epoch in variables
                ],
                "target data": target_data,
            }
    return found


def bound(row: Row, store: ModelStore) -> dict[str, Any]:
    """Section 3.2: the distance of the weights, its second-order bound and the forgetting itself.

    The bound is for weights alone, at a point where the gradient is zero: the gradient's norm, and
    the loss with the source's batch statistics, stand beside it. Losses are over the first
    ``HESSIAN_IMAGES`` training images.
    """
    module, source = store.module(row.source), store.variables(row.source)
    module = module.clone(dtype=jnp.float32)
    images = store.examples(row.source, "train").take(HESSIAN_IMAGES)
    inputs = jnp.asarray(data.model_inputs(images.inputs))

    @jax.jit
    def loss(params: Any, batch_stats: Any, inputs: Any) -> Any:
        variables = {"params": params, "batch_stats": batch_stats}
        logits = module.apply(variables, inputs, train=False)
        return optax.softmax_cross_entropy_with_integer_labels(logits, images.labels).mean()

    at = jax.tree.map(jnp.asarray, source["params"])
    of_source = source["batch_stats"]
    curvature = largest_eigenvalue(
        lambda params: loss(params, of_source, inputs), at, jax.random.key(0)
    )
    slope = jax.grad(loss)(at, of_source, inputs)
    start = float(loss(at, of_source, inputs))
    models = []
    for pair in row.pairs:
        for kind, spec in (
            ("homologous", pair.homologous),
            ("non-homologous", pair.non_homologous),
        ):
            variables = store.variables(spec)
            distance = -float(weights.weight_distance(at, variables["params"]))
            models.append(
                {
                    "model": spec.address,
                    "kind": kind,
                    "distance": distance,
                    "cosine": float(weights.weight_cosine(at, variables["params"])),
                    "bound": curvature * distance**2 / 2,
                    "forgetting": float(loss(variables["params"], variables["batch_stats"], inputs))
                    - start,
                    "forgetting_of_weights_alone": float(
                        loss(variables["params"], of_source, inputs)
                    )
                    - start,
                }
            )
    near, far = (
        -np.array([m["distance"] for m in models if m["kind"] == kind])
        for kind in ("homologous", "non-homologous")
    )
    return {
        "lambda_max": curvature,
        "gradient_norm": float(optax.tree.norm(slope)),
        "source_loss": start,
        "models": models,
        "distance": reporting.separation(near, far),
    }


def main(args: Args) -> list[dict[str, Any]]:
    """Draws the figures; see the module's docstring."""
    if not args.archs:
        raise ValueError("give at least one of --archs")
    store = open_store(args)
    everything = []
    for arch in dict.fromkeys(args.archs):
        row = cifar.make_row(cifar.Args(arch=arch, preset=args.preset, data=args.data))
        what = [row, REPLACED, IMAGES, HESSIAN_IMAGES]
        folder = args.out / address(f"forgetting-{args.data}-{arch}-{args.preset}", what)

        def make(row: Row = row) -> tuple[dict[str, Any], int]:
            specs = [row.source, *(spec for pair in row.pairs for spec in pair.specs)]
            found = sum(map(store.is_trained, specs))
            store.train(specs)
            shown = panels(row.source, row.evaluation[0], store)
            return {"arch": row.source.arch, "panels": shown, "weights": bound(row, store)}, found

        results = results_of("forgetting", folder, args, make)
        reporting.plot_forgetting(folder / "forgetting.png", results["panels"])
        show(results, folder)
        everything.append(results)
    return everything


def show(results: dict[str, Any], folder: Path) -> None:
    """Prints what is left of the source at the end, and how the distances separate."""
    rows = [
        [name, f"{p['source data'][0]:.3f}", f"{p['source data'][-1]:.3f}"]
        for name, p in results["panels"].items()
    ]
    title = f"{results['arch']}: accuracy on the source's data, first and last epoch"
    print_table(title, ["panel", "first", "last"], rows)
    found = results["weights"]
    console.print(
        f"λ_max {found['lambda_max']:.3g}; ‖Δw‖ tells homologous from non-homologous models with "
        f"an AUC of {found['distance']['auc']:.2f}"
    )
    print_files(folder, "results.json", "forgetting.png")


if __name__ == "__main__":
    run(main, Args)
