"""experiments/benchmark.py: what is timed in turn, what is absent, and the command at toy size."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import _measures
import _run
import benchmark
import jax
import numpy as np
import pytest
import tables

from mgmp_jax import files, reporting
from mgmp_jax.losses import dna_loss


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "_torch_models", None)


@pytest.fixture
def no_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim of a folder would outlive the test."""
    monkeypatch.setattr(benchmark, "claim", lambda out: None)


def test_ratios_are_medians_over_rounds_and_what_fails_says_why() -> None:
    def fail() -> None:
        raise RuntimeError("no compiler\nmore")

    order: list[str] = []

    def sleep(name: str, seconds: float) -> Any:
        def call() -> None:
            order.append(name)
            time.sleep(seconds)

        return call

    calls = {"a": sleep("a", 0.01), "b": sleep("b", 0.1), "c": fail}
    found = _measures.in_turn(calls, "a", 4, 100)
    assert found["rounds"] == 4 and order[4:] == ["a", "b"] * 4
    assert found["absent"] == {"c": "RuntimeError: no compiler"}
    assert set(found["seconds"]) == {"a", "b"} and set(found["ratio"]) == {"b"}
    low, high = found["quartiles"]["b"]
    assert 1 < low <= found["ratio"]["b"] <= high
    with pytest.raises(RuntimeError, match="no compiler"):
        _measures.in_turn({"c": fail, "a": calls["a"]}, "c", 3, 1)


def test_a_round_that_takes_long_is_repeated_three_times_only() -> None:
    found = _measures.in_turn({"a": lambda: time.sleep(0.01)}, "a", 100, 0.0)
    assert found["rounds"] == 3


def test_without_pytorch_its_columns_say_so(no_torch: None) -> None:
    theirs, absent = _measures.torch_models("PyTorch", "PyTorch, bfloat16")
    assert theirs is None
    assert set(absent) == {"PyTorch", "PyTorch, bfloat16"}
    assert "pip install torch" in absent["PyTorch"]


def test_measurements_of_another_revision_are_not_added_to(no_claim: None, tmp_path: Path) -> None:
    args: Any = benchmark.Args((), "toy", tmp_path)
    kind = re.sub(r"\W+", "-", jax.devices()[0].device_kind.lower())
    path = tmp_path / f"benchmark-{kind}-toy" / "results.json"
    run = {**reporting.environment(), "git_revision": "older"}
    files.write_json(path, {"figures": {}, "took_s": {}, "run": run})
    with pytest.raises(ValueError, match=r"of git_revision older, now .* choose another --out"):
        benchmark.main(args)


@pytest.mark.parametrize("part", ["training", "loss"])
def test_the_command_measures_writes_draws_and_resumes(
    no_torch: None, no_claim: None, monkeypatch, tmp_path: Path, part: str
) -> None:
    args: Any = benchmark.Args((part,), "toy", tmp_path)
    figures = benchmark.main(args)
    (path,) = tmp_path.glob("benchmark-*-toy/results.json")
    written = json.loads(path.read_text())
    assert written["experiment"] == "benchmark" and written["figures"] == figures
    assert written["settings"] == json.loads(json.dumps(_run.settings(args)))
    (case,) = figures[part].values()
    assert all(seconds > 0 for seconds in case["seconds"].values())
    if part == "loss":
        timed = {"one product of n x d", "value", "gradient", "dna_loss, gradient"}
        assert set(case["share"]) == timed
        assert set(case["memory_mb"]) == {"blocks", "at once"}
    else:
        assert set(case["absent"]) == {"PyTorch", "PyTorch, bfloat16"}
    monkeypatch.setattr(_measures, "in_turn", None)  # nothing is measured again
    assert benchmark.main(args) == figures
    assert tables.benchmark(figures).count("\n") > 2


@pytest.mark.parametrize("part", ["mgmp", "training", "inference", "loss", "sibling", "scan"])
def test_every_part_has_cases_with_names_of_their_own(part: Any) -> None:
    for sizes in benchmark.PRESETS.values():
        cases = benchmark.cases(part, sizes)
        assert cases and all(map(callable, cases.values()))


def test_the_sibling_test_is_timed(monkeypatch) -> None:
    monkeypatch.setattr(_measures.os, "sched_setaffinity", lambda *_: None, raising=False)
    seconds = _measures.sibling(2, 60)["seconds"]
    assert set(seconds) == {"prepared once", "a suspect"} and seconds["a suspect"] > 0


def test_pytorch_takes_the_same_step() -> None:
    """The loss of PyTorch's side is the library's; a step lowers it."""
    torch: Any = pytest.importorskip("torch", reason="pip install torch==2.13.0")
    import _torch_models

    sets = np.random.default_rng(7).normal(size=(3, 12, 5)).astype(np.float32)
    theirs = _torch_models.dna_loss(*map(torch.tensor, sets), 0.5).item()
    assert theirs == pytest.approx(float(dna_loss(*sets, temperature=0.5)), rel=1e-5)
    torch.manual_seed(0)
    # PyTorch 2.13 damages its heap where convolutions are narrower, on CPUs without AVX-512
    reader, judge = _torch_models.Reader("resnet18", 8, 5), _torch_models.classifier(10, 0.0)
    loss = _torch_models.mgmp_loss(reader, judge, 0.5, 1e-4)
    frozen = [_torch_models.Reader("resnet18", 8, 5).eval() for _ in range(3)]
    images = torch.tensor(np.random.default_rng(8).integers(0, 256, (4, 32, 32, 3), np.uint8))
    images = images.to(_torch_models.DEVICE)
    answers = _torch_models.answering(frozen)(images)
    assert all(torch.allclose(y.exp().sum(1), torch.ones_like(y[:, 0])) for y in answers)
    adam = torch.optim.Adam([*reader.parameters(), *judge.parameters()], lr=1e-3)
    step = _torch_models.stepping(loss, adam, lambda: (images, *answers))
    taken = [step() for _ in range(8)]
    assert taken[-1] < taken[0]
