"""A model behind HTTP on loopback, which counts what it is asked and misbehaves as it is told."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

LABELS = ("cat", "ant", "bee")
Fault = Callable[[int], str]
"""What to do with the request of a number: nothing, or a word of :meth:`Handler.misbehave`."""


def probabilities(rows: Any) -> np.ndarray:
    """What the model answers on rows ``[n, f]``."""
    rows = np.asarray(rows, np.float64)
    rows = rows.reshape(len(rows), -1)
    weights = np.cos(np.arange(rows.shape[1] * 3)).reshape(-1, 3)
    logits = np.exp(rows @ weights / rows.shape[1])
    return logits / logits.sum(axis=1, keepdims=True)


def of_texts(texts: Any) -> np.ndarray:
    """What the model answers on texts."""
    return probabilities([[len(text), text.count("a")] for text in texts])


class Server:
    """What the server has seen, and how it answers.

    Args:
        fault: says what to do with each request.
        delay: seconds before an answer.
        metadata: of the v2 model; ``None`` serves none.
        top_k: how many labels Hugging Face's JSON holds.
    """

    def __init__(
        self,
        fault: Fault = lambda number: "",
        delay: float = 0.0,
        metadata: Mapping[str, Any] | None = None,
        top_k: int = 3,
    ) -> None:
        self.fault, self.delay, self.metadata, self.top_k = fault, delay, metadata, top_k
        self.requests = self.queries = 0
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self.lock = threading.Lock()
        self.url = ""

    @contextlib.contextmanager
    def running(self, port: int = 0) -> Iterator[str]:
        """Serves on loopback; gives the address."""
        handler = type("Handler", (_Handler,), {"owner": self})
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield self.url
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, path: str, body: Any) -> tuple[int, Any]:
        """How many queries a body holds, and what is answered."""
        if "inputs" in body and path.startswith("/v2/"):
            tensor = body["inputs"][0]
            given = np.array(tensor["data"]).reshape(tensor["shape"])
            found = of_texts(given) if tensor["datatype"] == "BYTES" else probabilities(given)
            out = {"name": "scores", "datatype": "FP32", "shape": list(found.shape)}
            return len(found), {"outputs": [{**out, "data": found.ravel().tolist()}]}
        if "inputs" in body:
            given = body["inputs"] if isinstance(body["inputs"], list) else [body["inputs"]]
            found = _images(given) if path == "/images" else of_texts(given)
            rows = [_labelled(row, self.top_k) for row in found]
            return len(rows), rows if isinstance(body["inputs"], list) else rows[0]
        found = probabilities(body["instances"])
        return len(found), {"predictions": [{"scores": row} for row in found.tolist()]}


def _images(given: list[str]) -> np.ndarray:
    from PIL import Image

    return probabilities(
        [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in given]
    )


def _labelled(row: np.ndarray, top_k: int) -> list[dict[str, Any]]:
    best = np.argsort(-row)[:top_k]
    return [{"label": LABELS[i], "score": float(row[i])} for i in best]


class _Handler(BaseHTTPRequestHandler):
    owner: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.owner.metadata is None:
            self.reply(404, b"{}")
        elif "status" in self.owner.metadata:
            self.reply(self.owner.metadata["status"], b"not for you")
        else:
            self.reply(200, json.dumps(self.owner.metadata).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        count, answer = self.owner.answer(self.path, body)
        with self.owner.lock:
            self.owner.requests += 1
            self.owner.queries += count
            self.owner.bodies.append(body)
            self.owner.headers.append(dict(self.headers))
            self.owner.times.append(time.monotonic())
            fault = self.owner.fault(self.owner.requests)
        time.sleep(self.owner.delay)
        with contextlib.suppress(OSError):
            self.misbehave(fault, json.dumps(answer).encode())

    def misbehave(self, fault: str, raw: bytes) -> None:
        word, _, detail = fault.partition(" ")
        if word == "status":
            self.reply(int(detail), b"no: " + self.headers.get("Authorization", "").encode())
        elif word == "later":
            self.reply(429, b"{}", {"Retry-After": detail})
        elif word == "moved":
            self.reply(307, b"", {"Location": detail})
        elif word == "hang":
            time.sleep(float(detail))
        elif word == "cut":
            self.reply(200, raw, cut=True)
        elif word == "drip":
            self.reply(200, raw, pause=float(detail) / len(raw))
        elif word == "hang-up":
            self.close_connection = True
        elif word == "say":
            self.reply(200, detail.encode())
        elif word == "bomb":
            packed = raw + b" " * 2**20
            for _ in range(int(detail)):
                packed = gzip.compress(packed)
            names = ", ".join(["gzip"] * int(detail))
            self.reply(200, packed, {"Content-Encoding": names})
        elif word == "headers":
            self.drip(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, float(detail))
        elif word == "endless":
            self.close_connection = True
            self.drip(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 0)
            self.drip(raw, float(detail) / len(raw))
        elif word == "informs":
            self.drip(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000, float(detail))
        elif word == "large":
            self.reply(200, b"[" + b"1, " * 100_000 + b"1]")
        else:
            self.reply(200, raw)

    def reply(
        self,
        status: int,
        raw: bytes,
        headers: Mapping[str, str] | None = None,
        cut: bool = False,
        pause: float = 0.0,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if pause:
            self.drip(raw, pause)
        else:
            self.wfile.write(raw[: len(raw) // 2] if cut else raw)
        self.close_connection = self.close_connection or cut

    def drip(self, raw: bytes, pause: float) -> None:
        for i in range(len(raw)):
            self.wfile.write(raw[i : i + 1])
            time.sleep(pause)
