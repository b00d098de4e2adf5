"""Starts a real MLServer on loopback."""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest


@contextlib.contextmanager
def mlserver(folder: Path, models: Mapping[str, Any], runtime: str) -> Iterator[str]:
    """Serves models of ``runtime``, which has a class of the name of each; skips without MLServer.

    Args:
        folder: for what it reads and logs.
        models: the one input of each model, by the model's name.
        runtime: Python code, run by the server's own Python.

    Yields:
        The address of the server.
    """
    command = shutil.which("mlserver")
    if command is None:
        pytest.skip("no mlserver on the path (pip install mlserver==1.7.1, in a place of its own)")
    (folder / "runtimes.py").write_text(runtime)
    for name, tensor in models.items():
        about = {"name": name, "implementation": f"runtimes.{name}", "inputs": [tensor]}
        (folder / name).mkdir()
        (folder / name / "model-settings.json").write_text(json.dumps(about))
        (folder / name / "runtimes.py").write_text(runtime)
    ports = [_free_port() for _ in range(2)]
    settings = {
        "host": "127.0.0.1",
        "http_port": ports[0],
        "grpc_port": ports[1],
        "metrics_endpoint": None,
        "parallel_workers": 0,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([command, "start", "."], cwd=folder, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{ports[0]}"
        _await_ready(f"{address}/v2/health/ready", process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(30)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _await_ready(url: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"MLServer did not start: {log.read_text()[-2000:]}")
