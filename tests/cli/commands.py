"""Calls ``mgmp`` as a user does, on toy models."""

import json
from pathlib import Path

import pytest

from mgmp_jax.cli import main

TOYS = Path(__file__).parents[2] / "examples" / "toy_models.py"
INNOCENT = [f"innocent{i}" for i in range(5, 10)]  # one in twenty is accused at the level 0.05


def record(folder: Path, model: str, out: str, *more: str) -> int:
    queries, file = str(folder / "queries"), str(folder / out)
    return main(["record", "--model", model, "--queries", queries, "--out", file, *more])


def asked(capsys: pytest.CaptureFixture, *arguments: object) -> tuple[int, dict]:
    capsys.readouterr()
    code = main([*map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """What is said of wrong input, in one sentence on one line."""
    capsys.readouterr()
    assert main(list(map(str, arguments))) == 2
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("error: ") and said.err.count("\n") == 1
    return said.err
