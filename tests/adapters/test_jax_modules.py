"""Flax and Equinox modules against their own forward pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from mgmp_jax import adapters, models
from mgmp_jax.adapters.flax import Linen
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.queries import QuerySet

IMAGES = QuerySet.images(np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8))
PIXELS = Pixels((0.5,), (0.25,))


def test_a_linen_module_is_asked_with_its_options() -> None:
    module = models.create("resnet18", num_outputs=5, width=2)
    x = jnp.asarray(PIXELS(IMAGES.inputs))
    variables = module.init(jax.random.key(0), x, train=False)
    model = Linen(module, variables, {"train": False})
    found = adapters.record(model, IMAGES, batch_size=4, pixels=PIXELS)
    expected = module.apply(variables, x, train=False)
    np.testing.assert_allclose(found.values, expected, atol=1e-4)


class Small(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm = nnx.BatchNorm(192, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.head = nnx.Linear(192, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(self.dropout(self.norm(x.reshape(len(x), -1))))


def test_an_nnx_module_is_asked_in_evaluation_mode_and_left_as_it_was() -> None:
    model = Small(nnx.Rngs(0))
    model.train()
    found = adapters.record(model, IMAGES, batch_size=3, pixels=PIXELS)
    assert not model.dropout.deterministic
    model.eval()
    expected = model(jnp.asarray(PIXELS(IMAGES.inputs)))
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


def test_an_equinox_module_of_one_image_is_asked_in_inference_mode() -> None:
    eqx = pytest.importorskip("equinox", reason="pip install equinox")
    layers = [
        eqx.nn.Conv2d(3, 2, 3, key=jax.random.key(0)),
        eqx.nn.Lambda(jnp.ravel),
        eqx.nn.Dropout(0.5),
        eqx.nn.Linear(72, 4, key=jax.random.key(1)),
    ]
    model = eqx.nn.Sequential(layers)
    found = adapters.record(model, IMAGES, batch_size=4)
    x = jnp.asarray(Pixels(channels_first=True)(IMAGES.inputs))
    expected = jax.vmap(eqx.nn.inference_mode(model))(x)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)


def test_texts_and_linen_without_variables_are_refused() -> None:
    model = Linen(linen.Dense(2), {"params": {}})
    with pytest.raises(ValueError, match=r"reads no texts; give a function"):
        adapters.record(model, QuerySet.texts(["a"]))
    with pytest.raises(ValueError, match=r"Linen\(module, variables\)"):
        adapters.record(linen.Dense(2), IMAGES)
