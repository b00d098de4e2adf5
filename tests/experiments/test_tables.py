import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
import tables  # noqa: E402


def test_the_readme_shows_the_committed_results() -> None:
    readme = (ROOT / "README.md").read_text()
    assert tables.with_table(readme) == readme
    assert tables.summary_table().count("\n") > 2


@pytest.mark.parametrize("page", tables.PAGES)
def test_the_docs_show_the_committed_results(page: str) -> None:
    text = tables.page(page)
    assert (ROOT / "docs" / page).read_text() == text
    assert text.count("| extended") >= 2
    assert not re.search(r"\{\w+\}", text)


def test_every_part_has_its_place() -> None:
    templates = ROOT / "experiments" / "templates"
    text = "".join((templates / page).read_text() for page in tables.PAGES)
    assert sorted(re.findall(r"^\{(\w+)\}$", text, re.MULTILINE)) == sorted(tables.PARTS)


def test_rows_without_a_result_are_named(monkeypatch) -> None:
    names = ["cifar-resnet18-row1-small", "minilm-row1-stand-ins-small-pretrained"]
    monkeypatch.setattr(tables, "rows", lambda: [(name, {}) for name in names])
    found = list(tables.not_run())
    assert len(found) == 6 + 3
    assert "Table 1, row 1 (resnet18)" not in found
    assert "Table 2, row 4 (bert-base)" in found
