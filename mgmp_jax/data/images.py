"""Loads CIFAR-10 and CIFAR-100 through TFDS without TensorFlow; keeps them as plain arrays."""

import dataclasses
import io
import os
import socket
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax import files
from mgmp_jax.data import Examples
from mgmp_jax.queries import QuerySet

__all__ = ["default_data_dir", "load_cifar", "read_prepared"]

_NUM_CLASSES = {"cifar10": 10, "cifar100": 100}
_CIFAR_SHAPE = (32, 32, 3)
_IMAGES, _LABELS = "image.npy", "label.npy"
_CONNECT_SECONDS = 3.0
_NEEDS_TFDS = (
    "reading a prepared TFDS folder needs tensorflow-datasets, array-record and Pillow: "
    "pip install 'mgmp_jax[data]'; or bring the plain arrays NAME/SPLIT/image.npy and "
    "label.npy"
)


def default_data_dir() -> Path:
    """Names the folder of prepared data: ``$MGMP_DATA_DIR``, else ``~/tensorflow_datasets``.

    Raises:
        FileNotFoundError: it is in the home of a user who does not exist.
    """
    return files.expand(os.environ.get("MGMP_DATA_DIR") or "~/tensorflow_datasets")


def load_cifar(
    name: str, split: str, data_dir: str | Path | None = None, *, download: bool = False
) -> Examples:
    """Loads a split of ``cifar10`` or ``cifar100``.

    Looks in ``data_dir`` for arrays (``NAME/SPLIT/image.npy`` and ``label.npy``), then for a
    prepared TFDS data set (``NAME/3.0.2``), whose arrays it keeps for the next time; then
    downloads and prepares it, where that is allowed. The arrays need no TFDS.

    Args:
        name: ``"cifar10"`` or ``"cifar100"``.
        split: ``"train"`` or ``"test"``.
        data_dir: where the data lie; by default :func:`default_data_dir`.
        download: whether they may be fetched.

    Raises:
        ValueError: the stored data are damaged, no such images and labels, or only one of the two.
        FileNotFoundError: the data are not there, and not allowed or not possible to download.
        NotADirectoryError: ``data_dir`` is no folder.
        ImportError: a prepared data set is there, but TFDS is not installed.
    """
    data_dir = default_data_dir() if data_dir is None else files.expand(data_dir)
    if data_dir.exists() and not data_dir.is_dir():
        raise NotADirectoryError(f"data_dir must be a folder, but {data_dir} is not one")
    arrays = data_dir / name / split
    if not _are_there(arrays):
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
        f'data.load("{name}", "train", "{data_dir}", download=True)\''
    )


def _are_there(arrays: Path) -> bool:
    """Whether images and labels are in the folder; it must not hold one of the two alone."""
    wanted, found = {_IMAGES, _LABELS}, {path.name for path in arrays.glob("*.npy")}
    missing = wanted - found
    if len(missing) == 1:
        raise ValueError(
            f"{arrays} holds {', '.join(sorted(found))}, but no {min(missing)}: put it there under "
            f"that name, or move {min(wanted & found)} away to have both made again"
        )
    return not missing


def _read_arrays(arrays: Path, num_classes: int) -> Examples:
    advice = "Delete that folder to make them again"
    try:
        images, labels = (files.read_npy(arrays / name) for name in (_IMAGES, _LABELS))
    except (OSError, ValueError) as error:
        raise ValueError(f"the arrays in {arrays} cannot be read ({error}). {advice}") from error
    try:
        pixels = QuerySet.images(images).inputs
        if pixels.shape[1:] != _CIFAR_SHAPE:
            raise ValueError(f"images of CIFAR are {list(_CIFAR_SHAPE)}, got {pixels.shape}")
        examples = Examples(pixels, labels, num_classes)
    except ValueError as error:
        raise ValueError(f"the arrays in {arrays} are no CIFAR: {error}. {advice}") from error
    if labels.ndim != 1:
        raise ValueError(f"the labels in {arrays} must be class numbers [n], got {labels.shape}")
    return dataclasses.replace(examples, labels=labels.astype(np.int32))


def _keep(arrays: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes both, then puts the images in place, and at once the labels."""
    with files.replacing(arrays / _LABELS) as unfinished:
        unfinished.write_bytes(_npy(labels))
        with files.replacing(arrays / _IMAGES) as unfinished_images:
            unfinished_images.write_bytes(_npy(images))


def _npy(array: np.ndarray) -> memoryview:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getbuffer()


def read_prepared(name: str, split: str, data_dir: Path) -> list[dict[str, Any]]:
    """Reads all examples of a data set that TFDS prepared in ArrayRecord format.

    Raises:
        ValueError: it is damaged or of another format.
        ImportError: a package that TFDS needs for it is not installed.
    """
    tfds = _import_tfds()
    try:
        source = tfds.data_source(name, split=split, data_dir=data_dir, download=False)
        return [source[i] for i in range(len(source))]
    except ImportError as error:
        raise ImportError(_NEEDS_TFDS) from error
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
    """Yields the records of CIFAR's binary format: labels, then pixels channel by channel."""
    raw, size = files.read_bytes(path), num_labels + 3 * 32 * 32
    if len(raw) % size:
        raise ValueError(f"{path} is cut off: expected records of {size} bytes, got {len(raw)}")
    records = np.frombuffer(raw, np.uint8).reshape(-1, size)
    for record in records:
        image = record[num_labels:].reshape(3, 32, 32).transpose(1, 2, 0)
        yield [int(label) for label in record[:num_labels]], image


def _png(image: np.ndarray) -> io.BytesIO:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(_NEEDS_TFDS) from error
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    stream.seek(0)
    return stream


def _import_tfds() -> Any:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ImportError(_NEEDS_TFDS) from error
    return tfds
