import dataclasses
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from mgmp_jax import data
from mgmp_jax.data import glyphs, images


@pytest.fixture(scope="module")
def tfds_dir(real_data, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("tfds")
    command = [sys.executable, real_data / "prepare_tfds.py", folder, "--limit", "300"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_real_cifar_from_tfds_without_tensorflow_then_from_arrays(tfds_dir, monkeypatch) -> None:
    for name, classes in (("cifar10", 10), ("cifar100", 100)):
        first = data.load(name, "train", tfds_dir)
        assert first.inputs.shape == (300, 32, 32, 3)
        assert first.inputs.dtype == np.uint8
        assert first.num_classes == classes
        assert len(np.unique(first.labels)) > 0.9 * classes
        monkeypatch.setattr(images, "_import_tfds", lambda: pytest.fail("TFDS is not needed"))
        again = data.load(name, "train", tfds_dir, limit=100)
        np.testing.assert_array_equal(again.inputs, first.inputs[:100])
        np.testing.assert_array_equal(again.labels, first.labels[:100])
        monkeypatch.undo()
    assert "tensorflow" not in sys.modules


def write_archive(folder) -> dict[str, np.ndarray]:
    """Twenty images in CIFAR-10's binary format, ten in each of two files."""
    rng = np.random.default_rng(0)
    batch = folder / "cifar-10-batches-bin"
    batch.mkdir(parents=True)
    (batch / "batches.meta.txt").write_text("".join(f"class{i}\n" for i in range(10)))
    pixels = rng.integers(0, 256, size=(60, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(60, dtype=np.uint8) % 10
    records = np.hstack([labels[:, None], pixels.transpose(0, 3, 1, 2).reshape(60, -1)])
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    for i, name in enumerate(names):
        (batch / name).write_bytes(records[10 * i : 10 * i + 10].tobytes())
    return {"train": pixels[:50], "test": pixels[50:], "train_labels": labels[:50]}


def test_download_prepares_the_official_archive_without_tensorflow(tmp_path, monkeypatch) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    expected = write_archive(tmp_path / "archive")
    manager = tfds.download.DownloadManager
    monkeypatch.setattr(manager, "download_and_extract", lambda *_: tmp_path / "archive")
    connection = type("Connection", (), {"close": lambda self: None})
    monkeypatch.setattr(images.socket, "create_connection", lambda *_, **__: connection())
    got = data.load("cifar10", "train", tmp_path / "data", download=True)
    assert sorted(map(bytes, got.inputs)) == sorted(map(bytes, expected["train"]))
    by_pixels = {bytes(x): y for x, y in zip(got.inputs, got.labels, strict=True)}
    for image, label in zip(expected["train"], expected["train_labels"], strict=True):
        assert by_pixels[bytes(image)] == label
    assert len(data.load("cifar10", "test", tmp_path / "data")) == 10
    assert "tensorflow" not in sys.modules


def test_nothing_is_downloaded_where_another_version_is_prepared(tmp_path, monkeypatch) -> None:
    tfds = pytest.importorskip("tensorflow_datasets")
    fetched = []
    monkeypatch.setattr(
        tfds.core.DatasetBuilder, "download_and_prepare", lambda *_, **__: fetched.append(1)
    )
    (tmp_path / "cifar10" / "3.0.1").mkdir(parents=True)
    (tmp_path / "cifar10" / "3.0.1" / "dataset_info.json").write_text("{}")
    with pytest.raises(ValueError, match="not a readable TFDS data set"):
        data.load("cifar10", "train", tmp_path)
    assert not fetched


@pytest.mark.parametrize("download", [False, True])
def test_absent_data_without_network_is_said_within_five_seconds(
    tmp_path, monkeypatch, download: bool
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(images.socket, "create_connection", refuse)
    start = time.perf_counter()
    with pytest.raises(FileNotFoundError, match=r"data.load\(\"cifar10\".*download=True"):
        data.load("cifar10", "train", tmp_path, download=download)
    assert time.perf_counter() - start < 5


def test_unreadable_data_are_named(tmp_path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(NotADirectoryError, match="data_dir must be a folder"):
        data.load("cifar10", "train", file)
    arrays = tmp_path / "cifar10" / "train"
    arrays.mkdir(parents=True)
    (arrays / "image.npy").write_bytes(b"\x93NUMPY broken")
    (arrays / "label.npy").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot be read .* Delete that folder"):
        data.load("cifar10", "train", tmp_path)
    (tmp_path / "cifar100" / "3.0.2").mkdir(parents=True)
    (tmp_path / "cifar100" / "3.0.2" / "dataset_info.json").write_text("{}")
    with pytest.raises(ValueError, match="not a readable TFDS data set"):
        data.load("cifar100", "train", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cifar11", "train"), "unknown data set 'cifar11'; choose one of cifar10"),
        (("glyphs10", "validation"), 'split must be "train" or "test"'),
    ],
)
def test_unknown_names(arguments: tuple[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.load(*arguments)


def test_subsets_are_disjoint_cover_all_classes_and_depend_on_the_seed() -> None:
    subsets = data.class_subsets(100, 10)
    assert subsets.shape == (10, 10)
    assert sorted(subsets.ravel()) == list(range(100))
    np.testing.assert_array_equal(subsets, data.class_subsets(100, 10))
    assert not np.array_equal(subsets, data.class_subsets(100, 10, seed=1))
    with pytest.raises(ValueError, match="cannot be cut"):
        data.class_subsets(100, 7)


def test_images_of_classes_are_relabelled_in_the_order_given() -> None:
    whole = data.load("glyphs100", "train", limit=300)
    part = whole.of_classes([7, 3])
    assert part.num_classes == 2
    np.testing.assert_array_equal(part.inputs[part.labels == 0], whole.inputs[whole.labels == 7])
    np.testing.assert_array_equal(part.inputs[part.labels == 1], whole.inputs[whole.labels == 3])
    with pytest.raises(ValueError, match=r"classes are 0 to 99, got \[100\]"):
        whole.of_classes([100])


def test_only_glyphs_of_the_classes_asked_for_are_drawn(monkeypatch) -> None:
    letters = data.load("glyphs100", "test", limit=300)
    draw, drawn = glyphs._draw, []
    monkeypatch.setattr(glyphs, "_draw", lambda *given: drawn.append(given[0]) or draw(*given))
    some = data.load("glyphs100", "test", limit=300, classes=[40, 7])
    np.testing.assert_array_equal(some.inputs, letters.of_classes([40, 7]).inputs)
    assert list(some.labels) == [1, 0] * 3 and some.num_classes == 2
    assert drawn == [glyphs.LETTERS[7], glyphs.LETTERS[40]] * 3
    assert data.load("glyphs100", "test", limit=30, classes=[40]).inputs.shape == (0, 32, 32, 3)


def test_glyphs_are_deterministic_distinct_and_stable_in_number() -> None:
    few, many = (data.load("glyphs10", "train", limit=n) for n in (20, 40))
    np.testing.assert_array_equal(few.inputs, many.inputs[:20])
    assert few.inputs.shape == (20, 32, 32, 3)
    assert list(few.labels[:11]) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert len({bytes(image) for image in many.inputs}) == 40
    test = data.load("glyphs10", "test", limit=20)
    assert not np.array_equal(few.inputs, test.inputs)
    assert len(set(glyphs.LETTERS)) == 100
    other_seed = glyphs.generate("glyphs10", "train", 20, seed=1)
    assert not np.array_equal(few.inputs, other_seed.inputs)


def write_arrays(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    arrays = folder / "cifar10" / "train"
    arrays.mkdir(parents=True)
    np.save(arrays / "image.npy", images)
    np.save(arrays / "label.npy", labels)
    return folder


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch) -> Path:
    """A folder with CIFAR-10 as TFDS prepares it, of three images, and nothing else."""
    (tmp_path / "cifar10" / "3.0.2").mkdir(parents=True)
    (tmp_path / "cifar10" / "3.0.2" / "dataset_info.json").write_text("{}")
    examples = [{"image": np.full((32, 32, 3), i, np.uint8), "label": i} for i in range(3)]
    monkeypatch.setattr(images, "read_prepared", lambda *_: examples)
    return tmp_path


@pytest.mark.parametrize(("there", "missing"), [("image", "label"), ("label", "image")])
def test_a_folder_with_one_of_the_two_is_refused_and_stays(
    prepared: Path, there: str, missing: str
) -> None:
    arrays = prepared / "cifar10" / "train"
    arrays.mkdir()
    before = {f"{there}.npy": b"mine", f"{missing}s.npy": b"misspelt", "notes.txt": b"text"}
    for name, raw in before.items():
        (arrays / name).write_bytes(raw)
    message = rf"train holds .*{missing}s.npy.*, but no {missing}\.npy: .* move {there}\.npy away"
    for download in (False, True):
        with pytest.raises(ValueError, match=message):
            data.load("cifar10", "train", prepared, download=download)
    assert {path.name: path.read_bytes() for path in arrays.iterdir()} == before


def test_arrays_are_kept_beside_what_is_there_and_as_readable_as_any_file(prepared: Path) -> None:
    arrays = prepared / "cifar10" / "train"
    arrays.mkdir()
    (arrays / "notes.txt").write_text("mine")
    for _ in range(2):
        assert list(data.load("cifar10", "train", prepared).labels) == [0, 1, 2]
    assert {path.name for path in arrays.iterdir()} == {"image.npy", "label.npy", "notes.txt"}
    data.load("cifar10", "test", prepared)
    assert (prepared / "cifar10" / "test").stat().st_mode == arrays.stat().st_mode
    assert len(list(arrays.parent.iterdir())) == 3


@pytest.mark.parametrize("written", [0, 1])
def test_a_full_disk_leaves_no_half_of_the_arrays(prepared: Path, monkeypatch, written) -> None:
    save, calls = np.save, []

    def fill(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) > written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(*arguments)

    with monkeypatch.context() as full:
        full.setattr(np, "save", fill)
        with pytest.raises(OSError, match="No space left"):
            data.load("cifar10", "train", prepared)
    assert len(calls) == written + 1
    kept = [path.name for path in prepared.rglob("*") if path.is_file()]
    assert kept == ["dataset_info.json"]
    assert len(data.load("cifar10", "train", prepared)) == 3


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda x: x.astype(np.float32), r"got float32 .* np.rint\(x\).astype\(np.uint8\)"),
        (lambda x: np.float32(x / 255), r"got float32 .* np.rint\(255 \* x\).astype\(np.uint8\)"),
        (lambda x: x.astype(np.int64), r"got int64 .* x.astype\(np.uint8\)"),
        (lambda x: x.transpose(0, 3, 1, 2), r"channels come first: x.transpose\(0, 2, 3, 1\)"),
        (lambda x: x[..., 0], r"repeat the channel: np.repeat\(x\[..., None\], 3, axis=-1\)"),
        (lambda x: x[..., :1], r"np.repeat\(x, 3, axis=-1\)"),
        (lambda x: np.concatenate([x, x[..., :1]], -1), r"x\[..., :3\] drops an alpha channel"),
        (lambda x: x.repeat(2, 1).repeat(2, 2), r"images of CIFAR are \[32, 32, 3\], got .*64, 64"),
        (lambda x: x[:0], r"got uint8 \(0, 32, 32, 3\)"),
    ],
)
def test_images_of_another_kind_are_refused_with_advice(tmp_path, convert, message: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    write_arrays(tmp_path, convert(images), np.arange(3))
    with pytest.raises(ValueError, match=rf"cifar10/train are no CIFAR: .*{message}"):
        data.load("cifar10", "train", tmp_path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(3)[:, None], r"got int64 \(3, 1\); drop the second axis: labels\[:, 0\]"),
        (np.array([0.0, 0.97, 2]), r"whole numbers .* got float64 \(3,\)"),
        (np.array([True, False, True]), r"got bool \(3,\)"),
        (np.array([0, 10, 2]), "from 0 to 9, .* row 1 has 10"),
        (np.array([0, 2**32, 2]), "row 1 has 4294967296"),
        (np.arange(4), "there are 3 inputs, but 4 labels"),
        (np.ones((3, 10)), r"must be class numbers \[n\], got \(3, 10\)"),
    ],
)
def test_labels_that_are_no_class_numbers_are_refused(tmp_path, labels, message: str) -> None:
    write_arrays(tmp_path, np.zeros((3, 32, 32, 3), np.uint8), labels)
    with pytest.raises(ValueError, match=rf"(?s)cifar10/train .*{message}"):
        data.load("cifar10", "train", tmp_path)


def test_labels_may_be_whole_numbers_of_any_size_or_probabilities(tmp_path) -> None:
    write_arrays(tmp_path, np.zeros((3, 32, 32, 3), np.uint8), np.arange(3, dtype=np.uint8))
    examples = data.load("cifar10", "train", tmp_path)
    assert examples.labels.dtype == np.int32
    soft = dataclasses.replace(examples, labels=np.full((3, 10), 0.1, np.float32))
    assert len(soft.take(2)) == 2
    with pytest.raises(ValueError, match="probabilities as labels cannot be chosen by class"):
        soft.of_classes([1])
    with pytest.raises(ValueError, match=r"got float32 \(3, 9\)"):
        dataclasses.replace(examples, labels=np.full((3, 9), 0.1, np.float32))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False, 'shape': (((((",
        b"\x93NUMPY\x01\x00\x50\x00"
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 32, 32, 3)}".ljust(80),
        b"\x93NUMPY\x01\x00\x50\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}".ljust(80)
        + b"cos\nsystem\n.",
        b"",
    ],
)
def test_damaged_arrays_are_named_and_take_no_memory(tmp_path, raw: bytes) -> None:
    write_arrays(tmp_path, np.zeros((3, 32, 32, 3), np.uint8), np.arange(3))
    (tmp_path / "cifar10" / "train" / "image.npy").write_bytes(raw)
    with pytest.raises(ValueError, match=r"cannot be read \(.*image.npy is damaged.*\. Delete"):
        data.load("cifar10", "train", tmp_path)


def test_only_regular_files_are_read(tmp_path) -> None:
    write_arrays(tmp_path, np.zeros((3, 32, 32, 3), np.uint8), np.arange(3))
    for name in ("label.npy", "image.npy"):
        (tmp_path / "cifar10" / "train" / name).unlink()
        os.mkfifo(tmp_path / "cifar10" / "train" / name)
        with pytest.raises(ValueError, match=f"{name} cannot be read: it is no regular file"):
            data.load("cifar10", "train", tmp_path)
    with pytest.raises(FileNotFoundError, match="its user has no home"):
        data.load("cifar10", "train", "~no-such-user-here/x")


def test_arrays_need_no_optional_package_and_what_is_missing_is_named(tmp_path) -> None:
    write_arrays(tmp_path, np.zeros((3, 32, 32, 3), np.uint8), np.arange(3))
    (tmp_path / "cifar100" / "3.0.2").mkdir(parents=True)
    (tmp_path / "cifar100" / "3.0.2" / "dataset_info.json").write_text("{}")
    script = """
import sys
for name in ("tensorflow_datasets", "array_record", "matplotlib", "PIL", "pyarrow", "datasets"):
    sys.modules[name] = None
from mgmp_jax import data
assert len(data.load("cifar10", "train", sys.argv[1])) == 3
for name, extra in (("glyphs10", "[plots]"), ("cifar100", "[data]")):
    try:
        data.load(name, "train", sys.argv[1], limit=3)
    except ImportError as error:
        assert f"pip install 'mgmp_jax{extra}'" in str(error), error
    else:
        raise AssertionError(name)
"""
    command = [sys.executable, "-c", script, str(tmp_path)]
    subprocess.run(command, check=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})


def test_pixels_become_about_zero_mean_and_unit_variance() -> None:
    images = np.broadcast_to(np.array([0, 255], np.uint8)[:, None, None, None], (2, 4, 4, 3))
    out = data.model_inputs(images)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[:, 0, 0, 0], [-2, 2])
    np.testing.assert_array_equal(jax.jit(data.model_inputs)(images), out)


@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64])
def test_token_ids_and_rows_reach_a_model_as_they_are(dtype) -> None:
    inputs = np.random.default_rng(0).integers(0, 9, (3, 5)).astype(dtype)
    assert data.model_inputs(inputs) is inputs
    traced = jax.jit(data.model_inputs)(np.asarray(inputs, np.float32))
    np.testing.assert_array_equal(traced, inputs)


def test_images_of_another_kind_reach_no_model() -> None:
    for inputs in (np.zeros((2, 4, 4, 3), np.float32), np.zeros((2, 4, 4), np.uint8)):
        with pytest.raises(ValueError, match=r"a model reads uint8 images \[n, h, w, 3\]"):
            data.model_inputs(inputs)
        with pytest.raises(ValueError, match="a model reads"):
            jax.jit(data.model_inputs)(inputs)
