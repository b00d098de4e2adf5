import io
import pickle
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.adapters.recorded import Recorded
from mgmp_jax.answers import save_answers
from mgmp_jax.queries import QuerySet
from mgmp_jax.responses import Responses

RNG = np.random.default_rng(51)
QUERIES = QuerySet.rows(RNG.normal(size=(9, 2)))
UNSEEN = QuerySet.rows(RNG.normal(size=(5, 2)))
VALUES = RNG.normal(size=(9, 4)).astype(np.float32)
LABELS = RNG.integers(4, size=9)
WORDS = np.array(["rose", "aster", "lily", "bluebell"])


def read(path: Path, **options):
    return adapters.record(adapters.open_model(f"recorded:{path}"), QUERIES, **options)


def write(path: Path, values: np.ndarray, **more: np.ndarray) -> Path:
    """Writes an array in the format of the suffix."""
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez_compressed(path, a=values, **more)
    elif path.suffix == ".csv":
        rows = values.tolist() if values.ndim == 2 else values[:, None].tolist()
        path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")
    elif path.suffix == ".safetensors":
        save = pytest.importorskip("safetensors.numpy", reason="pip install 'mgmp_jax[text]'")
        save.save_file({"a": values, **more}, path)
    else:
        arrow = pytest.importorskip("pyarrow", reason="pip install 'mgmp_jax[text]'")
        parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'mgmp_jax[text]'")
        columns = values.T if values.ndim == 2 else values[None]
        parquet.write_table(arrow.table({f"c{i}": c for i, c in enumerate(columns)}), path)
    return path


FORMATS = pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".parquet", ".csv"])


@FORMATS
def test_numbers_are_read(suffix: str, tmp_path: Path) -> None:
    found = read(write(tmp_path / f"m{suffix}", VALUES), kind="embedding", name="theirs")
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.about == {"kind": "embedding", "queries": QUERIES.digest, "model": "theirs"}


@FORMATS
@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_labels_are_read(suffix: str, dtype, tmp_path: Path) -> None:
    found = read(write(tmp_path / f"m{suffix}", LABELS.astype(dtype)), kind="labels")
    assert found.values.argmax(axis=1).tolist() == LABELS.tolist()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".csv"])
def test_labels_may_be_words(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"m{suffix}", WORDS[LABELS])
    found = read(path, kind="labels")
    assert np.unique(WORDS[LABELS])[found.values.argmax(axis=1)].tolist() == WORDS[LABELS].tolist()
    with pytest.raises(ValueError, match=r"holds words, such as '\w+'; expected numbers of kind"):
        read(path)


@FORMATS
@pytest.mark.parametrize("count", [8, 10, 20])
def test_the_rows_must_be_those_of_the_queries(suffix: str, count: int, tmp_path: Path) -> None:
    path = write(tmp_path / f"m{suffix}", np.resize(VALUES, (count, 4)))
    if (suffix, count) == (".csv", 10):  # one row more is taken for the header
        path.write_text(path.read_text() + "1,2,3,4\n")
    with pytest.raises(
        ValueError, match=rf"({count}, 4\) for 9 queries|has \d+ rows.* for 9 quer)"
    ):
        read(path)


