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


def test_weights_of_any_finite_size_are_compared() -> None:
    kernel = np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32)
    other = np.random.default_rng(1).normal(size=(30, 20)).astype(np.float32)
    cosine = float(np.sum(kernel * other) / np.linalg.norm(kernel) / np.linalg.norm(other))
    for size in (1e-30, 1e30):
        found = weights.weight_cosine({"k": size * kernel}, {"k": other})
        assert found == pytest.approx(cosine, abs=1e-6)
        relative = weights.weight_distance({"k": size * kernel}, {"k": 0 * kernel}, relative=True)
        assert relative == pytest.approx(-1, abs=1e-6)


def test_weights_that_are_not_finite_are_named() -> None:
    source = {"stem": {"kernel": np.ones(3)}}
    for value in (np.nan, np.inf, 1e300):
        target = {"stem": {"kernel": np.array([1, value, 1])}}
        for similarity in (weights.weight_distance, weights.weight_cosine):
            with pytest.raises(ValueError, match=r"of the target must be finite; .*stem.*kernel"):
                similarity(source, target)
    holes = {"stem": {"kernel": np.float32([1, np.nan, 1])}}
    for similarity in (weights.weight_distance, weights.weight_cosine):
        assert np.isnan(jax.jit(similarity)(source, holes))


def test_a_layer_of_zeros_that_did_not_change_has_no_distance() -> None:
    zeros, ones = {"token": np.zeros((1, 3))}, {"token": np.ones((1, 3))}
    assert weights.weight_distance(zeros, zeros, relative=True) == 0
    assert weights.weight_distance(zeros, ones, relative=True) == -np.inf
    assert weights.weight_distance_by_layer(zeros, zeros, relative=True) == {"token": 0}


def test_weights_are_compared_under_jit() -> None:
    kernel = np.random.default_rng(0).normal(size=(2, 30, 20)).astype(np.float32)
    source, target = ({"k": one} for one in kernel)
    for similarity in (weights.weight_distance, weights.weight_cosine):
        expected = float(similarity(source, target))
        assert jax.jit(similarity)(source, target) == pytest.approx(expected, abs=1e-5)
