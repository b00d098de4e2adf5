"""One of several processes that train an MGMP together: a program of its own.

Run as ``process.py FOLDER STOP``, with how many processes there are in the environment.
"""

import os
import sys
from pathlib import Path

import jax
import numpy as np

from mgmp_jax import training
from mgmp_jax.config import PAPER
from mgmp_jax.methods import mgmp_step
from mgmp_jax.methods.fragments import gather_pair
from mgmp_jax.methods.mgmp_train import Training

N, D, PAIRS, EPOCHS = 32, 4, 2, 2
CONFIG = PAPER.replace(
    generator="resnet18", generator_width=2, response="logits", epochs=EPOCHS, batch_size=N
)


def made(folder: Path) -> Training:
    """Makes a training on images and responses of random numbers."""
    rng = np.random.default_rng(0)
    data: dict[str, np.ndarray] = {
        name: rng.normal(size=(PAIRS, N, D)).astype(np.float32)
        for name in ("source", "homologous", "non_homologous")
    }
    data["inputs"] = rng.integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
    return Training(CONFIG, data, folder=folder)


def train(folder: Path, stop: int) -> None:
    """Trains, keeps the first process's state after each epoch; is cut off after ``stop``."""
    one = made(folder)
    step, optimizer = mgmp_step.make_step(CONFIG, D)

    def keep(epoch: int, state: training.TrainState) -> None:
        if epoch > stop:
            os._exit(0)
        paths = jax.tree_util.tree_leaves_with_path(jax.device_get(state))
        if jax.process_index() == 0:
            arrays = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in paths}
            np.savez(folder / f"{epoch}.npz", allow_pickle=False, **arrays)

    state = training.create_state(one.start(), optimizer)
    training.fit(
        step, state, one.data, order=one.order, epochs=EPOCHS, key=one.key,
        gather=gather_pair, folder=folder, on_epoch=keep, mesh=training.data_mesh(),
    )  # fmt: skip


if __name__ == "__main__":
    if "JAX_NUM_PROCESSES" in os.environ:
        training.start_processes()
    train(Path(sys.argv[1]), int(sys.argv[2]))
