"""Table 1 of the paper: provenance of image classifiers.

    python experiments/cifar.py --arch resnet18                    # row 1 at the paper's scale
    python experiments/cifar.py --row all                          # the whole table
    python experiments/cifar.py --preset small --data-dir DIR      # narrow models, for CPUs
    python experiments/cifar.py --preset demo --data glyphs        # minutes, no data needed

The source model is trained on CIFAR-10. CIFAR-100 is cut into ten disjoint ten-class subsets;
homologous models are fine-tuned on one from the source, non-homologous ones are trained on it
from random weights. MGMP learns from the models of the pool subsets and is judged on those of
the evaluation subsets. Rerun to resume.
"""

import dataclasses
from typing import Any

from _rows import run_row
from _run import open_store, run
from configs.cifar import ROWS, Args, make_row


def main(args: Args) -> list[dict[str, Any]]:
    """Runs the rows; see the module's docstring."""
    rows = [args]
    if args.row == "all":
        if args.pool_subsets or args.eval_subsets:
            raise ValueError(
                "--row all has its own subsets; leave --pool-subsets and --eval-subsets out"
            )
        rows = [
            dataclasses.replace(args, arch=arch, row=number) for number, (arch, *_) in ROWS.items()
        ]
    made = [make_row(of_row) for of_row in rows]
    store = open_store(args)
    return [
        run_row("cifar", row, store, of_row, args.together)
        for row, of_row in zip(made, rows, strict=True)
    ]


if __name__ == "__main__":
    run(main, Args)
