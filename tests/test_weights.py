import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax import weights


def test_weights() -> None:
    source = {"head": {"kernel": np.ones((2, 3))}, "stem": {"kernel": np.array([3.0, 4.0])}}
    target = {"head": {"kernel": np.zeros((2, 4))}, "stem": {"kernel": np.array([4.0, 3.0])}}
    assert weights.weight_distance(source, target) == pytest.approx(-(2**0.5))
    relative = weights.weight_distance(source, target, relative=True)
    assert relative == pytest.approx(-(2**0.5) / 5)
    assert weights.weight_cosine(source, target) == pytest.approx(24 / 25)
    assert weights.weight_cosine(source, jax.tree.map(jnp.zeros_like, target)) == 0
    assert list(weights.weight_distance_by_layer(source, target)) == ["stem"]
    same = weights.weight_distance_by_layer(source, source, relative=True)
    assert {layer: float(value) for layer, value in same.items()} == {"head": 0, "stem": 0}
    with pytest.raises(ValueError, match="no array of parameters of the same name and shape"):
        weights.weight_cosine({"head": source["head"]}, {"head": target["head"]})


def test_weights_of_any_dtype_are_summed_in_float32() -> None:
    kernel = np.random.default_rng(0).normal(size=(1000, 1000))
    half = kernel.astype(np.float16)
    assert weights.weight_cosine({"k": half}, {"k": -half}) == pytest.approx(-1, abs=1e-4)
    small = np.clip(40 * kernel, -127, 127).astype(np.int8)
    assert weights.weight_cosine({"k": small}, {"k": small}) == pytest.approx(1, abs=1e-4)
