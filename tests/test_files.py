import json
from pathlib import Path

import pytest

from mgmp_jax import files


def test_json_comes_back(tmp_path: Path) -> None:
    files.write_json(tmp_path / "a" / "b.json", {"x": [1, 2.5, None]})
    assert json.loads((tmp_path / "a" / "b.json").read_text()) == {"x": [1, 2.5, None]}
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    files.write_json(path, 1)
    with pytest.raises(RuntimeError), files.replacing(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert path.read_text() == "1\n"
    assert list(tmp_path.iterdir()) == [path]
