"""What tests of the commands share: where they are, and models so small that seconds train them."""

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
import _cohort  # noqa: E402
import _rows  # noqa: E402
import _variants  # noqa: E402
from configs import cohort  # noqa: E402

from mgmp_jax.data import glyphs  # noqa: E402
from mgmp_jax.responses import Responses  # noqa: E402
from mgmp_jax.store import jobs  # noqa: E402

TINY_COHORT = dataclasses.replace(
    cohort.PRESETS["demo"],
    widths={"alexnet": 2},
    examples=(450, 30),
    source=(2, 45, 0.05),
    target=(1, 10, 0.02),
    checkpoints=1,
    num_siblings=3,
    num_queries=450,
    mgmp={"epochs": 1, "batch_size": 150},
)

GENERATE = functools.cache(glyphs.generate)


@pytest.fixture(autouse=True)
def few_glyphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Glyphs are drawn once, and no more than a tiny run needs."""
    monkeypatch.setattr(
        glyphs, "generate", lambda name, split, n, of: GENERATE(name, split, min(n, 1000), of)
    )


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models so small take less time than another process takes to start."""
    monkeypatch.setattr(jobs, "best_number", lambda: 1)


@pytest.fixture
def few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """MGMPs without a generator to train learn for five epochs, each of which keeps a state."""
    monkeypatch.setattr(_rows, "DRAWN", 30)
    for name in ("EXTENDED", "PAPER_WITHOUT_GENERATOR"):
        monkeypatch.setattr(_variants, name, getattr(_variants, name).replace(epochs=5))


@pytest.fixture(scope="session")
def small() -> _cohort.Cohort:
    """The cohort of the preset small, of which nothing is trained."""
    return _cohort.make_cohort(cohort.Args(preset="small"))


@pytest.fixture(scope="session")
def answers(small: _cohort.Cohort) -> dict[Any, Responses]:
    """Random answers, in which every descendant repeats a part of what it started from."""
    rng = np.random.default_rng(0)
    known = rng.normal(size=(300, 10))
    found: dict[Any, np.ndarray] = {}

    def answer(spec: Any) -> np.ndarray:
        if spec not in found:
            start = 0 if spec.start is None else answer(spec.start)
            learnt = known if spec.subset is None else known @ rng.normal(size=(10, 10))
            found[spec] = (learnt + start + rng.normal(size=(300, 10))).astype(np.float32)
        return found[spec]

    for spec in small.specs:
        answer(spec)
    return {spec: Responses(values, "logits", "q") for spec, values in found.items()}
