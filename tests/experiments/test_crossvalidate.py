import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
from configs import cifar, crossvalidate  # noqa: E402


@pytest.mark.parametrize(
    "stage",
    [crossvalidate.first_stage, crossvalidate.second_stage, crossvalidate.third_stage],
)
def test_no_evaluation_model_is_in_any_fold(stage) -> None:
    row = cifar.make_row(cifar.Args(preset="small"))
    compared = stage(row)
    assert len({repr(method) for method in compared.values()}) == len(compared)
    folds = crossvalidate.leave_one_out(row, compared)
    assert [fold.evaluation[0] for fold in folds] == list(row.pool)
    assert len({fold.address for fold in folds}) == len(folds)
    for fold in folds:
        assert len(fold.pool) == len(row.pool) - 1
        assert not set(fold.pool) & set(fold.evaluation)
        assert not set(fold.pool + fold.evaluation) & set(row.evaluation)
