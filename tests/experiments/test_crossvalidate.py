"""experiments/crossvalidate.py: its folds, its variants, and what it writes."""

import json
from pathlib import Path

import crossvalidate
import pytest
from _rows import cifar_row
from configs import crossvalidate as config


@pytest.mark.parametrize("stage", config.STAGES)
def test_no_evaluation_model_is_in_any_fold(stage: int) -> None:
    row = cifar_row(config.Args(preset="small"))
    variants = crossvalidate.compared(row, stage)
    assert len({repr(variant) for variant in variants.values()}) == len(variants)
    folds = crossvalidate.leave_one_out(row, variants)
    assert [fold.evaluation[0] for fold in folds] == list(row.pool)
    assert len({fold.name for fold in folds}) == len(folds)
    for fold in folds:
        assert len(fold.pool) == len(row.pool) - 1
        assert not set(fold.pool) & set(fold.evaluation)
        assert not set(fold.pairs) & set(row.evaluation)


def test_the_mean_over_folds_is_written(monkeypatch, tmp_path: Path) -> None:
    def run_row(experiment, fold, store, args):
        accuracy = 0.5 + 0.1 * int(fold.evaluation[0].task[-1])
        one = {"accuracy": accuracy, "auc": 1.0, "config": {}}
        return {"methods": {name: one for name in fold.variants}}

    fitted = []
    monkeypatch.setattr("_rows.fit_rows", lambda rows, *_: fitted.extend(rows))
    monkeypatch.setattr("_rows.run_row", run_row)
    args = config.Args(preset="demo", data="glyphs", pool_subsets=(0, 2), eval_subsets=(1,))
    found = crossvalidate.main(config.Args(**{**vars(args), "stage": 2, "out": tmp_path}))
    assert [fold.evaluation[0].task for fold in fitted] == ["subset 0", "subset 2"]
    (path,) = tmp_path.glob("*-crossvalidation2-*/results.json")
    written = json.loads(path.read_text())
    assert (written["experiment"], written["schema"]) == ("crossvalidate", 2)
    assert written["tasks"] == ["subset 0", "subset 2"]
    for variant in found["variants"].values():
        assert variant["accuracy"] == pytest.approx(0.6)
        assert variant["by_task"] == pytest.approx([0.5, 0.7])
