import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


DEVICES = 2


def train(folder: Path, stop: int, number: int) -> None:
    """Trains in so many processes, which have two devices in all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    several = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(number)}
    command = [sys.executable, "-m", "tests.training.process", str(folder), str(stop)]
    started = []
    for i in range(number):
        own = {**several, "JAX_PROCESS_ID": str(i)} if number > 1 else {}
        given = os.environ.get("XLA_FLAGS", "")
        flags = f"{given} --xla_force_host_platform_device_count={DEVICES // number}"
        environment = {**os.environ, **own, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
        started.append(
            subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        )
    try:
        for one in started:
            _, error = one.communicate(timeout=120)
            assert one.returncode == 0, error[-3000:]
    finally:
        for one in started:
            one.kill()


def kept(folder: Path, epoch: int) -> dict[str, np.ndarray]:
    with np.load(folder / f"{epoch}.npz") as arrays:
        return dict(arrays)


def check_equal(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> None:
    """Compares states; one step an epoch: Adam's first moments are a tenth of gradients."""
    assert one.keys() == two.keys()
    assert any(".mu" in name for name in one) and any("batch_stats" in name for name in one)
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, rtol=1e-5, atol=1e-5, err_msg=name)


def losses(folder: Path) -> list[float]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_two_processes_train_as_one_and_one_goes_on_from_two(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    train(one, 2, 1)  # without a break
    train(two, 1, 2)  # cut off in the second epoch
    check_equal(kept(one, 1), kept(two, 1))
    assert not (two / "2.npz").exists()
    train(two, 2, 1)
    check_equal(kept(one, 2), kept(two, 2))
    assert len(losses(two)) == 2
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-5)
