import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mgmp_jax import dna

RNG = np.random.default_rng(0)
Y = jnp.asarray(RNG.normal(size=(40, 3)), jnp.float32)
Z = jnp.asarray(RNG.normal(size=(40, 3)), jnp.float32)


def test_addition_and_concatenation() -> None:
    np.testing.assert_array_equal(dna.assemble(Z, Y, "addition"), Z + Y)
    np.testing.assert_array_equal(dna.assemble(Z, Y, "concatenation"), np.hstack([Z, Y]))
    assert dna.assemble(None, Y, "addition") is Y


def test_addition_of_different_widths_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"\|z\| = 2 and \|y\| = 3; give the generator 3 outputs"):
        dna.assemble(Z[:, :2], Y, "addition")


def test_standardise_gives_unit_variance_and_zero_for_constants() -> None:
    out = np.asarray(dna.standardise(jnp.hstack([5 + 3 * Y, jnp.ones((40, 1))])))
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(out.std(axis=0), [1, 1, 1, 0], atol=1e-5)


@pytest.mark.parametrize("scale", [1e-12, 1e30])
def test_standardise_does_not_depend_on_the_scale(scale: float) -> None:
    np.testing.assert_allclose(dna.standardise(scale * Y), dna.standardise(Y), atol=1e-5)


def test_align_is_cross_fitted_ridge() -> None:
    target = np.asarray(RNG.normal(size=(40, 5)), np.float32)
    x = (target - target.mean(axis=0)) / target.std(axis=0)
    y = np.asarray(dna.standardise(Y))
    expected = np.empty_like(y)
    folds = np.asarray(jax.random.permutation(jax.random.key(0), 40) % 5)
    for fold in range(5):
        out = folds == fold
        ridge = Ridge(alpha=0.01 * (~out).sum()).fit(x[~out], y[~out])
        expected[out] = ridge.predict(x[out])
    np.testing.assert_allclose(dna.align(jnp.asarray(target), Y), expected, atol=1e-4)


def test_alignment_does_not_depend_on_the_order_of_the_classes() -> None:
    labels = np.arange(500) % 10
    centres = RNG.normal(size=(10, 10)) * 5
    source = jnp.asarray(centres[labels] + RNG.normal(size=(500, 10)), jnp.float32)
    target = jnp.asarray(centres[labels][:, ::-1] + RNG.normal(size=(500, 10)), jnp.float32)
    left = dna.standardise(source) - dna.align(target, source)
    assert float(jnp.mean(left**2)) < 0.3


def test_align_finds_a_linear_map_between_widths() -> None:
    source = jnp.asarray(RNG.normal(size=(500, 3)), jnp.float32)
    target = jnp.tanh(0.1 * source @ jnp.asarray(RNG.normal(size=(3, 8)), jnp.float32)) + 7
    aligned, expected = dna.align(target, source), dna.standardise(source)
    assert float(jnp.mean((aligned - expected) ** 2)) < 0.05


def test_residual_is_uncorrelated_with_the_latents() -> None:
    latents = jnp.asarray(RNG.normal(size=(2000, 4)), jnp.float32)
    noise = jnp.asarray(RNG.normal(size=(2000, 2)), jnp.float32)
    responses = latents @ jnp.asarray(RNG.normal(size=(4, 2)), jnp.float32) + noise
    residual = np.asarray(dna.assemble(latents, responses, "residual"))
    assert np.abs(np.corrcoef(residual.T, latents.T)[:2, 2:]).max() < 0.06
    assert np.corrcoef(residual[:, 0], noise[:, 0])[0, 1] > 0.99


def test_set_context_is_one_for_equal_sets_and_near_zero_for_unrelated_ones() -> None:
    source = jnp.asarray(RNG.normal(size=(4000, 6)), jnp.float32)
    other = jnp.asarray(RNG.normal(size=(4000, 6)), jnp.float32)
    np.testing.assert_allclose(dna.set_context(source, 3 * source), 1, atol=1e-5)
    np.testing.assert_allclose(dna.set_context(source, other), [0, 0, 0.5], atol=0.05)
