"""MGMPs trained together: equal to those trained alone, resumed exactly, in the same folders."""

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax import training
from mgmp_jax.config import EXTENDED, PAPER, PAPER_WITHOUT_GENERATOR
from mgmp_jax.methods import MGMP, Fit, fit_together, mgmp_step, mgmp_train
from mgmp_jax.methods.mgmp_train import Training
from mgmp_jax.responses import Responses
from mgmp_jax.training.run_folder import RunFolder
from tests.families import Family

FEW = EXTENDED.replace(epochs=6, batch_size=30)


@pytest.fixture(scope="module")
def family() -> Family:
    return Family(90, seed=11)


@pytest.fixture(scope="module")
def fits(family: Family) -> list[Fit]:
    """Two seeds, another fixed generator, another learning rate, another pool: one kind."""
    one, other = family.references(tasks=3), family.references(tasks=3)
    generator = Responses(family.noise(4), "embedding", "q")
    return [
        Fit(MGMP(FEW), one, 0),
        Fit(MGMP(FEW), one, 1),
        Fit(MGMP(FEW, generator), one, 1),
        Fit(MGMP(FEW.replace(learning_rate=0.01)), one, 0),
        Fit(MGMP(FEW), other, 0),
    ]


def in_folders(fits: list[Fit], folder: Path) -> list[Fit]:
    return [dataclasses.replace(fit, folder=folder / str(i)) for i, fit in enumerate(fits)]


def assert_equal(first: Any, second: Any, **tolerance: float) -> None:
    compare = np.testing.assert_allclose if tolerance else np.testing.assert_array_equal
    for one, other in zip(first, second, strict=True):
        jax.tree.map(lambda x, y: compare(x, y, **tolerance), one.classifier, other.classifier)
        compare(one.latents, other.latents)


def test_together_is_as_alone_but_for_rounding(fits: list[Fit], monkeypatch) -> None:
    trained = []
    train = mgmp_train.train
    monkeypatch.setattr(mgmp_train, "train", lambda group: trained.append(group) or train(group))
    together = fit_together(fits, together=16)
    assert list(map(len, trained)) == [len(fits)]
    assert trained[0][0].data is trained[0][1].data
    alone = [fit.method.fit(fit.references, seed=fit.seed) for fit in fits]
    assert_equal(together, alone, rtol=1e-4, atol=1e-5)
    (first, *others) = [fitted.classifier["fc1"]["kernel"] for fitted in together]
    assert all(np.abs(first - other).max() > 1e-3 for other in others)
    assert_equal(fit_together(fits, together=2), alone, rtol=1e-4, atol=1e-5)
    assert list(map(len, trained[-3:])) == [2, 2, 1]


def test_on_the_cpu_each_is_bit_for_bit_as_alone(fits: list[Fit]) -> None:
    alone = [fit.method.fit(fit.references, seed=fit.seed) for fit in fits]
    assert_equal(fit_together(fits), alone)


def test_what_differs_in_more_than_numbers_is_not_together(family: Family) -> None:
    data = {name: np.zeros((2, 90, 6)) for name in ("source", "homologous", "non_homologous")}
    shorter = {name: array[:, :80] for name, array in data.items()}
    plain = PAPER_WITHOUT_GENERATOR
    configs = [plain, plain.replace(learning_rate=1e-4, temperature=2.0, response="probabilities")]
    configs += [plain.replace(dropout=0.5), plain.replace(epochs=20), plain, PAPER, PAPER]
    trainings = [Training(config, data) for config in configs]
    trainings.append(Training(plain, shorter))
    trainings.append(Training(plain, data, folder=Path("kept")))
    groups = mgmp_train.groups(trainings, 16)
    assert groups == [[0, 1, 4], [2], [3], [5], [6], [7], [8]]
    assert mgmp_train.groups(trainings, 2)[:2] == [[0, 1], [4]]


