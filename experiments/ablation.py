"""Table 5 of the paper and more: generators, assemblies, and what each part of the loss brings.

    python experiments/ablation.py                                    # the paper's scale
    python experiments/ablation.py --preset small --data-dir DIR      # narrow models, for CPUs
    python experiments/ablation.py --preset demo --data glyphs        # generated images

Row 1 of Table 1 with the preset's own generator (at the paper's scale ResNet50) and one thing
changed, then with the generators and assemblies of Table 5, then trained for longer. Reads the
models of cifar.py from the same --out; after them one seed of the preset small took 6 minutes of
two CPU cores for the changes, 37 for Table 5, 12 for the longest. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Literal

from _run import open_store, run
from configs import cifar
from configs.common import ImageArgs, at_least_one

if TYPE_CHECKING:
    from _rows import Row

TABLE_5 = {
    "ResNet50, addition, |o| = 10": 0.9193,
    "ViT-small, addition, |o| = 10": 0.9004,
    "ViT-base, addition, |o| = 10": 0.9137,
    "ResNet50, concatenation, |o| = 20": 0.9264,
    "ResNet50, concatenation, |o| = 60": 0.9416,
    "ResNet50, concatenation, |o| = 110": 0.9478,
}
"""The paper's accuracy of each generator, assembly and width of a fragment."""

WIDTHS = {
    "demo": {"resnet50": 4, "vit-small": 12, "vit-base": 24},
    "small": {"resnet50": 8, "vit-small": 48, "vit-base": 96},
    "paper": {},
}
"""Of the generators, where it is not an architecture's own."""

CHANGES: dict[str, dict[str, Any]] = {
    "unchanged": {},
    "τ = 0.1": {"temperature": 0.1},
    "τ = 1": {"temperature": 1.0},
    "λ = 0": {"weight_decay": 0.0},
    "λ = 0.01": {"weight_decay": 0.01},
    "logits": {"response": "logits"},
    "probabilities": {"response": "probabilities"},
    "without L_S": {"similarity_weight": 0.0},
    "without L_I": {"cohesion_weight": 0.0},
    "without L_S and L_I": {"similarity_weight": 0.0, "cohesion_weight": 0.0},
    "sums in L_S and L_I": {"reduction": "sum"},
}
"""Of the paper's method (:func:`_variants.changed`)."""

LONGER: dict[str, dict[str, Any]] = {"ten times the epochs": {"times_epochs": 10}}
"""The same, in a row of its own that takes as long as all others together."""


@dataclasses.dataclass(frozen=True)
class Args(ImageArgs):
    """Fill Table 5 of the paper, and change one thing at a time in its method."""

    seeds: int = 1
    """How many times each variant is trained."""
    part: Literal["changes", "table5", "longer"] | None = None
    """One change at a time, Table 5 or ten times the epochs alone, instead of all three."""


def make_rows(args: Args) -> list[Row]:
    """Makes row 1 of Table 1 with variants of the method, of Table 5, and trained for longer."""
    from _rows import cifar_row
    from _variants import Variant, changed

    row = cifar_row(cifar.Args(preset=args.preset, data=args.data))
    paper = Variant(row.variants["paper"].config)
    table_5 = {}
    for name in TABLE_5:
        generator, assembly, width = re.split(r", (?:\|o\| = )?", name.lower())
        sizes: dict[str, Any] = {"generator_width": WIDTHS[args.preset].get(generator)}
        if assembly == "concatenation":
            sizes["latent"] = int(width) - 10  # beside the source's ten classes
        table_5[name] = changed(paper, generator=generator, assemble=assembly, **sizes)
    changes, longer = (
        {name: changed(paper, **change) for name, change in of_row.items()}
        for of_row in (CHANGES, LONGER)
    )
    seeds = at_least_one("seeds", args.seeds)
    return [
        dataclasses.replace(
            row, name=f"ablation-{name}-{row.name}", variants=variants, seeds=seeds, paper="-"
        )
        for name, variants in (("changes", changes), ("table5", table_5), ("longer", longer))
        if args.part in (None, name)
    ]


def main(args: Args) -> list[dict[str, Any]]:
    """Runs all variants; see the module's docstring."""
    from _rows import run_row

    rows, store = make_rows(args), open_store(args)
    return [run_row("ablation", row, store, args) for row in rows]


if __name__ == "__main__":
    run(main, Args)
