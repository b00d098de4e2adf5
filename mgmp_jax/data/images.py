"""CIFAR-10 and CIFAR-100 through TFDS without TensorFlow, cached as plain arrays."""

import io
import os
import shutil
import socket
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.data import Examples

__all__ = ["default_data_dir", "load_cifar", "read_prepared"]

_NUM_CLASSES = {"cifar10": 10, "cifar100": 100}
_CONNECT_SECONDS = 3.0


def default_data_dir() -> Path:
    """``$MGMP_DATA_DIR``, else ``~/tensorflow_datasets``."""
    return Path(os.environ.get("MGMP_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def load_cifar(
    name: str, split: str, data_dir: str | Path | None = None, *, download: bool = False
) -> Examples:
    """A split of ``cifar10`` or ``cifar100``.

    Looks in ``data_dir`` for arrays (``NAME/SPLIT/image.npy`` and ``label.npy``), then for a
    prepared TFDS data set (``NAME/3.0.2``), whose arrays it keeps for the next time; then
    downloads and prepares it, where that is allowed.

    Raises:
        ValueError: the stored data are damaged.
        FileNotFoundError: the data are not there, and not allowed or not possible to download.
        NotADirectoryError: ``data_dir`` is something else.
    """
    data_dir = default_data_dir() if data_dir is None else Path(data_dir).expanduser()
    if data_dir.exists() and not data_dir.is_dir():
        raise NotADirectoryError(f"data_dir must be a folder, but {data_dir} is not one")
    arrays = data_dir / name / split
    if not (arrays / "label.npy").exists():
        if not any((data_dir / name).glob("*/dataset_info.json")):
            if not download:
                raise FileNotFoundError(_how_to_get(name, data_dir))
            _prepare(name, data_dir)
        examples = read_prepared(name, split, data_dir)
        images = np.stack([example["image"] for example in examples])
        _keep(arrays, images, np.array([example["label"] for example in examples], np.int32))
    return _read_arrays(arrays, _NUM_CLASSES[name])


def _how_to_get(name: str, data_dir: Path) -> str:
    return (
        f"{name} is not in {data_dir}: expected {name}/3.0.2 as prepared by TFDS, or "
        f"{name}/train/image.npy and label.npy (also for test). Copy one of these there, name "
        "another folder with --data-dir or MGMP_DATA_DIR, or, with a network, type:\n"
        f"  python -c 'from mgmp_jax import data; "
        f'data.load("{name}", "train", "{data_dir}", download=True)\'\n'
        "The generated glyphs need no download: --data glyphs, or --preset demo"
    )


def _read_arrays(arrays: Path, num_classes: int) -> Examples:
    try:
        images = np.load(arrays / "image.npy", allow_pickle=False)
        labels = np.load(arrays / "label.npy", allow_pickle=False).astype(np.int32)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"the arrays in {arrays} cannot be read ({error}); delete that folder to make them "
            "again"
        ) from error
    sound = images.dtype == np.uint8 and images.ndim == 4 and labels.shape == images.shape[:1]
    if not sound or not len(labels) or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"the arrays in {arrays} must be uint8 images [n, h, w, 3] and n labels below "
            f"{num_classes}; got {images.dtype} {images.shape} and labels {labels.shape}. "
            "Delete that folder to make them again"
        )
    return Examples(images, labels, num_classes)


def _keep(arrays: Path, images: np.ndarray, labels: np.ndarray) -> None:
    arrays.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{arrays.name}-", dir=arrays.parent))
    np.save(unfinished / "image.npy", images)
    np.save(unfinished / "label.npy", labels)
    shutil.rmtree(arrays, ignore_errors=True)
    unfinished.replace(arrays)


def read_prepared(name: str, split: str, data_dir: Path) -> list[dict[str, Any]]:
    """All examples of a data set that TFDS prepared in ArrayRecord format.

    Raises:
        ValueError: it is damaged or of another format.
    """
    tfds = _import_tfds()
    try:
        source = tfds.data_source(name, split=split, data_dir=data_dir)
        return [source[i] for i in range(len(source))]
    except Exception as error:
        raise ValueError(
            f"{data_dir / name} is not a readable TFDS data set in ArrayRecord format ({error}); "
            "prepare it again"
        ) from error


def _prepare(name: str, data_dir: Path) -> None:
    """Downloads from the data set's home page and prepares it, without TensorFlow."""
    tfds = _import_tfds()
    builder: Any = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    info = builder._cifar_info
    host = urllib.parse.urlparse(info.url).hostname
    try:
        socket.create_connection((host, 443), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise FileNotFoundError(
            f"{_how_to_get(name, data_dir)}\n({host} cannot be reached from here: {error})"
        ) from error

    def examples(prefix: str, paths: Iterator[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        index = 0
        for path in paths:
            for labels, image in _read_records(Path(path), len(info.label_keys)):
                record: dict[str, Any] = dict(zip(info.label_keys, labels, strict=True))
                yield index, {**record, "id": f"{prefix}{index:05d}", "image": _png(image)}
                index += 1

    # TFDS encodes arrays with TensorFlow, but takes a ready PNG stream as it is.
    builder._generate_examples = examples
    builder.download_and_prepare()


def _read_records(path: Path, num_labels: int) -> Iterator[tuple[list[int], np.ndarray]]:
    """Records of CIFAR's binary format: the labels, then 32x32 pixels channel by channel."""
    records = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, num_labels + 3 * 32 * 32)
    for record in records:
        image = record[num_labels:].reshape(3, 32, 32).transpose(1, 2, 0)
        yield [int(label) for label in record[:num_labels]], image


def _png(image: np.ndarray) -> io.BytesIO:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    stream.seek(0)
    return stream


def _import_tfds() -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(
            "reading a prepared TFDS folder needs tensorflow-datasets and array-record: "
            "pip install tensorflow-datasets array-record; or bring the plain arrays "
            "NAME/SPLIT/image.npy and label.npy"
        ) from error
    return tfds
