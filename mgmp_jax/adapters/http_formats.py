"""What is posted to an endpoint and what is read in its answer, in three protocols."""

from __future__ import annotations

import base64
import dataclasses
import io
import math
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mgmp_jax.adapters.frameworks import import_framework
from mgmp_jax.adapters.http_endpoint import Endpoint
from mgmp_jax.arrays import LARGEST, as_numbers
from mgmp_jax.queries import QuerySet

__all__ = ["Rows", "decode", "encode", "gather", "metadata_url", "post_url", "with_metadata"]

Rows = list[Any]
"""What was answered, a row a query: numbers ``[d]``, or scores by label."""

_BYTES = "BYTES"


def post_url(endpoint: Endpoint) -> str:
    """Gives the address that queries are posted to; a v2 model's own ends in ``/infer``."""
    parts = urllib.parse.urlsplit(endpoint.url)
    path = parts.path.rstrip("/")
    if endpoint.protocol == "v2" and "/v2/models/" in path and not path.endswith("/infer"):
        return parts._replace(path=f"{path}/infer").geturl()
    return endpoint.url


def metadata_url(endpoint: Endpoint) -> str | None:
    """Gives where a v2 model's metadata lie; ``None`` where they are not needed."""
    if endpoint.protocol != "v2" or (endpoint.input_name and endpoint.datatype):
        return None
    parts = urllib.parse.urlsplit(post_url(endpoint))
    return parts._replace(path=parts.path.rstrip("/").removesuffix("/infer")).geturl()


def with_metadata(endpoint: Endpoint, metadata: Any, queries: QuerySet) -> Endpoint:
    """Fills in what a v2 model's metadata say of its input.

    Args:
        endpoint: of protocol v2.
        metadata: what it serves of the model; ``None`` where it serves nothing.
        queries: what will be asked.

    Returns:
        An endpoint whose input's name and datatype, and layout and scale of images, are known.

    Raises:
        ValueError: they are neither served nor given, or the model takes other images.
    """
    served = metadata.get("inputs") if isinstance(metadata, Mapping) else None
    inputs = [one for one in served or [] if isinstance(one, Mapping)]
    if endpoint.input_name:
        inputs = [one for one in inputs if one.get("name") == endpoint.input_name]
    if len(inputs) > 1:
        names = [one.get("name") for one in inputs]
        raise ValueError(f"{endpoint.place} has the inputs {names}; choose one by input_name")
    found = inputs[0] if inputs else {}
    name = endpoint.input_name or found.get("name")
    datatype = endpoint.datatype or found.get("datatype")
    if not isinstance(name, str) or not isinstance(datatype, str):
        raise ValueError(
            f"{endpoint.place} serves no metadata of its input; give input_name and datatype, for "
            'example input_name="input-0", datatype="FP32"'
        )
    shape = found.get("shape")
    changes = {"input_name": name, "datatype": datatype.upper()}
    if queries.modality == "images":
        shape = shape if isinstance(shape, Sequence) and len(shape) == 4 else [-1] * 4
        changes["layout"] = endpoint.layout or ("NCHW" if shape[1] == 3 != shape[3] else "NHWC")
        changes["scale"] = _scale(endpoint, changes["datatype"])
        height, width = shape[2:] if changes["layout"] == "NCHW" else shape[1:3]
        taken = queries.inputs.shape[1:3]
        if any(side not in (-1, have) for side, have in zip((height, width), taken, strict=True)):
            raise ValueError(
                f"{endpoint.place} reads images of {height} x {width}, the queries are "
                f"{taken[0]} x {taken[1]}; ask queries of the model's own size"
            )
    return dataclasses.replace(endpoint, **changes)


def _scale(endpoint: Endpoint, datatype: str) -> str:
    floating = datatype.startswith(("FP", "BF"))
    if endpoint.scale == "unit" and not floating:
        raise ValueError(f"{endpoint.place} reads {datatype}; pixels from 0 to 1 are none")
    if not endpoint.scale and floating:
        raise ValueError(
            f"{endpoint.place} reads {datatype} images; say by scale what its pixels are: 'unit' "
            "from 0 to 1, or 'uint8' from 0 to 255"
        )
    return endpoint.scale or "uint8"


def encode(endpoint: Endpoint, batch: QuerySet) -> dict[str, Any]:
    """Writes queries as the JSON that is posted.

    Args:
        endpoint: where; of protocol v2 with metadata filled in.
        batch: the queries of one request.

    Raises:
        ImportError: images are sent as PNG, and Pillow is not installed.
    """
    if endpoint.protocol == "hf":
        values = _png(batch) if batch.modality == "images" else _numbers(endpoint, batch).tolist()
        body: dict[str, Any] = {"inputs": values[0] if len(values) == 1 else values}
        return body | ({"parameters": {"top_k": endpoint.top_k}} if endpoint.top_k else {})
    values = _numbers(endpoint, batch)
    if endpoint.protocol == "json":
        return {endpoint.key: values.tolist()}
    if endpoint.datatype.startswith(("INT", "UINT")) and values.dtype.kind == "f":
        if (values != np.rint(values)).any():
            raise ValueError(
                f"{endpoint.place} reads {endpoint.datatype}, but the queries are not whole"
            )
        values = values.astype(np.int64)
    tensor = {"name": endpoint.input_name, "datatype": endpoint.datatype}
    tensor |= {"shape": list(values.shape), "data": values.ravel().tolist()}
    return {"inputs": [tensor]}


