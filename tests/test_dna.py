import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax import dna
from mgmp_jax.linear import standardise

Y, Z = jnp.asarray(np.random.default_rng(0).normal(size=(2, 40, 3)), jnp.float32)


def test_addition_and_concatenation() -> None:
    np.testing.assert_array_equal(dna.assemble(Z, Y, "addition"), Z + Y)
    np.testing.assert_array_equal(dna.assemble(Z, Y, "concatenation"), np.hstack([Z, Y]))
    assert dna.assemble(None, Y, "addition") is Y


def test_addition_of_different_widths_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"\|z\| = 2 and \|y\| = 3; give the generator 3 outputs"):
        dna.assemble(Z[:, :2], Y, "addition")


def test_alignment_does_not_depend_on_the_order_of_the_classes() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(500) % 10
    centres = rng.normal(size=(10, 10)) * 5
    source = jnp.asarray(centres[labels] + rng.normal(size=(500, 10)), jnp.float32)
    target = jnp.asarray(centres[labels][:, ::-1] + rng.normal(size=(500, 10)), jnp.float32)
    left = standardise(source) - dna.align(source, target)
    assert float(jnp.mean(left**2)) < 0.3


def test_align_finds_a_linear_map_between_widths() -> None:
    rng = np.random.default_rng(1)
    source = jnp.asarray(rng.normal(size=(500, 3)), jnp.float32)
    target = jnp.tanh(0.1 * source @ jnp.asarray(rng.normal(size=(3, 8)), jnp.float32)) + 7
    aligned, expected = dna.align(source, target), standardise(source)
    assert float(jnp.mean((aligned - expected) ** 2)) < 0.05


def test_residual_is_uncorrelated_with_the_latents() -> None:
    rng = np.random.default_rng(1)
    latents = jnp.asarray(rng.normal(size=(2000, 4)), jnp.float32)
    noise = jnp.asarray(rng.normal(size=(2000, 2)), jnp.float32)
    responses = latents @ jnp.asarray(rng.normal(size=(4, 2)), jnp.float32) + noise
    residual = np.asarray(dna.assemble(latents, responses, "residual"))
    assert np.abs(np.corrcoef(residual.T, latents.T)[:2, 2:]).max() < 0.06
    assert np.corrcoef(residual[:, 0], noise[:, 0])[0, 1] > 0.99


def test_set_context_is_one_for_equal_sets_and_near_zero_for_unrelated_ones() -> None:
    rng = np.random.default_rng(1)
    source = jnp.asarray(rng.normal(size=(4000, 6)), jnp.float32)
    other = jnp.asarray(rng.normal(size=(4000, 6)), jnp.float32)
    np.testing.assert_allclose(dna.set_context(source, 3 * source), 1, atol=1e-5)
    np.testing.assert_allclose(dna.set_context(source, other), [0, 0, 0.5], atol=0.05)
