import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
import tables  # noqa: E402


def test_the_readme_shows_the_committed_results() -> None:
    readme = (ROOT / "README.md").read_text()
    assert tables.with_table(readme) == readme
    assert tables.results_table().count("\n") > 2


def test_the_docs_show_the_committed_crossvalidation() -> None:
    assert (ROOT / "docs" / "crossvalidation.md").read_text() == tables.crossvalidation_tables()
    assert tables.crossvalidation_tables().count("| extended") > 5
