"""Files that are written whole or not at all, and read with suspicion."""

import contextlib
import glob
import hashlib
import io
import json
import math
import os
import platform
import threading
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax import folders

__all__ = [
    "digest_of_arrays",
    "expand",
    "naming",
    "parse_json",
    "parse_npy",
    "read_arrays",
    "read_bytes",
    "read_json",
    "read_npy",
    "read_settings",
    "replacing",
    "write_arrays",
    "write_json",
]

_ABOUT = "about"
_LARGEST_JSON = 64 * 2**20
_NUMBERS_AND_STRINGS = "biufcSU"


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a path to write to, which takes the place of ``path`` once the block has ended well.

    What a process of this machine left unfinished when it was killed is taken away.

    Args:
        path: of the file; its folder is made if it is not there.

    Yields:
        The path to write to.

    Raises:
        OSError: its folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    folders.make(path.parent)
    here = f".{path.name}.{platform.node()}-"
    _sweep(path.parent, here)
    unfinished = path.with_name(f"{here}{os.getpid()}-{threading.get_ident()}")
    try:
        with naming(path, unfinished):
            yield unfinished
            unfinished.replace(path)
    finally:
        with contextlib.suppress(OSError):  # of a read-only disk, also where there is no such file
            unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: Path, unfinished: Path | None = None) -> Iterator[None]:
    """Lets what a disk refuses in the block say which file it is of, and what to do.

    Args:
        path: of the file that is written.
        unfinished: what it is called until it is whole.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(unfinished)):
            raise
        reason = f"{error.strerror}; what was there before stays, run this again where it can be"
        raise OSError(error.errno, f"{reason} written", str(path)) from error


def _sweep(folder: Path, begins: str) -> None:
    """Deletes unfinished files, named by process and thread, of processes that are no more."""
    for left in folder.glob(f"{glob.escape(begins)}*") if os.name == "posix" else ():
        process = left.name.removeprefix(begins).partition("-")[0]
        with contextlib.suppress(OSError):
            if process.isdecimal() and not _is_running(int(process)):
                left.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)  # which may end it where there is no POSIX
    except OSError as error:  # another user's runs, but may not be asked
        return not isinstance(error, ProcessLookupError)
    return True


def read_json(path: str | Path) -> Any:
    """Reads JSON of at most 64 MiB in UTF-8, with or without byte-order mark.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, holds a number that is not finite, or is no regular file.
    """
    try:
        return _load_json(Path(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is damaged ({str(error)[:200]}); delete it and rerun the same command"
        ) from error


def write_json(path: str | Path, content: Any) -> None:
    """Writes JSON at ``path``.

    Args:
        path: of the file.
        content: anything that JSON holds; numbers must be finite.

    Raises:
        OSError: the disk is full or the folder cannot be written.
        ValueError: a number is not finite, which JSON cannot say.
    """
    text = _format_json(content, path, indent=1)
    with replacing(path) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def write_arrays(
    path: str | Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> None:
    """Writes named arrays and what is to be known of them as one ``.npz`` without pickle.

    The same arrays give the same bytes.

    Args:
        path: of the file.
        arrays: of numbers or strings, by name, none of which is ``"about"``.
        about: anything that JSON holds. The SHA-256 of every array is written beside it.

    Raises:
        OSError: the disk is full or the folder cannot be written.
        ValueError: an array has another dtype, or ``about`` a number that is not finite.
    """
    with replacing(path) as unfinished:
        _write_zip(unfinished, arrays, about, str(path))


def digest_of_arrays(arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> str:
    """Computes the SHA-256 of the file that :func:`write_arrays` writes, without writing one.

    Args:
        arrays: as of :func:`write_arrays`.
        about: as of :func:`write_arrays`.

    Raises:
        ValueError: as :func:`write_arrays`.
    """
    file = io.BytesIO()
    _write_zip(file, arrays, about, "a file")
    return hashlib.sha256(file.getbuffer()).hexdigest()


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Reads what :func:`write_arrays` wrote; nothing in the file is ever executed.

    The memory taken is a small multiple of the size of the file, whatever it says of itself.

    Args:
        path: of the file.

    Returns:
        The arrays by name, and ``about``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or no such file; an array whose SHA-256 differs is named.
    """
    path = Path(path)
    try:
        size = _regular_size(path)
        with zipfile.ZipFile(path) as archive:
            arrays = _parse_members(archive, size)
        found = parse_json(arrays.pop(_ABOUT).tobytes())
        about, digests = dict(found["about"]), dict(found["sha256"])
        wrong = sorted(
            name
            for name in digests.keys() | arrays.keys()
            if name not in arrays or digests.get(name) != _digest(arrays[name])
        )
    except FileNotFoundError:
        raise
    except Exception as error:  # damage takes many forms in a zip of arrays
        raise ValueError(
            f"{path} is damaged or no file of this library ({type(error).__name__}: "
            f"{str(error)[:200]})"
        ) from error
    if wrong:
        raise ValueError(f"{path} is damaged: the array {wrong[0]!r} is not what was written")
    return arrays, about


