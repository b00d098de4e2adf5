"""Files that are written whole or not at all."""

import contextlib
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "expand",
    "read_arrays",
    "read_json",
    "read_npy",
    "read_settings",
    "replacing",
    "write_arrays",
    "write_json",
]

_ABOUT = "about"


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to, which takes the place of ``path`` once the block has ended well.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def read_json(path: str | Path) -> Any:
    """Reads JSON from ``path``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged ({error}); delete it and run the same command again"
        ) from error


def write_json(path: str | Path, content: Any) -> None:
    """Writes JSON at ``path``.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")


def write_arrays(
    path: str | Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> None:
    """Writes named arrays and what is to be known of them as one ``.npz`` without pickle.

    Args:
        path: of the file.
        arrays: of numbers, by name.
        about: anything that JSON holds. The SHA-256 of every array is added to it.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    digests = {name: _digest(array) for name, array in arrays.items()}
    text = json.dumps({**about, "sha256": digests})
    with replacing(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **{_ABOUT: np.frombuffer(text.encode(), np.uint8)}, **arrays)


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what :func:`write_arrays` wrote; nothing in the file is ever executed.

    No more memory is taken than the file is large, whatever it says of itself.

    Returns:
        The arrays by name, and ``about``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or no such file; an array whose SHA-256 differs is named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            found = {member.filename: _member(archive, member) for member in archive.infolist()}
        arrays = {name.removesuffix(".npy"): _parse_npy(raw) for name, raw in found.items()}
        about = json.loads(arrays.pop(_ABOUT).tobytes().decode())
        digests = about.pop("sha256")
        wrong = sorted(
            name
            for name in digests.keys() | arrays.keys()
            if name not in arrays or digests.get(name) != _digest(arrays[name])
        )
    except Exception as error:  # damage takes many forms in a zip of arrays
        raise ValueError(
            f"{path} is damaged or no file of this library ({type(error).__name__}: "
            f"{str(error)[:200]})"
        ) from error
    if wrong:
        raise ValueError(f"{path} is damaged: the array {wrong[0]!r} is not what was written")
    return arrays, about


def read_npy(path: str | Path) -> np.ndarray:
    """Reads the array in an ``.npy`` file; takes no more memory than the file is large.

    Raises:
        FileNotFoundError: there is no such regular file.
        ValueError: it is damaged, or holds Python objects.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no regular file {path}")
    try:
        return _parse_npy(path.read_bytes())
    except Exception as error:  # NumPy raises many kinds of a damaged header
        raise ValueError(
            f"{path} is damaged or no .npy file ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def read_settings(path: str | Path) -> dict[str, Any]:
    """Reads a JSON object that another program wrote, with or without a byte-order mark.

    Raises:
        FileNotFoundError: there is no such regular file.
        ValueError: it is no JSON object.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no regular file {path}")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable JSON ({str(error)[:200]})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def expand(path: str | Path) -> Path:
    """Puts the home folder in place of a leading ``~``.

    Raises:
        FileNotFoundError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"no folder {path}: its user has no home folder here") from error


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        raise ValueError(f"{member.filename} is compressed; expected plain arrays")
    return archive.read(member)


def _parse_npy(raw: bytes) -> np.ndarray:
    stream = io.BytesIO(raw)
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    shape, fortran, dtype = read[version](stream)
    count = 1
    for size in shape:
        count *= size
    if dtype.hasobject or count * dtype.itemsize != len(raw) - stream.tell():
        raise ValueError(f"an array's header says {dtype} {shape}, which its bytes are not")
    array = np.frombuffer(raw, dtype, offset=stream.tell()).copy()
    return array.reshape(shape, order="F" if fortran else "C")
