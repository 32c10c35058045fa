"""Reaching a running cluster, or failing within seconds with a line that says what to do. Ray itself would try for minutes."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from carbon_ray.core.errors import CarbonRayError, ClusterError, ConfigError, ControllerUnavailable

PROBE_S = 3.0
"""How long a port may take to answer; over oceans it takes a third of a second."""
ANSWER_S = 20.0
"""How long an actor may take to answer: a restart takes seconds, a busy controller less."""

_LOOPBACK = ("127.0.0.1", "localhost")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where something listens.

    Attributes:
        host: Name or address, without brackets.
        port: TCP port.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def listens(self) -> bool:
        """True if a TCP connection is accepted."""
        try:
            socket.create_connection((self.host, self.port), timeout=PROBE_S).close()
        except OSError:
            return False
        return True


def parse_host_port(text: str) -> HostPort:
    """`host:port` or `[IPv6 address]:port`.

    Raises:
        ConfigError: The text is neither.
    """
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or "/" in host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise ConfigError(f"the cluster's address {text!r} is not host:port; write that of the head's GCS, such as 10.0.0.5:6379")
    return HostPort(host, int(port))


def head_address(given: str | None) -> tuple[str, bool]:
    """The head's address and whether somebody asked for it: the option, RAY_ADDRESS, or the local cluster's default."""
    from carbon_ray.cluster.local_config import DEFAULT_BASE_PORT
    from carbon_ray.cluster.local_paths import LocalPorts

    asked = given or os.environ.get("RAY_ADDRESS")
    return (asked, True) if asked else (LocalPorts(DEFAULT_BASE_PORT).address, False)


def require_head(address: str) -> str:
    """The address by which Ray reaches the head, once something that speaks Ray's protocol has answered there.

    Raises:
        ConfigError: It is no address.
        ClusterError: Nothing answers, or something else than Ray's head does.
    """
    if address == "auto":
        return address
    if "://" in address:
        raise ConfigError(f"the address {address!r} has a scheme; write host:port of the head's GCS, such as 10.0.0.5:6379")
    place = parse_host_port(address)
    if not place.listens():
        raise ClusterError(
            f"no cluster at {address}: nothing listens there; start one (`ray up -y cluster_configs/local.yaml`), or name the head's "
            "address with --address or RAY_ADDRESS"
        )
    place = _reachable_by_ray(place)
    if not _speaks_grpc(place):
        raise ClusterError(f"no cluster at {address}: what listens there is not the GCS of a Ray head; its port is 6379 by default")
    return str(place)


def _reachable_by_ray(place: HostPort) -> HostPort:
    """Ray replaces a loopback address by the machine's outer one, on which a cluster of loopback alone does not answer."""
    if place.host not in _LOOPBACK:
        return place
    import ray

    if HostPort(ray.util.get_node_ip_address(), place.port).listens():
        return place
    return HostPort("::ffff:127.0.0.1", place.port)


def _speaks_grpc(place: HostPort) -> bool:
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return True  # needs Ray's certificates; Ray itself will tell
    import grpc  # type: ignore[import-untyped]  # ships no types; a dependency of ray[default]

    channel = grpc.insecure_channel(str(place), options=(("grpc.enable_http_proxy", 0),))
    try:
        grpc.channel_ready_future(channel).result(timeout=PROBE_S)
    except grpc.FutureTimeoutError:
        return False
    finally:
        channel.close()
    return True


@contextmanager
def connected(given: str | None) -> Iterator[str]:
    """A quiet connection of this process to a cluster; gives the dashboard's `host:port`, empty where there is none.

    Raises:
        ConfigError: The address is no address.
        ClusterError: There is no cluster, or it does not take this process.
    """
    address, _ = head_address(given)
    usable = require_head(address)
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # Ray's coming default; unset, every driver warns about it
    import ray

    try:
        context = ray.init(address=usable, log_to_driver=False, logging_level="ERROR", namespace="carbon_ray_cli")
    except (RuntimeError, ConnectionError, ValueError, OSError) as error:
        raise ClusterError(f"the cluster at {address} does not take this process: {error}") from error
    try:
        yield context.dashboard_url or ""
    finally:
        ray.shutdown()


def within(limit_s: float, what: str, call: Callable[[], T]) -> T:
    """The call's answer, if it comes in time.

    Raises:
        ControllerUnavailable: It did not.
        CarbonRayError: What the call raised.
    """
    answers: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # handed to the caller below
            errors.append(error)

    thread = threading.Thread(target=work, name=f"wait for {what}", daemon=True)
    thread.start()
    thread.join(limit_s)
    if errors:
        raise errors[0]
    if not answers:
        raise ControllerUnavailable(f"{what} did not answer within {limit_s:.0f} s; `carbon-ray doctor` tells what is missing")
    return answers[0]


def jobs_url(given: str | None) -> str:
    """URL of the Jobs API: the option, RAY_API_SERVER_ADDRESS, or the local cluster's dashboard.

    Raises:
        ConfigError: It is no HTTP address.
        ClusterError: Nothing listens there.
    """
    from carbon_ray.cluster.local_config import DEFAULT_BASE_PORT
    from carbon_ray.cluster.local_paths import LocalPorts

    text = given or os.environ.get("RAY_API_SERVER_ADDRESS") or LocalPorts(DEFAULT_BASE_PORT).dashboard_url
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    if port is None or not parts.hostname or parts.scheme not in ("http", "https"):
        raise ConfigError(f"the address {text!r} is not that of a dashboard; write http://host:8265")
    if not HostPort(parts.hostname, port).listens():
        raise ClusterError(
            f"no cluster at {url}: nothing listens there; start one (`ray up -y cluster_configs/local.yaml`), or name its dashboard with "
            "--address or RAY_API_SERVER_ADDRESS"
        )
    return url.rstrip("/")


def first_line(error: BaseException) -> str:
    """What an error of another library says, without its log or traceback."""
    if isinstance(error, CarbonRayError):
        return str(error)
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
