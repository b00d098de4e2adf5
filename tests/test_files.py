import errno
import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import files

ABOUT = {"format": "f", "names": ["a", "b"], "level": 0.05}


def arrays() -> dict[str, np.ndarray]:
    return {
        "values": np.arange(6, dtype=np.float32).reshape(2, 3),
        "count": np.asarray(3, np.int64),
        "none": np.zeros((0, 5)),
        "file": np.array(["a", "bcd"]),
        "fortran": np.asfortranarray(np.eye(3)[:, :2]),
    }


def write(folder: Path) -> Path:
    files.write_arrays(folder / "arrays.npz", arrays(), ABOUT)
    return folder / "arrays.npz"


def is_refused_or_unchanged(path: Path) -> bool:
    """Whether reading ends in ValueError; fails where other values are read."""
    try:
        found, about = files.read_arrays(path)
    except ValueError:
        return True
    assert about == ABOUT
    assert found.keys() == arrays().keys()
    for name, array in arrays().items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)
    return False


def npy(header: bytes, version: tuple[int, int] = (1, 0), data: bytes = b"") -> bytes:
    size = len(header).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + header + data


def header(dtype: str, shape: str) -> bytes:
    return f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}}}\n".encode()


def test_json_comes_back(tmp_path: Path) -> None:
    content = {"x": [1, 2.5, None], "text": "äß", "large": 10**400}
    files.write_json(tmp_path / "a" / "b.json", content)
    assert files.read_json(tmp_path / "a" / "b.json") == content
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.json"]


def test_a_full_disk_is_said_of_the_file_that_was_wanted(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("before")
    full = OSError(errno.ENOSPC, "No space left on device")
    message = r"No space left.*run this again.*a\.json"
    with pytest.raises(OSError, match=message) as said, files.replacing(path):
        raise full
    assert said.value.errno == errno.ENOSPC and path.read_text() == "before"
    message = r"\] No such file or directory: 'absent'"
    with pytest.raises(FileNotFoundError, match=message), files.replacing(path):
        Path("absent").read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    files.write_json(path, 1)
    with pytest.raises(RuntimeError), files.replacing(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    with pytest.raises(ValueError, match=r"b\.json cannot be written: .* write None where"):
        files.write_json(path, {"p": float("nan")})
    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_json_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert files.read_json(tmp_path / "b.json") == {"a": 1}


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"",
        b'"\xff"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"NaN",
        b"[-Infinity]",
        b"[1e999]",
        b"1" * 10_000,
    ],
    ids=lambda raw: raw[:8].hex(),
)
def test_damaged_json_is_named(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "b.json").write_bytes(raw)
    with pytest.raises(ValueError, match=r"b\.json is damaged .*; delete it and rerun the same"):
        files.read_json(tmp_path / "b.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no pipes")
@pytest.mark.parametrize("read", [files.read_json, files.read_arrays])
def test_pipes_folders_and_missing_files_are_not_waited_for(tmp_path: Path, read) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ValueError, match="it is no regular file"):
            read(path)
    with pytest.raises(FileNotFoundError, match=r"no file .*nothing"):
        read(tmp_path / "nothing")


def test_json_of_more_than_64_mib_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "b.json").open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(ValueError, match="larger than 64 MiB"):
        files.read_json(tmp_path / "b.json")


def test_arrays_come_back_and_the_same_arrays_give_the_same_bytes(tmp_path: Path) -> None:
    assert not is_refused_or_unchanged(write(tmp_path))
    assert write(tmp_path / "again").read_bytes() == write(tmp_path).read_bytes()
    with np.load(write(tmp_path)) as archive:
        np.testing.assert_array_equal(archive["values"], arrays()["values"])


@pytest.mark.parametrize(
    "array",
    [np.array([object()]), np.zeros(2, "V2"), np.zeros(2, [("a", "f4")])],
    ids=["object", "void", "structured"],
)
def test_only_numbers_and_strings_are_written(tmp_path: Path, array: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"the array 'x' of .* cannot be written"):
        files.write_arrays(tmp_path / "a.npz", {"x": array}, {})
    with pytest.raises(ValueError, match="the array 'about'"):
        files.write_arrays(tmp_path / "a.npz", {"about": np.zeros(2)}, {})
    assert list(tmp_path.iterdir()) == []


