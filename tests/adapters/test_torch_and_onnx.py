"""PyTorch modules and their ONNX exports, on raw images."""

from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.queries import QuerySet

torch = pytest.importorskip("torch", reason="pip install torch")
nn = torch.nn

IMAGES = QuerySet.images(np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8))
PIXELS = Pixels((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))


def network() -> "torch.nn.Module":
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5))
    return nn.Sequential(*layers, nn.Linear(144, 7))


def by_hand(net: "torch.nn.Module") -> np.ndarray:
    x = (IMAGES.inputs / 255 - np.array(PIXELS.mean)) / np.array(PIXELS.std)
    with torch.no_grad():
        return net.eval()(torch.tensor(x.transpose(0, 3, 1, 2), dtype=torch.float32)).numpy()


def test_a_module_is_asked_in_evaluation_mode_and_left_as_it_was() -> None:
    net = network()
    net.train()
    net[1].eval()
    found = adapters.record(net, IMAGES, name="net", batch_size=4, pixels=PIXELS)
    assert [module.training for module in net] == [True, False, True, True, True, True]
    assert net.training and net[0].weight.grad is None
    assert (found.kind, found.model) == ("logits", "net")
    np.testing.assert_allclose(found.values, by_hand(net), atol=1e-5)


@pytest.mark.parametrize("wrapped", ["tuple", "object"])
def test_outputs_may_be_wrapped(wrapped: str) -> None:
    class Wrapping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x):
            logits = self.net(x)
            return (logits, x) if wrapped == "tuple" else type("Out", (), {"logits": logits})()

    net = Wrapping()
    np.testing.assert_allclose(
        adapters.record(net, IMAGES, pixels=PIXELS).values, by_hand(net.net), atol=1e-5
    )


def test_other_outputs_and_texts_are_refused_and_half_precision_is_read() -> None:
    class Named(nn.Module):
        def forward(self, x):
            return {"scores": x}

    with pytest.raises(ValueError, match=r"the module gave a dict; expected a tensor"):
        adapters.record(Named(), IMAGES)
    with pytest.raises(ValueError, match=r"reads no texts; give a function"):
        adapters.record(network(), QuerySet.texts(["a"]))
    rows = QuerySet.rows(np.random.default_rng(1).normal(size=(6, 5)))
    found = adapters.record(nn.Linear(5, 2).to(torch.bfloat16), rows)
    assert found.values.shape == (6, 2)


def test_a_module_is_opened_from_a_python_file(tmp_path: Path) -> None:
    code = "import torch\n\n\ndef load():\n    return torch.nn.Linear(5, 2)\n"
    (tmp_path / "nets.py").write_text(code)
    net = adapters.open_model(f"torch:{tmp_path}/nets.py:load")
    assert isinstance(net, nn.Linear)


def export(net: "torch.nn.Module", path: Path, batch: int | None) -> None:
    pytest.importorskip("onnxscript", reason="pip install onnxscript")
    x = torch.zeros(batch or 2, 3, 8, 8)
    dynamic = None if batch else ({0: torch.export.Dim("b")},)
    program = torch.onnx.export(
        net.eval(), (x,), dynamo=True, dynamic_shapes=dynamic, verbose=False
    )
    program.save(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("batch", [None, 4])
def test_an_export_answers_as_the_module(tmp_path: Path, batch: int | None) -> None:
    pytest.importorskip("onnxruntime", reason="pip install 'mgmp_jax[onnx]'")
    net = network()
    export(net, tmp_path / "net.onnx", batch)
    model = adapters.open_model(f"onnx:{tmp_path}/net.onnx")
    found = adapters.record(model, IMAGES, pixels=PIXELS)
    np.testing.assert_allclose(found.values, by_hand(net), atol=1e-4)
    with pytest.raises(ValueError, match=r"no output 'scores'; it has"):
        adapters.record(model, IMAGES, output="scores")
    with pytest.raises(ValueError, match=r"does not read float32 \[\d+, 5\]"):
        adapters.record(model, QuerySet.rows(np.eye(5)))


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="pip install 'mgmp_jax[onnx]'")
    with pytest.raises(FileNotFoundError, match=r"no file"):
        adapters.open_model("onnx:nothing.onnx")
    (tmp_path / "x.onnx").write_bytes(b"\x08\x08 no model")
    with pytest.raises(ValueError, match=r"x.onnx is no readable ONNX model"):
        adapters.open_model(f"onnx:{tmp_path}/x.onnx")