def _numbers(endpoint: Endpoint, batch: QuerySet) -> np.ndarray:
    """The inputs, texts too, as an array with a query in each row."""
    if batch.modality == "texts":
        return np.array(batch.inputs, object)
    values = batch.inputs
    if batch.modality == "images":
        values = values.astype(np.float32) / 255 if endpoint.scale == "unit" else values
        values = values.transpose(0, 3, 1, 2) if endpoint.layout == "NCHW" else values
    return values


def _png(batch: QuerySet) -> list[str]:
    pillow: Any = import_framework("PIL.Image", "'mgmp_jax[http]'")
    found = []
    for image in batch.inputs:
        stream = io.BytesIO()
        pillow.fromarray(image).save(stream, "PNG")
        found.append(base64.b64encode(stream.getvalue()).decode())
    return found


def decode(endpoint: Endpoint, body: Any, count: int) -> Rows:
    """Reads one row a query in an answer.

    Args:
        endpoint: that answered.
        body: the parsed JSON.
        count: how many queries were asked.

    Returns:
        Of protocol hf scores by label, of the others lists of numbers.

    Raises:
        ValueError: the answer is of another form, has another number of rows, or holds numbers
            that are not finite.
    """
    if endpoint.protocol == "hf":
        return _scores(body, count)
    found = _tensor(endpoint, body) if endpoint.protocol == "v2" else _walk(body, endpoint.path)
    array = as_numbers(found, "its answers")
    if not array.ndim or len(array) != count:
        raise ValueError(f"it gave an array of shape {array.shape} for {count} queries")
    matrix = array.reshape(count, -1)
    if not matrix.size or not (np.abs(matrix.astype(np.float64)) <= LARGEST).all():
        raise ValueError("it gave numbers that are not finite or far too large, or none")
    return matrix.tolist()


def _tensor(endpoint: Endpoint, body: Any) -> np.ndarray:
    outputs = body.get("outputs") if isinstance(body, Mapping) else None
    if not isinstance(outputs, list) or not all(isinstance(one, Mapping) for one in outputs):
        raise ValueError("it gave no list of outputs")
    names = [one.get("name") for one in outputs]
    if endpoint.output_name:
        outputs = [one for one in outputs if one.get("name") == endpoint.output_name]
    if len(outputs) != 1:
        raise ValueError(f"it gave the outputs {names}; choose one by output_name")
    shape, datatype = outputs[0].get("shape"), outputs[0].get("datatype")
    if datatype == _BYTES:
        raise ValueError("it gave strings, datatype BYTES; choose an output of numbers")
    array = as_numbers(outputs[0].get("data"), "its data").ravel()
    sizes = shape if isinstance(shape, list) and all(type(s) is int for s in shape) else [-1]
    if min(sizes, default=-1) < 0 or math.prod(sizes) != array.size:
        raise ValueError(f"it gave {array.size} numbers and the shape {str(shape)[:60]}")
    return array.reshape(sizes)


def _walk(body: Any, path: str) -> Any:
    """What lies at the end of a path such as ``outputs.0.scores`` or ``predictions.*.scores``."""
    step, _, rest = path.partition(".")
    if not step:
        return body
    if step == "*" and isinstance(body, list):
        return [_walk(one, rest) for one in body]
    if isinstance(body, Mapping) and step in body:
        return _walk(body[step], rest)
    if isinstance(body, list) and step.isdecimal() and int(step) < len(body):
        return _walk(body[int(step)], rest)
    has = f"the keys {list(body)[:8]}" if isinstance(body, Mapping) else type(body).__name__
    raise ValueError(f"it has nothing at {path!r} of the path, but {has}")


def _scores(body: Any, count: int) -> Rows:
    if not isinstance(body, list):
        raise ValueError("it gave no list of labels and scores")
    lists = [isinstance(one, list) for one in body]
    if not any(lists):  # of one query, or of several the first label of each
        body = [body] if count == 1 else [[one] for one in body]
    if len(body) != count:
        raise ValueError(f"it gave {len(body)} rows for {count} queries")
    return [_by_label(row) for row in body]


def _by_label(row: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in row if isinstance(row, list) else ():
        label, score = (one.get("label"), one.get("score")) if isinstance(one, dict) else (0, 0)
        if not isinstance(label, str) or not isinstance(score, int | float) or label in found:
            raise ValueError("it gave something else than {label, score}, or one label twice")
        if not 0 <= score <= 1.001:
            raise ValueError(f"it gave the score {str(score)[:20]}; expected probabilities")
        found[label] = float(score)
    if not found:
        raise ValueError("it gave a query no label")
    return found


def gather(rows: Rows, labels: Sequence[str]) -> np.ndarray:
    """Puts the rows of an endpoint into one array ``[n, d]``.

    Args:
        rows: of all queries of a set, as :func:`decode` gives them.
        labels: in their order, where rows are scores by label; a label without a score becomes 0.

    Raises:
        ValueError: rows have unequal lengths.
    """
    if not labels:
        return as_numbers(rows, "the endpoint's answers")
    places = {label: place for place, label in enumerate(labels)}
    values = np.zeros((len(rows), len(labels)))
    for row, scores in zip(values, rows, strict=True):
        row[[places[label] for label in scores]] = list(scores.values())
    return values
