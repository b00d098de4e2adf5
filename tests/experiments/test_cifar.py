"""experiments/cifar.py: its arguments, and that kill -9 at any moment changes no number."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import cifar
import pytest
from _rows import cifar_row
from configs import cifar as config

COMMAND = [
    sys.executable,
    str(Path(__file__).with_name("tiny_cifar.py")),
    *("--arch", "alexnet", "--preset", "demo", "--data", "glyphs"),
    *("--pool-subsets", "3", "6", "--eval-subsets", "1", "2", "--jobs", "1"),
]


def test_rows_are_those_of_the_paper() -> None:
    for number, (arch, pool, evaluation, _) in config.ROWS.items():
        row = cifar_row(config.Args(arch=arch, row=number))
        assert [pair.task for pair in row.pool] == [f"subset {s}" for s in pool]
        assert [pair.task for pair in row.evaluation] == [f"subset {s}" for s in evaluation]
        assert len({pair.homologous.seed for pair in row.pairs}) == 10
        for pair in row.pairs:
            assert pair.homologous.start == row.source
            assert pair.non_homologous == dataclasses.replace(pair.homologous, start=None)


def test_rows_share_their_models() -> None:
    rows = [cifar_row(config.Args(row=number)) for number in (1, 2, 3)]
    assert len({pair.homologous.address for row in rows for pair in row.pairs}) == 10
    assert len({row.source.address for row in rows}) == 1
    assert len({repr(row) for row in rows}) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"row": 4},
            r"of resnet18 in Table 1 are \[1, 2, 3\], got 4; others: 4 with --arch alexnet",
        ),
        ({"pool_subsets": (1, 2), "eval_subsets": (2, 3)}, "must be disjoint"),
        ({"pool_subsets": (1, 1), "eval_subsets": (2,)}, "without repetition"),
        ({"pool_subsets": (1, 10), "eval_subsets": (2,)}, r"subsets are 0 to 9, got \[10\]"),
        ({"pool_subsets": (1, 2)}, "and at least one of --eval-subsets"),
        ({"pool_subsets": (1,), "eval_subsets": (2,)}, "at least two --pool-subsets"),
        ({"seeds": 0}, "--seeds must be at least 1, got 0"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cifar_row(config.Args(**arguments))


def test_all_rows_are_those_of_table_1(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("_rows.run_row", lambda _, row, *__: row)
    rows = cifar.main(config.Args(row="all", preset="small", out=tmp_path))
    assert [row.paper for row in rows] == [paper for *_, paper in config.ROWS.values()]
    assert [row.source.arch for row in rows] == [arch for arch, *_ in config.ROWS.values()]
    with pytest.raises(ValueError, match="--row all has its own subsets"):
        cifar.main(config.Args(row="all", pool_subsets=(1, 2), out=tmp_path))


def run(out: Path) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, "--out", str(out)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without a break."""
    out = tmp_path_factory.mktemp("whole")
    done = run(out)
    assert done.returncode == 0, done.stderr
    return out


def numbers(out: Path) -> dict:
    results = json.loads(next(out.glob("*/results.json")).read_text())
    assert (results["experiment"], results["schema"]) == ("cifar", 2)
    return {key: value for key, value in results.items() if key != "run"}


PHASES = {
    "source": "models/*glyphs10-*/state/*",
    "MGMP": "glyphs*/*/seed0/state/*",
    "evaluation": "glyphs*/extended/seed0/verifier/verifier.npz",
}
"""A file whose appearance shows that a phase is under way (the last one: has begun)."""


@pytest.mark.slow
def test_kill_9_in_any_phase_changes_no_number(whole: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut"
    for phase, pattern in PHASES.items():
        process = subprocess.Popen(
            [*COMMAND, "--out", str(cut)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 300
        while not any(cut.glob(pattern)):
            assert process.poll() is None, f"the run ended before its phase {phase}"
            assert time.monotonic() < deadline, f"phase {phase} never came"
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"the run ended before it was killed in {phase}"
        assert not any(cut.glob("*/results.json")), phase
    done = run(cut)
    assert done.returncode == 0, done.stderr
    assert numbers(cut) == numbers(whole)
    left = numbers(whole)["left_of_the_source"]
    assert sorted(left) == [f"subset {subset}" for subset in (1, 2, 3, 6)]
    assert all(0 < share < 1 for share in left.values())
    for picture in ("fragments.png", "scores.png"):
        assert next(cut.glob(f"*/{picture}")).stat().st_size > 10_000


@pytest.mark.slow
def test_two_processes_run_one_command_together(whole: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    several = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": "2"}
    command = [*COMMAND, "--distributed", "--out", str(tmp_path)]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **several, "JAX_PROCESS_ID": str(i)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    try:
        (told, error), (nothing, other_error) = (one.communicate(timeout=240) for one in started)
    finally:
        for one in started:
            one.kill()
    assert [one.returncode for one in started] == [0, 0], error + other_error
    assert "Evaluation" in told and "Evaluation" not in nothing
    alone, together = numbers(whole), numbers(tmp_path)
    assert together.keys() == alone.keys() and together["settings"] == alone["settings"]
    assert together["models"].keys() == alone["models"].keys()
    for name, accuracy in together["models"].items():
        assert accuracy == pytest.approx(alone["models"][name], abs=0.1), name
    for name, found in together["methods"].items():
        assert found["accuracy"] == pytest.approx(alone["methods"][name]["accuracy"], abs=0.1), name
