"""One request until it is answered: pace, retries, ``Retry-After``, bounds and the budget."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import email.utils
import json
import math
import random
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from mgmp_jax.adapters.frameworks import import_framework
from mgmp_jax.adapters.http_endpoint import Endpoint
from mgmp_jax.adapters.http_formats import decode, encode, metadata_url, post_url
from mgmp_jax.adapters.http_journal import EndpointError, Journal
from mgmp_jax.queries import QuerySet

__all__ = ["Batch", "Client", "StoppedError"]

_AGAIN = (408, 425, 429)
_NOT_SERVED = (400, 404, 405)
_LONGEST_BACKOFF = 60.0


class StoppedError(Exception):
    """The recording ends before this request was sent."""


@dataclasses.dataclass(frozen=True)
class Batch:
    """The queries of one request: some that follow each other in a query set."""

    name: str
    start: int
    queries: QuerySet

    @property
    def stop(self) -> int:
        """The place after the last."""
        return self.start + len(self.queries)

    def __str__(self) -> str:
        whose = f" of {self.name!r}" if self.name else ""
        return f"queries {self.start} to {self.stop - 1}{whose}"


class _FailedError(Exception):
    """A request failed in a way that may pass."""

    def __init__(self, message: str, *, wait: float = 0.0, left: bool = True) -> None:
        super().__init__(message)
        self.wait, self.left = wait, left


class Client:
    """Asks an endpoint, from several threads where need be.

    Args:
        endpoint: where.
        journal: what is written down before and after each request.
        stop: ends all waiting when it is set.

    Raises:
        ImportError: httpx is not installed; the message says what to install.
        ValueError: there is no token in the environment.
    """

    def __init__(self, endpoint: Endpoint, journal: Journal, stop: threading.Event) -> None:
        self._httpx: ModuleType = import_framework("httpx", "'mgmp_jax[http]'")
        self.endpoint, self._journal, self._stop = endpoint, journal, stop
        self._lock, self._free, self._paused = threading.Lock(), 0.0, 0.0
        self._secrets = endpoint.secrets()
        self._headers, self._trusted = endpoint.request_headers(), self._httpx.create_ssl_context()
        self._own: Any = threading.local()
        self._lines: list[_Line] = []

    def close(self) -> None:
        """Closes all connections."""
        for line in self._lines:
            line.close()

    @property
    def _line(self) -> _Line:
        """The connection of the thread that asks for it."""
        if not hasattr(self._own, "line"):
            http = self._httpx.Client(
                headers=self._headers,
                verify=self._trusted,
                timeout=self.endpoint.timeout,
                follow_redirects=False,
            )
            self._own.line = _Line(http)
            self._lines.append(self._own.line)
        return self._own.line

    def metadata(self) -> Any:
        """Gives what a v2 endpoint serves of its model; ``None`` where it serves nothing.

        Raises:
            EndpointError: it does not answer at all.
        """
        url = metadata_url(self.endpoint)
        if url is None:
            return None
        for attempt in range(self.endpoint.retries + 1):
            self._await_turn()
            try:
                return self._exchange("GET", url, None)
            except _RefusedError as error:
                if error.status in _NOT_SERVED:
                    return None
                raise EndpointError(f"{self.endpoint.place}: {error}") from None
            except _FailedError as error:
                self._wait_or_give_up(attempt, error, "the model's metadata")
        raise AssertionError("not reached")

    def ask(self, batch: Batch) -> None:
        """Sends queries until they are answered, and writes the answer into the journal.

        Raises:
            EndpointError: they were refused, or failed too often.
            BudgetExhaustedError: they may not be sent any more.
            StoppedError: the recording ends.
        """
        content = json.dumps(encode(self.endpoint, batch.queries)).encode()
        url, misread = post_url(self.endpoint), False
        for attempt in range(self.endpoint.retries + 1):
            self._await_turn()
            number = self._journal.send(batch.name, batch.start, batch.stop, self.endpoint.budget)
            try:
                body = self._exchange("POST", url, content)
                try:
                    self._journal.answer(number, decode(self.endpoint, body, len(batch.queries)))
                except ValueError as error:
                    said = self._clean(error)
                    if misread:  # asking again and again would cost, and change nothing
                        raise EndpointError(
                            f"{self.endpoint.place} answered {batch} twice so that it cannot be "
                            f"read: {said}"
                        ) from None
                    misread = True
                    raise _FailedError(said) from None
                return
            except _RefusedError as error:
                raise EndpointError(f"{self.endpoint.place} refused {batch}: {error}") from None
            except _FailedError as error:
                if not error.left:
                    self._journal.take_back(number)
                self._wait_or_give_up(attempt, error, str(batch))

    def _exchange(self, method: str, url: str, content: bytes | None) -> Any:
        """Sends one request, once, and parses what comes back."""
        headers = {} if content is None else {"Content-Type": "application/json"}
        httpx, line = self._httpx, self._line
        given = {"content": content, "headers": headers, "extensions": {"trace": line.trace}}
        late = _FailedError(f"no whole answer in {self.endpoint.timeout:g} s")
        try:
            with (
                line.within(self.endpoint.timeout),
                line.http.stream(method, url, **given) as response,
            ):
                self._check_status(response)
                raw = self._read(response, self.endpoint.largest_body)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _FailedError(f"no connection ({self._clean(error)})", left=False) from None
        except httpx.TimeoutException:
            raise late from None
        except httpx.TransportError as error:
            if line.is_late:
                raise late from None
            raise _FailedError(f"the connection broke ({self._clean(error)})") from None
        if line.is_late:  # a body without a length ends where it is cut off
            raise late
        try:
            return json.loads(raw.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            start = self._clean(raw[:2000].decode("utf-8", "replace"))
            raise _FailedError(f"the answer is no JSON: {start!r}") from None

    def _check_status(self, response: Any) -> None:
        status = response.status_code
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            location = response.headers.get("location", "").partition("?")[0]
            raise _RefusedError(
                f"status {status}, a redirect, which is not followed; give the address that it "
                f"leads to: {self._clean(location)!r}"
            )
        try:
            start = self._read(response, 2000, whole=False).decode("utf-8", "replace")
        except self._httpx.TransportError:
            start = ""
        message = f"status {status}: {self._clean(start)!r}"
        if status < 500 and status not in _AGAIN:
            raise _RefusedError(message, status)
        raise _FailedError(message, wait=_retry_after(response.headers.get("retry-after", "")))

    def _read(self, response: Any, most: int, *, whole: bool = True) -> bytes:
        """Reads a body as it comes: unpacked, a few bytes could fill the memory."""
        packed = response.headers.get("content-encoding", "identity")
        if packed.lower() != "identity" and whole:
            raise _RefusedError(f"the answer is packed ({packed[:20]!r}), which was not asked for")
        found = bytearray()
        for chunk in response.iter_raw():
            found += chunk
            if len(found) > most and whole:
                raise _RefusedError(
                    f"the answer is larger than {most} bytes; ask fewer queries at once, or give "
                    "a larger largest_body"
                )
            if len(found) > most:
                return bytes(found[:most])
        return bytes(found)

    def _await_turn(self) -> None:
        """Waits until the rate and any ``Retry-After`` allow another request."""
        with self._lock:
            turn = max(self._free, time.monotonic())
            self._free = turn + (1 / self.endpoint.rate if self.endpoint.rate else 0)
        while not self._stop.is_set():
            with self._lock:
                left = max(turn, self._paused) - time.monotonic()
            if left <= 0:
                return
            self._stop.wait(left)
        raise StoppedError

    def _wait_or_give_up(self, attempt: int, error: _FailedError, what: str) -> None:
        place = self.endpoint.place
        if error.wait > self.endpoint.longest_wait:
            raise EndpointError(
                f"{place} asks to wait {error.wait:.0f} s before {what}, longer than longest_wait "
                f"= {self.endpoint.longest_wait:g}; run again later with the same journal"
            )
        if attempt >= self.endpoint.retries:
            raise EndpointError(
                f"{place} did not answer {what} in {attempt + 1} requests, at last: {error}; run "
                "again with the same journal when it does"
            )
        if error.wait:
            with self._lock:
                self._paused = max(self._paused, time.monotonic() + error.wait)
        pause = min(self.endpoint.backoff * 2**attempt, _LONGEST_BACKOFF)
        if self._stop.wait(pause * random.uniform(0.5, 1)):
            raise StoppedError

    def _clean(self, what: object) -> str:
        """The first 200 characters of a text from outside, without any secret."""
        text = str(what)
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text[:200]


class _Line:
    """One thread's connection. An answer that takes too long is hung up on.

    httpx bounds the time between two bytes: a server that sends one now and then, in headers or
    handshake too, would be waited for for days.
    """

    def __init__(self, http: Any) -> None:
        self.http, self.is_late = http, False
        self._socket: socket.socket | None = None

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Hangs up where the block fails, or has not ended after some seconds."""
        self.is_late = False
        timer = threading.Timer(seconds, self._be_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        except BaseException:
            self._hang_up()
            raise
        finally:
            timer.cancel()
            timer.join()  # or it might hang up on the next request

    def trace(self, event: str, about: Mapping[str, Any]) -> None:
        """Is told by httpx what it does, and keeps the socket of a new connection."""
        if event.endswith("connect_tcp.complete"):
            self._close_socket()
            self._socket = about["return_value"].get_extra_info("socket").dup()
            if self.is_late:
                self._hang_up()

    def close(self) -> None:
        """Closes the connection."""
        self.http.close()
        self._close_socket()

    def _be_late(self) -> None:
        self.is_late = True
        self._hang_up()

    def _hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()


class _RefusedError(Exception):
    """A request failed in a way that will not pass."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


def _retry_after(value: str) -> float:
    """Seconds to wait, from a number or a date; 0 where it is neither."""
    with contextlib.suppress(ValueError):
        return max(float(value), 0.0) if math.isfinite(float(value)) else 0.0
    try:
        date = email.utils.parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return 0.0
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max((date - datetime.datetime.now(datetime.UTC)).total_seconds(), 0.0)
