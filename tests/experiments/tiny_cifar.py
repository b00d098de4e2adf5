"""cifar.py with models so small that seconds train them; run by test_cifar.py."""

import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "experiments"))
import _rows
import _variants
import cifar
from _run import run
from configs.cifar import PRESETS, Args

from mgmp_jax.data import glyphs

PRESETS["demo"] = dataclasses.replace(
    PRESETS["demo"],
    widths={"alexnet": 2},
    examples=(400, 60),
    source=(2, 20, 0.02),
    target=(2, 10, 0.02),
    checkpoints=2,
    num_queries=400,
    generator=("alexnet", 2, (1, 40, 0.05)),
    mgmp={"epochs": 2, "batch_size": 100},
)

_generate = glyphs.generate
glyphs.generate = lambda name, split, n, of: _generate(name, split, min(n, 1000), of)
_rows.DRAWN = 30
_variants.EXTENDED = _variants.EXTENDED.replace(epochs=5)
_variants.PAPER_WITHOUT_GENERATOR = _variants.PAPER_WITHOUT_GENERATOR.replace(epochs=5)

if __name__ == "__main__":
    run(cifar.main, Args)
