"""The README's Python runs as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_run(number: int) -> None:
    done = subprocess.run([sys.executable, "-c", SNIPPETS[number]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "Verifier" in SNIPPETS[number]:
        assert re.findall(r"verdict='(.*?)'", done.stdout) == ["homologous", "not homologous"]
    elif "sibling_test" in SNIPPETS[number]:
        exact, t_tail, _ = map(float, done.stdout.split())
        assert exact == 1 / 20
        assert t_tail < 0.05
    else:
        assert 0 < float(done.stdout) < 100


def test_there_are_snippets_for_losses_library_and_sibling_test() -> None:
    assert len(SNIPPETS) == 3
