"""ONNX files and sessions of onnxruntime; layout, dtype and batch size are read from the model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.adapters import batches
from mgmp_jax.adapters.frameworks import import_framework, is_of
from mgmp_jax.adapters.pixels import Pixels, Reader, prepare
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["open_model", "reads", "record"]

_PIXELS = Pixels()
_DTYPES = {
    "float": np.float32,
    "float16": np.float16,
    "double": np.float64,
    "uint8": np.uint8,
    "int8": np.int8,
    "int32": np.int32,
    "int64": np.int64,
}
_ERRORS_ONLY = 3


def reads(model: Any) -> bool:
    """Says whether a model is the path of an ``.onnx`` file, or a session of onnxruntime."""
    is_path = isinstance(model, str | Path) and str(model).endswith(".onnx")
    return is_path or is_of(model, "onnxruntime", "InferenceSession")


def record(
    model: Any,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    progress: batches.Progress | None = None,
    pixels: Reader = _PIXELS,
    tokenize: Reader | None = None,
    output: str = "",
) -> Answers:
    """Records what an ONNX model answers.

    The shape of its input says whether channels come first, which size images are resized to
    where ``pixels`` names none, and how many queries it takes at once where that is fixed (the
    last batch is then filled up by repeating a query, whose answers are dropped). The input's
    dtype is kept: an integer input is given the raw pixels from 0 to 255.

    Args:
        model: path of an ``.onnx`` file, or an ``onnxruntime.InferenceSession``.
        queries: one query set, or several by name.
        kind: what its numbers are.
        name: of the model.
        batch_size: how many queries are asked at once, where the model leaves it open.
        progress: told how many queries are answered, and of how many.
        pixels: how uint8 images ``[b, h, w, 3]`` are fed to it.
        tokenize: a function of a list of strings; it gives arrays by name where the model has
            several inputs.
        output: which of its outputs to take; the first where empty.

    Returns:
        Responses, or responses by the names of the query sets.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no ONNX model, has no such output or other inputs than are given, or its
            answers are no numbers, or not one row a query.
        ImportError: onnxruntime is not installed.
    """
    session = model if is_of(model, "onnxruntime", "InferenceSession") else open_model(str(model))
    inputs = {one.name: one for one in session.get_inputs()}
    chosen = _output(session, output, kind)
    sizes = {one.shape[0] for one in inputs.values() if one.shape and type(one.shape[0]) is int}
    fixed = min(sizes, default=0)
    fitted = _fitted(pixels, next(iter(inputs.values())))

    def ask(batch: Any) -> np.ndarray:
        given = prepare(batch, fitted, tokenize)
        if not isinstance(given, Mapping):
            given = {next(iter(inputs)): given}
        found = _run(session, chosen, given, fixed)
        return found[: len(batch)] if found.shape[:1] == (fixed,) else found

    size = fixed or batch_size
    return batches.record(ask, queries, kind=kind, name=name, batch_size=size, progress=progress)


def open_model(target: str) -> Any:
    """Opens an ``.onnx`` file on the CPU, with external data beside it where it has such.

    Args:
        target: its path.

    Returns:
        An ``onnxruntime.InferenceSession``.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, lacks its external data, or is no ONNX model.
        ImportError: onnxruntime is not installed.
    """
    runtime: Any = import_framework("onnxruntime", "'mgmp_jax[onnx]'")
    path = Path(target)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; expected an .onnx file")
    options = runtime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each code
        raise ValueError(
            f"{path} is damaged or no ONNX model that onnxruntime {runtime.__version__} reads "
            f"({str(error)[:300]}); external data must lie beside it"
        ) from error


def _output(session: Any, output: str, kind: ResponseKind) -> str:
    outputs = {one.name: one.type for one in session.get_outputs()}
    chosen = output or next(iter(outputs))
    listed = ", ".join(f"{name!r} {kind}" for name, kind in outputs.items())
    if chosen not in outputs:
        raise ValueError(f"the ONNX model has no output {chosen!r}; choose output= of: {listed}")
    if not outputs[chosen].startswith("tensor("):
        raise ValueError(
            f"output {chosen!r} of the ONNX model is no tensor; choose output= of: {listed}. "
            "Models of scikit-learn give one where they are converted with zipmap=False"
        )
    if "int" in outputs[chosen] and kind != "labels" and len(outputs) > 1 and not output:
        raise ValueError(
            f"output {chosen!r} of the ONNX model gives whole numbers, and {kind} are wanted; give "
            f"kind='labels', or choose output= of: {listed}"
        )
    return chosen


def _fitted(pixels: Reader, one: Any) -> Reader:
    """Lays pixels out as the input of the model says, in its size where that is fixed."""
    if not isinstance(pixels, Pixels) or len(one.shape) != 4:
        return pixels
    first, last = one.shape[1] == 3, one.shape[3] == 3
    channels_first = pixels.channels_first if first == last else first
    height, width = one.shape[2:4] if channels_first else one.shape[1:3]
    fixed = (height, width) if type(height) is int and type(width) is int else None
    fitted = dataclasses.replace(pixels, channels_first=channels_first, size=pixels.size or fixed)
    if "int" not in one.type:
        return fitted
    if (np.ravel(pixels.mean) != 0).any() or (np.ravel(pixels.std) != 1).any():
        raise ValueError(
            f"input {one.name!r} of the ONNX model takes {one.type}, pixels as they are; leave "
            "mean and std out"
        )
    return lambda images: np.rint(255 * fitted(images))


def _run(session: Any, chosen: str, given: Mapping[str, Any], fixed: int) -> np.ndarray:
    inputs = {one.name: one for one in session.get_inputs()}
    if missing := sorted(inputs.keys() - given.keys()):
        raise ValueError(
            f"the ONNX model needs the inputs {list(inputs)}; {missing} were not given. For "
            "texts give tokenize=, which gives arrays by these names; else give a function"
        )
    feed = {key: _cast(given[key], one, fixed) for key, one in inputs.items()}
    try:
        return np.asarray(session.run([chosen], feed)[0])
    except Exception as error:  # onnxruntime has a class of its own for each code
        takes = ", ".join(f"{key} {one.type}{one.shape}" for key, one in inputs.items())
        got = ", ".join(f"{key} {array.dtype}{list(array.shape)}" for key, array in feed.items())
        raise ValueError(
            f"the ONNX model takes {takes} and failed on {got}: {str(error)[:300]}"
        ) from error


def _cast(values: Any, one: Any, fixed: int) -> np.ndarray:
    name = one.type.removeprefix("tensor(").removesuffix(")")
    if name not in _DTYPES:
        raise ValueError(
            f"input {one.name!r} of the ONNX model takes {one.type}; expected one of "
            f"{', '.join(_DTYPES)}: give a function instead"
        )
    given = np.asarray(values)
    with np.errstate(invalid="ignore"):
        array = given.astype(_DTYPES[name])
    if array.dtype.kind in "iu" and not np.array_equal(array, given):
        raise ValueError(
            f"input {one.name!r} of the ONNX model takes {one.type}, which cannot hold the queries "
            f"(from {given.min():.3g} to {given.max():.3g}); give a function instead"
        )
    if fixed > len(array):
        array = np.concatenate([array, np.repeat(array[-1:], fixed - len(array), axis=0)])
    return array
