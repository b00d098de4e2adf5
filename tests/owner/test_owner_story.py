"""An owner's whole story on the command line: PyTorch models of real images, no JAX in sight."""

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from mgmp_jax.answers import load_answers
from mgmp_jax.cli import main
from tests.mlserver import mlserver

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

RUNTIME = """
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Stolen(MLModel):
    async def load(self):
        self.session = onnxruntime.InferenceSession({path!r})
        return True

    async def predict(self, payload):
        images = NumpyCodec.decode_input(payload.inputs[0]).astype("float32")
        (name,) = [one.name for one in self.session.get_inputs()]
        (logits,) = self.session.run(None, {{name: images}})
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("logits", logits)]
        )
"""

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


@pytest.fixture(scope="session")
def story(real_data: Path, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The folder of the story, made by the first process of the suite that needs it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "owner"
    with FileLock(f"{folder}.lock"):
        if not (folder / f"suspects/{INNOCENT[-1]}.npz").exists():  # what is made last
            tell(folder, real_data)
    return folder


def tell(folder: Path, real_data: Path) -> None:
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


@pytest.fixture(scope="session")
def exported(story: Path) -> Path:
    pytest.importorskip("onnxruntime", reason="pip install 'mgmp_jax[onnx]'")
    pytest.importorskip("onnxscript", reason="pip install onnxscript")
    from mgmp_jax.adapters.python import open_model

    path = story / "stolen.onnx"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            net, batch = open_model(f"{MODELS}:stolen"), ({0: torch.export.Dim("b")},)
            with warnings.catch_warnings(action="ignore"):
                images = (torch.zeros(2, 3, 32, 32),)
                program = torch.onnx.export(
                    net, images, dynamo=True, dynamic_shapes=batch, verbose=False
                )
            program.save(path)
    return path


def answers_alike(story: Path, suspect: Path) -> None:
    found, own = load_answers(suspect), load_answers(story / "suspects/stolen.npz")
    for queries in ("training", "unseen"):
        np.testing.assert_allclose(found[queries].values, own[queries].values, atol=1e-3)


def test_its_onnx_export_answers_alike(story: Path, exported: Path, capsys) -> None:
    suspect = record(story, f"onnx:{exported}", "onnx.npz")
    answers_alike(story, suspect)
    assert verdicts(capsys, story, suspect)[0] == 3


def test_the_gate_of_the_docs_stops_it(story: Path, exported: Path, tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml", reason="pip install pyyaml")
    page = (MODELS.parents[2] / "docs" / "gate.md").read_text()
    workflow, hooks = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    steps = [step["run"] for step in workflow["jobs"]["verify"]["steps"] if "run" in step]
    assert steps.pop(0).startswith("pip install")
    (hook,) = hooks["repos"][0]["hooks"]
    for name in ("queries", "verifier"):
        (tmp_path / name).symlink_to(story / name)
    (tmp_path / "model.onnx").write_bytes(exported.read_bytes())
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    job = "\n".join(steps)
    for script, code in ((job, 1), (hook["entry"], 3), (hook["entry"], 3)):
        shell, env = ["bash", "-e", "-c", script], {**os.environ, "PATH": path}
        done = subprocess.run(shell, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        said = "::error::homologous to a protected model" if script == job else "HOMOLOGOUS"
        assert said in done.stdout


def test_it_is_found_behind_a_server(story: Path, exported: Path, capsys, tmp_path: Path) -> None:
    pytest.importorskip("httpx", reason="pip install 'mgmp_jax[http]'")
    tensor = {"name": "images", "datatype": "FP32", "shape": [-1, 3, 32, 32]}
    runtime = RUNTIME.format(path=str(exported))
    with mlserver(tmp_path, {"Stolen": tensor}, runtime) as address:
        model = f"{address}/v2/models/Stolen/infer#scale=unit&budget=2000"
        suspect = record(story, model, "served.npz", "--batch-size", "50")
    answers_alike(story, suspect)
    assert verdicts(capsys, story, suspect)[0] == 3
    suspect.unlink()
    assert record(story, model, "served.npz") == suspect  # the server is gone, the journal is not
    answers_alike(story, suspect)


def test_the_verdict_is_signed_and_checked(story: Path, tmp_path: Path) -> None:
    for package in ("model_signing", "jinja2", "matplotlib"):
        pytest.importorskip(package, reason="pip install 'mgmp_jax[signing,report]'")
    suspect, evidence = story / "suspects/stolen.npz", tmp_path / "evidence.npz"
    key, public, report = tmp_path / "key.pem", tmp_path / "public.pem", tmp_path / "report"
    openssl = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key]
    subprocess.run(openssl, check=True, capture_output=True)
    openssl = ["openssl", "ec", "-in", key, "-pubout", "-out", public]
    subprocess.run(openssl, check=True, capture_output=True)
    assert mgmp("verify", story / "verifier", suspect, "--evidence", evidence) == 3
    about = ("--suspect", suspect, "--queries", story / "queries")
    assert mgmp("report", evidence, "--out", report, *about) == 0
    assert mgmp("sign", report, "--private-key", key) == 0
    again = ("--verifier", story / "verifier", "--suspect", suspect)
    assert mgmp("check", report, "--public-key", public, *again) == 0
    bom = json.loads((report / "cyclonedx.json").read_text())
    assert bom["metadata"]["component"]["pedigree"]["variants"][0]["name"] == "source"


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
    assert found["found"] == {"lineage": 1, "knowledge": 1}
