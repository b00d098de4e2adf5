"""Table 5 of the paper and more: generators, assemblies, and what each part of the loss brings.

    python experiments/ablation.py                                    # the paper's scale
    python experiments/ablation.py --preset small --data-dir DIR      # narrow models, for CPUs
    python experiments/ablation.py --preset demo --data glyphs        # generated images

Row 1 of Table 1, twice: with the generators and assemblies of Table 5, then with the preset's own
generator (at the paper's scale ResNet50) and one thing changed. Reads the models of cifar.py from
the same --out. Rerun to resume.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

from _run import open_store, run
from configs import cifar
from configs.ablation import CHANGES, TABLE_5, WIDTHS, Args
from configs.common import at_least_one

if TYPE_CHECKING:
    from _rows import Row


def make_rows(args: Args) -> list[Row]:
    """Makes row 1 of Table 1 with the variants of Table 5, then with those of the method."""
    from _rows import Variant, changed, cifar_row

    row = cifar_row(cifar.Args(preset=args.preset, data=args.data))
    paper = Variant(row.variants["paper"].config)
    table_5 = {}
    for name in TABLE_5:
        generator, assembly, width = re.split(r", (?:\|o\| = )?", name.lower())
        sizes: dict[str, Any] = {"generator_width": WIDTHS[args.preset][generator]}
        if assembly == "concatenation":
            sizes["latent"] = int(width) - 10  # beside the source's ten classes
        table_5[name] = changed(paper, generator=generator, assemble=assembly, **sizes)
    changes = {name: changed(paper, **change) for name, change in CHANGES.items()}
    seeds = at_least_one("seeds", args.seeds)
    return [
        dataclasses.replace(
            row, name=f"ablation-{name}-{row.name}", variants=variants, seeds=seeds, paper="-"
        )
        for name, variants in (("table5", table_5), ("changes", changes))
    ]


def main(args: Args) -> list[dict[str, Any]]:
    """Runs all variants; see the module's docstring."""
    from _rows import run_row

    rows, store = make_rows(args), open_store(args)
    return [run_row("ablation", row, store, args) for row in rows]


if __name__ == "__main__":
    run(main, Args)
