"""ONNX files, by onnxruntime."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from mgmp_jax.adapters import batches
from mgmp_jax.adapters.frameworks import import_framework, is_of
from mgmp_jax.adapters.pixels import Pixels
from mgmp_jax.answers import Answers
from mgmp_jax.responses import ResponseKind

__all__ = ["open_model", "reads", "record"]

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


def reads(model: Any) -> bool:
    """Says whether a model is a session of onnxruntime."""
    return is_of(model, "onnxruntime", "InferenceSession")


def open_model(target: str) -> Any:
    """Opens an ``.onnx`` file on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
        ImportError: onnxruntime is not installed.
    """
    runtime = import_framework("onnxruntime", "'mgmp_jax[onnx]'")
    if not Path(target).is_file():
        raise FileNotFoundError(f"no file {target}")
    try:
        return runtime.InferenceSession(target, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions have no common class
        raise ValueError(f"{target} is no readable ONNX model: {str(error)[:300]}") from error


def record(
    model: Any,
    queries: batches.Queries,
    *,
    kind: ResponseKind = "logits",
    name: str = "",
    batch_size: int = 256,
    pixels: Pixels = Pixels(),
    output: str | None = None,
) -> Answers:
    """Records what an ONNX model answers.

    Args:
        model: an ``onnxruntime.InferenceSession`` with one input: images or rows.
        queries: images or rows.
        kind: what the numbers are.
        name: of the model.
        batch_size: how many queries are asked at once; a model of a fixed batch is asked so many.
        pixels: what the model reads; the layout is found from its input. A model of uint8 images
            is given the raw pixels.
        output: the name of the output, by default the first.

    Raises:
        ValueError: there is no such output, or the input is of another kind.
    """
    names = [one.name for one in model.get_outputs()]
    if output is not None and output not in names:
        raise ValueError(f"the model has no output {output!r}; it has {', '.join(names)}")
    inputs = model.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _DTYPES:
        given = ", ".join(f"{one.name}: {one.type} {one.shape}" for one in inputs)
        raise ValueError(
            f"an ONNX model must have one input of numbers, got {given}; wrap the session in a "
            "function of a batch of raw queries"
        )
    (wanted,) = inputs
    dtype, fixed = _DTYPES[wanted.type], wanted.shape[0]
    first = len(wanted.shape) == 4 and wanted.shape[1] == 3 and wanted.shape[3] != 3
    pixels = dataclasses.replace(pixels, channels_first=first)

    def answer(raw: Any) -> np.ndarray:
        if isinstance(raw, list):
            raise ValueError("an ONNX model of numbers reads no texts; give a function of texts")
        x = raw
        if raw.ndim == 4 and dtype == np.uint8:
            x = raw.transpose(0, 3, 1, 2) if first else raw
        elif raw.ndim == 4:
            x = pixels(raw)
        x = np.ascontiguousarray(x, dtype)
        if isinstance(fixed, int):
            x = np.concatenate([x, np.repeat(x[-1:], fixed - len(x), axis=0)])
        try:
            (answers,) = model.run([output or names[0]], {wanted.name: x})
        except Exception as error:  # onnxruntime's own exceptions have no common class
            raise ValueError(
                f"the ONNX model does not read {x.dtype} {list(x.shape)}; it wants {wanted.type} "
                f"{wanted.shape}: {str(error)[:300]}"
            ) from error
        return np.asarray(answers)[: len(raw)]

    size = fixed if isinstance(fixed, int) else batch_size
    return batches.record(answer, queries, kind=kind, name=name, batch_size=size)
