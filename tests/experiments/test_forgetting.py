"""experiments/forgetting.py: layers that are replaced, and a whole run of tiny models."""

import dataclasses
from pathlib import Path

import forgetting
import numpy as np
import pytest
from _rows import cifar_row
from configs import cifar

from mgmp_jax.store import ModelStore


def test_layers_are_replaced_from_the_last_one() -> None:
    row = cifar_row(cifar.Args(arch="alexnet", preset="demo", data="glyphs"))
    module = ModelStore("nowhere").module(row.source)
    target, source = (
        {"params": {layer: name for layer in module.layers}, "batch_stats": {"conv1": name}}
        for name in ("target", "source")
    )
    replaced = forgetting.replace_last(module, target, source, 2)
    of_source = [layer for layer, name in replaced["params"].items() if name == "source"]
    assert of_source == list(module.layers[:2]) == ["head", *of_source[1:]]
    assert forgetting.replace_last(module, target, source, 0) == target


@pytest.mark.slow
def test_a_whole_run(tmp_path: Path, monkeypatch) -> None:
    tiny = dataclasses.replace(
        cifar.PRESETS["demo"],
        widths={"alexnet": 2},
        examples=(60, 30),
        source=(2, 20, 0.05),
        target=(2, 20, 0.05),
        checkpoints=2,
    )
    monkeypatch.setitem(cifar.PRESETS, "demo", tiny)
    monkeypatch.setattr(forgetting, "HESSIAN_IMAGES", 20)
    args = forgetting.Args(archs=("alexnet",), preset="demo", data="glyphs", out=tmp_path)
    (results,) = forgetting.main(args)
    titles = [f"target{f', last {n} replaced' if n else ''}" for n in range(4)]
    assert list(results["panels"]) == [*titles, "random target, last 3 replaced"]
    assert results["panels"]["target"]["epochs"] == [0, 1, 2]
    found = results["weights"]
    assert len(found["models"]) == 20
    near, far = (
        [m["distance"] for m in found["models"] if m["kind"] == kind]
        for kind in ("homologous", "non-homologous")
    )
    assert np.mean(near) < np.mean(far)
    assert forgetting.main(args) == [results]
