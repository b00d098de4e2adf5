from pathlib import Path

import jax
import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.queries import QuerySet

eqx = pytest.importorskip("equinox", reason="pip install 'mgmp_jax[equinox]'")

RNG = np.random.default_rng(31)
IMAGES = QuerySet.images(RNG.integers(0, 256, (11, 6, 5, 3), np.uint8))
ROWS = QuerySet.rows(RNG.normal(size=(11, 4)))


def make(key: jax.Array, *more):
    first, second = jax.random.split(key)
    return eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(3, 4, 3, key=first),
            *more,
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.Dropout(0.5),
            eqx.nn.Lambda(lambda x: x.ravel()),
            eqx.nn.Linear(4 * 4 * 3, 7, key=second),
        ]
    )


@pytest.mark.parametrize("batch_size", [4, 256])
def test_it_answers_as_its_own_call_does(batch_size: int) -> None:
    model = make(jax.random.key(0))
    found = adapters.record(model, IMAGES, batch_size=batch_size, name="m")
    asked = eqx.nn.inference_mode(model)
    expected = np.stack([asked(image) for image in Pixels()(IMAGES.inputs)])
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    assert found.model == "m" and not model.layers[2].inference


def test_a_module_with_state_comes_as_a_pair() -> None:
    norm = eqx.nn.BatchNorm(4, "batch", mode="batch")
    model, state = eqx.nn.make_with_state(make)(jax.random.key(1), norm)
    pixels = Pixels()(IMAGES.inputs)
    train = jax.vmap(lambda x, key: model(x, state, key=key), axis_name="batch", out_axes=(0, None))
    _, state = train(pixels, jax.random.split(jax.random.key(2), 11))
    asked = eqx.nn.inference_mode(model)
    expected = np.stack([asked(image, state)[0] for image in pixels])
    found = adapters.record((model, state), IMAGES, batch_size=4)
    np.testing.assert_allclose(found.values, expected, atol=1e-4)


def test_labels_and_rows() -> None:
    model = eqx.nn.Sequential(
        [eqx.nn.Linear(4, 3, key=jax.random.key(3)), eqx.nn.Lambda(lambda x: x.argmax())]
    )
    found = adapters.record(model, ROWS, kind="labels", batch_size=5)
    expected = [int(model(row)) for row in ROWS.inputs]
    assert found.values.argmax(axis=1).tolist() == expected


def test_a_failure_says_what_was_given() -> None:
    with pytest.raises(ValueError, match=r"the model failed on float32\[11, 4\] \(.*pixels="):
        adapters.record(make(jax.random.key(4)), ROWS)


def test_a_model_is_opened_by_a_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "import equinox, jax\n\n"
        "def load():\n    return equinox.nn.Linear(4, 3, key=jax.random.key(0))\n\n"
        "def other():\n    return lambda x: x\n"
    )
    model = adapters.open_model(f"equinox:{path}:load")
    assert adapters.record(model, ROWS).values.shape == (11, 3)
    with pytest.raises(ValueError, match=r"gave a builtins.function; expected an equinox.Module"):
        adapters.open_model(f"equinox:{path}:other")


def test_a_compiled_function_takes_a_batch_a_compiled_module_one_query() -> None:
    function = eqx.filter_jit(lambda rows: rows - rows.mean(axis=0, keepdims=True))
    for model in (function, eqx.filter_jit(function)):
        found = adapters.record(model, ROWS)
        expected = ROWS.inputs - ROWS.inputs.mean(axis=0)
        np.testing.assert_allclose(found.values, expected, atol=1e-5)

    class Scaled(eqx.Module):
        linear: eqx.nn.Linear

        def embed(self, row: jax.Array) -> jax.Array:
            return self.linear(row / jax.numpy.linalg.norm(row))

    module = Scaled(eqx.nn.Linear(4, 3, key=jax.random.key(4)))
    expected = np.stack([module.embed(row) for row in ROWS.inputs])
    for model in (module.embed, eqx.filter_jit(module.embed)):
        np.testing.assert_allclose(adapters.record(model, ROWS).values, expected, atol=1e-5)
    vectorised = adapters.record(eqx.filter_jit(eqx.filter_vmap(module.embed)), ROWS)
    np.testing.assert_allclose(vectorised.values, expected, atol=1e-5)
    compiled = adapters.record(eqx.filter_jit(module.linear), ROWS)
    expected = np.stack([module.linear(row) for row in ROWS.inputs])
    np.testing.assert_allclose(compiled.values, expected, atol=1e-5)
