import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
import forgetting  # noqa: E402
from configs import cifar  # noqa: E402

from mgmp_jax.store import ModelStore  # noqa: E402


def test_layers_are_replaced_from_the_last_one() -> None:
    row = cifar.make_row(cifar.Args(arch="alexnet", preset="demo", data="glyphs"))
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
    demo, preset = cifar.PRESETS["demo"], cifar.dataclasses.replace
    recipe = preset(demo.source, epochs=2, batch_size=20)
    tiny = preset(
        demo,
        widths={"alexnet": 2},
        source_images=60,
        target_images=30,
        source=recipe,
        target=preset(recipe, checkpoints=2),
    )
    monkeypatch.setitem(cifar.PRESETS, "demo", tiny)
    monkeypatch.setattr(forgetting, "HESSIAN_IMAGES", 20)
    args = forgetting.Args(archs=("alexnet",), preset="demo", data="glyphs", out=tmp_path)
    (results,) = forgetting.main(args)
    titles = [f"target{f', last {n} replaced' if n else ''}" for n in range(4)]
    assert list(results["panels"]) == [*titles, "random target, last 3 replaced"]
    unchanged = results["panels"]["target"]
    assert unchanged["epochs"] == [0, 1, 2]
    found = results["weights"]
    assert len(found["models"]) == 20
    near = [m["distance"] for m in found["models"] if m["kind"] == "homologous"]
    far = [m["distance"] for m in found["models"] if m["kind"] == "non-homologous"]
    assert np.mean(near) < np.mean(far)
    assert forgetting.main(args) == [results]