def test_no_flipped_byte_changes_what_is_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for place in range(len(raw)):
        damaged = bytearray(raw)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        refused += is_refused_or_unchanged(path)
    assert refused > 0.8 * len(raw)


def test_a_file_cut_off_or_grown_does_not_change_what_is_read(tmp_path: Path) -> None:
    path = write(tmp_path)
    raw = path.read_bytes()
    for length in range(0, len(raw), 7):
        path.write_bytes(raw[:length])
        assert is_refused_or_unchanged(path)
    for grown in (raw + b"x", b"x" + raw, raw + raw, raw + bytes(100_000)):
        path.write_bytes(grown)
        is_refused_or_unchanged(path)


@pytest.mark.parametrize(
    "member",
    [
        npy(header("'<f4'", "(10**30,)")),
        npy(header("'<f4'", f"({10**18},)")),
        npy(header("'<f4'", "(-1, -1)"), data=bytes(4)),
        npy(header("'<f4'", "(0, -5)")),
        npy(header("'|O'", "(1,)"), data=bytes(8)),
        npy(header("'|V0'", f"({10**12},)")),
        npy(header("[('a', '|O')]", "(1,)"), data=bytes(8)),
        npy(header("'<f4'", "(1,)"), (9, 9), bytes(4)),
        npy(header("'<f4'", "(1L,)"), data=bytes(4)),
        npy(b"(" * 60_000),
        npy(b" " * 10_000_000, (2, 0)),
        b"",
    ],
    ids=lambda raw: raw[10:70].decode(errors="replace").strip(),
)
def test_an_absurd_member_is_refused(tmp_path: Path, member: bytes) -> None:
    path = write(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("absurd.npy", member)
    with pytest.raises(ValueError, match=r"arrays\.npz is damaged or no file of this library"):
        files.read_arrays(path)


def test_a_compressed_bomb_and_overlapping_members_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(50_000_000))
    path = tmp_path / "bomb.npz"
    path.write_bytes(stream.getvalue())
    with pytest.raises(ValueError, match="is compressed; expected plain arrays"):
        files.read_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a0.npy", bytes(10_000))
        for i in range(1, 100):  # the same bytes under a hundred names
            again = zipfile.ZipInfo(f"a{i}.npy")
            again.file_size = again.compress_size = 10_000
            again.CRC, again.header_offset = archive.infolist()[0].CRC, 0
            archive.filelist.append(again)
            archive._didModify = True
    with pytest.raises(ValueError, match="its arrays are larger than the file"):
        files.read_arrays(path)


def test_an_array_with_another_digest_or_none_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("extra.npy", npy(header("'<f4'", "(1,)"), data=bytes(4)))
    with pytest.raises(ValueError, match="the array 'extra' is not what was written"):
        files.read_arrays(path)
    text = json.dumps({"about": {}, "sha256": {"x": hashlib.sha256().hexdigest()}}).encode()
    np.savez(path, about=np.frombuffer(text, np.uint8), x=np.zeros(3))
    with pytest.raises(ValueError, match="the array 'x' is not what was written"):
        files.read_arrays(path)


def test_what_a_killed_process_left_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "a[1].json"
    killed = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    left = [
        tmp_path / f".a[1].json.{platform.node()}-{int(killed.stdout)}{thread}"
        for thread in ("", "-123")
    ]
    kept = [
        tmp_path / f".a[1].json.{platform.node()}-{os.getppid()}",  # it is running
        tmp_path / f".a[1].json.elsewhere-{int(killed.stdout)}",
        tmp_path / f".b.json.{platform.node()}-{int(killed.stdout)}",
    ]
    for one in (*left, *kept):
        one.touch()
    files.write_json(path, {})
    assert sorted(tmp_path.iterdir()) == sorted([path, *kept])


def test_threads_that_write_one_file_leave_it_whole(tmp_path: Path) -> None:
    path, arrays = tmp_path / "a.npz", [np.full(20_000, i) for i in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda x: files.write_arrays(path, {"x": x}, {}), arrays * 10))
    assert len(set(files.read_arrays(path)[0]["x"])) == 1
    assert list(tmp_path.iterdir()) == [path]
