import contextlib
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mgmp_jax.linear import (
    LeaveOneOut,
    check_width,
    cross_fit,
    fold_slices,
    folds_of,
    standardise,
    standardise_exactly,
)

Y = jnp.asarray(np.random.default_rng(0).normal(size=(40, 3)), jnp.float32)


def test_standardise_gives_unit_variance_and_zero_for_constants() -> None:
    out = np.asarray(standardise(jnp.hstack([5 + 3 * Y, jnp.ones((40, 1))])))
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(out.std(axis=0), [1, 1, 1, 0], atol=1e-5)


@pytest.mark.parametrize("scale", [1e-12, 1e30])
def test_standardise_does_not_depend_on_the_scale(scale: float) -> None:
    np.testing.assert_allclose(standardise(scale * Y), standardise(Y), atol=1e-5)


def test_cross_fit_is_cross_fitted_ridge() -> None:
    rng = np.random.default_rng(1)
    target = np.asarray(rng.normal(size=(40, 5)), np.float32)
    x = (target - target.mean(axis=0)) / target.std(axis=0)
    y = np.asarray(standardise(Y))
    expected = np.empty_like(y)
    folds = np.asarray(jax.random.permutation(jax.random.key(0), 40) % 5)
    for fold in range(5):
        out = folds == fold
        ridge = Ridge(alpha=0.01 * (~out).sum()).fit(x[~out], y[~out])
        expected[out] = ridge.predict(x[out])
    np.testing.assert_allclose(cross_fit(jnp.asarray(target), Y), expected, atol=1e-4)


def test_standardising_in_numpy_gives_the_same() -> None:
    values = np.random.default_rng(2).normal(3, 5, size=(2, 50, 4)).astype(np.float32)
    values[:, :, 2] = 7
    expected = jax.vmap(standardise)(jnp.asarray(values))
    np.testing.assert_allclose(standardise_exactly(values), expected, atol=1e-5)


def test_folds_in_their_order() -> None:
    order, held = fold_slices(43)
    fold = np.asarray(folds_of(43))
    for number, part in enumerate(held):
        assert set(fold[order[part]]) == {number}
    assert sorted(order) == list(range(43))


@pytest.mark.parametrize(
    "setting", [{"default_prng_impl": "rbg"}, {"threefry_partitionable": False}], ids=str
)
def test_folds_are_the_same_whatever_the_settings_of_jax(setting: dict) -> None:
    with contextlib.ExitStack() as settings:
        for name, value in setting.items():
            settings.enter_context(getattr(jax, name)(value))
        np.testing.assert_array_equal(folds_of(12), [0, 1, 3, 0, 1, 4, 3, 0, 2, 2, 1, 4])


def test_folds_are_the_same_whatever_offset_seeds_have() -> None:
    ask = "from mgmp_jax.linear import folds_of; print(*folds_of(12))"
    shifted = {**os.environ, "JAX_RANDOM_SEED_OFFSET": "3"}
    said = subprocess.run([sys.executable, "-c", ask], env=shifted, capture_output=True, text=True)
    assert said.stdout.split() == ["0", "1", "3", "0", "1", "4", "3", "0", "2", "2", "1", "4"], (
        said.stderr
    )


def test_each_block_left_out_in_turn_equals_a_regression_on_the_others() -> None:
    rng = np.random.default_rng(3)
    blocks = (rng.normal(size=(4, 200, 3)) + rng.normal(size=(200, 3))).astype(np.float32)
    outputs = (blocks[0] @ rng.normal(size=(3, 5)) + rng.normal(size=(200, 5))).astype(np.float32)
    order, held = fold_slices(200)
    prepared = LeaveOneOut(blocks[:, order], held)
    left = prepared.residuals(outputs[order])
    for i in range(4):
        others = jnp.concatenate([jnp.asarray(b) for j, b in enumerate(blocks) if j != i], axis=1)
        for got, y in ((left[i], outputs), (prepared.left[i], blocks[i])):
            expected = standardise(jnp.asarray(y)) - cross_fit(others, jnp.asarray(y))
            np.testing.assert_allclose(got, np.asarray(expected)[order], atol=1e-4)


def test_too_wide_a_fit_is_refused() -> None:
    check_width(120, 300, "it is")
    with pytest.raises(
        ValueError, match=r"it is 121 wide on 300 queries.*Ask at least 303 queries"
    ):
        check_width(121, 300, "it is")
