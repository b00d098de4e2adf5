"""The largest eigenvalue of a loss's Hessian, from products of the Hessian with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

__all__ = ["largest_eigenvalue"]


def largest_eigenvalue(
    loss: Callable[[Any], Float[Array, ""]], params: Any, key: Key[Array, ""], *, steps: int = 20
) -> float:
    """Estimates ``λ_max`` of the Hessian of ``loss`` at ``params`` by the Lanczos method.

    The basis is orthogonalised anew in every step. The estimate is at most the true value, up to
    rounding, and rises with the number of steps.

    Args:
        loss: a function of a pytree of parameters.
        params: the parameters at which the Hessian is taken.
        key: of the starting vector.
        steps: how many products of the Hessian with a vector to compute, each at the cost of about
            two gradients; never more than there are parameters.

    Returns:
        The largest eigenvalue, which may be negative.

    Raises:
        ValueError: ``steps`` is below 1, or there are no parameters.
        FloatingPointError: a product is not finite.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    flat, unravel = ravel_pytree(params)
    if not flat.size:
        raise ValueError("params has no parameters")

    @jax.jit
    def product(at: Array, vector: Array) -> Array:
        def gradient(at: Array) -> Array:
            return ravel_pytree(jax.grad(loss)(unravel(at)))[0]

        return jax.jvp(gradient, (at,), (vector,))[1]

    vector = jax.random.normal(key, flat.shape, flat.dtype)
    basis: list[Array] = []
    diagonal: list[float] = []
    beside: list[float] = []
    for _ in range(min(steps, flat.size)):
        basis.append(vector / jnp.linalg.norm(vector))
        vector = product(flat, basis[-1])
        diagonal.append(float(vector @ basis[-1]))
        for _ in range(2):
            for other in basis:
                vector = vector - (vector @ other) * other
        beside.append(float(jnp.linalg.norm(vector)))
        if not np.isfinite(beside[-1]):
            raise FloatingPointError("a product with the Hessian is not finite")
        if beside[-1] < 1e-6 * max(abs(value) for value in (*diagonal, 1e-12)):
            break
    off = beside[: len(diagonal) - 1]
    tridiagonal = np.diag(diagonal) + np.diag(off, 1) + np.diag(off, -1)
    return float(np.linalg.eigvalsh(tridiagonal)[-1])
