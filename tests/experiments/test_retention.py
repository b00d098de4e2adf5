"""experiments/retention.py: rows that share all but the strength, and a whole tiny run."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import retention
import tables
from configs import retention as config


def test_strengths_share_source_and_strangers() -> None:
    rows = list(retention.make_rows(config.Args(preset="small"), 0).values())
    assert len({row.source for row in rows}) == 1
    for others in zip(*(row.pairs for row in rows), strict=True):
        assert len({pair.non_homologous for pair in others}) == 1
        assert len({pair.homologous for pair in others}) == len(rows)
        assert {pair.homologous.start for pair in others} == {rows[0].source}
    steps = {name: one.config.epochs for name, one in rows[0].variants.items()}
    assert steps[config.PLAIN] == steps["paper"] == 100
    paper, same = (
        rows[0].variants[name].config.replace(generator=None, generator_width=None)
        for name in ("paper", f"{config.PLAIN}, log-probabilities")
    )
    assert paper == same
    other = retention.make_rows(config.Args(preset="small"), 1)
    assert not {spec.address for row in other.values() for spec in row.specs} & {
        spec.address for row in rows for spec in row.specs
    }


def test_alexnets_are_trained_and_fine_tuned_three_times_as_long() -> None:
    rows, slower = (
        retention.make_rows(config.Args(preset="small", arch=arch), 0)
        for arch in ("resnet18", "alexnet")
    )
    first, *_, last = zip(rows, slower, strict=True)
    assert first == ("1 epoch, 0.002", "3 epochs, 0.0004")
    assert last == ("12 epochs, 0.05", "36 epochs, 0.01")
    for of_resnet, of_alexnet in zip(rows.values(), slower.values(), strict=True):
        for one, other in zip(of_resnet.specs, of_alexnet.specs, strict=True):
            assert 3 * one.recipe.epochs == other.recipe.epochs


def family(left: float, accuracy: float) -> dict:
    """What was measured of one family with one strength."""
    method = {"accuracy": accuracy, "on_pool": 1.0, "rms_z": None, "rms_y": 2.0}
    return {
        "left_of_the_source": {"subset 1": left, "subset 2": left},
        "own_task": {"subset 1": 0.3},
        "own_task_from_scratch": {"subset 1": 0.6},
        "independence_p": {"homologous": {"subset 1": 0.01}, "non_homologous": {"subset 1": 0.5}},
        "methods": {"paper": method},
    }


def test_families_give_means_and_their_spread() -> None:
    one = {"1 epoch": [family(0.5, 0.7)]}
    two = {"1 epoch": [family(0.4, 0.6), family(0.6, 0.8)]}
    assert "spread" not in retention.curves({"strengths": one})["paper"]
    drawn = retention.curves({"strengths": two})["paper"]
    assert drawn["left"] == pytest.approx([0.5]) and drawn["own"] == pytest.approx([0.3])
    assert drawn["accuracy"] == pytest.approx([0.7])
    assert drawn["spread"] == pytest.approx([0.02**0.5])
    columns = [tables.retention({"strengths": found})["1 epoch"] for found in (one, two)]
    assert [cells["paper"] for cells in columns] == [
        "0.700 (1.000)",
        "0.700 ± 0.141 (1.000 ± 0.000)",
    ]
    assert columns[1]["left of the source"] == "0.500 ± 0.141"


@pytest.mark.slow
@pytest.mark.usefixtures("few_epochs")
def test_a_whole_run(tmp_path: Path, monkeypatch) -> None:
    tiny = dataclasses.replace(
        config.PRESETS["demo"],
        widths={"alexnet": 2},
        generator_width={"alexnet": 2},
        examples=(450, 30),
        source=(8, 15, 0.02),
        target=(2, 10, 0.02),
        strengths=((1, 0.0001), (2, 0.02)),
        num_queries=450,
        mgmp={"epochs": 1, "batch_size": 150},
    )
    monkeypatch.setitem(config.PRESETS, "demo", tiny)
    monkeypatch.setattr(retention, "POOL", (3, 6))
    monkeypatch.setattr(retention, "EVALUATION", (1,))
    args = config.Args(arch="alexnet", preset="demo", out=tmp_path)
    results = retention.main(args)
    ((weak,), (strong,)) = results["strengths"].values()
    left = [np.mean([*one["left_of_the_source"].values()]) for one in (weak, strong)]
    assert abs(left[0] - results["sources"][0]["train"]) < 0.1  # hardly tuned, nothing forgotten
    assert left[0] > left[1]
    assert set(weak["methods"]) == {*config.VARIANTS, *config.ONE_SCALE}
    assert weak["methods"]["paper"]["rms_z"] > 0 and weak["methods"][config.PLAIN]["rms_z"] is None
    p = weak["independence_p"]
    assert max(p["homologous"].values()) <= 0.05 < np.mean([*p["non_homologous"].values()])
    plain, joint = (weak["methods"][name] for name in config.ONE_SCALE)
    assert plain["rms_y"] == pytest.approx(1, abs=1e-3) != weak["methods"][config.PLAIN]["rms_y"]
    assert joint["rms_y"] != weak["methods"]["paper"]["rms_y"]
    assert retention.main(args) == results
