import dataclasses
import json
import logging
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgmp_jax import adapters
from mgmp_jax.adapters.http import Endpoint, EndpointError
from mgmp_jax.queries import QuerySet
from tests.adapters.faulty_server import Server, of_texts, probabilities

pytest.importorskip("httpx", reason="pip install 'mgmp_jax[http]'")

RNG = np.random.default_rng(0)
IMAGES = QuerySet.images(RNG.integers(0, 256, (10, 4, 5, 3), np.uint8))
ROWS = QuerySet.rows(RNG.normal(size=(60, 4)))
TEXTS = QuerySet.texts(["a", "bb", "ccc", "banana\n", "日本a"])
QUICK: dict[str, Any] = {"protocol": "json", "path": "predictions.*.scores", "backoff": 0.001}


def ask(url: str, queries: QuerySet = ROWS, batch_size: int = 4, **options: Any):
    recording = {key: options.pop(key) for key in ("journal", "progress") if key in options}
    endpoint = Endpoint(url, **QUICK | options)
    return adapters.record(
        endpoint, queries, kind="probabilities", batch_size=batch_size, **recording
    )


def entries(path: Path) -> list[Any]:
    return [json.loads(line)["entry"] for line in path.read_text().splitlines()]


def is_right(found: Any, queries: QuerySet = ROWS) -> bool:
    return np.allclose(found.values, probabilities(queries.inputs), rtol=1e-5)


def metadata(shape: list[int], datatype: str) -> dict[str, Any]:
    return {"name": "m", "inputs": [{"name": "x", "shape": shape, "datatype": datatype}]}


@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_stated_path_leads_to_the_answers(concurrency: int) -> None:
    seen = []
    with Server().running() as url:
        found = ask(
            url, batch_size=7, concurrency=concurrency, progress=lambda *args: seen.append(args)
        )
    assert is_right(found)
    assert seen[-1] == (60, 60)


def test_v2_finds_name_datatype_and_layout_in_the_metadata() -> None:
    server = Server(metadata=metadata([-1, 3, 4, 5], "FP32"))
    first = IMAGES.inputs.transpose(0, 3, 1, 2)
    with server.running() as url:
        line = f"{url}/v2/models/m/infer"
        with pytest.raises(ValueError, match=r"reads FP32 images; say by scale"):
            adapters.record(adapters.open_model(line), IMAGES)
        with pytest.raises(ValueError, match=r"images of 4 x 5, the queries are 5 x 4"):
            adapters.record(
                adapters.open_model(f"{line}#scale=unit"),
                QuerySet.images(IMAGES.inputs.transpose(0, 2, 1, 3)),
            )
        assert server.requests == 0
        model = adapters.open_model(f"{line}#scale=unit")
        found = adapters.record(model, IMAGES, kind="probabilities", batch_size=4)
    tensor = server.bodies[0]["inputs"][0]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("x", "FP32", [4, 3, 4, 5])
    np.testing.assert_allclose(found.values, probabilities(first / 255), rtol=1e-5)


def test_another_model_at_the_address_is_noticed_on_resume(tmp_path: Path) -> None:
    first, second = metadata([-1, 3, 4, 5], "FP32"), metadata([-1, 3, 4, 5], "FP32")
    second["versions"] = ["2"]
    server = Server(lambda i: "status 503" if i >= 2 else "", metadata=first)
    quick = {"retries": 0, "backoff": 0.001, "scale": "unit", "concurrency": 1}
    with server.running() as url:
        asked = {"kind": "embedding", "batch_size": 2, "journal": tmp_path / "j"}
        endpoint = Endpoint(f"{url}/v2/models/m", **quick)
        with pytest.raises(EndpointError, match=r"503"):
            adapters.record(endpoint, IMAGES, **asked)
        server.metadata = second
        with pytest.raises(ValueError, match=r"serves another model or version than when"):
            adapters.record(endpoint, IMAGES, **asked)


def test_v2_without_metadata_takes_what_is_given() -> None:
    with Server().running() as url:
        endpoint = Endpoint(f"{url}/v2/models/m", datatype="BYTES")
        with pytest.raises(ValueError, match=r"serves no metadata of its input; give input_name"):
            adapters.record(endpoint, TEXTS)
        endpoint = dataclasses.replace(endpoint, input_name="x")
        sets = {"training": TEXTS, "unseen": TEXTS.take(2)}
        found = adapters.record(endpoint, sets, kind="probabilities")
    np.testing.assert_allclose(found["training"].values, of_texts(TEXTS.inputs), rtol=1e-5)
    assert len(found["unseen"]) == 2


