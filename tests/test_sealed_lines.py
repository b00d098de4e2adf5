from pathlib import Path
from typing import Any

import pytest

from mgmp_jax.sealed_lines import OfAnotherError, SealedLines


def open_lines(path: Path, first: Any, found: list[Any]) -> SealedLines:
    return SealedLines(path, first, found.append, found.append, "delete it")


def write(path: Path) -> bytes:
    with open_lines(path, {"of": "a"}, []) as lines:
        lines.append({"n": 1})
        lines.append({"n": 2})
    return path.read_bytes()


def test_entries_come_back_in_order_and_the_file_goes_on(tmp_path: Path) -> None:
    path, found = tmp_path / "new/j", []
    whole = write(path)
    with open_lines(path, {"of": "not asked for"}, found) as lines:
        assert found == [{"of": "a"}, {"n": 1}, {"n": 2}]
        lines.append({"n": 3})
    assert path.read_bytes().startswith(whole)


def test_a_torn_line_is_taken_away_and_any_other_damage_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    whole = write(path)
    for cut in range(1, len(whole)):
        path.write_bytes(whole[:-cut])
        found: list[Any] = []
        open_lines(path, {"of": "a"}, found).close()
        lines = whole[:-cut].count(b"\n")
        assert found == [{"of": "a"}, {"n": 1}, {"n": 2}][:lines]
        assert path.read_bytes().count(b"\n") == max(lines, 1)
    for place in range(len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"line [123] of .*j is damaged .*; delete it"):
            open_lines(path, {"of": "a"}, [])


def test_what_is_of_something_else_is_said_as_it_is(tmp_path: Path) -> None:
    def refuse(entry: Any) -> None:
        raise OfAnotherError("it is of another")

    write(tmp_path / "j")
    with pytest.raises(OfAnotherError, match=r"^it is of another$"):
        SealedLines(tmp_path / "j", {}, refuse, print, "delete it")
    with pytest.raises(ValueError, match="is no regular file"):
        SealedLines(tmp_path, {}, refuse, print, "delete it")


def test_a_file_that_is_no_journal_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "j").write_text('{"precious": 1}')
    with pytest.raises(ValueError, match="j is no journal; choose another path"):
        open_lines(tmp_path / "j", {}, [])
    assert (tmp_path / "j").read_text() == '{"precious": 1}'
