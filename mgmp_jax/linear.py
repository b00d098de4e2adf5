"""Linear maps between responses: ridge regression, cross-fitted over the query set."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

__all__ = ["FOLDS", "PENALTY", "cross_fit", "folds_of", "standardise"]

FOLDS = 5
"""Parts of the query set; what is said of a part comes from a fit that did not see it."""

PENALTY = 0.01
"""Of every ridge regression, relative to the unit variance of its inputs."""

# Accelerators multiply float32 in a shorter format unless told otherwise.
_matmul = partial(jnp.matmul, precision="highest")


def standardise(responses: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Scales each coordinate to mean 0 and variance 1 over the query set; a constant one to 0."""
    largest = jnp.max(jnp.abs(responses), axis=0, keepdims=True)
    scaled = responses / jnp.where(largest > 0, largest, 1)
    centred = scaled - jnp.mean(scaled, axis=0, keepdims=True)
    deviation = jnp.std(scaled, axis=0, keepdims=True)
    return centred / jnp.where(deviation > 1e-6, deviation, jnp.inf)


def folds_of(n: int, folds: int = FOLDS) -> Int[Array, " n"]:
    """Numbers the part of each query, 0 to ``folds - 1``.

    They are drawn by a fixed key, so that an order of the queries by class does no harm.
    """
    return jax.random.permutation(jax.random.key(0), n) % folds


@jax.jit(static_argnames=("folds",))
def cross_fit(
    inputs: Float[Array, "n p"],
    outputs: Float[Array, "n d"],
    *,
    penalty: float = PENALTY,
    folds: int = FOLDS,
) -> Float[Array, "n d"]:
    """Predicts the standardised outputs from the standardised inputs.

    Each query is predicted by a ridge regression over the other parts of the query set.

    Args:
        inputs: of the regression.
        outputs: what is predicted.
        penalty: of the ridge, relative to the unit variance of the inputs.
        folds: how many parts of about equal size.
    """
    x, y = standardise(inputs), standardise(outputs)
    fold = folds_of(len(x), folds)

    def predict(left_out: Array) -> Array:
        weight = (fold != left_out).astype(x.dtype)[:, None]
        count = jnp.sum(weight)
        x_mean = jnp.sum(weight * x, axis=0, keepdims=True) / count
        y_mean = jnp.sum(weight * y, axis=0, keepdims=True) / count
        xc, yc = (x - x_mean) * weight, (y - y_mean) * weight
        gram = _matmul(xc.T, xc) / count + penalty * jnp.eye(x.shape[1], dtype=x.dtype)
        coefficients = jnp.linalg.solve(gram, _matmul(xc.T, yc) / count)
        return jnp.where(weight == 0, _matmul(x - x_mean, coefficients) + y_mean, 0.0)

    return jnp.sum(jax.lax.map(predict, jnp.arange(folds)), axis=0)
