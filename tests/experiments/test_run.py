"""experiments/_run.py: command lines, the claim of a folder, and clean stops."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import _run
import pytest
import tyro
from configs import cifar, common

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
RESULTS = sorted((EXPERIMENTS / "results").glob("*/results.json"))
COMMANDS = sorted(
    path.stem
    for path in EXPERIMENTS.glob("*.py")
    if not path.stem.startswith("_") and path.stem not in ("tables",)
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_headline_of_its_own_and_needs_no_jax(command: str) -> None:
    code = "import sys, runpy\ntry:\n    runpy.run_path(sys.argv[1], run_name='__main__')\n"
    code += "except SystemExit:\n    assert 'jax' not in sys.modules, 'jax was imported'\n"
    path = str(EXPERIMENTS / f"{command}.py")
    done = subprocess.run(
        [sys.executable, "-c", code, path, "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{EXPERIMENTS}:{ROOT}"},
    )
    assert done.returncode == 0, done.stderr
    assert " ".join(import_module(command).Args.__doc__.split()) in " ".join(done.stdout.split())


def test_no_two_commands_share_a_headline_and_none_imports_another() -> None:
    modules = [import_module(command) for command in COMMANDS]
    assert len({module.Args.__doc__ for module in modules}) == len(modules)
    for command in COMMANDS:
        lines = (EXPERIMENTS / f"{command}.py").read_text().splitlines()
        imported = {
            line.split()[1] for line in lines if line.strip().startswith(("import ", "from "))
        }
        assert not imported & set(COMMANDS)


GONE = {"generator": None, "assemble": "addition", "head": "keep", "together": 1}
GONE |= {"non_homologous": None, "data": None}
"""Options that there were once, at their defaults."""


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_the_commands_of_committed_results_still_mean_the_same(path: Path) -> None:
    results = json.loads(path.read_text())
    _, script, *options = shlex.split(results["run"]["command"])
    args = tyro.cli(import_module(Path(script).stem).Args, args=options)
    settings = json.loads(json.dumps(_run.settings(args)))
    before = results["settings"]  # options may have come since, at their defaults
    assert {**GONE, **settings}.items() >= before.items()
    default = json.loads(json.dumps(_run.settings(type(args)())))
    assert all(settings[name] == default[name] for name in settings.keys() - before)


@pytest.fixture
def claims(monkeypatch) -> Iterator[dict]:
    """No claim of another test."""
    for name, empty in (("_CLAIMED", {}), ("_MADE", []), ("_listen", lambda: None)):
        monkeypatch.setattr(_run, name, empty)
    claimed = _run._CLAIMED
    yield claimed
    for lock in claimed.values():
        lock.close()


def start(monkeypatch, main, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["command", *options])
    _run.run(main, cifar.Args)


@pytest.mark.parametrize("below", ["", "runs"])
def test_a_file_is_no_folder_for_results(tmp_path: Path, claims, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match=r"cannot be a folder, as .*file is a file"):
        _run.claim(tmp_path / "file" / below)
    assert not claims


@pytest.mark.parametrize("kind", ["fcntl", "msvcrt"])
def test_a_folder_is_used_by_one_command_at_a_time(
    monkeypatch, tmp_path: Path, claims, kind: str
) -> None:
    out = tmp_path / "runs"
    if kind == "msvcrt":
        taken: list[int] = []

        def locking(*_: int) -> None:
            if taken:
                raise PermissionError("locked")
            taken.append(1)

        monkeypatch.setitem(sys.modules, "fcntl", None)
        fake = SimpleNamespace(locking=locking, LK_NBLCK=2)
        monkeypatch.setitem(sys.modules, "msvcrt", fake)
    _run.claim(out)
    _run.claim(out)  # it is this process's already
    lock = claims.pop(out.resolve())
    with pytest.raises(OSError, match=r"another command is using .*choose another --out"):
        _run.claim(out)
    lock.close()


def test_what_xla_compiled_is_kept_where_the_environment_says(
    monkeypatch, tmp_path: Path, claims
) -> None:
    chosen = {}
    monkeypatch.setattr("jax.config.update", chosen.__setitem__)
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    _run.claim(tmp_path)
    assert not set(names) & set(chosen)  # those of the tests
    for name in names:
        monkeypatch.delenv(name.upper())
    _run.claim(tmp_path)
    assert [chosen[name] for name in names] == [str(tmp_path.resolve() / ".jax_cache"), 0.5]


def test_a_command_without_data_says_what_else_there_is_and_leaves_nothing_behind(
    monkeypatch, tmp_path: Path, claims
) -> None:
    (tmp_path / "cifar10").mkdir()
    out = tmp_path / "a" / "b"

    def main(args: cifar.Args) -> None:
        _run.open_store(args)
        raise FileNotFoundError("cifar10 is not in DIR")

    with pytest.raises(SystemExit) as stopped:
        start(monkeypatch, main, "--out", str(out), "--data-dir", str(tmp_path))
    assert stopped.value.code == f"error: cifar10 is not in DIR\n{common.ImageArgs.instead}"
    assert not (tmp_path / "a").exists()


def test_what_was_there_or_was_written_stays(monkeypatch, tmp_path: Path, claims) -> None:
    there, made = tmp_path / "there", tmp_path / "made"
    there.mkdir()

    def main(args: cifar.Args) -> None:
        _run.claim(args.out)
        if args.out == made:
            (made / "result").touch()
        raise ValueError("impossible")

    for out in (there, made):
        with pytest.raises(SystemExit, match="error: impossible"):
            start(monkeypatch, main, "--out", str(out))
        assert out.is_dir()
    assert (made / "result").exists()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_stopped_command_says_how_to_resume(tmp_path: Path, name: str, busy: bool) -> None:
    wait = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)" if busy else "time.sleep(60)"
    code = (
        "import hashlib, os, signal, time\nimport _run\nfrom configs.cifar import Args\n"
        f"def main(args):\n    os.kill(os.getpid(), signal.{name})\n    {wait}\n"
        "_run.run(main, Args)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{EXPERIMENTS}:{ROOT}"},
        timeout=60,
    )
    assert done.stderr == "stopped; rerun the same command to resume\n"
    assert done.returncode == 128 + getattr(signal, name)


def test_a_wrong_option_is_named(tmp_path: Path) -> None:
    command = [sys.executable, str(EXPERIMENTS / "cifar.py"), "--out", str(tmp_path / "runs")]
    done = subprocess.run([*command, "--arch", "resnet19"], capture_output=True, text=True)
    assert done.returncode == 2 and "resnet19" in done.stderr
    done = subprocess.run([*command, "--eval-subsets", "3"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: give at least two --pool-subsets")
    assert not (tmp_path / "runs").exists()
