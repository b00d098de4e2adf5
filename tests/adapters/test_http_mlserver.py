"""A real MLServer on loopback: what is recorded of it is what its model answers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.queries import QuerySet
from tests.mlserver import mlserver

pytest.importorskip("httpx", reason="pip install 'mgmp_jax[http]'")

RUNTIME = """
import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceResponse


class Means(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        images = NumpyCodec.decode_input(payload.inputs[0])
        out = images.mean(axis=(2, 3)).astype(np.float32)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("means", out)]
        )


class Lengths(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        texts = StringCodec.decode_input(payload.inputs[0])
        out = np.array([[len(t), t.count("a")] for t in texts], np.float32)
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("lengths", out)]
        )
"""
MODELS = {
    "Means": {"name": "x", "datatype": "FP32", "shape": [-1, 3, 6, 5]},
    "Lengths": {"name": "text", "datatype": "BYTES", "shape": [-1]},
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlserver(tmp_path_factory.mktemp("mlserver"), MODELS, RUNTIME) as found:
        yield found


def test_images_are_answered_as_the_model_would(address: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 5, 3), np.uint8)
    endpoint = adapters.open_model(f"{address}/v2/models/Means/infer#scale=unit&concurrency=2")
    found = adapters.record(
        endpoint, QuerySet.images(images), kind="embedding", batch_size=8, journal=tmp_path / "j"
    )
    np.testing.assert_allclose(found.values, images.mean(axis=(1, 2)) / 255, rtol=1e-5)


def test_texts_are_answered_as_the_model_would(address: str) -> None:
    texts = ["a", "banana", "日本\n", '"quoted"']
    endpoint = adapters.open_model(f"{address}/v2/models/Lengths")
    found = adapters.record(endpoint, QuerySet.texts(texts), kind="embedding", batch_size=3)
    assert found.values.tolist() == [[len(text), text.count("a")] for text in texts]


def test_a_model_that_is_not_there_is_said(address: str) -> None:
    endpoint = adapters.open_model(f"{address}/v2/models/none#input_name=x&datatype=FP32")
    with pytest.raises(ConnectionError, match=r"refused queries 0 to 1: status 404: .*none"):
        adapters.record(endpoint, QuerySet.rows([[1.0, 2.0], [3.0, 4.0]]))
