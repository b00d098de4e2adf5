"""Linear maps between responses: ridge regression, cross-fitted over the query set.

:func:`cross_fit` is the plain definition, a pure function for JAX. :class:`LeaveOneOut` does the
same for many blocks of inputs, each left out in turn, with one inverse a fold, in NumPy.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

__all__ = [
    "FOLDS",
    "PENALTY",
    "LeaveOneOut",
    "check_width",
    "cross_fit",
    "fold_slices",
    "folds_of",
    "num_varying",
    "standardise",
    "standardise_exactly",
    "widest",
]

FOLDS = 5
"""Parts of the query set; what is said of a part comes from a fit that did not see it."""

PENALTY = 0.01
"""Of every ridge regression, relative to the unit variance of its inputs."""

# Accelerators multiply float32 in a shorter format unless told otherwise.
_matmul = functools.partial(jnp.matmul, precision="highest")


def standardise(responses: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Scales each coordinate to mean 0 and variance 1 over the query set; a constant one to 0."""
    largest = jnp.max(jnp.abs(responses), axis=0, keepdims=True)
    scaled = responses / jnp.where(largest > 0, largest, 1)
    centred = scaled - jnp.mean(scaled, axis=0, keepdims=True)
    deviation = jnp.std(scaled, axis=0, keepdims=True)
    return centred / jnp.where(deviation > 1e-6, deviation, jnp.inf)


def folds_of(n: int, folds: int = FOLDS) -> Int[Array, " n"]:
    """Numbers the part of each query, 0 to ``folds - 1``.

    They are drawn by a fixed key, so that an order of the queries by class does no harm, and by a
    fixed generator, whatever JAX's settings are: no setting changes a p-value.
    """
    key = jax.random.wrap_key_data(jnp.zeros(2, jnp.uint32), impl="threefry2x32")
    with jax.threefry_partitionable(True):
        return jax.random.permutation(key, n) % folds


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


def widest(n: int) -> int:
    """Counts the coordinates that a linear fit on ``n`` queries may have.

    They are half the queries of a fold's fit, ``0.4 n``.
    """
    return n * (FOLDS - 1) // (2 * FOLDS)


def num_varying(values: Float[np.ndarray, "n d"]) -> int:
    """Counts the coordinates that differ between queries; the others tell a linear fit nothing."""
    return int(np.count_nonzero((values != values[:1]).any(axis=0)))


def check_width(width: int, n: int, name: str) -> None:
    """Refuses a linear fit from so many coordinates that it would explain anything.

    Raises:
        ValueError: ``width`` is above :func:`widest`.
    """
    limit = widest(n)
    if width > limit:
        raise ValueError(
            f"{name} {width} wide on {n} queries: a linear fit from more than {limit} coordinates "
            f"would explain anything. Ask at least {-(-width * 2 * FOLDS // (FOLDS - 1))} queries, "
            "or give fewer coordinates"
        )


def standardise_exactly(values: Float[np.ndarray, "*b n d"]) -> Float[np.ndarray, "*b n d"]:
    """Does what :func:`standardise` does, in float64 NumPy, over the last axis but one."""
    wide = np.asarray(values, np.float64)
    centred = wide - wide.mean(axis=-2, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=-2, keepdims=True))
    varies = deviation > 1e-6 * np.abs(wide).max(axis=-2, keepdims=True)
    return centred * np.where(varies, 1 / np.where(varies, deviation, 1), 0)


@functools.lru_cache(maxsize=64)
def fold_slices(n: int) -> tuple[Int[np.ndarray, " n"], list[slice]]:
    """Sorts the queries by their part: an order, and where each part lies in it."""
    fold = np.asarray(folds_of(n))
    ends = np.cumsum(np.bincount(fold, minlength=FOLDS))
    starts = ends - np.bincount(fold, minlength=FOLDS)
    order = np.argsort(fold, kind="stable")
    order.setflags(write=False)
    return order, list(map(slice, starts.tolist(), ends.tolist()))


class LeaveOneOut:
    """Cross-fitted ridge regressions on all blocks of coordinates but one, for each one.

    With ``P`` the inverse of a fold's regularised covariance of all blocks, ``b`` the covariance
    of inputs and outputs and ``u = P b``, the coefficients without block ``c`` are
    ``u - P[:, c] P[c, c]^-1 u[c]``. So the blocks are factored once, and outputs cost one product
    with ``P`` a fold. What the others leave of block ``c`` itself is, on the queries held out,
    ``x P[:, c] P[c, c]^-1``.

    It keeps ``8 (2 n w + 5 w^2)`` bytes for ``n`` queries and ``w`` coordinates in all: 10 MB for
    2,500 queries and 200 coordinates, 80 MB for 1,000.

    Args:
        blocks: responses ``[c, n, d]`` of ``c`` models, the rows in the order of
            :func:`fold_slices`.
        held: the slices of :func:`fold_slices`.
    """

    def __init__(self, blocks: Float[np.ndarray, "c n d"], held: list[slice]) -> None:
        count, n, d = blocks.shape
        self._held, self._shape = held, (count, d)
        x = standardise_exactly(blocks).transpose(1, 0, 2).reshape(n, count * d)
        self._sums = [x[part].sum(axis=0) for part in held]
        self._x, self._total, self._inverses = x, x.sum(axis=0), []
        grams = [x[part].T @ x[part] for part in held]
        whole = np.sum(grams, axis=0)
        left = np.empty((count, n, d))
        for part, gram, sums in zip(held, grams, self._sums, strict=True):
            rows = n - (part.stop - part.start)
            mean = (self._total - sums) / rows
            covariance = (whole - gram) / rows - np.outer(mean, mean)
            inverse = np.linalg.inv(covariance + PENALTY * np.eye(count * d))
            self._inverses.append(inverse)
            projected = ((x[part] - mean) @ inverse).reshape(-1, count, d).transpose(1, 0, 2)
            own = inverse.reshape(count, d, count, d)[np.arange(count), :, np.arange(count)]
            left[:, part] = projected @ np.linalg.inv(own)
        self.left = left
        """What all other blocks leave of each, ``[c, n, d]``."""

    def residuals(self, outputs: Float[np.ndarray, "n p"]) -> Float[np.ndarray, "c n p"]:
        """Gives what all blocks but one leave of the standardised outputs, for each one.

        Args:
            outputs: rows in the order of :func:`fold_slices`.
        """
        count, d = self._shape
        n, p = outputs.shape
        y = standardise_exactly(outputs)
        products = [self._x[part].T @ y[part] for part in self._held]
        whole, total = np.sum(products, axis=0), y.sum(axis=0)
        left = np.empty((count, n, p))
        for part, product, sums, inverse in zip(
            self._held, products, self._sums, self._inverses, strict=True
        ):
            rows = n - (part.stop - part.start)
            x_mean, y_mean = (self._total - sums) / rows, (total - y[part].sum(axis=0)) / rows
            u = inverse @ ((whole - product) / rows - np.outer(x_mean, y_mean))
            base = y[part] - y_mean - (self._x[part] - x_mean) @ u
            left[:, part] = base + self.left[:, part] @ u.reshape(count, d, p)
        return left
