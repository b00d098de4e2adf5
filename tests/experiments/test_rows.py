"""experiments/_rows.py: the choice among settings on a row's pool."""

import dataclasses
from pathlib import Path

import _rows
import numpy as np
import pytest
from configs import cifar as config

from mgmp_jax import methods
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import Responses
from mgmp_jax.store import ModelSpec, ModelStore


class Answers(_rows.Answering):
    """Descendants of the source repeat a part of its answers, in other coordinates."""

    def of(self, spec: ModelSpec, epoch: int | None = None) -> Responses:
        rng = np.random.default_rng(0)
        data, own = rng.normal(size=(2, len(self.queries), 10))
        rng = np.random.default_rng([spec.seed, spec.start is None, epoch or 0])
        other = rng.normal(size=data.shape)
        if spec == self.row.source:
            values = data + own
        else:
            start = other if spec.start is None else own
            values = (data + 2 * start) @ rng.normal(size=(10, 10))
        return Responses(values.astype(np.float32), "logits", self.queries, spec.address)


def test_settings_are_chosen_on_the_pool_and_all_are_evaluated(tmp_path: Path, monkeypatch) -> None:
    for name in ("EXTENDED", "PAPER_WITHOUT_GENERATOR"):
        few = getattr(methods, name).replace(epochs=100, learning_rate=3e-3)
        monkeypatch.setitem(methods.CANDIDATES, name, few)
    for name in [name for name in methods.CANDIDATES if name.islower()]:
        monkeypatch.delitem(methods.CANDIDATES, name)
    row = _rows.cifar_row(config.Args(preset="small"))
    row = dataclasses.replace(row, pool=row.pool[:3], evaluation=row.evaluation[:2])
    images = np.random.default_rng(1).integers(0, 256, (400, 32, 32, 3), dtype=np.uint8)
    found = _rows.choose(Answers(ModelStore(tmp_path), row, QuerySet.images(images)))
    extended, plain = (found["candidates"][name] for name in methods.CANDIDATES)
    assert found["chosen"] == "EXTENDED" and extended["loss"] < plain["loss"]
    assert extended["accuracy"] > 0.9 and extended["left_out"] > 0.9 and extended["auc"] == 1
    assert plain["accuracy"] < 0.9


def test_another_training_in_the_folder_ends_the_command(tmp_path: Path) -> None:
    row = _rows.cifar_row(config.Args(preset="small"))
    images = np.random.default_rng(1).integers(0, 256, (400, 32, 32, 3), dtype=np.uint8)
    answering = Answers(ModelStore(tmp_path), row, QuerySet.images(images))
    variant = row.variants["extended, background only"]
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "run.json").write_text('{"config": 1, "seed": 0, "arrays": ""}')
    with pytest.raises(OSError, match=r"trained with other config and arrays.*move .*kept away"):
        answering.fit_or_load(tmp_path / "kept", variant, "extended")


def test_a_kept_mgmp_that_cannot_be_read_ends_the_command(tmp_path: Path) -> None:
    row = _rows.cifar_row(config.Args(preset="small"))
    images = np.random.default_rng(1).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    answering = Answers(ModelStore(tmp_path), row, QuerySet.images(images))
    verifier, variant = tmp_path / "kept" / "verifier", row.variants["extended"]
    verifier.mkdir(parents=True)
    (verifier / "verifier.npz").write_bytes(b"no zip")
    with pytest.raises(OSError, match=r"is damaged or .*move .*kept away"):
        answering.fit_or_load(tmp_path / "kept", variant, "extended")
