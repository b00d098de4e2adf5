import json

import numpy as np
import pytest

from mgmp_jax.tensors import format_tensors, parse_tensors

ARRAYS = {
    "b": np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32),
    "a/ü": np.arange(4, dtype=np.float32),
}


def with_header(header: object, data: bytes = b"\0" * 16) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def one(dtype: object = "F32", shape: object = (4,), offsets: object = (0, 16)) -> dict:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def test_tensors_are_read_as_they_were_written_whatever_their_order() -> None:
    raw = format_tensors(ARRAYS)
    assert raw == format_tensors(dict(reversed(ARRAYS.items())))
    found = parse_tensors(raw)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_they_are_safetensors() -> None:
    safetensors = pytest.importorskip("safetensors.numpy", reason="pip install safetensors")
    found = safetensors.load(format_tensors(ARRAYS))
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        np.testing.assert_array_equal(parse_tensors(safetensors.save(ARRAYS))[name], array)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff" * 8,
        b"\0" * 8,
        (2**40).to_bytes(8, "little") + b"{}",
        with_header(b"[" * 100_000),
        with_header(b"\xff\xfe"),
        with_header([]),
        with_header({"x": 3}),
        with_header({"x": {}}),
        with_header(one(dtype="F64")),
        with_header(one(shape=[5])),
        with_header(one(shape=[-4])),
        with_header(one(shape=[4.0])),
        with_header(one(shape=[True, 4])),
        with_header(one(shape=[0, 2**80], offsets=[0, 0]), b""),
        with_header(one(shape=[1] * 100 + [4])),
        with_header(one(offsets=[])),
        with_header(one(offsets=["0", "16"])),
        with_header(one(offsets=[4, 20]), b"\0" * 20),
        with_header(one(offsets=[0, 16]), b"\0" * 15),
        with_header(one(offsets=[0, 16]), b"\0" * 17),
        with_header(one(offsets=[-16, 0])),
        with_header({**one(), "y": one()["x"]}),
        with_header(one(), np.full(4, np.nan, "<f4").tobytes()),
    ],
)
def test_whatever_is_wrong_with_a_file_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"no readable safetensors of float32"):
        parse_tensors(raw)
