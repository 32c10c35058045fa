"""How a service may be asked: time-outs, retries, pace, sizes. Nothing here can switch the check of certificates off."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from carbon_ray.core.errors import ConfigError


class NetworkSettings(BaseModel):
    """Settings of one client; each service has defaults of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connect_timeout_s: float = Field(default=5.0, gt=0, description="Seconds until a connection must stand")
    read_timeout_s: float = Field(default=30.0, gt=0, description="Seconds that a service may stay silent")
    total_timeout_s: float = Field(default=120.0, gt=0, description="Seconds for one answer as a whole")
    retries: int = Field(default=3, ge=0, le=10, description="Further attempts after the first one failed in passing")
    backoff_s: float = Field(default=0.5, gt=0, description="Mean pause before the first retry, seconds; doubles with every further one")
    max_backoff_s: float = Field(default=30.0, gt=0, description="Longest pause before a retry, seconds")
    max_wait_s: float = Field(default=65.0, ge=0, description="Longest wait that a quota may cause; beyond, ProviderQuotaError at once")
    max_response_bytes: int = Field(default=32 * 2**20, gt=0, description="Largest body that is read, unpacked")
    max_in_flight: int = Field(default=1, ge=1, le=64, description="Requests at the same time")
    min_interval_s: float = Field(default=0.0, ge=0, description="Least time between the beginnings of two requests, seconds")
    max_requests_per_h: int | None = Field(default=None, ge=1, description="Quota of your plan, where it is not the service's usual one")
    cache_s: float = Field(default=300.0, ge=0, description="Seconds for which the same question is answered from memory")
    max_clock_skew_s: float = Field(default=300.0, ge=0, description="How far the service's clock may be ahead of ours")
    ca_file: Path | None = Field(default=None, description="Certificates to trust instead of the well-known ones (PEM)")
    allow_plain_http: bool = Field(default=False, description="Allow http:// beyond this machine, for a service that needs no key")


def network_settings(given: Mapping[str, Any] | None, defaults: NetworkSettings) -> NetworkSettings:
    """Defaults of a service with what the user has set.

    Raises:
        ConfigError: A setting is unknown or out of range.
    """
    try:
        return NetworkSettings(**{**defaults.model_dump(), **(given or {})})
    except ValidationError as error:  # its own text would repeat what was given, which may be a key in the wrong place
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False))
    except TypeError:
        problems = "must be names and values"
    raise ConfigError(f"network settings: {problems}; known: {', '.join(NetworkSettings.model_fields)}")


def checked_base_url(url: str, settings: NetworkSettings, *, has_key: bool) -> str:
    """The base of a service's addresses, without a slash at its end.

    Raises:
        ConfigError: It is no URL, holds a user, a query or a fragment, or would send in the clear what must not be.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"base_url {url!r} is no URL") from None
    if parts.scheme not in ("https", "http") or not host or parts.username or parts.password or parts.query or parts.fragment:
        raise ConfigError("base_url must be like https://host/path: no user, no query; keys never go into it")
    if parts.scheme == "http" and not _is_this_machine(host) and (has_key or not settings.allow_plain_http):
        raise ConfigError(
            f"base_url of {host} must begin with https://: "
            + ("its key would be sent in the clear" if has_key else "or set network.allow_plain_http if the network in between is your own")
        )
    return url.rstrip("/")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def tls_context(settings: NetworkSettings) -> ssl.SSLContext:
    """A context that checks certificates and host names, whatever the settings.

    Raises:
        ConfigError: The certificate file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=str(settings.ca_file)) if settings.ca_file else httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"network.ca_file {settings.ca_file} cannot be used: {error}") from None
    context.verify_mode, context.check_hostname = ssl.CERT_REQUIRED, True
    return context
