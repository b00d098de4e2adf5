import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "experiments"))
import tables  # noqa: E402


def test_the_readme_shows_the_committed_results() -> None:
    readme = (ROOT / "README.md").read_text()
    assert tables.with_table(readme) == readme
    assert tables.results_table().count("\n") > 2