@pytest.mark.parametrize("killed_at", [1, 8])
def test_a_group_that_was_cut_off_is_resumed_bit_for_bit(
    fits: list[Fit], tmp_path: Path, monkeypatch, killed_at: int
) -> None:
    monkeypatch.setattr(mgmp_train, "STEPS", 6)  # two epochs of three steps
    whole = fit_together(in_folders(fits, tmp_path / "whole"), together=16)
    left, keep = [killed_at], RunFolder.keep

    def kill(self: RunFolder, row: Any, state: Any) -> None:
        left[0] -= state is not None
        if left[0] < 0:
            raise KeyboardInterrupt
        keep(self, row, state)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RunFolder, "keep", kill)
        fit_together(in_folders(fits, tmp_path / "cut"), together=16)
    resumed = fit_together(in_folders(fits, tmp_path / "cut"), together=16)
    assert_equal(resumed, whole)
    for i in range(len(fits)):
        whole_rows, rows = (
            list(map(json.loads, path.read_text().splitlines()))
            for path in (tmp_path / run / str(i) / "metrics.jsonl" for run in ("whole", "cut"))
        )
        assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
        assert [row["loss"] for row in rows] == [row["loss"] for row in whole_rows]


def test_each_folder_is_as_a_single_fit_leaves_it(fits: list[Fit], tmp_path: Path) -> None:
    kept = in_folders(fits, tmp_path)
    together = fit_together(kept, together=16)
    again = [fit.method.fit(fit.references, seed=fit.seed, folder=fit.folder) for fit in kept]
    assert_equal(again, together)
    with pytest.raises(ValueError, match="trained with other seed"):
        fit_together([dataclasses.replace(kept[0], seed=5), kept[1]])


def test_a_run_that_kept_every_epoch_is_resumed(
    fits: list[Fit], tmp_path: Path, monkeypatch
) -> None:
    whole, keep = fit_together(fits[:1]), RunFolder.keep

    def kill(self: RunFolder, row: Any, state: Any) -> None:
        keep(self, row, state)
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    (cut,) = in_folders(fits[:1], tmp_path)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(mgmp_train, "STEPS", 1)
        patched.setattr(RunFolder, "keep", kill)
        fit_together([cut])
    assert_equal(fit_together([cut]), whole)
    assert sorted(path.name for path in (tmp_path / "0" / "state").iterdir()) == ["3", "6"]


def test_what_is_done_is_not_trained_again_with_others(fits: list[Fit], tmp_path: Path) -> None:
    placed = in_folders(fits[:3], tmp_path)
    (first,) = fit_together(placed[:1])
    before = (tmp_path / "0" / "metrics.jsonl").read_text()
    shutil.copytree(tmp_path / "0", tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "state" / "6")  # cut off before its last epoch
    cut_off = dataclasses.replace(placed[0], folder=tmp_path / "again")
    assert_equal([first], fit_together([*placed, cut_off], together=16)[:1])
    assert (tmp_path / "0" / "metrics.jsonl").read_text() == before


def test_two_fits_do_not_share_a_folder(fits: list[Fit], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="each fit needs a folder of its own"):
        fit_together([dataclasses.replace(fit, folder=tmp_path) for fit in fits[:2]])
    with pytest.raises(ValueError, match="together must be a whole number, at least 1; got 0"):
        fit_together(fits, together=0)
    assert fit_together([]) == []


def test_configs_that_differ_in_numbers_share_a_step_and_keep_their_numbers() -> None:
    rng = np.random.default_rng(4)
    small = PAPER.replace(generator="alexnet", generator_width=2, dropout=0.0)
    others = {"temperature": 2.0, "weight_decay": 0.1, "learning_rate": 0.5}
    configs = [small, small.replace(similarity_weight=0.5, cohesion_weight=0.0, **others)]
    images = rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    batch = dict(
        zip(("source", "homologous", "non_homologous"), rng.normal(size=(3, 8, 6)), strict=True)
    )
    batch = {**{name: x.astype(np.float32) for name, x in batch.items()}, "inputs": images}
    batch = jax.tree.map(jnp.asarray, batch)
    variables = mgmp_step.init(small, images, 6, jax.random.key(0))
    steps = [mgmp_step.make_step(config, 6) for config in configs]
    assert steps[0][0].func is steps[1][0].func
    compiled = jax.jit(steps[0][0].func)
    for config, (step, optimizer) in zip(configs, steps, strict=True):
        state = training.create_state(variables, optimizer)
        _, metrics = compiled(*step.args, state, batch, jax.random.key(1))
        key = jax.random.fold_in(jax.random.key(1), 0)  # as of the first step
        loss, _ = jax.jit(mgmp_step.make_loss(config, 6))(variables["params"], {}, batch, key)
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-4)
