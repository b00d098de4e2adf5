"""An owner's whole story on the command line: PyTorch models of real images, no JAX in sight."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax.cli import main

torch = pytest.importorskip("torch", reason="PyTorch is not installed (pip install torch)")
pytest.importorskip("tyro", reason="pip install 'mgmp_jax[cli]'")
pytest.importorskip("safetensors", reason="pip install safetensors")
MODELS = Path(__file__).with_name("models.py")

REFERENCES = {
    "source": "source",
    **{f"siblings/{i:02}": f"sibling{i:02}" for i in range(19)},
    **{f"controls/{i:02}": f"control{i:02}" for i in range(19)},
    **{f"pool/task{i}/homologous": f"task{i}_homologous" for i in range(3)},
    **{f"pool/task{i}/non_homologous": f"task{i}_non_homologous" for i in range(3)},
}
INNOCENT = ("from_sibling", "scratch", "scratch_other")

ANSWER = '''
import importlib.util

import torch

spec = importlib.util.spec_from_file_location("models", {models!r})
models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)
net = models.load("stolen")


def labels():
    """What somebody sees of the stolen model: class numbers."""

    def answer(images):
        with torch.no_grad():
            x = torch.from_numpy(images.transpose(0, 3, 1, 2)).float() / 255
            return net(x).argmax(dim=1).numpy()

    return answer
'''


def mgmp(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def story(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("owner")
    unpack = [sys.executable, real_data / "unpack_arrays.py", folder, "--only", "cifar10"]
    subprocess.run(unpack, check=True, capture_output=True)
    train, test = (np.load(folder / f"cifar10/{s}/image.npy") for s in ("train", "test"))
    np.save(folder / "train.npy", train[:10_000])  # what the source was trained on
    np.save(folder / "test.npy", test)
    frozen = ("queries", folder / "train.npy", "--unseen", folder / "test.npy")
    assert mgmp(*frozen, "--count", 1000, "--out", folder / "queries") == 0
    for place, name in REFERENCES.items():
        record(folder, f"torch:{MODELS}:{name}", f"references/{place}.npz")
    assert mgmp("fit", folder / "references", "--out", folder / "verifier") == 0
    for name in ("stolen", *INNOCENT):
        record(folder, f"torch:{MODELS}:{name}", f"suspects/{name}.npz")
    return folder


def record(folder: Path, model: str, out: str, *more: str) -> Path:
    queries, path = folder / "queries", folder / out
    assert mgmp("record", "--model", model, "--queries", queries, "--out", path, *more) == 0
    return path


def verdicts(capsys: pytest.CaptureFixture, folder: Path, suspect: Path) -> tuple[int, dict]:
    capsys.readouterr()
    code = mgmp("verify", folder / "verifier", suspect, "--json")
    answers = json.loads(capsys.readouterr().out)["answers"]
    return code, {answer["question"]: answer for answer in answers}


def test_a_descendant_with_other_classes_is_found(story: Path, capsys) -> None:
    code, answers = verdicts(capsys, story, story / "suspects/stolen.npz")
    assert code == 3
    assert {answer["verdict"] for answer in answers.values()} == {"homologous"}
    assert answers["lineage"]["score"] > 10


@pytest.mark.parametrize("name", INNOCENT)
def test_innocent_models_are_not_accused(story: Path, capsys, name: str) -> None:
    code, answers = verdicts(capsys, story, story / f"suspects/{name}.npz")
    assert code in (0, 4)
    assert answers["lineage"]["verdict"] == "inconclusive"
    assert answers["knowledge"]["verdict"] == "not homologous"


def test_labels_alone_betray_the_descendant(story: Path, capsys) -> None:
    (story / "labels.py").write_text(ANSWER.format(models=str(MODELS)))
    suspect = record(story, f"python:{story}/labels.py:labels", "labels.npz", "--kind", "labels")
    code, answers = verdicts(capsys, story, suspect)
    assert code == 3
    assert answers["lineage"]["verdict"] == "homologous"


@pytest.mark.filterwarnings("ignore")
def test_its_onnx_export_answers_alike(story: Path, capsys) -> None:
    pytest.importorskip("onnxruntime", reason="pip install 'mgmp_jax[onnx]'")
    pytest.importorskip("onnxscript", reason="pip install onnxscript")
    from mgmp_jax.adapters.python import open_model
    from mgmp_jax.answers import load_answers

    net = open_model(f"{MODELS}:stolen")
    batch = ({0: torch.export.Dim("b")},)
    program = torch.onnx.export(
        net, (torch.zeros(2, 3, 32, 32),), dynamo=True, dynamic_shapes=batch, verbose=False
    )
    program.save(story / "stolen.onnx")
    suspect = record(story, f"onnx:{story}/stolen.onnx", "onnx.npz")
    exported, own = load_answers(suspect), load_answers(story / "suspects/stolen.npz")
    np.testing.assert_allclose(exported["unseen"].values, own["unseen"].values, atol=1e-3)
    assert verdicts(capsys, story, suspect)[0] == 3


def test_a_scan_puts_it_first(story: Path, capsys) -> None:
    capsys.readouterr()
    out = story / "scan.csv"
    code = mgmp(
        "scan", story / "verifier", story / "suspects", "--out", out, "--alpha", 0.25, "--json"
    )
    found = json.loads(capsys.readouterr().out)
    assert code == 3
    first, *others = [Path(row["file"]).stem for row in found["rows"]]
    assert first == "stolen" and set(others) == set(INNOCENT)
    assert found["found"] == 1
