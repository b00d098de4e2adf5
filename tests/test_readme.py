"""The README's Python runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_run(number: int, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SNIPPETS[number]], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    if "Verifier" in SNIPPETS[number]:
        verdicts = re.findall(r"(?:knowledge|lineage): ([A-Z ]+)\.", done.stdout)
        assert verdicts == ["HOMOLOGOUS", "HOMOLOGOUS", "NOT HOMOLOGOUS", "INCONCLUSIVE"]
    else:
        assert 0 < float(done.stdout) < 100


def test_there_are_snippets_for_library_and_losses() -> None:
    assert len(SNIPPETS) == 2


def test_it_is_short() -> None:
    assert len(README.split()) <= 900