def test_v2_metadata_that_are_refused_are_no_metadata_that_lack() -> None:
    server = Server(metadata={"status": 401})
    with server.running() as url, pytest.raises(EndpointError, match=r"status 401: 'not for you'"):
        adapters.record(Endpoint(f"{url}/v2/models/m"), ROWS)
    assert server.requests == 0


def test_v2_images_of_bytes_are_sent_as_they_are() -> None:
    with Server(metadata=metadata([-1, -1, -1, 3], "UINT8")).running() as url:
        model = adapters.open_model(f"{url}/v2/models/m")
        found = adapters.record(model, IMAGES, kind="probabilities")
    np.testing.assert_allclose(found.values, probabilities(IMAGES.inputs), rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_labels_of_hugging_face_have_one_order(tmp_path: Path, batch_size: int) -> None:
    with Server().running() as url:
        found = ask(url, TEXTS, batch_size, protocol="hf", journal=tmp_path / "journal.jsonl")
    assert found.kind == "probabilities"
    np.testing.assert_allclose(found.values, of_texts(TEXTS.inputs)[:, [1, 2, 0]], rtol=1e-5)
    assert entries(tmp_path / "journal.jsonl")[-1] == {"labels": ["ant", "bee", "cat"]}


@pytest.mark.parametrize("top_k", [1, 2])
def test_labels_that_lack_a_score_are_zero_in_top_k(top_k: int) -> None:
    pytest.importorskip("PIL", reason="pip install 'mgmp_jax[http]'")
    images = QuerySet.images(RNG.integers(0, 256, (40, 2, 2, 3), np.uint8))
    with Server(top_k=top_k).running() as url:
        found = ask(f"{url}/images", images, protocol="hf", top_k=top_k)
        labels = adapters.record(Endpoint(f"{url}/images", "hf"), images, kind="labels")
        with pytest.raises(ValueError, match=r"holds probabilities, not logits"):
            adapters.record(Endpoint(f"{url}/images", "hf"), images)
    expected = probabilities(images.inputs)[:, [1, 2, 0]]
    kept = np.where(np.argsort(np.argsort(-expected)) < top_k, expected, 0)
    kept = kept[:, kept.any(axis=0)]
    assert found.kind == "top-k"
    np.testing.assert_allclose(found.values, kept, rtol=1e-5)
    assert (labels.values.argmax(axis=1)[:, None] == kept.argmax(axis=1)[:, None]).all()


NAN = ", ".join(['{"scores": [NaN, 0.5, 0.5]}'] * 5)
FAULTS = {
    "every third fails": lambda i: "status 503" if i % 3 == 0 else "",
    "hangs": lambda i: "hang 0.6" if i == 3 else "",
    "drips": lambda i: "drip 1" if i == 3 else "",
    "drips without a length": lambda i: "endless 1" if i == 3 else "",
    "drips headers": lambda i: "headers 0.02" if i == 3 else "",
    "informs for ever": lambda i: "informs 0.02" if i == 3 else "",
    "asks to wait": lambda i: "later 1" if i == 2 else "",
    "cuts the body": lambda i: "cut" if i % 4 == 0 else "",
    "hangs up": lambda i: "hang-up" if i % 4 == 0 else "",
    "no JSON": lambda i: "say {{" if i % 4 == 0 else "",
    "NaN": lambda i: f'say {{"predictions": [{NAN}]}}' if i % 4 == 0 else "",
    "too few rows": lambda i: 'say {"predictions": [{"scores": [1, 2]}]}' if i % 4 == 0 else "",
    "other JSON": lambda i: "say [1]" if i % 4 == 0 else "",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_that_pass_change_no_answer(fault: str, tmp_path: Path) -> None:
    server = Server(FAULTS[fault])
    start = time.monotonic()
    with server.running() as url:
        found = ask(
            url, timeout=0.3, concurrency=2, journal=tmp_path / "j", batch_size=5, budget=200
        )
    assert is_right(found)
    assert server.requests > 12
    answered = [entry["answer"] for entry in entries(tmp_path / "j") if "answer" in entry]
    assert len(answered) == 12
    assert sum("sent" in entry for entry in entries(tmp_path / "j")) == server.requests
    if fault == "asks to wait":
        assert time.monotonic() - start >= 1


def test_a_date_to_wait_for_is_understood() -> None:
    date = formatdate(time.time() + 2, usegmt=True)
    server = Server(lambda i: f"later {date}" if i == 1 else "")
    with server.running() as url:
        assert is_right(ask(url))
        assert server.times[1] - server.times[0] > 0.5
        server.requests, server.fault = 0, lambda i: "later 4000"
        with pytest.raises(EndpointError, match=r"asks to wait 4000 s .* longest_wait = 300"):
            ask(url)


def test_a_server_that_dies_and_comes_back_is_waited_for(tmp_path: Path) -> None:
    server = Server(delay=0.02)
    with server.running() as url:
        pass
    port = int(url.rpartition(":")[2])
    found: list[Any] = []

    def record() -> None:
        found.append(
            ask(url, backoff=0.05, retries=8, batch_size=2, budget=70, journal=tmp_path / "j")
        )

    thread = threading.Thread(target=record)
    with server.running(port):
        thread.start()
        while server.requests < 5:
            time.sleep(0.005)
    time.sleep(0.3)
    with server.running(port):
        thread.join()
    assert is_right(found[0])
    assert server.queries <= 70


@pytest.mark.parametrize(
    ("fault", "message", "requests"),
    [
        ("status 400", r"refused queries 0 to 3: status 400: 'no: Bearer \[secret\]'", 1),
        ("status 404", r"status 404", 1),
        ("moved http://127.0.0.1:1/x", r"a redirect, which is not followed.*127.0.0.1:1/x", 1),
        ("large", r"larger than 200000 bytes", 1),
        ("bomb 1", r"the answer is packed \('gzip'\), which was not asked for", 1),
        ("bomb 3", r"the answer is packed \('gzip, gzip, gzip'\), which was not asked for", 1),
        ("status 500", r"did not answer queries 0 to 3 in 3 requests, at last: status 500", 3),
        ("status 425", r"in 3 requests, at last: status 425", 3),
        ("say {", r"in 3 requests, at last: the answer is no JSON: '{'", 3),
        ('say {"predictions": [1, 2]}', r"nothing at 'scores' of the path, but int", 2),
    ],
)
def test_what_does_not_pass_is_said(
    fault: str,
    message: str,
    requests: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("API_TOKEN", "tOpSeCrEt\n")
    caplog.set_level(logging.DEBUG)
    server = Server(lambda i: fault)
    with server.running() as url, pytest.raises(EndpointError, match=message) as caught:
        ask(
            url, retries=2, token_env="API_TOKEN", journal=tmp_path / "j", largest_body=200_000,
            headers={"X-Other": "alsoSecret"}
        )  # fmt: skip
    assert server.requests == requests
    assert server.headers[0]["Authorization"] == "Bearer tOpSeCrEt"
    assert server.headers[0]["X-Other"] == "alsoSecret"
    endpoint = Endpoint(url, token_env="API_TOKEN", headers={"X-Other": "alsoSecret"})
    for text in (str(caught.value), repr(endpoint), caplog.text, (tmp_path / "j").read_text()):
        assert "ecr" not in text.replace("[secret]", "").replace("API_TOKEN", "")


def test_a_token_that_is_missing_or_no_header_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"variable NO_TOKEN is empty or not set"):
        ask("http://127.0.0.1:1/", token_env="NO_TOKEN")
    monkeypatch.setenv("API_TOKEN", "tOp\nSeCrEt")
    with pytest.raises(ValueError, match=r"Authorization \(from API_TOKEN\) holds") as caught:
        ask("http://127.0.0.1:1/", token_env="API_TOKEN")
    assert "Cr" not in str(caught.value)


def test_the_rate_is_kept() -> None:
    took = []
    for _ in range(3):  # on a busy machine the first request may arrive late
        server = Server()
        with server.running() as url:
            ask(url, rate=50.0, concurrency=4, batch_size=6)
        assert server.requests == 10
        took.append(server.times[-1] - server.times[0])
    assert max(took) >= 9 / 50 - 0.02


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("http://u:hidden@h/v2/models/m", r"holds a user or a password"),
        ("https://h/v2/models/m?api_key=hidden", r"looks like a secret, 'api_key'"),
        ("https://h/answer", r"say what the endpoint speaks"),
        ("https:///v2/models/m", r"an endpoint is http://HOST"),
        ("https://h:port/v2/models/m", r"cannot be read"),
        ("https://h/v2/models/m#speed=1", r"no option 'speed'; expected backoff, budget"),
        ("https://h/v2/models/m#budget=many", r"option budget must be a number, got 'many'"),
        ("https://h/v2/models/m#timeout=0", r"timeout must be a number, above 0"),
        ("https://h/v2/models/m#scale=big", r"scale"),
    ],
)
def test_addresses_that_are_none_are_refused(line: str, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        adapters.open_model(line)
    assert "hidden" not in str(caught.value)


def test_an_address_with_options_is_an_endpoint() -> None:
    found = adapters.open_model("https://h/a?version=2#protocol=hf&token_env=T&budget=50&rate=2.5")
    expected = Endpoint(
        "https://h/a?version=2", "hf", token_env="T", budget=50, rate=2.5
    )  # the token itself comes from the environment
    assert found == expected
    assert found.place == "https://h/a"
