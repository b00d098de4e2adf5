import logging
import os
import resource
import shutil
import signal
from collections import namedtuple

import numpy as np
import pytest

from mgmp_jax.checkpoint import Checkpoints

# A callback of TensorStore comes too late after a failed read.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning",
    "ignore::pytest.PytestUnhandledThreadExceptionWarning",
)


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


def test_what_a_disk_refuses_is_said_in_a_sentence(tmp_path, caplog) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, tree(1))
    large = {"x": np.random.default_rng(0).normal(size=10**5).astype(np.float32)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"the checkpoint .*/2 cannot be written .*others stay"):
            checkpoints.save(2, large)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, heard)
    assert checkpoints.steps() == [1] and not caplog.records
    assert not logging.getLogger("absl").filters


def test_no_flipped_bit_changes_what_is_restored(tmp_path) -> None:
    rng = np.random.default_rng(0)
    saved = {"kernel": rng.normal(size=(50, 40)).astype(np.float32), "step": np.int32(3)}
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, saved)
    arrays = [path for path in (tmp_path / "1" / "arrays").rglob("d/*") if path.stat().st_size]
    like = {"kernel": np.zeros((50, 40), np.float32), "step": np.int32(0)}
    refused = 0
    for _ in range(20):
        path = arrays[rng.integers(len(arrays))]
        raw = path.read_bytes()
        damaged = bytearray(raw)
        damaged[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            restored = checkpoints.restore(like)
        except ValueError:
            refused += 1
        else:  # Orbax keeps some bytes that it does not read
            np.testing.assert_array_equal(restored["kernel"], saved["kernel"])
            assert restored["step"] == 3
        path.write_bytes(raw)
    assert refused > 0


def test_arrays_that_are_whole_but_not_those_written_are_named(tmp_path) -> None:
    one, other = Checkpoints(tmp_path / "one"), Checkpoints(tmp_path / "other")
    one.save(1, tree(1))
    other.save(1, tree(2))
    shutil.rmtree(tmp_path / "one" / "1" / "arrays")
    shutil.copytree(tmp_path / "other" / "1" / "arrays", tmp_path / "one" / "1" / "arrays")
    with pytest.raises(ValueError, match=r"\['params'\]\['kernel'\] is not what was written"):
        one.restore(tree(0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_not_saved(tmp_path, value: float) -> None:
    broken = {"kernel": np.array([1, value], np.float32), "step": np.int32(1)}
    with pytest.raises(FloatingPointError, match=r"'kernel'.* diverged; lower the learning rate"):
        Checkpoints(tmp_path).save(1, broken)
    assert Checkpoints(tmp_path).steps() == []


@pytest.mark.parametrize("name", ["a[1]", "a\\b", "gs:", "gs:/b"])
def test_a_folder_whose_name_orbax_misreads_is_refused(tmp_path, name: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be kept in .* because its path contains"):
        Checkpoints(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["²", "a*b?", "a b ä", "{x}%41"])
def test_other_names_are_as_good_as_any(tmp_path, name: str) -> None:
    checkpoints = Checkpoints(tmp_path / name)
    checkpoints.save(1, tree(1))
    (tmp_path / name / "²").mkdir()
    (tmp_path / name / "7").write_text("no folder")
    checkpoints.save(2, tree(2))
    assert checkpoints.steps() == [1, 2]
    assert checkpoints.restore(tree(0))["step"] == 2


def test_a_pipe_is_not_waited_for(tmp_path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in (1, 2):
        checkpoints.save(step, {"a": np.ones(2)})
    (tmp_path / "2" / "_CHECKPOINT_METADATA").unlink()
    os.mkfifo(tmp_path / "2" / "_CHECKPOINT_METADATA")
    for step in (1, 2):
        with pytest.raises(ValueError, match="_CHECKPOINT_METADATA is no regular file"):
            checkpoints.restore({"a": np.zeros(2)}, step)
