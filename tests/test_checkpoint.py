import shutil
from collections import namedtuple

import numpy as np
import pytest

from mgmp_jax.checkpoint import Checkpoints


def tree(value: float) -> dict:
    return {"params": {"kernel": np.full((50, 40), value, np.float32)}, "step": np.int32(value)}


def test_round_trip_and_retention(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path / "state", keep=2)
    assert checkpoints.steps() == []
    for step in range(4):
        checkpoints.save(step, tree(step))
    assert checkpoints.steps() == [2, 3]
    for step in (None, 3, 2):
        restored = checkpoints.restore(tree(0), step)
        np.testing.assert_array_equal(
            restored["params"]["kernel"], tree(3 if step is None else step)["params"]["kernel"]
        )
    checkpoints.save(3, tree(7))
    assert checkpoints.restore(tree(0))["step"] == 7
    checkpoints.delete()
    assert checkpoints.steps() == []


def test_an_unfinished_checkpoint_is_no_checkpoint(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, tree(1))
    shutil.copytree(tmp_path / "1", tmp_path / "2.orbax-checkpoint-tmp")
    assert checkpoints.steps() == [1]
    assert checkpoints.restore(tree(0))["step"] == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_truncated_checkpoint_is_said_and_the_one_before_still_good(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, tree(1))
    checkpoints.save(2, tree(2))
    files = [path for path in (tmp_path / "2").rglob("*") if path.is_file()]
    for path in files:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"2 cannot be read: it is damaged .* Delete that folder"):
        checkpoints.restore(tree(0))
    shutil.rmtree(tmp_path / "2")
    assert checkpoints.restore(tree(0))["step"] == 1


def test_other_shapes_and_missing_steps_are_said(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint None"):
        checkpoints.restore(tree(0))
    checkpoints.save(1, tree(1))
    with pytest.raises(FileNotFoundError, match=r"no checkpoint 5 .* there are \[1\]"):
        checkpoints.restore(tree(0), 5)
    other = {"params": {"kernel": np.zeros((3, 3), np.float32)}, "step": np.int32(0)}
    with pytest.raises(ValueError, match="other"):
        checkpoints.restore(other)


def test_a_full_disk_is_said_before_writing(tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 99, 1000))
    with pytest.raises(OSError, match=r"needs 1 MiB and 0 MiB are free. Make room") as error:
        Checkpoints(tmp_path).save(1, tree(1))
    assert error.value.errno == 28
    assert Checkpoints(tmp_path).steps() == []