@FORMATS
def test_a_file_that_is_cut_or_a_pickle_is_refused(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"m{suffix}", VALUES)
    whole = path.read_bytes()
    for content in (whole[:0], whole[:20], whole[: len(whole) // 2], pickle.dumps({"a": 1})):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"m{suffix} .*(damaged|cannot be read)"):
            read(path)


@FORMATS
def test_flipped_bytes_give_a_sentence_or_an_answer(suffix: str, tmp_path: Path) -> None:
    path, rng = write(tmp_path / f"m{suffix}", VALUES), np.random.default_rng(52)
    whole = path.read_bytes()
    places = [*range(len(whole) - 120, len(whole)), *rng.integers(len(whole), size=60)]
    refused = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 0x5A
        path.write_bytes(damaged)
        try:
            assert len(read(path, kind="embedding")) == 9
        except ValueError:
            refused += 1
    assert refused > 3


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.array([{}] * 9))
    np.savez(tmp_path / "m.npz", a=np.array([{}] * 9))
    for suffix in ("npy", "npz"):
        with pytest.raises(ValueError, match=r"cannot be read.*header says object"):
            read(tmp_path / f"m.{suffix}")


def test_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="pip install 'mgmp_jax[text]'")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'mgmp_jax[text]'")
    column = arrow.array(np.zeros(2_000_000, np.int8))
    parquet.write_table(arrow.table({"a": column}), tmp_path / "m.parquet")
    assert (tmp_path / "m.parquet").stat().st_size < 20_000
    with pytest.raises(ValueError, match=r"has 2000000 rows or more for 9 queries"):
        read(tmp_path / "m.parquet")
    parquet.write_table(arrow.table({"a": ["x" * 500_000] * 9}), tmp_path / "m.parquet")
    with pytest.raises(ValueError, match=r"a label is longer than 1000 letters"):
        read(tmp_path / "m.parquet", kind="labels")
    with zipfile.ZipFile(tmp_path / "m.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"")
    damaged = bytearray((tmp_path / "m.npz").read_bytes())
    place = damaged.index(b"PK\x01\x02")
    damaged[place + 24 : place + 28] = (2**32 - 2).to_bytes(4, "little")
    (tmp_path / "m.npz").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"unpacks to \S+ MiB for"):
        read(tmp_path / "m.npz")


