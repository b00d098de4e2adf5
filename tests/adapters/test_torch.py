from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.queries import QuerySet

torch = pytest.importorskip("torch", reason="pip install 'mgmp_jax[torch]'")
nn = torch.nn

RNG = np.random.default_rng(11)
IMAGES = QuerySet.images(RNG.integers(0, 256, (11, 6, 5, 3), np.uint8))
ROWS = QuerySet.rows(RNG.normal(size=(11, 4)))


@pytest.fixture
def module():
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(4 * 4 * 3, 7))


def forward(module, inputs: np.ndarray) -> np.ndarray:
    module.eval()
    with torch.no_grad():
        return module(torch.tensor(inputs)).numpy()


@pytest.mark.parametrize("batch_size", [3, 11, 256])
def test_it_answers_as_its_own_forward_does(module, batch_size: int) -> None:
    found = adapters.record(module, IMAGES, name="m", batch_size=batch_size)
    scaled = IMAGES.inputs.transpose(0, 3, 1, 2).astype(np.float32) / 255
    np.testing.assert_allclose(found.values, forward(module, scaled), atol=1e-5)
    assert found.about == {"kind": "logits", "queries": IMAGES.digest, "model": "m"}


def test_pixels_are_fed_as_told(module) -> None:
    pixels = Pixels((0.4, 0.5, 0.6), 0.25, (6, 5))
    found = adapters.record(module, IMAGES, pixels=pixels)
    expected = forward(module, pixels(IMAGES.inputs))
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


def test_a_module_is_left_in_its_modes_also_where_it_fails(module) -> None:
    module.train()
    module[1].eval()
    before = [m.training for m in module.modules()]
    statistics = module[1].running_mean.clone()
    adapters.record(module, IMAGES)
    with pytest.raises(ValueError, match=r"failed on float32\[11, 4\] \(RuntimeError: .*pixels="):
        adapters.record(module, ROWS)
    assert [m.training for m in module.modules()] == before
    assert torch.equal(module[1].running_mean, statistics)
    assert all(p.grad is None and p.requires_grad for p in module.parameters())


class Wrapped(nn.Module):
    def __init__(self, wrap) -> None:
        super().__init__()
        self.linear, self.wrap = nn.Linear(4, 3), wrap

    def forward(self, rows):
        return self.wrap(self.linear(rows))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: (x, 1),
        lambda x: [x],
        lambda x: SimpleNamespace(logits=x, hidden=1),
        lambda x: {"logits": x},
        lambda x: {"loss": 0, "logits": (x, 1)},
    ],
)
def test_answers_come_wrapped(wrap) -> None:
    module = Wrapped(wrap)
    expected = module.linear(torch.tensor(ROWS.inputs)).detach().numpy()
    np.testing.assert_allclose(adapters.record(module, ROWS).values, expected, atol=1e-6)


@pytest.mark.parametrize("wrap", [lambda x: {"a": x}, lambda x: (), lambda x: "x"])
def test_answers_that_are_no_tensors_are_refused(wrap) -> None:
    with pytest.raises(ValueError, match=r"the module must give a tensor.*got (dict|tuple|str)"):
        adapters.record(Wrapped(wrap), ROWS)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_inputs_take_the_dtype_of_the_parameters(dtype: str) -> None:
    module = nn.Linear(4, 3).to(getattr(torch, dtype))
    found = adapters.record(module, ROWS)
    expected = module(torch.tensor(ROWS.inputs).to(module.weight.dtype)).float().detach().numpy()
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated
def test_scripted_and_exported_modules_are_read(module) -> None:
    expected = adapters.record(module, IMAGES).values
    scripted = torch.jit.script(module.train())
    np.testing.assert_allclose(adapters.record(scripted, IMAGES).values, expected, atol=1e-5)
    assert scripted.training
    sizes = {"input": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(
        module.eval(), (torch.zeros(2, 3, 6, 5),), dynamic_shapes=sizes
    ).module()
    found = adapters.record(exported, IMAGES, batch_size=4)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


def test_kinds_pass_through() -> None:
    torch.manual_seed(2)
    soft = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
    found = adapters.record(soft, ROWS, kind="probabilities")
    np.testing.assert_allclose(found.values.sum(axis=1), 1, atol=1e-5)
    labels = adapters.record(Wrapped(lambda x: x.argmax(dim=1)), ROWS, kind="labels")
    assert set(np.unique(labels.values)) == {0, 1} and len(labels) == 11


def test_texts_are_read_by_the_tokenizer_given() -> None:
    torch.manual_seed(3)
    module = nn.EmbeddingBag(50, 4)
    texts = QuerySet.texts(["ab", "cd", "ee"])

    def tokenize(texts: list[str]) -> np.ndarray:
        return np.array([[ord(letter) % 50 for letter in text] for text in texts])

    found = adapters.record(module, texts, tokenize=tokenize, batch_size=2)
    np.testing.assert_allclose(
        found.values, forward(module, tokenize(list(texts.inputs))), atol=1e-6
    )
    named = adapters.record(module, texts, tokenize=lambda t: {"input": tokenize(t)})
    np.testing.assert_array_equal(named.values, found.values)
    with pytest.raises(ValueError, match=r"give tokenize="):
        adapters.record(module, texts)


def test_a_module_is_opened_by_a_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch\n\ndef load():\n    return torch.nn.Linear(4, 3)\n\n"
        "def other():\n    return 3\n"
    )
    assert adapters.record(adapters.open_model(f"torch:{path}:load"), ROWS).values.shape == (11, 3)
    with pytest.raises(ValueError, match=r"other in .*mine.py gave a builtins.int; expected a t"):
        adapters.open_model(f"torch:{path}:other")
    weights = tmp_path / "weights.pt"
    torch.save(nn.Linear(4, 3).state_dict(), weights)
    with pytest.raises(ValueError, match=r"expected FILE.py:NAME"):
        adapters.open_model(f"torch:{weights}")
