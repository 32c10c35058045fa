"""A fake web service: answers as it is told, in the process or on a real port of this machine, and remembers what was asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

import httpx

from carbon_ray.core.clock import ManualClock
from carbon_ray.providers.services.surroundings import Surroundings

Fault = Literal["slow", "cut_off", "dropped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the service answers.

    Attributes:
        status: HTTP status.
        body: Bytes of the body.
        content_type: Media type; empty for none.
        headers: Further headers.
        fault: `slow`: nothing comes until the client gives up. `cut_off`: the body ends before its announced length.
            `dropped`: the connection is closed without an answer.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: Fault | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that arrived: header names in lower case, parameters in order."""

    path: str
    params: tuple[tuple[str, str], ...]
    headers: Mapping[str, str] = field(repr=False)


class FakeWorld:
    """Time that passes only while somebody sleeps, for clients under test.

    Attributes:
        clock: The clock; may be moved by the test.
        pauses_s: Every pause that was made, seconds.

    Args:
        now: The present instant, aware UTC.
    """

    def __init__(self, now: datetime) -> None:
        self.clock = ManualClock(now)
        self.pauses_s: list[float] = []

    def sleep(self, seconds: float) -> None:
        """Note the pause and let that much time pass."""
        self.pauses_s.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))

    def surroundings(self, transport: httpx.BaseTransport | None = None) -> Surroundings:
        """The surroundings of a client in this world; without jitter, so that pauses are exact."""
        return Surroundings(clock=self.clock, sleep=self.sleep, chance=lambda: 0.5, transport=transport)


class FakeService:
    """Answers with replies in order, the last one again and again, or by a function of what was asked.

    Attributes:
        asked: Every request that arrived, in order.

    Args:
        replies: See above.
    """

    def __init__(self, replies: Sequence[Reply] | Callable[[Asked], Reply]) -> None:
        self._replies = replies
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.asked: list[Asked] = []

    def _next(self, path: str, query: str, headers: Mapping[str, str]) -> Reply:
        params = tuple(parse_qsl(query, keep_blank_values=True))
        with self._lock:
            self.asked.append(Asked(path=path, params=params, headers={name.lower(): value for name, value in headers.items()}))
            if callable(self._replies):
                return self._replies(self.asked[-1])
            return self._replies[min(len(self.asked), len(self._replies)) - 1]

    @property
    def transport(self) -> httpx.MockTransport:
        """The service within the process."""
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        reply = self._next(request.url.path, request.url.query.decode(), dict(request.headers))
        if reply.fault == "slow":
            raise httpx.ReadTimeout("told to be slow")
        if reply.fault == "dropped":
            raise httpx.RemoteProtocolError("told to drop the connection")
        body = reply.body[: len(reply.body) // 2] if reply.fault == "cut_off" else reply.body
        return httpx.Response(reply.status, headers=_headers(reply), stream=_Pieces(body))

    @contextmanager
    def on_this_machine(self, tls: ssl.SSLContext | None = None) -> Iterator[str]:
        """Serve on a free port of this machine; gives the base URL, and ends with the block.

        Args:
            tls: A server's context, to serve by https.
        """
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                service._handle(self, service._next(parts.path, parts.query, dict(self.headers.items())))

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        server = _Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
        finally:
            self._stop.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def _handle(self, handler: BaseHTTPRequestHandler, reply: Reply) -> None:
        if reply.fault is not None:
            handler.close_connection = True
        if reply.fault == "slow":
            self._stop.wait(30)
        if reply.fault in ("slow", "dropped"):
            return
        handler.send_response(reply.status)
        for name, value in _headers(reply).items():
            handler.send_header(name, value)
        handler.end_headers()
        if reply.status != 204:
            handler.wfile.write(reply.body[: len(reply.body) // 2] if reply.fault == "cut_off" else reply.body)


class _Server(ThreadingHTTPServer):
    """Clients that give up are what it is for."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class _Pieces(httpx.SyncByteStream):
    """A body that comes in pieces, as from a network."""

    def __init__(self, body: bytes, size: int = 4096) -> None:
        self._body, self._size = body, size

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._body), self._size):
            yield self._body[start : start + self._size]


def _headers(reply: Reply) -> dict[str, str]:
    headers = {} if reply.status == 204 else {"Content-Length": str(len(reply.body))}
    if reply.content_type:
        headers["Content-Type"] = reply.content_type
    return headers | dict(reply.headers)
