import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax import transformations as t

RNG = np.random.default_rng(0)
PARAMS = {
    "head": {"kernel": RNG.normal(size=(20, 10)).astype(np.float32), "bias": np.full(10, 0.01)},
    "stem": {"kernel": RNG.normal(size=(3, 3, 2, 5)).astype(np.float32)},
}
PROBS = jax.nn.softmax(jnp.asarray(RNG.normal(size=(6, 4)), jnp.float32))


@pytest.mark.parametrize("share", [0.0, 0.2, 0.8, 1.0])
def test_pruning_zeroes_the_smallest_kernel_weights_of_all_layers(share: float) -> None:
    pruned = t.prune(PARAMS, share)
    before, after = (
        np.concatenate([p[layer]["kernel"].ravel() for layer in PARAMS]) for p in (PARAMS, pruned)
    )
    gone = after == 0
    assert gone.sum() == round(share * 290)
    np.testing.assert_array_equal(after[~gone], before[~gone])
    assert share in (0, 1) or np.abs(before[gone]).max() < np.abs(before[~gone]).min()
    np.testing.assert_array_equal(pruned["head"]["bias"], PARAMS["head"]["bias"])


def test_int8_has_at_most_255_values_a_channel_and_is_near() -> None:
    kernel = PARAMS["stem"]["kernel"]
    quantised = np.asarray(t.to_int8(PARAMS)["stem"]["kernel"])
    scale = np.abs(kernel).max(axis=(0, 1, 2)) / 127
    assert (np.abs(quantised - kernel) <= scale / 2 + 1e-6).all()
    steps = quantised / scale
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)


def test_float16_rounds_every_parameter() -> None:
    rounded = t.to_float16(PARAMS)["head"]["kernel"]
    np.testing.assert_array_equal(rounded, PARAMS["head"]["kernel"].astype(np.float16))


def test_answers() -> None:
    np.testing.assert_allclose(t.round_to(PROBS, 1) * 10, np.round(PROBS * 10), atol=1e-5)
    np.testing.assert_allclose(t.temper(PROBS, 1.0), PROBS, atol=1e-6)
    squared = PROBS**2 / jnp.sum(PROBS**2, axis=1, keepdims=True)
    np.testing.assert_allclose(t.temper(PROBS, 0.5), squared, atol=1e-6)
    top = np.asarray(t.keep_top(PROBS, 2))
    assert ((top > 0).sum(axis=1) == 2).all()
    np.testing.assert_array_equal(top.max(axis=1), PROBS.max(axis=1))
    labels = np.asarray(t.one_hot_label(PROBS))
    np.testing.assert_array_equal(labels, np.eye(4)[PROBS.argmax(axis=1)])
    np.testing.assert_array_equal(t.ranks(jnp.asarray([[0.5, 0.2, 0.3]])), [[2, 0, 1]])


def test_noise_is_relative_to_each_coordinate() -> None:
    rng = np.random.default_rng(1)
    responses = jnp.asarray(rng.normal(size=(4000, 2)) * [1, 100] + 5, jnp.float32)
    noise = np.asarray(t.add_noise(responses, 0.5, jax.random.key(0)) - responses)
    np.testing.assert_allclose(noise.std(axis=0), [0.5, 50], rtol=0.05)


def test_impossible_arguments() -> None:
    with pytest.raises(ValueError, match=r"share must be from 0 to 1, got 2\.0"):
        t.prune(PARAMS, 2.0)
    with pytest.raises(ValueError, match="no array called kernel"):
        t.prune({"head": {"bias": PARAMS["head"]["bias"]}}, 0.5)
    with pytest.raises(ValueError, match="k must be from 1 to 4 classes, got 5"):
        t.keep_top(PROBS, 5)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        t.temper(PROBS, 0.0)
    with pytest.raises(ValueError, match="decimals must be at least 0, got -1"):
        t.round_to(PROBS, -1)
    with pytest.raises(ValueError, match=r"share must be at least 0, got -0\.5"):
        t.add_noise(PROBS, -0.5, jax.random.key(0))


def test_parameters_in_lists_and_half_precision_are_changed_too() -> None:
    kernel = PARAMS["head"]["kernel"]
    layers = [{"kernel": kernel.astype(np.float16)}, [np.ones(3)]]
    assert (np.asarray(t.prune(layers, 0.5)[0]["kernel"]) == 0).sum() == 100
    quantised = t.to_int8(layers)[0]["kernel"]
    assert quantised.dtype == np.float32
    np.testing.assert_allclose(quantised, t.to_int8(PARAMS)["head"]["kernel"], atol=0.03)
