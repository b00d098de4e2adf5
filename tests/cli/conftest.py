from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.cli import main
from tests.cli.commands import INNOCENT, TOYS, record

REFERENCES = [
    "source",
    *(f"{group}/{i:02}" for group in ("siblings", "controls") for i in range(19)),
    *(f"pool/task{i}/{side}homologous" for i in range(3) for side in ("", "non_")),
]


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of queries, references, a verifier and suspects, made by the command line."""
    folder = tmp_path_factory.mktemp("story")
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        np.save(folder / f"{name}.npy", rng.integers(0, 256, (500, 4, 4, 3), np.uint8))
    queries = ["queries", str(folder / "train.npy"), "--unseen", str(folder / "test.npy")]
    assert main([*queries, "--count", "400", "--out", str(folder / "queries")]) == 0
    files = {f"references/{name}": name for name in REFERENCES}
    files |= {f"suspects/{name}": name for name in ("stolen", *INNOCENT)}
    for file, name in files.items():
        assert record(folder, f"python:{TOYS}:{name}", f"{file}.npz") == 0
    fit = ["fit", str(folder / "references"), "--out", str(folder / "verifier")]
    assert main(fit) == 0
    return folder