def lie(path: Path, said: bytes, method: int) -> None:
    """Packs 64 MiB behind ``said`` into a zip that says that only ``said`` is there."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.npy", said + bytes(2**26))
    raw = bytearray(path.read_bytes())
    place = raw.index(b"PK\x01\x02")
    raw[place + 16 : place + 20] = zipfile.crc32(said).to_bytes(4, "little")
    raw[place + 24 : place + 28] = len(said).to_bytes(4, "little")
    path.write_bytes(raw)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (zipfile.ZIP_DEFLATED, r"Bad CRC-32 for file 'a.npy'"),
        (zipfile.ZIP_STORED, r"Bad CRC-32 for file 'a.npy'"),
        (zipfile.ZIP_BZIP2, r"a.npy is packed by method 12; pack it again, stored or deflated"),
        (zipfile.ZIP_LZMA, r"a.npy is packed by method 14"),
    ],
)
def test_a_zip_that_holds_more_than_it_says_is_refused(
    method: int, message: str, tmp_path: Path
) -> None:
    file = io.BytesIO()
    np.save(file, VALUES)
    lie(tmp_path / "m.npz", file.getvalue(), method)
    queries = QuerySet.rows(np.zeros((100, 2)))  # enough that the stored file may be read
    recorded = adapters.open_model(f"recorded:{tmp_path / 'm.npz'}")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"m.npz cannot be read.*({message})"):
            adapters.record(recorded, queries)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


@FORMATS
def test_files_larger_than_a_mebibyte_a_query_are_refused_unread(
    suffix: str, tmp_path: Path
) -> None:
    path = write(tmp_path / f"m{suffix}", VALUES)
    with path.open("ab") as file:
        file.truncate(9 * 2**20 + 1)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"m{suffix} cannot be read.*unpacks to 9 MiB for 9"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_csv_takes_little_more_memory_than_its_numbers(tmp_path: Path) -> None:
    row = ",".join(["10"] * 80_000)
    (tmp_path / "m.csv").write_text(f"{row}\n" * 9)
    tracemalloc.start()
    try:
        assert read(tmp_path / "m.csv").values.shape == (9, 80_000)
        assert tracemalloc.get_traced_memory()[1] < 10 * 9 * len(row)
    finally:
        tracemalloc.stop()
    (tmp_path / "m.csv").write_text(",".join(["1"] * 200_000) + "\n" + "1\n" * 8)
    with pytest.raises(ValueError, match=r"unpacks to 14 MiB for 9 queries"):
        read(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("1," * 600_000 + "\n1" * 8)
    with pytest.raises(ValueError, match=r"a line is longer than 1048576 letters"):
        read(tmp_path / "m.csv")


def test_a_line_break_in_a_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text('"red\nrose"\n' + "lily\n" * 8)
    with pytest.raises(ValueError, match=r"m.csv cannot be read"):
        read(tmp_path / "m.csv", kind="labels")
    (tmp_path / "m.csv").write_text('"a, b"\n' + "lily\n" * 8)
    assert read(tmp_path / "m.csv", kind="labels").values[0].tolist() == [1, 0]


def test_headers_and_the_index_of_pandas_are_left_out(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pip install pandas")
    pytest.importorskip("pyarrow", reason="pip install 'mgmp_jax[text]'")
    table = pandas.DataFrame(VALUES, columns=list("abcd"), index=range(20, 29))
    table.to_csv(tmp_path / "m.csv")
    table.sample(frac=1, random_state=0).sort_index().to_parquet(tmp_path / "m.parquet")
    for suffix in ("csv", "parquet"):
        np.testing.assert_allclose(read(tmp_path / f"m.{suffix}").values, VALUES, rtol=1e-6)
    pandas.DataFrame(VALUES).to_csv(tmp_path / "m.csv", index=False)
    np.testing.assert_allclose(read(tmp_path / "m.csv").values, VALUES, rtol=1e-6)
    words = pandas.DataFrame({"label": WORDS[LABELS]})
    words.to_parquet(tmp_path / "w.parquet")
    words.to_csv(tmp_path / "w.csv", index=False)
    assert read(tmp_path / "w.parquet", kind="labels").digest == (
        read(tmp_path / "w.csv", kind="labels").digest
    )
    (tmp_path / "w.csv").write_text("\n".join([*WORDS[LABELS], WORDS[LABELS[0]]]))
    with pytest.raises(ValueError, match=r"has 10 rows or more for 9 queries"):
        read(tmp_path / "w.csv", kind="labels")


def test_columns_of_a_table_must_be_numbers(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("1,a\n" * 9)
    with pytest.raises(ValueError, match=r"cannot be read.*row 1 holds 'a'; expected numbers"):
        read(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("1,2\n" * 8 + "1\n")
    with pytest.raises(ValueError, match=r"unequal numbers of columns"):
        read(tmp_path / "m.csv")
    arrow = pytest.importorskip("pyarrow", reason="pip install 'mgmp_jax[text]'")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pip install 'mgmp_jax[text]'")
    parquet.write_table(arrow.table({"a": [1.0] * 9, "b": ["x"] * 9}), tmp_path / "m.parquet")
    with pytest.raises(ValueError, match=r"the column 'b' of string holds no numbers"):
        read(tmp_path / "m.parquet")
    parquet.write_table(arrow.table({"a": [*"abcdefgh", None]}), tmp_path / "m.parquet")
    with pytest.raises(ValueError, match=r"1 of its labels are missing"):
        read(tmp_path / "m.parquet", kind="labels")
    parquet.write_table(arrow.table({"a": [*range(8), None]}), tmp_path / "m.parquet")
    with pytest.raises(ValueError):
        read(tmp_path / "m.parquet")


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_several_query_sets_take_arrays_by_name(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"m{suffix}", VALUES, b=VALUES[:5])
    found = adapters.record(Recorded(path), {"a": QUERIES, "b": UNSEEN})
    np.testing.assert_array_equal(found["b"].values, VALUES[:5])
    with pytest.raises(ValueError, match=r"one for each query set: \['c'\] are missing"):
        adapters.record(Recorded(path), {"a": QUERIES, "c": UNSEEN})
    with pytest.raises(ValueError, match=r"holds the arrays \['a', 'b'\]; expected one"):
        read(path)


@pytest.mark.parametrize("suffix", [".npy", ".csv", ".parquet"])
def test_one_table_is_not_enough_for_several_query_sets(suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"m{suffix}", VALUES)
    with pytest.raises(ValueError, match=r"holds one table, and there are the query sets"):
        adapters.record(Recorded(path), {"a": QUERIES})


def test_files_of_this_library_know_their_queries_and_kind(tmp_path: Path) -> None:
    one = Responses(np.abs(VALUES) / 10, "probabilities", QUERIES, "mine")
    path = tmp_path / "own.npz"
    save_answers(path, one)
    found = read(path)
    assert (found.kind, found.model, found.digest) == ("probabilities", "mine", one.digest)
    with pytest.raises(ValueError, match=r"holds answers to other queries"):
        adapters.record(Recorded(path), UNSEEN)
    save_answers(path, {"training": one, "unseen": Responses(VALUES[:5], "logits", UNSEEN)})
    assert read(path, name="x").about == one.about | {"model": "x"}
    both = adapters.record(Recorded(path), {"training": QUERIES, "unseen": UNSEEN})
    assert both["unseen"].kind == "logits"
    with pytest.raises(ValueError, match=r"none called 'other'"):
        adapters.record(Recorded(path), {"other": QUERIES})


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"m.pkl is none of the files that are read: .npy"):
        adapters.open_model(f"recorded:{tmp_path}/m.pkl")
    with pytest.raises(FileNotFoundError, match=r"no file"):
        adapters.open_model(f"recorded:{tmp_path}/m.npy")


def test_safetensors_may_be_bfloat16(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="pip install 'mgmp_jax[torch]'")
    save = pytest.importorskip("safetensors.torch", reason="pip install 'mgmp_jax[text]'")
    save.save_file({"a": torch.tensor(VALUES).bfloat16()}, tmp_path / "m.safetensors")
    np.testing.assert_allclose(read(tmp_path / "m.safetensors").values, VALUES, rtol=1e-2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,a,b\n0,2,3\n1,4,5\n2,6,7\n", "its first column counts the rows; leave it out"),
        (",a,b\n2,2,3\n0,4,5\n1,6,7\n", "its index counts the rows in another order"),
        ("2;3\n4;5\n6;7\n", "its columns are separated by ';'; expected commas"),
        ("2,3\n4,\n6,7\n", "row 2 holds ''; expected numbers with points, separated by commas"),
        ("0,5;1\n0,6;1\n0,7;1\n", "row 1 holds '5;1'; expected numbers"),
        ("label\ncat\ndog\n", "its first row 'label' looks like a header, and one answer is m"),
        ("class\n3\n1\n", "its first row 'class' looks like a header, and one answer is missing"),
        ("y\n3\n1\n", "its first row 'y' looks like a header, and one answer is missing"),
        ("cat\n\ndog\nemu\n", "a line between its answers is empty; expected one answer a query"),
        ("1,2\n3,4\n5,6\n\n7,8\n", "4 rows or more for 3 queries"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    queries = QuerySet.rows(np.arange(6.0).reshape(3, 2))
    with pytest.raises(ValueError, match=re.escape(said)):
        adapters.record(Recorded(tmp_path / "t.csv"), queries)


def test_a_column_of_parquet_that_counts_the_rows_is_refused(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="pip install 'mgmp_jax[text]'")
    table = pandas.DataFrame(VALUES, columns=[f"class {i}" for i in range(4)])
    table.reset_index().to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="its first column counts the rows; leave it out"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("y\ntarget\nbackground\ntarget\n", [1, 0, 1]),
        ("label\nother\nlabel\n", [0, 1, 0]),
        ("cat\r\r\ndog\r\r\nemu\r\r\n", [0, 1, 2]),
    ],
)
def test_words_that_may_be_answers_are_taken(tmp_path: Path, text: str, labels: list[int]) -> None:
    (tmp_path / "t.csv").write_text(text, newline="")
    queries = QuerySet.rows(np.arange(6.0).reshape(3, 2))
    found = adapters.record(Recorded(tmp_path / "t.csv"), queries, kind="labels")
    assert found.values.argmax(axis=1).tolist() == labels
