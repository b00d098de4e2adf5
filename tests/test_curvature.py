import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mgmp_jax.curvature import largest_eigenvalue

KEY = jax.random.key(0)


def test_of_a_quadratic_form() -> None:
    root = np.random.default_rng(0).normal(size=(30, 30)).astype(np.float32)
    matrix = root + root.T
    expected = np.linalg.eigvalsh(matrix.astype(np.float64))[-1]

    def loss(params):
        x = jnp.concatenate([params["a"], params["b"].ravel()])
        return x @ matrix @ x / 2

    params = {"a": jnp.ones(10), "b": jnp.ones((4, 5))}
    assert largest_eigenvalue(loss, params, KEY, steps=30) == pytest.approx(expected, rel=1e-4)
    few = [largest_eigenvalue(loss, params, KEY, steps=n) for n in (1, 5, 15)]
    assert few == sorted(few)
    assert few[-1] <= expected * (1 + 1e-5)


def test_of_a_network_as_of_its_full_hessian() -> None:
    x = jax.random.normal(KEY, (20, 3))
    params = {"in": jax.random.normal(KEY, (3, 4)), "out": jnp.ones(4)}

    def loss(params):
        return jnp.mean((jnp.tanh(x @ params["in"]) @ params["out"] - 1) ** 2)

    flat, unravel = jax.flatten_util.ravel_pytree(params)
    hessian = jax.jit(jax.hessian(lambda at: loss(unravel(at))))(flat)
    expected = np.linalg.eigvalsh(np.asarray(hessian, np.float64))[-1]
    assert largest_eigenvalue(loss, params, KEY) == pytest.approx(expected, rel=1e-3)


def test_ends_early_where_nothing_is_left() -> None:
    assert largest_eigenvalue(lambda p: 3 * jnp.sum(p**2), jnp.ones(50), KEY) == pytest.approx(6)
    assert largest_eigenvalue(lambda p: jnp.sum(p), jnp.ones(5), KEY) == 0


def test_bad_arguments_and_divergence() -> None:
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        largest_eigenvalue(jnp.sum, jnp.ones(2), KEY, steps=0)
    with pytest.raises(ValueError, match="no parameters"):
        largest_eigenvalue(lambda p: jnp.zeros(()), {}, KEY)
    with pytest.raises(FloatingPointError, match="not finite"):
        largest_eigenvalue(lambda p: jnp.sum(jnp.sqrt(p)), jnp.zeros(2), KEY)
