"""Table 5 of the paper and more: generators, assemblies, and what each part of the loss brings.

    python experiments/ablation.py                                    # the paper's scale
    python experiments/ablation.py --preset small --data-dir DIR      # narrow models, for CPUs
    python experiments/ablation.py --preset demo --data glyphs        # generated images

Row 1 of Table 1, twice: with the generators and assemblies of Table 5, then with the preset's own
generator (at the paper's scale ResNet50) and one thing changed. Reads the models of cifar.py from
the same --out. Rerun to resume.
"""

from typing import Any

from _rows import run_row
from _run import open_store, run
from configs.ablation import Args, make_rows


def main(args: Args) -> list[dict[str, Any]]:
    """Runs all variants; see the module's docstring."""
    rows, store = make_rows(args), open_store(args)
    return [run_row("ablation", row, store, args) for row in rows]


if __name__ == "__main__":
    run(main, Args)
