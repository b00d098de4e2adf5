import json
import tracemalloc
from typing import Any

import numpy as np
import pytest

from mgmp_jax.adapters.http_endpoint import Endpoint
from mgmp_jax.adapters.http_formats import decode, encode, gather, post_url
from mgmp_jax.queries import QuerySet

V2 = Endpoint("http://h/v2/models/m", input_name="x", datatype="INT64")
HF = Endpoint("http://h/", "hf")


def at(path: str) -> Endpoint:
    return Endpoint("http://h/", "json", path=path)


def output(**changes: Any) -> dict[str, Any]:
    return {"name": "y", "shape": [2, 1], "datatype": "FP32", "data": [1, 2]} | changes


@pytest.mark.parametrize(
    ("endpoint", "body", "rows"),
    [
        (V2, {"outputs": [output()]}, [[1], [2]]),
        (V2, {"outputs": [output(data=[[1], [2]])]}, [[1], [2]]),
        (V2, {"outputs": [output(shape=[2], datatype="BOOL", data=[True, False])]}, [[1], [0]]),
        (V2, {"outputs": [output(shape=[2, 1, 2], data=[1, 2, 3, 4])]}, [[1, 2], [3, 4]]),
        (at("outputs.1.scores"), {"outputs": [0, {"scores": [[1, 2], [3, 4]]}]}, [[1, 2], [3, 4]]),
        (at("*.y"), [{"y": [1]}, {"y": [2]}], [[1], [2]]),
        (at(""), [[1], [2]], [[1], [2]]),
        (HF, [{"label": "a", "score": 1}, {"label": "b", "score": 0.5}], [{"a": 1}, {"b": 0.5}]),
    ],
)
def test_answers_are_read(endpoint: Endpoint, body: Any, rows: list[Any]) -> None:
    assert decode(endpoint, body, 2) == rows


def test_the_labels_of_one_query_may_come_with_or_without_a_list() -> None:
    row = [{"label": "a", "score": 0.75}, {"label": "b", "score": 0.25}]
    assert decode(HF, row, 1) == decode(HF, [row], 1) == [{"a": 0.75, "b": 0.25}]


@pytest.mark.parametrize(
    ("endpoint", "body", "message"),
    [
        (V2, [], r"no list of outputs"),
        (V2, {"outputs": [1]}, r"no list of outputs"),
        (V2, {"outputs": [output(), output(name="z")]}, r"outputs \['y', 'z'\]; choose one by"),
        (V2, {"outputs": [output(datatype="BYTES", data=["a", "b"])]}, r"gave strings"),
        (V2, {"outputs": [output(data=["a", "b"])]}, r"must be real numbers"),
        (V2, {"outputs": [output(data=None)]}, r"real numbers"),
        (V2, {"outputs": [output(shape=[2, 2])]}, r"gave 2 numbers and the shape \[2, 2\]"),
        (V2, {"outputs": [output(shape=[-2, -1])]}, r"gave 2 numbers and the shape"),
        (V2, {"outputs": [output(shape="2")]}, r"gave 2 numbers and the shape 2"),
        (V2, {"outputs": [output(shape=[1, 2])]}, r"shape \(1, 2\) for 2 queries"),
        (at("y"), {"y": [[1.0], [float("nan")]]}, r"not finite"),
        (at("y"), {"y": [[1.0], [float("inf")]]}, r"not finite"),
        (at("y"), {"y": [[1.0], [1e30]]}, r"far too large"),
        (at("y"), {"y": [[], []]}, r"or none"),
        (at("y"), {"y": [[1], [1, 2]]}, r"rows of unequal length"),
        (at("y"), {"y": [[10**30], [1]]}, r"real numbers"),
        (at("y"), {"y": 3}, r"shape \(\) for 2 queries"),
        (at("y.0"), {"y": []}, r"nothing at '0' of the path, but list"),
        (at("y"), {"z": 1}, r"nothing at 'y' of the path, but the keys \['z'\]"),
        (HF, {"error": "loading"}, r"no list of labels"),
        (HF, [[{"label": "a", "score": 1}]], r"gave 1 rows for 2 queries"),
        (HF, [[{"label": "a", "score": 1}], []], r"a query no label"),
        (HF, [[{"label": "a", "score": "1"}], []], r"something else than"),
        (HF, [[{"label": "a", "score": 0.5}] * 2, []], r"or one label twice"),
        (HF, [[{"label": "a", "score": float("nan")}], []], r"the score nan"),
        (HF, [[{"label": "a", "score": 10**400}], []], r"the score 1000"),
        (HF, [[{"label": "a", "score": -3.5}], []], r"the score -3.5; expected probabilities"),
        (HF, [3, [4]], r"no label"),
    ],
)
def test_answers_that_are_none_are_refused(endpoint: Endpoint, body: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(endpoint, body, 2)


def test_queries_are_sent_as_the_datatype_says() -> None:
    tensor = encode(V2, QuerySet.rows([[1.0, 2.0]]))["inputs"][0]
    assert json.dumps(tensor["data"]) == "[1, 2]"
    assert tensor["shape"] == [1, 2]
    with pytest.raises(ValueError, match=r"reads INT64, but the queries are not whole"):
        encode(V2, QuerySet.rows([[1.5, 2.0]]))


def test_images_are_laid_out_and_scaled() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3), np.uint8)
    endpoint = Endpoint("http://h/", "json", layout="NCHW", scale="unit", key="pixels")
    sent = np.array(encode(endpoint, QuerySet.images(images))["pixels"])
    np.testing.assert_allclose(sent, images.transpose(0, 3, 1, 2) / 255, rtol=1e-6)


def test_where_a_v2_model_is_asked() -> None:
    for url in ("http://h/v2/models/m", "http://h/v2/models/m/", "http://h/v2/models/m/infer"):
        assert post_url(Endpoint(url)) == "http://h/v2/models/m/infer"
    assert post_url(HF) == "http://h/"


def test_scores_by_label_become_an_array_in_place() -> None:
    rows = [{"b": 0.25, "a": 0.5}, {"c": 1.0}]
    np.testing.assert_array_equal(gather(rows, ["a", "b", "c"]), [[0.5, 0.25, 0], [0, 0, 1]])
    rows = [{str(i): 0.5} for i in range(2000)]
    tracemalloc.start()
    try:
        values = gather(rows, [str(i) for i in range(2000)])
        assert tracemalloc.get_traced_memory()[1] < 1.2 * values.nbytes
    finally:
        tracemalloc.stop()
