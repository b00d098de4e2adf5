"""The README's Python runs as it stands, and its command line with fewer siblings."""

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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="written for bash")
def test_the_command_line_runs(tmp_path: Path) -> None:
    pytest.importorskip("tyro", reason="pip install 'mgmp_jax[cli]'")
    pytest.importorskip("jinja2", reason="pip install 'mgmp_jax[report]'")
    (block,) = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    (tmp_path / "examples").symlink_to(Path(__file__).parents[1] / "examples")
    mgmp = f'mgmp() {{ "{sys.executable}" -m mgmp_jax.cli "$@"; }}\nset -e\n'
    few = block.replace("{00..18}", "{00..02}").replace("python ", f'"{sys.executable}" ', 1)
    done = subprocess.run(["bash", "-c", mgmp + few], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 4, done.stderr  # three siblings allow no p of 0.05
    assert "3 siblings allow no p below 0.25" in done.stdout
    assert (tmp_path / "story" / "report.html").stat().st_size > 10_000


def test_there_are_snippets_for_library_and_losses() -> None:
    assert len(SNIPPETS) == 2


def test_it_is_short() -> None:
    assert len(README.split()) <= 900
