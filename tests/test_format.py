"""Reads the files as docs/format.md says, with nothing but Python's own library."""

import array
import ast
import hashlib
import json
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgmp_jax.answers import save_answers
from mgmp_jax.archive import write_dna
from mgmp_jax.methods import EXTENDED, MGMP, SiblingTest, Similarity
from mgmp_jax.queries import QuerySet
from mgmp_jax.query_folder import QueryFolder
from mgmp_jax.responses import Responses
from mgmp_jax.verifier import Verifier
from tests.families import Family

Array = tuple[str, tuple[int, ...], bytes]


def sha256(*parts: bytes | str) -> str:
    whole = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return hashlib.sha256(whole).hexdigest()


def read_npz(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    arrays: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            raw = archive.read(member)
            assert raw[:6] == b"\x93NUMPY"
            start, width = (10, 2) if raw[6] == 1 else (12, 4)
            length = int.from_bytes(raw[8 : 8 + width], "little")
            header = ast.literal_eval(raw[start : start + length].decode())
            assert not header["fortran_order"]
            name = member.filename.removesuffix(".npy")
            arrays[name] = header["descr"], header["shape"], raw[start + length :]
    about = json.loads(arrays.pop("about")[2])
    assert about["sha256"] == {
        name: sha256(dtype, str(shape), data) for name, (dtype, shape, data) in arrays.items()
    }
    return about["about"], arrays


def int64(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


def test_frozen_queries(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = ["ein Wort", "\ud800", "日本"]
    sets = {
        "images": QuerySet.images(rng.integers(0, 256, (4, 5, 6, 3), np.uint8)),
        "rows": QuerySet.rows(rng.normal(size=(4, 2))),
        "texts": QuerySet.texts(texts),
    }
    QueryFolder.freeze(tmp_path, sets)
    frozen = json.loads((tmp_path / "queries.json").read_text())
    assert frozen["format"] == "mgmp_jax.queries.v1"
    for name in ("images", "rows"):
        about, arrays = read_npz(tmp_path / frozen["sets"][name]["file"])
        _, shape, data = arrays["inputs"]
        assert about == frozen["sets"][name] and about["count"] == shape[0]
        assert about["digest"] == sha256(about["modality"], int64(*shape), data)
    about, arrays = read_npz(tmp_path / "texts.npz")
    lengths, whole, found = array.array("q", arrays["lengths"][2]), arrays["bytes"][2], []
    for length in lengths:
        found.append(whole[:length])
        whole = whole[length:]
    assert found == [text.encode("utf-8", "surrogatepass") for text in texts]
    parts = [part for text in found for part in (int64(len(text)), text)]
    assert about["digest"] == sha256("texts", *parts)


def test_answers(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(7, 3))
    given = Responses(values, "embedding", "q", "mine")
    given.save(tmp_path / "one.npz")
    about, arrays = read_npz(tmp_path / "one.npz")
    entry = {"kind": "embedding", "queries": "q", "model": "mine"}
    assert about == {"format": "mgmp_jax.responses.v2", **entry}
    dtype, shape, data = arrays["values"]
    assert dtype == "<f4" and given.digest == sha256("embedding", str(shape), data)
    save_answers(tmp_path / "two.npz", {"training": given, "unseen": given})
    about, arrays = read_npz(tmp_path / "two.npz")
    assert about["format"] == "mgmp_jax.answers.v1"
    assert about["query_sets"] == {"training": entry, "unseen": entry}
    assert arrays.keys() == {"training", "unseen"}


@pytest.fixture(scope="module")
def verifier() -> Verifier:
    methods = [MGMP(EXTENDED.replace(epochs=1)), SiblingTest(), Similarity("linear CKA")]
    return Verifier.fit(Family(80).references(2, siblings=3, controls=3), methods)


def test_a_verifier(verifier: Verifier, tmp_path: Path) -> None:
    verifier.save(tmp_path)
    about, arrays = read_npz(tmp_path / "verifier.npz")
    assert about.keys() == {"format", "methods", "calibration", "known"}
    assert about["format"] == "mgmp_jax.verifier.v4"
    mgmp, sibling, similarity = about["methods"]
    source = {"kind": "logits", "queries": "q", "model": "source"}
    assert mgmp["kind"] == "MGMP" and mgmp["source"] == similarity["source"] == source
    wanted = {"kind", "config", "source", "kinds", "asks", "name", "knows_siblings"}
    assert mgmp.keys() == wanted and similarity.keys() == {"kind", "name", "asks", "source"}
    assert sibling.keys() == {*("kind", "controls", "background", "queries", "asks", "name")}
    assert (sibling["kind"], similarity["kind"]) == ("sibling test", "similarity")
    shapes = {name: shape for name, (_, shape, _) in arrays.items()}
    assert shapes["methods/0/source"] == shapes["methods/2/source"] == (80, 6)
    assert shapes["methods/1/candidates"] == (4, 80, 6)
    assert shapes["methods/1/controls/2"] == (80, 5) == shapes["calibration/2/"]
    assert "methods/0/latents" in shapes
    assert any(name.startswith("methods/0/classifier/") for name in shapes)
    assert "siblings[2]" in about["known"].values()


@pytest.mark.parametrize("name", ["dna", "dna.zip"])
def test_a_dna_file(verifier: Verifier, tmp_path: Path, name: str) -> None:
    write_dna(tmp_path / name, verifier, created="2026-01-31T12:00:00+00:00")
    folder = tmp_path / name
    if folder.suffix:
        with zipfile.ZipFile(folder) as archive:
            assert archive.namelist() == ["dna.json", "dna.safetensors"]
            for member in archive.infolist():
                assert member.date_time == (1980, 1, 1, 0, 0, 0)
                assert (member.create_system, member.external_attr) == (3, 0o644 << 16)
            archive.extractall(folder := tmp_path / "out")
    text = (folder / "dna.json").read_bytes()
    tail = b'"\n}\n'
    head, digits = text[: -64 - len(tail)], text[-64 - len(tail) : -len(tail)]
    assert text.endswith(tail) and head.endswith(b'"sha256": "')
    assert sha256(head, "0" * 64, tail) == digits.decode()
    about, tensors = json.loads(text), (folder / "dna.safetensors").read_bytes()
    assert about["tensors"]["sha256"] == sha256(tensors)
    assert about["verifier"]["sha256"] == verifier.digest
    end = 8 + int.from_bytes(tensors[:8], "little")
    header, data = json.loads(tensors[8:end]), tensors[end:]
    said = about["methods"][0]["fragments"]
    one = header[said["tensor"]]
    first, last = one["data_offsets"]
    assert one["dtype"] == "F32" and one["shape"] == said["shape"]
    assert (first, last) == (0, len(data)) and last == 4 * math.prod(one["shape"])
    numbers = array.array("f", data[first:last])
    assert list(numbers) == verifier.methods[0].source_fragments().ravel().tolist()
    assert [method["fragments"] for method in about["methods"][1:]] == [None, None]
