"""An endpoint: where a model answers over HTTP, what it speaks, and how gently it is asked."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any, Literal, get_args

from mgmp_jax.arrays import check_whole

__all__ = ["Endpoint", "Layout", "Protocol", "Scale", "open_model"]

Protocol = Literal["v2", "hf", "json"]
Layout = Literal["", "NHWC", "NCHW"]
Scale = Literal["", "uint8", "unit"]

_CHOICES: dict[str, Any] = {"protocol": Protocol, "layout": Layout, "scale": Scale}
_SECRET = re.compile(r"key|token|secret|password|signature|credential|^(sig|code|auth)$", re.I)
_HEADER = re.compile(r"[\x20-\x7e]+")


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A model behind an HTTP endpoint.

    Args:
        url: where queries are posted. It holds no secret: those come by ``token_env``.
        protocol: ``"v2"`` is the Open Inference Protocol (KServe, Triton, MLServer, TorchServe),
            ``"hf"`` Hugging Face's classification JSON, ``"json"`` any other, by ``key`` and
            ``path``.
        input_name: v2: of the input; empty asks the model's metadata.
        output_name: v2: of the output; empty takes the only one.
        datatype: v2: of the input, for example ``"FP32"``; empty asks the model's metadata.
        layout: of images; empty takes what the metadata say, else channels last.
        scale: of images: numbers from 0 to 255 or from 0 to 1; empty is 0 to 255, but for a v2
            model that reads floating-point numbers, for which it must be said.
        key: json: queries are posted as ``{key: [...]}``.
        path: json: where the answers lie, as keys and places joined by dots, for example
            ``"outputs.0.scores"``; ``*`` stands for each entry of a list.
        top_k: hf: how many labels to ask for; 0 leaves it to the server.
        token_env: the environment variable that holds a token; empty sends none.
        token_header: the header that the token is sent in.
        token_scheme: what stands before the token in the header.
        headers: other headers; they are never written either.
        timeout: seconds that one request may take.
        retries: how often a request that failed is sent again.
        backoff: seconds before the first retry, doubled at each, half of it drawn at random.
        longest_wait: seconds beyond which a server's ``Retry-After`` ends the recording.
        rate: requests a second, 0 without limit.
        concurrency: how many requests run at once.
        budget: how many queries may be sent in all, retries and earlier runs of the same journal
            included; 0 without limit.
        largest_body: bytes of an answer beyond which it is refused.

    Raises:
        ValueError: the address holds a secret or is none, or an option is out of range.
    """

    url: str
    protocol: Protocol = "v2"
    input_name: str = ""
    output_name: str = ""
    datatype: str = ""
    layout: Layout = ""
    scale: Scale = ""
    key: str = "instances"
    path: str = "predictions"
    top_k: int = 0
    token_env: str = ""
    token_header: str = "Authorization"
    token_scheme: str = "Bearer"
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    timeout: float = 30.0
    retries: int = 5
    backoff: float = 0.5
    longest_wait: float = 300.0
    rate: float = 0.0
    concurrency: int = 1
    budget: int = 0
    largest_body: int = 64 * 2**20

    def __post_init__(self) -> None:
        _check_url(self.url)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"{name} must be one of {get_args(choices)}, got {getattr(self, name)!r}"
                )
        for name in ("top_k", "retries", "budget"):
            check_whole(name, getattr(self, name), 0)
        for name in ("concurrency", "largest_body"):
            check_whole(name, getattr(self, name), 1)
        for name in ("timeout", "backoff", "longest_wait", "rate"):
            value, least = getattr(self, name), "above 0" if name == "timeout" else "0 or more"
            if not (math.isfinite(value) and (value > 0 or (value == 0 and name != "timeout"))):
                raise ValueError(f"{name} must be a number, {least}; got {value!r}")

    @property
    def place(self) -> str:
        """The address without what follows a question mark: as it is written down."""
        return urllib.parse.urlsplit(self.url)._replace(query="", fragment="").geturl()

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides what is asked, and of whom."""
        deciding = (
            *(self.url, self.protocol, self.input_name, self.output_name, self.datatype),
            *(self.layout, self.scale, self.key, self.path, self.top_k),
        )
        return hashlib.sha256(repr(deciding).encode()).hexdigest()

    def request_headers(self) -> dict[str, str]:
        """Gives the headers of a request, the token among them: keep them out of any message.

        Raises:
            ValueError: the environment variable is not set, or a header cannot be sent.
        """
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **self.headers}
        if self.token_env:
            token = os.environ.get(self.token_env, "").strip()
            if not token:
                raise ValueError(
                    f"the environment variable {self.token_env} is empty or not set; set it to "
                    f"the token of {self.place}"
                )
            headers[self.token_header] = f"{self.token_scheme} {token}".strip()
        for name, value in headers.items():
            if not _HEADER.fullmatch(value):
                source = f" (from {self.token_env})" if self.token_env else ""
                raise ValueError(
                    f"the header {name}{source} holds characters that no header may; expected "
                    "printable ASCII on one line"
                )
        return headers

    def secrets(self) -> list[str]:
        """Gives what no file, log or message may hold, the longest first."""
        token = os.environ.get(self.token_env, "").strip() if self.token_env else ""
        found = {token, *(value for value in self.headers.values() if len(value) >= 8)} - {""}
        return sorted(found, key=len, reverse=True)


def open_model(target: str) -> Endpoint:
    """Opens an endpoint by its address, with options behind a ``#``.

    Args:
        target: for example ``http://127.0.0.1:8080/v2/models/m/infer``, which is of protocol v2,
            or ``https://host/answer#protocol=hf&token_env=API_TOKEN&budget=5000``. The options
            are those of :class:`Endpoint` that are numbers or words.

    Raises:
        ValueError: the address is none, an option is unknown, or the protocol is not said.
    """
    url, _, fragment = target.partition("#")
    options: dict[str, Any] = {"protocol": "v2"} if "/v2/models/" in url else {}
    types = {"str": str, "int": int, "float": float} | dict.fromkeys(
        ("Protocol", "Layout", "Scale"), str
    )
    known = {f.name: types[str(f.type)] for f in dataclasses.fields(Endpoint) if f.type in types}
    for name, text in urllib.parse.parse_qsl(fragment, keep_blank_values=True):
        if name not in known or name == "url":
            raise ValueError(
                f"an endpoint has no option {name!r}; expected {', '.join(sorted(known))}"
            )
        try:
            options[name] = known[name](text)
        except ValueError as error:
            raise ValueError(f"the option {name} must be a number, got {text!r}") from error
    if "protocol" not in options:
        raise ValueError(
            "say what the endpoint speaks: put #protocol=hf, #protocol=json&key=...&path=... or "
            "#protocol=v2 behind its address"
        )
    return Endpoint(url, **options)


def _check_url(url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("the endpoint's address cannot be read: host or port is wrong") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "the endpoint's address holds a user or a password; leave them out and name an "
            "environment variable with the token by token_env"
        )
    names = [name for name, _ in urllib.parse.parse_qsl(parts.query, keep_blank_values=True)]
    secret = next((name for name in names if _SECRET.search(name)), None)
    if secret is not None:
        raise ValueError(
            f"the endpoint's address holds what looks like a secret, {secret!r}; send it in a "
            "header by token_env, token_header and token_scheme"
        )
    if parts.scheme not in ("http", "https") or not host or parts.fragment:
        raise ValueError(
            f"an endpoint is http://HOST/... or https://HOST/..., got a {parts.scheme or 'bare'} "
            "address; options behind a # are read by open_model"
        )
