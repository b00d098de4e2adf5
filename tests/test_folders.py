import os
from pathlib import Path

import pytest

from mgmp_jax import folders


@pytest.mark.parametrize("below", ["", "a/b"])
def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"cannot be a folder, as .*file is a file"):
        folders.make(tmp_path / "file" / below)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_followed_each_time_but_not_in_circles(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "to_itself").symlink_to(tmp_path / "b")
    found = {str(p.relative_to(tmp_path)) for p in folders.walk(tmp_path) if p.is_file()}
    assert found == {"a/file", "a/to_b/file", "b/file", "b/to_a/file"}
