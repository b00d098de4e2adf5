"""The door: what is given as responses becomes finite float32 ``[n, d]``, or is refused here."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["LARGEST", "as_matrix", "check_varied", "check_whole"]

LARGEST = 1e15
"""Numbers beyond it are fill values or overflows, not what a model answers: their squares and sums
leave float32."""


def as_matrix(values: Any, name: str = "responses") -> np.ndarray:
    """Checks numbers of one model, one row a query, and converts them to float32 ``[n, d]``.

    Takes NumPy and JAX arrays of any real dtype (Boolean, integer, half precision and bfloat16
    are converted, so that all sums are taken in float32), lists, pandas tables and
    :class:`mgmp_jax.responses.Responses`.

    Args:
        values: the numbers, ``[n, d]``.
        name: what to call them in an error.

    Raises:
        ValueError: they are no such numbers: of another shape or dtype, masked, not finite, or
            larger than :data:`LARGEST`.
    """
    if type(values).__module__.partition(".")[0] in ("pandas", "mgmp_jax"):
        values = getattr(values, "values", values)
    if isinstance(values, np.ma.MaskedArray):
        masked = np.flatnonzero(np.ma.getmaskarray(values).reshape(len(values), -1).any(axis=1))
        if len(masked):
            raise ValueError(
                f"{name} are a masked array with {len(masked)} incomplete rows, the first is row "
                f"{masked[0]}; fill them with what the model answered, or leave these queries out"
            )
        values = values.data
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name} must be an array [n, d], one row a query; got rows of unequal length"
        ) from error
    _check_dtype(array, name)
    if array.ndim != 2 or 0 in array.shape:
        hint = "; give class numbers as responses of kind 'labels'" if array.ndim == 1 else ""
        raise ValueError(
            f"{name} must be an array [n, d], one row a query; got shape {array.shape}{hint}"
        )
    wide = array.astype(np.float64 if array.dtype == np.float64 else np.float32)
    _check_finite(wide, name)
    return np.ascontiguousarray(wide, np.float32)


def check_varied(values: np.ndarray, name: str) -> None:
    """Raises ``ValueError`` where responses ``[n, d]`` answer every query alike."""
    if not (values != values[:1]).any():
        raise ValueError(
            f"{name} answers every query alike: nothing can be said of it; leave it out"
        )


def check_whole(name: str, value: object, least: int) -> None:
    """Raises ``ValueError`` unless the value is a whole number that is large enough."""
    if type(value) is not int or value < least:
        raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}")


def _check_dtype(array: np.ndarray, name: str) -> None:
    if array.dtype.kind == "V" and array.dtype.name.startswith("void"):
        raise ValueError(
            f"{name} are raw bytes ({array.dtype.str}), as NumPy reads bfloat16 from an .npy "
            "file; convert them to float32 before they are saved, or view them as "
            "ml_dtypes.bfloat16"
        )
    is_real = array.dtype.kind in "biuf" or array.dtype.kind == "V"
    if not is_real:
        raise ValueError(f"{name} must be real numbers, got dtype {array.dtype}")


def _check_finite(array: np.ndarray, name: str) -> None:
    finite = np.isfinite(array)
    for bad, what, why in (
        (~finite, "not finite", "look for a diverged model or an overflow in float16"),
        (
            np.abs(np.where(finite, array, 0)) > LARGEST,
            f"larger than {LARGEST:.0e}",
            "fill values of masked or unknown classes are no answers; give probabilities, in "
            "which they are 0, or responses of kind 'top-k'",
        ),
    ):
        rows = np.flatnonzero(bad.any(axis=1))
        if len(rows):
            columns = np.flatnonzero(bad.any(axis=0))
            raise ValueError(
                f"{name} must be finite; {len(rows)} of {len(array)} rows hold numbers that are "
                f"{what}, the first is row {rows[0]} (columns {_few(columns)}): {why}"
            )


def _few(numbers: np.ndarray) -> str:
    shown = ", ".join(str(number) for number in numbers[:5])
    return f"{shown}, ..." if len(numbers) > 5 else shown
