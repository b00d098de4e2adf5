import subprocess
import sys
import time

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
    with pytest.raises(ValueError, match=r"cannot be read .* delete that folder"):
        data.load("cifar10", "train", tmp_path)
    np.save(arrays / "image.npy", np.zeros((3, 32, 32, 3), np.float32))
    np.save(arrays / "label.npy", np.zeros(3, np.int32))
    with pytest.raises(ValueError, match="must be uint8 images"):
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


def test_normalise_gives_about_zero_mean_and_unit_range() -> None:
    out = data.model_inputs(np.array([0, 255], np.uint8))
    np.testing.assert_allclose(out, [-2, 2])
