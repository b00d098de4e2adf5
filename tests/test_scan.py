import csv
import importlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from mgmp_jax.answers import load_answers, save_answers
from mgmp_jax.answers_table import save_answers_table
from mgmp_jax.methods import SiblingTest
from mgmp_jax.scan import COLUMNS, Portion, fewest_found, find_suspects, rank, scan, write_table
from mgmp_jax.verifier import Verifier
from tests.families import Family


@pytest.fixture(scope="module")
def family() -> Family:
    return Family(120, seed=3)


@pytest.fixture(scope="module")
def verifier(family: Family) -> Verifier:
    return Verifier.fit(family.references(0, siblings=9, controls=9), [SiblingTest()])


@pytest.fixture
def suspects(family: Family, tmp_path: Path) -> list[Portion]:
    for name in ("a", "b", "c"):
        own = family.own if name == "b" else family.noise()
        save_answers(tmp_path / f"suspects/{name}.npz", family.tuned(own, name=f"={name}"))
    return find_suspects([tmp_path / "suspects"])


@pytest.mark.parametrize(
    ("suspects", "m", "alpha", "least"),
    [(6, 19, 0.05, 6), (100, 19, 0.05, 100), (100, 99, 0.05, 20), (10, 19, 0.5, 1)],
)
def test_so_many_are_found_at_least(suspects: int, m: int, alpha: float, least: int) -> None:
    assert fewest_found(suspects, m, alpha) == least
    for found in (least, least - 1):
        p = [1 / (m + 1)] * found + [1.0] * (suspects - found)
        q = stats.false_discovery_control(p)
        assert sum(q <= alpha + 1e-12) == (found if found == least else 0)


