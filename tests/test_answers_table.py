import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgmp_jax import answers_table
from mgmp_jax.answers import Answers
from mgmp_jax.answers_table import read_group, row_groups, save_answers_table
from mgmp_jax.responses import Responses

pa: Any = pytest.importorskip("pyarrow", reason="pip install 'mgmp_jax[cli]'")
pq: Any = pytest.importorskip("pyarrow.parquet", reason="pip install 'mgmp_jax[cli]'")


# pyarrow says so itself, in its own words, before release 26
MISSING = "some of its numbers are missing"
if int(pa.__version__.split(".")[0]) < 26:
    MISSING = "Expected all lists to be of size=6 but index 2 had size=0"


def one(seed: int, n: int = 40, model: str = "") -> Responses:
    values = np.random.default_rng(seed).normal(size=(n, 5))
    return Responses(values, "logits", "digest", model or f"model {seed}")


def both(seed: int) -> Answers:
    labels = np.random.default_rng(seed).integers(3, size=10)
    labels[0] = 2
    return {"training": one(seed), "unseen": Responses(labels, "labels", "other", f"model {seed}")}


def read(path: Path) -> list[Answers]:
    counts = enumerate(row_groups(path))
    return [answers() for group in counts for _, answers in read_group(path, *group)]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    save_answers_table(path, (one(i) for i in range(7)), group=3)
    assert row_groups(path) == [3, 3, 1]
    found = read(path)
    assert [r.digest for r in found] == [one(i).digest for i in range(7)]
    assert [r.about for r in found] == [one(i).about for i in range(7)]


def test_query_sets_by_name_and_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    save_answers_table(path, [both(0), both(1)], dtype="float16")
    for seed, found in enumerate(read(path)):
        assert isinstance(found, dict)
        right = both(seed)
        np.testing.assert_allclose(found["training"].values, right["training"].values, rtol=1e-3)
        assert found["unseen"].digest == right["unseen"].digest


def test_a_change_is_noticed_by_the_digest(tmp_path: Path) -> None:
    def digests(*models: Responses) -> list[str]:
        save_answers_table(tmp_path / "a.parquet", models)
        return [digest for digest, _ in read_group(tmp_path / "a.parquet", 0, 3)]

    first = digests(one(0), one(1), one(2))
    second = digests(one(0), one(1, model="renamed"), one(3, model="model 2"))
    assert first[0] == second[0]
    assert len({*first, *second}) == 5


