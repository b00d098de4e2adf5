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
    text = tables.PAGES[page]()
    assert (ROOT / "docs" / page).read_text() == text
    assert text.count("| extended") >= 2