def test_every_file_is_found_once(suspects: list[Portion], tmp_path: Path) -> None:
    paths = [one.path for one in suspects]
    again = [tmp_path / "suspects/../suspects/b.npz", *paths, tmp_path / "suspects"]
    assert [one.path.stem for one in find_suspects(again)] == ["b", "a", "c"]
    with pytest.raises(FileNotFoundError, match=r"no file or folder"):
        find_suspects([tmp_path / "x"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no .npz of answers and no table of many"):
        find_suspects([tmp_path / "empty"])


def test_a_ranking_is_no_suspect_and_a_table_of_none_is_said(
    verifier: Verifier, suspects: list[Portion], tmp_path: Path
) -> None:
    pytest.importorskip("pyarrow", reason="pip install 'mgmp_jax[cli]'")
    ranked = rank(list(scan(verifier, suspects, tmp_path / "j")))
    write_table(tmp_path / "r.parquet", ranked)
    with pytest.raises(ValueError, match=r"r.parquet is a ranking that a scan wrote"):
        find_suspects([tmp_path / "r.parquet"])
    save_answers_table(tmp_path / "one.parquet", [load_answers(suspects[0].path)])
    parquet = importlib.import_module("pyarrow.parquet")
    parquet.write_table(parquet.read_table(tmp_path / "one.parquet")[:0], tmp_path / "none.parquet")
    (row,) = scan(verifier, find_suspects([tmp_path / "none.parquet"]), tmp_path / "k")
    assert "holds no models" in row["error"]


def test_copies_of_a_file_are_one_suspect() -> None:
    def row(file: str, p: float) -> dict[str, Any]:
        found = {"lineage_p_value": p, "lineage_verdict": "homologous"}
        return {"file": file, "sha256": file[0], "knowledge_p_value": None, **found}

    once = {row["file"]: row["lineage_q_value"] for row in rank([row("a", 0.02), row("b", 0.05)])}
    copied = rank([row("a", 0.02), row("a2", 0.02), row("a3", 0.02), row("b", 0.05)])
    assert {one["file"]: one["lineage_q_value"] for one in copied} == {
        **once, "a2": once["a"], "a3": once["a"]
    }  # fmt: skip


def test_what_a_threshold_leaves_keeps_its_false_discovery_rate() -> None:
    """Of 100 suspects 30 have p = 0.01 but too low a DNA score, which helps no innocent."""

    def row(i: int) -> dict[str, Any]:
        p, verdict = (0.01, "inconclusive") if i < 30 else (0.5, "inconclusive")
        p, verdict = (0.03, "homologous") if i >= 98 else (p, verdict)
        found = {"knowledge_p_value": p, "knowledge_verdict": verdict}
        return {"file": str(i), "lineage_p_value": None, **found}

    q = {one["file"]: one["knowledge_q_value"] for one in rank([row(i) for i in range(100)])}
    assert stats.false_discovery_control([0.01] * 30 + [0.03] * 2 + [0.5] * 68)[31] < 0.1
    assert q["99"] == 1.0 and q["0"] == 1.0
    assert rank([row(98), row(99)])[0]["knowledge_q_value"] == pytest.approx(0.03)


def test_rows_are_ranked_with_a_q_value_for_each_question(
    verifier: Verifier, suspects: list[Portion], tmp_path: Path
) -> None:
    (tmp_path / "suspects/d.npz").write_bytes(b"none")
    suspects.append(Portion(tmp_path / "suspects/d.npz"))
    found = rank(list(scan(verifier, suspects, tmp_path / "j")))
    assert Path(found[0]["file"]).stem == "b" and Path(found[-1]["file"]).stem == "d"
    p = [
        row["lineage_p_value"] if row["lineage_verdict"] == "homologous" else 1.0
        for row in found[:3]
    ]
    assert [row["lineage_q_value"] for row in found[:3]] == pytest.approx(
        list(stats.false_discovery_control(p))
    )
    assert all(row["knowledge_q_value"] is None for row in found)
    write_table(tmp_path / "t.csv", found)
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert rows[0]["suspect"] == "'=b"  # no formula
    with pytest.raises(ValueError, match=r"must end in .csv or .parquet"):
        write_table(tmp_path / "t.txt", found)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_names_that_utf_8_cannot_write_are_in_the_table_with_backslashes(
    suffix: str, verifier: Verifier, tmp_path: Path
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pip install 'mgmp_jax[cli]'")
    suspect = Portion(tmp_path / "ü\udcff.npz")
    rows = rank(list(scan(verifier, [suspect], tmp_path / "j")))
    assert rows == rank(list(scan(verifier, [suspect], tmp_path / "j")))
    assert rows[0]["file"].endswith("ü\\udcff.npz") and "ü\\udcff.npz" in rows[0]["error"]
    write_table(tmp_path / f"t.{suffix}", rows)
    assert "ü\\udcff.npz".encode() in (tmp_path / f"t.{suffix}").read_bytes()


def test_a_file_that_changed_is_verified_again(
    family: Family, verifier: Verifier, suspects: list[Portion], tmp_path: Path
) -> None:
    journal = tmp_path / "j"
    suspects[2].path.write_bytes(b"none")
    before = list(scan(verifier, suspects, journal))
    assert "is damaged" in before[2]["error"]
    save_answers(suspects[0].path, family.tuned(family.own, name="now stolen"))
    save_answers(suspects[2].path, family.tuned(family.noise(), name="mended"))
    after = list(scan(verifier, suspects, journal))
    assert after[0]["lineage_p_value"] == 0.1 and after[0]["suspect"] == "now stolen"
    assert after[1] == before[1]
    assert after[2].get("error") is None and after[2]["suspect"] == "mended"
    lines = journal.read_bytes()
    assert list(scan(verifier, suspects, journal)) == after
    assert journal.read_bytes() == lines


def test_no_test_that_was_made_is_forgotten(
    verifier: Verifier, suspects: list[Portion], tmp_path: Path
) -> None:
    journal = tmp_path / "j"
    list(scan(verifier, suspects, journal))
    with pytest.raises(ValueError, match=r"holds 2 suspects that are not given now"):
        list(scan(verifier, suspects[:1], journal))
    with pytest.raises(ValueError, match=r"another verifier, threshold or level"):
        list(scan(verifier, suspects, journal, level=0.1))
    first, *others = journal.read_text().splitlines()
    journal.write_text("\n".join([first, "{", *others]) + "\n")
    with pytest.raises(ValueError, match=r"line 2 of .*j is damaged"):
        list(scan(verifier, suspects, journal))
    journal.write_text("\n".join(others) + "\n")
    with pytest.raises(ValueError, match=r"was begun with another verifier, threshold or level"):
        list(scan(verifier, suspects, journal))
    assert json.loads(first)["entry"]["verifier"] == verifier.digest


@pytest.fixture
def many(family: Family, tmp_path: Path) -> Path:
    """A folder with a table of seven suspects, of which the last one is stolen."""
    models = [family.tuned(family.noise(), name=f"model {i}") for i in range(6)]
    models.append(family.tuned(family.own, name="stolen"))
    save_answers_table(tmp_path / "many/answers.parquet", models, group=3)
    return tmp_path / "many"


def test_a_table_of_suspects_is_read_a_row_group_at_a_time(
    verifier: Verifier, many: Path, tmp_path: Path
) -> None:
    rows = rank(list(scan(verifier, find_suspects([many]), tmp_path / "j")))
    assert rows[0]["file"].endswith("answers.parquet#6") and rows[0]["suspect"] == "stolen"
    write_table(many / "ranking.parquet", rows)
    suspects = find_suspects([many])  # the ranking is passed over
    assert [portion.count for portion in suspects] == [3, 3, 1]
    whole = (tmp_path / "j").read_bytes()
    assert rank(list(scan(verifier, suspects, tmp_path / "j"))) == rows
    assert (tmp_path / "j").read_bytes() == whole


def test_a_file_that_is_no_table_costs_itself(
    verifier: Verifier, many: Path, tmp_path: Path
) -> None:
    (many / "wrong.parquet").write_bytes(b"none")
    *right, wrong = scan(verifier, find_suspects([many]), tmp_path / "j")
    assert not any(row.get("error") for row in right)
    assert "wrong.parquet cannot be read as a table of answers" in wrong["error"]


def test_a_damaged_row_group_costs_its_own_suspects(
    verifier: Verifier, many: Path, tmp_path: Path
) -> None:
    suspects = find_suspects([many])
    raw = bytearray((many / "answers.parquet").read_bytes())
    raw[len(raw) // 2] ^= 1
    (many / "answers.parquet").write_bytes(raw)
    rows = list(scan(verifier, suspects, tmp_path / "j"))
    wrong = [row.get("error") is not None for row in rows]
    assert wrong == [False] * 3 + [True] * 3 + [False]
    assert "answers.parquet cannot be read as a table of answers" in rows[3]["error"]
    raw[len(raw) // 2] ^= 1
    (many / "answers.parquet").write_bytes(raw)
    assert not any(row.get("error") for row in scan(verifier, suspects, tmp_path / "j"))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="pip install 'mgmp_jax[ray]'")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own
def test_a_cluster_finds_what_one_process_finds(
    verifier: Verifier, suspects: list[Portion], many: Path, tmp_path: Path
) -> None:
    shutil.copy(suspects[1].path, many / "one.npz")
    (many / "none.npz").write_bytes(b"none")
    portions = find_suspects([many])
    here = rank(list(scan(verifier, portions, tmp_path / "here")))
    assert rank(list(scan(verifier, portions, tmp_path / "there", cluster="ray"))) == here
