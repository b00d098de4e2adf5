"""The door: what is given as responses becomes finite float32 ``[n, d]``, or is refused here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

__all__ = ["LARGEST", "as_matrix", "as_numbers", "check_varied", "check_whole", "equally_wide"]

LARGEST = 1e15
"""Numbers beyond it are fill values or overflows, not what a model answers: their squares and sums
leave float32."""


def as_matrix(values: Any, name: str = "responses") -> Float[np.ndarray, "n d"]:
    """Checks numbers of one model, one row a query, and converts them to float32.

    Takes NumPy and JAX arrays of any real dtype (Boolean, integer, half precision and bfloat16
    are converted, so that all sums are taken in float32), PyTorch tensors on the CPU, lists,
    pandas tables and :class:`mgmp_jax.responses.Responses`.

    Args:
        values: the numbers, ``[n, d]``.
        name: what to call them in an error.

    Returns:
        A copy in float32, ``[n, d]``.

    Raises:
        ValueError: they are no such numbers: of another shape or dtype, masked, not finite, or
            larger than :data:`LARGEST`.
    """
    array = as_numbers(values, name)
    if array.ndim != 2 or 0 in array.shape:
        hint = "; give class numbers as responses of kind 'labels'" if array.ndim == 1 else ""
        raise ValueError(
            f"{name} must be an array [n, d], one row a query; got shape {array.shape}{hint}"
        )
    _check_finite(array, name)
    return np.array(array, np.float32, order="C")


def as_numbers(values: Any, name: str = "responses") -> Shaped[np.ndarray, "..."]:
    """Reads real numbers of any shape as an array, whatever they come in.

    Args:
        values: an array, a tensor, lists, a table or :class:`mgmp_jax.responses.Responses`.
        name: what to call them in an error.

    Returns:
        An array of Booleans, integers, float16, float32 or float64; bfloat16 and other short
        formats become float32. They may be infinite or NaN.

    Raises:
        ValueError: they are masked, ragged or no real numbers.
    """
    values = _refuse_masked(_unpacked(values), name)
    if str(getattr(values, "dtype", "")) == "torch.bfloat16":
        values = values.float()
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError, RuntimeError) as error:
        if "inhomogeneous" in str(error):
            raise ValueError(
                f"{name} must be one array, one row a query; got rows of unequal length"
            ) from error
        raise ValueError(
            f"{name} must be an array of real numbers; {type(values).__name__} cannot be read as "
            f"one: {error}"
        ) from error
    _check_dtype(array, name)
    if array.dtype.kind == "V":
        return array.astype(np.float32)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    return array


def _unpacked(values: Any) -> Any:
    """What lies within a table or within responses."""
    if type(values).__module__.partition(".")[0] not in ("pandas", "mgmp_jax"):
        return values
    within = getattr(values, "values", values)
    kinds = {getattr(dtype, "kind", "O") for dtype in np.ravel(getattr(values, "dtypes", "O"))}
    if np.asarray(within).dtype == object and kinds <= set("biuf"):
        return values.to_numpy(np.float64, na_value=np.nan)  # columns of several dtypes
    return within


def _refuse_masked(values: Any, name: str) -> Any:
    """Refuses arrays with masked numbers, also in a list; gives what is not masked unchanged."""
    if isinstance(values, list | tuple) and any(
        isinstance(row, np.ma.MaskedArray) for row in values
    ):
        values = np.ma.array([np.ma.asarray(row) for row in values])
    if not isinstance(values, np.ma.MaskedArray):
        return values
    mask = np.ma.getmaskarray(values)
    masked = np.flatnonzero(mask.any(axis=tuple(range(1, mask.ndim))))
    if len(masked):
        raise ValueError(
            f"{name} are a masked array with {len(masked)} incomplete rows, the first is row "
            f"{masked[0]}; fill them with what the model answered, or leave these queries out"
        )
    return values.data


def equally_wide(models: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Fills up matrices ``[n, any]`` with columns of 0 to the width of the widest."""
    widest = max(model.shape[1] for model in models)
    return [np.pad(model, ((0, 0), (0, widest - model.shape[1]))) for model in models]


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
    if float(array.min()) >= -LARGEST and float(array.max()) <= LARGEST:  # false where one is NaN
        return
    array = array.astype(np.float64)
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
