"""Table 1 of the paper: provenance of image classifiers.

    python experiments/cifar.py --arch resnet18                    # row 1 at the paper's scale
    python experiments/cifar.py --row all                          # the whole table
    python experiments/cifar.py --preset small --data-dir DIR      # narrow models, for CPUs
    python experiments/cifar.py --preset demo --data glyphs        # minutes, no data needed

The source model is trained on CIFAR-10. CIFAR-100 is cut into ten disjoint ten-class subsets;
homologous models are fine-tuned on one from the source, non-homologous ones are trained on it
from random weights. MGMP learns from the models of the pool subsets and is evaluated on those of
the evaluation subsets. Rerun to resume.
"""

import dataclasses
from typing import Any

from _run import open_store, run
from configs.cifar import ROWS, Args


def main(args: Args) -> list[dict[str, Any]]:
    """Runs the rows; see the module's docstring."""
    from _rows import cifar_row, run_row

    chosen = [args]
    if args.row == "all":
        if args.pool_subsets or args.eval_subsets:
            raise ValueError(
                "--row all has its own subsets; leave --pool-subsets and --eval-subsets out"
            )
        chosen = [dataclasses.replace(args, arch=ROWS[row][0], row=row) for row in ROWS]
    rows, store = [cifar_row(one) for one in chosen], open_store(args)
    return [run_row("cifar", row, store, one) for row, one in zip(rows, chosen, strict=True)]


if __name__ == "__main__":
    run(main, Args)
