from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from mgmp_jax import adapters, models
from mgmp_jax.adapters.flax import LinenModel
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.queries import QuerySet

RNG = np.random.default_rng(21)
IMAGES = QuerySet.images(RNG.integers(0, 256, (11, 6, 5, 3), np.uint8))
ROWS = QuerySet.rows(RNG.normal(size=(11, 4)))
SCALED = IMAGES.inputs.astype(np.float32) / 255


class Small(linen.Module):
    @linen.compact
    def __call__(self, x, train: bool):
        x = linen.Conv(4, (3, 3))(x)
        x = linen.BatchNorm(use_running_average=not train)(x)
        x = linen.Dropout(0.5, deterministic=not train)(linen.relu(x))
        return linen.Dense(7)(x.reshape(len(x), -1))


class Scaled(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.norm, self.dropout = nnx.BatchNorm(4, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(6 * 5 * 4, 7, rngs=rngs)

    def __call__(self, x):
        x = self.dropout(nnx.relu(self.norm(self.conv(x))))
        return self.head(x.reshape(len(x), -1))


@pytest.fixture(scope="module")
def small():
    module = Small()
    return module, module.init(jax.random.key(0), jnp.zeros((1, 6, 5, 3)), train=False)


@pytest.mark.parametrize("batch_size", [4, 256])
def test_a_linen_module_answers_as_its_own_apply_does(small, batch_size: int) -> None:
    module, variables = small
    expected = module.apply(variables, SCALED, train=False)
    for model in (small, LinenModel(*small), module.bind(variables)):
        found = adapters.record(model, IMAGES, batch_size=batch_size, name="m")
        np.testing.assert_allclose(found.values, expected, atol=1e-5)
        assert found.model == "m"


def test_what_it_is_called_with_may_be_said(small) -> None:
    class Named(linen.Module):
        @linen.compact
        def __call__(self, x, *, times: float, deterministic: bool):
            assert deterministic
            return times * x

    found = adapters.record(LinenModel(Named(), {}, {"times": 2.0}), ROWS)
    np.testing.assert_allclose(found.values, 2 * ROWS.inputs)


def test_a_linen_module_without_variables_says_what_it_lacks() -> None:
    with pytest.raises(ValueError, match=r"Linen module Small has no variables; give a pair"):
        adapters.record(Small(), IMAGES)


def test_pixels_are_fed_as_told(small) -> None:
    pixels = Pixels(0.5, 0.25, (6, 5), channels_first=False)
    found = adapters.record(small, IMAGES, pixels=pixels)
    expected = small[0].apply(small[1], pixels(IMAGES.inputs), train=False)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


def test_modules_of_this_library_are_read() -> None:
    module = models.ViT(5, patch_size=16, width=16, depth=1, num_heads=2)
    images = QuerySet.images(np.random.default_rng(5).integers(0, 256, (3, 32, 32, 3), np.uint8))
    scaled = jnp.asarray(images.inputs, jnp.float32) / 255
    variables = module.init(jax.random.key(1), scaled, train=False)
    found = adapters.record((module, variables), images)
    expected = module.apply(variables, scaled, train=False)
    np.testing.assert_allclose(found.values, expected, atol=1e-4)


def test_an_nnx_module_answers_in_inference_mode_and_is_left_as_it_was() -> None:
    model = Scaled(nnx.Rngs(3))
    statistics = np.asarray(model.norm.mean[...])
    found = adapters.record(model, IMAGES, batch_size=4)
    assert not model.dropout.deterministic and not model.norm.use_running_average
    np.testing.assert_array_equal(model.norm.mean[...], statistics)
    model.eval()
    np.testing.assert_allclose(found.values, model(SCALED), atol=1e-5)


def test_an_nnx_module_may_be_told_by_an_argument_and_says_what_it_was_given() -> None:
    class Told(nnx.Module):
        def __init__(self) -> None:
            self.weights = nnx.Param(jnp.ones((4, 3)))

        def __call__(self, x, train: bool):
            return (x @ self.weights, None) if not train else 1 / 0

    np.testing.assert_allclose(
        adapters.record(Told(), ROWS).values, ROWS.inputs @ np.ones((4, 3)), atol=1e-5
    )
    with pytest.raises(ValueError, match=r"failed on float32\[11, 6, 5, 3\] \(TypeError.*pixels="):
        adapters.record(Told(), IMAGES)


def test_texts_and_labels() -> None:
    class Bag(linen.Module):
        @linen.compact
        def __call__(self, ids):
            return linen.Embed(50, 3)(ids).mean(axis=1).argmax(axis=-1), "more"

    texts = QuerySet.texts(["ab", "cd", "ee", "fg", "ha"])

    def tokenize(texts: list[str]) -> np.ndarray:
        return np.array([[ord(letter) % 50 for letter in text] for text in texts])

    ids, module = tokenize(list(texts.inputs)), Bag()
    variables = module.init(jax.random.key(1), ids)
    found = adapters.record((module, variables), texts, tokenize=tokenize, kind="labels")
    np.testing.assert_array_equal(found.values.argmax(axis=1), module.apply(variables, ids)[0])


def test_a_model_is_opened_by_a_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import jax\nfrom flax import linen, nnx\n\n"
        "def load():\n    module = linen.Dense(3)\n"
        "    return module, module.init(jax.random.key(0), jax.numpy.zeros((1, 4)))\n\n"
        "def new():\n    return nnx.Linear(4, 3, rngs=nnx.Rngs(0))\n\n"
        "def other():\n    return 3\n"
    )
    for name in ("load", "new"):
        model = adapters.open_model(f"flax:{path}:{name}")
        assert adapters.record(model, ROWS).values.shape == (11, 3)
    with pytest.raises(ValueError, match=r"gave a builtins.int; expected .*LinenModel"):
        adapters.open_model(f"flax:{path}:other")