@pytest.mark.parametrize(
    ("models", "dtype", "message"),
    [
        ([], "float32", "give at least one model's answers"),
        ([one(0), one(1, n=39)], "float32", "write models of other queries, kinds or shapes"),
        ([one(0), both(1)], "float32", "'model 1' answered .* the first model"),
        ([{"model": one(0)}], "float32", "no query set may be called 'model' or 'values'"),
        ([one(0, model="a" * 1001)], "float32", "'a+'... is longer than 1000 letters"),
        (
            [Responses(1e6 * one(0).values, "logits", "digest", "large")],
            "float16",
            "numbers of 'large' are too large for float16; write float32",
        ),
    ],
)
def test_what_cannot_be_written_leaves_no_file(
    models: list[Answers], dtype: Any, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        save_answers_table(tmp_path / "a.parquet", models, dtype=dtype)
    assert not list(tmp_path.iterdir())


HEAD = {
    "format": "mgmp_jax.answers_table.v1",
    "query_sets": {"values": {"kind": "logits", "queries": "digest", "shape": [2, 3]}},
}
ROW = [0.5, -1.0, 2.0, 0.25, 1.0, -2.0]


def write(path: Path, rows: list[Any], head: Any = HEAD, size: int = 6, **names: Any) -> None:
    column = pa.array(rows, pa.list_(pa.float32(), size) if size else pa.list_(pa.float32()))
    table = pa.table({"model": names.get("model", ["a"] * len(rows)), "values": column})
    pq.write_table(table.replace_schema_metadata({"mgmp_jax": json.dumps(head)}), path)


def test_a_table_that_another_program_wrote(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [ROW, [-x for x in ROW]])
    found = read(tmp_path / "a.parquet")
    assert isinstance(found[0], Responses) and found[0].values.tolist() == [ROW[:3], ROW[3:]]


def test_a_model_with_wrong_numbers_spoils_no_other(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [ROW, [float("nan")] * 6])
    (_, right), (_, wrong) = read_group(tmp_path / "a.parquet", 0, 2)
    right()
    with pytest.raises(ValueError, match="responses of 'a'"):
        wrong()


@pytest.mark.parametrize(
    ("rows", "change", "message"),
    [
        ([ROW], {"head": {}}, "must be JSON that says the format"),
        ([ROW], {"head": {**HEAD, "query_sets": {}}}, "its columns must be model and"),
        ([ROW], {"size": 0}, "must be lists of equally many floats"),
        ([ROW[:4]], {"size": 4}, r"has 4 numbers a model, which are not \[2, 3\]"),
        ([ROW], {"model": [1]}, "model must be a string"),
        ([ROW, None], {}, MISSING),
    ],
)
def test_other_tables_are_refused(
    rows: list[Any], change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.parquet", rows, **change)
    with pytest.raises(ValueError, match=rf"a\.parquet cannot be read as a table .*{message}"):
        read(tmp_path / "a.parquet")


def test_another_table_than_was_counted_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [ROW, ROW])
    for count in (1, 3):
        with pytest.raises(ValueError, match=f"group 0 has 2 models, {count} were counted"):
            list(read_group(tmp_path / "a.parquet", 0, count))


def test_a_long_name_repeated_in_few_bytes_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [ROW] * 50, model=["a" * 10**5] * 50)
    with pytest.raises(ValueError, match="the name of a model is longer than 1000 letters"):
        list(read_group(tmp_path / "a.parquet", 0, 50))


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 8 MiB are read at a time."""
    monkeypatch.setattr(answers_table, "_LARGEST_GROUP", 2**23)


def test_no_more_is_written_into_a_group_than_is_read(tmp_path: Path, small_groups: None) -> None:
    wide = Responses(np.zeros((2**10, 2**9)), "embedding", "digest", "wide")  # of 2 MiB
    save_answers_table(tmp_path / "a.parquet", [wide] * 3)
    assert row_groups(tmp_path / "a.parquet") == [2, 1]
    with pytest.raises(ValueError, match="group must be from 1 to 65536, got 0"):
        save_answers_table(tmp_path / "a.parquet", [one(0)], group=0)


def test_a_group_larger_than_memory_is_refused_before_it_is_read(
    tmp_path: Path, small_groups: None
) -> None:
    shape = {"values": {"kind": "logits", "queries": "digest", "shape": [2**20, 1]}}
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2**20 * 5, np.float16)), 2**20)
    table = pa.table({"model": ["a"] * 5, "values": column})
    metadata = {"mgmp_jax": json.dumps({**HEAD, "query_sets": shape})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 2**20
    with pytest.raises(ValueError, match=r"5 models and unpacks to 10 MiB; at most .* 8 MiB"):
        row_groups(tmp_path / "a.parquet")


FLIP_EVERY_BYTE_OF_THE_FOOTER = """
import sys
from pathlib import Path
from mgmp_jax.answers_table import row_groups
path = Path(sys.argv[1])
sound = path.read_bytes()
end = len(sound) - 8
refused = 0
for at in range(end - int.from_bytes(sound[end : end + 4], "little"), end):
    path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
    try:
        row_groups(path)
    except ValueError:
        refused += 1
print(refused)
"""


def test_a_damaged_footer_ends_no_process(tmp_path: Path) -> None:
    save_answers_table(tmp_path / "a.parquet", [one(0), one(1)])
    command = [sys.executable, "-c", FLIP_EVERY_BYTE_OF_THE_FOOTER, str(tmp_path / "a.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100
