from pathlib import Path

import pytest

from mgmp_jax import files


def test_json_comes_back(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a" / "b.json", {"x": [1, 2.5, None]})
    assert files.read_json(tmp_path / "a" / "b.json") == {"x": [1, 2.5, None]}
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    files.write_json(path, 1)
    with pytest.raises(RuntimeError), files.replacing(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ValueError, match=r"b\.json is damaged .*; delete it and run the same"):
        files.read_json(tmp_path / "b.json")