def read_bytes(path: str | Path) -> bytes:
    """Reads a regular file; pipes and devices could be read for ever.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no regular file.
    """
    path = Path(path)
    try:
        _regular_size(path)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return path.read_bytes()


def read_npy(path: str | Path) -> np.ndarray:
    """Reads the array in an ``.npy`` file; nothing in it is ever executed.

    The memory taken is twice the size of the file, whatever it says of itself.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is no such regular file.
        ValueError: it is damaged, or holds Python objects.
    """
    raw = read_bytes(path)
    try:
        return parse_npy(raw)
    except Exception as error:  # NumPy raises many kinds of a damaged header
        raise ValueError(
            f"{path} is damaged or no .npy file ({type(error).__name__}: {str(error)[:200]})"
        ) from error


def parse_npy(raw: bytes) -> np.ndarray:
    """Reads the array in the bytes of an ``.npy`` file; nothing in them is ever executed.

    Args:
        raw: the bytes, all of them.

    Raises:
        Exception: they are damaged, or hold Python objects; NumPy raises many kinds.
    """
    stream = io.BytesIO(raw)
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # NumPy warns of headers that it never writes
        shape, fortran, dtype = read[version](stream)
    count = math.prod(shape)
    if dtype.kind not in _NUMBERS_AND_STRINGS or any(length < 0 for length in shape):
        raise ValueError(f"an array's header says {dtype} {shape}")
    if count * dtype.itemsize != len(raw) - stream.tell():
        raise ValueError(f"an array's header says {dtype} {shape}, which its bytes are not")
    if not count:
        return np.empty(shape, dtype)
    array = np.frombuffer(raw, dtype, offset=stream.tell()).copy()
    return array.reshape(shape, order="F" if fortran else "C")


def read_settings(path: str | Path) -> dict[str, Any]:
    """Reads a JSON object that another program wrote, as :func:`read_json` reads JSON.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no such object.
    """
    try:
        content = _load_json(Path(path))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not readable JSON ({str(error)[:200]})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}")
    return content


def expand(path: str | Path) -> Path:
    """Puts the home folder in place of a leading ``~``.

    Args:
        path: any path.

    Raises:
        FileNotFoundError: there is no such user.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"no folder {path}: its user has no home folder here") from error


def _regular_size(path: Path) -> int:
    """Gives the size of a regular file in bytes; pipes and devices could be read for ever."""
    if not path.exists():
        raise FileNotFoundError(f"no file {path}")
    if not path.is_file():
        raise ValueError("it is no regular file")
    return path.stat().st_size


def _load_json(path: Path) -> Any:
    if _regular_size(path) > _LARGEST_JSON:
        raise ValueError(f"it is larger than {_LARGEST_JSON / 2**20:.0f} MiB")
    return parse_json(path.read_bytes())


def parse_json(raw: bytes) -> Any:
    """Parses JSON in UTF-8, with or without byte-order mark, whose numbers are finite.

    Args:
        raw: the bytes of the text.

    Raises:
        ValueError: it is no such JSON.
        RecursionError: it is nested too deeply.
    """

    def finite(text: str) -> float:
        if not math.isfinite(float(text)):
            raise ValueError(f"{text[:20]} is no finite number")
        return float(text)

    return json.loads(raw.decode("utf-8-sig"), parse_float=finite, parse_constant=finite)


def _format_json(content: Any, path: str | Path, indent: int | None = None) -> str:
    try:
        return json.dumps(content, indent=indent, allow_nan=False)
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be written: {error}; JSON holds finite numbers only, write None "
            "where there is no value"
        ) from error


def _digest(array: np.ndarray) -> str:
    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.tobytes())
    return digest.hexdigest()


def _write_zip(
    file: Any, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any], where: str
) -> None:
    """Writes what :func:`write_arrays` says to a path or a file; errors say ``where``."""
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in _NUMBERS_AND_STRINGS or name == _ABOUT:
            raise ValueError(
                f"the array {name!r} of {array.dtype} cannot be written to {where}: expected "
                f"numbers or strings that NumPy knows, under another name than {_ABOUT!r}; "
                "convert bfloat16 to float32"
            )
    digests = {name: _digest(array) for name, array in arrays.items()}
    text = _format_json({"about": dict(about), "sha256": digests}, where)
    members = {_ABOUT: np.frombuffer(text.encode(), np.uint8), **arrays}
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in members.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _parse_members(archive: zipfile.ZipFile, size: int) -> dict[str, np.ndarray]:
    """Reads the arrays of a zip of ``size`` bytes."""
    members = archive.infolist()
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise ValueError(f"{member.filename} is compressed; expected plain arrays")
    if sum(member.file_size for member in members) > size:
        raise ValueError("its arrays are larger than the file")
    names = [member.filename.removesuffix(".npy") for member in members]
    if len(set(names)) < len(names):
        raise ValueError("two of its arrays have one name")
    return {
        name: parse_npy(archive.read(member)) for name, member in zip(names, members, strict=True)
    }
