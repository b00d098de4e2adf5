import pickle
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.queries import QuerySet

ROWS = QuerySet.rows(np.random.default_rng(0).normal(size=(6, 4)))
VALUES = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)


def recorded(path: Path, queries: object = ROWS, **options: str):
    return adapters.record(adapters.open_model(f"recorded:{path}"), queries, **options)


def write(path: Path, values: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez_compressed(path, logits=values)
    elif path.suffix == ".safetensors":
        pytest.importorskip("safetensors.numpy", reason="pip install safetensors").save_file(
            {"logits": values}, path
        )
    elif path.suffix == ".parquet":
        pandas = pytest.importorskip("pandas", reason="pip install pandas pyarrow")
        pytest.importorskip("pyarrow", reason="pip install pyarrow")
        pandas.DataFrame(values).rename(columns=str).to_parquet(path)
    else:
        np.savetxt(path, values, delimiter=",", header="a,b,c", comments="")


@pytest.mark.parametrize("ending", [".npy", ".npz", ".safetensors", ".parquet", ".csv"])
def test_arrays_in_files_become_responses(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"answers{ending}"
    write(path, VALUES)
    found = recorded(path, name="m")
    np.testing.assert_allclose(found.values, VALUES, rtol=1e-6)
    assert found.about == {"kind": "logits", "queries": ROWS.digest, "model": "m"}
    with pytest.raises(ValueError, match=r"have 6 rows for 4 queries"):
        recorded(path, ROWS.take(4))
    whole = path.read_bytes()
    if ending != ".csv":
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ValueError, match=r"is damaged|is no readable file of numbers"):
            recorded(path)
    path.write_bytes(pickle.dumps(VALUES))
    with pytest.raises(ValueError, match=r"is damaged|is no readable file of numbers"):
        recorded(path)


def test_labels_may_be_a_column(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("label\n0\n2\n1\n1\n0\n2\n")
    found = recorded(tmp_path / "labels.csv", kind="labels")
    assert found.values.argmax(axis=1).tolist() == [0, 2, 1, 1, 0, 2]


def test_several_query_sets_need_an_array_each(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", training=VALUES, unseen=2 * VALUES)
    sets = {"training": ROWS, "unseen": QuerySet.rows(-ROWS.inputs)}
    found = recorded(tmp_path / "m.npz", sets)
    np.testing.assert_array_equal(found["unseen"].values, 2 * VALUES)
    with pytest.raises(ValueError, match=r"expected one for one query set"):
        recorded(tmp_path / "m.npz")
    np.save(tmp_path / "m.npy", VALUES)
    with pytest.raises(ValueError, match=r"but none of the query set 'training'; give an .npz"):
        recorded(tmp_path / "m.npy", sets)


def test_files_that_unpack_to_too_much_and_other_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"must end in .npy, .npz"):
        recorded(tmp_path / "m.pkl")
    with pytest.raises(FileNotFoundError, match=r"no file"):
        recorded(tmp_path / "m.npy")
    monkeypatch.setattr("mgmp_jax.adapters.recorded._LARGEST", 100_000)
    for name in ("zeros.npz", "zeros.parquet"):
        write(tmp_path / name, np.zeros((10_000, 3), np.float32))
        assert (tmp_path / name).stat().st_size < 20_000
        with pytest.raises(ValueError, match=r"are larger than 4 GiB"):
            recorded(tmp_path / name)
