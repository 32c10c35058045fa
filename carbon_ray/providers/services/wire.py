"""The last step to the network: keys join the request beneath httpx, and bodies are read with a limit.

httpx writes the address of every request to its log and keeps the request on its errors. A key that is added here, after
that, is in neither.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx

from carbon_ray.providers.keys import Secret

EXTENSION = "carbon_ray_credentials"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Where the keys of one request go.

    Attributes:
        headers: By name of the header.
        params: By name of the query parameter.
        basic: User and password for HTTP Basic.
    """

    headers: Mapping[str, Secret] = field(default_factory=dict)
    params: Mapping[str, Secret] = field(default_factory=dict)
    basic: tuple[Secret, Secret] | None = None


class KeyedTransport(httpx.BaseTransport):
    """Adds the credentials of a request to a copy of it, which only the transport below sees."""

    def __init__(self, below: httpx.BaseTransport) -> None:
        self._below = below

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a copy with the credentials that the request carries."""
        extensions = dict(request.extensions)
        credentials = extensions.pop(EXTENSION, None)
        if credentials is None:
            return self._below.handle_request(request)
        url, headers = request.url, httpx.Headers(request.headers)
        for name, secret in credentials.params.items():
            url = url.copy_set_param(name, secret.reveal())
        for name, secret in credentials.headers.items():
            headers[name] = secret.reveal()
        keyed = httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=extensions)
        if credentials.basic is not None:
            user, password = credentials.basic
            keyed = next(httpx.BasicAuth(user.reveal(), password.reveal()).auth_flow(keyed))
        return self._below.handle_request(keyed)

    def close(self) -> None:
        """Close the transport below."""
        self._below.close()


class BodyTooLarge(Exception):
    """More came than is read."""


class BodyCutOff(Exception):
    """Less came than was announced, or what came cannot be unpacked."""


def read_body(response: httpx.Response, limit: int, tick: Callable[[], None]) -> bytes:
    """The whole body, unpacked.

    Args:
        response: A response whose body has not been read.
        limit: Largest body, bytes; holds for what was unpacked, so that a small answer cannot fill the memory.
        tick: Called with every piece; may raise to give up.

    Raises:
        BodyTooLarge: There is more.
        BodyCutOff: There is less than was announced, or it is packed in a way that was not asked for.
    """
    announced = response.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise BodyTooLarge
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", "", "gzip"):
        raise BodyCutOff(f"it is packed as {coding!r}, which was not asked for")
    received, body = 0, bytearray()
    unpacker = zlib.decompressobj(wbits=31) if coding == "gzip" else None
    for piece in response.iter_raw():
        tick()
        received += len(piece)
        if unpacker is None:
            body += piece
        else:
            try:
                body += unpacker.decompress(piece, limit + 1 - len(body))
            except zlib.error:
                raise BodyCutOff("it cannot be unpacked") from None
        if len(body) > limit:
            raise BodyTooLarge
    if announced.isdecimal() and received < int(announced):
        raise BodyCutOff(f"{received} of {announced} bytes came")
    if unpacker is not None and received and not unpacker.eof:
        raise BodyCutOff("it ends within what was packed")
    return bytes(body)
