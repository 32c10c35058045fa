"""What all web services have in common: zones and their names there, keys, one client; what comes of an answer is not their concern."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from carbon_ray.core.errors import ConfigError, ProviderAuthError, ProviderError, ProviderResponseError, UnknownZoneError
from carbon_ray.core.units import S_PER_H
from carbon_ray.providers.base import Quota
from carbon_ray.providers.keys import Secret, find_secret
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import OnAuth, Question, ServiceClient
from carbon_ray.providers.services.network import NetworkSettings, checked_base_url, network_settings
from carbon_ray.providers.services.surroundings import Surroundings

HOUR = timedelta(hours=1)
_MAKING = threading.Lock()


class WebService:
    """Base of everything that asks a service over HTTP. It pickles without its keys, which it looks for again.

    Args:
        zones: Zones to serve; None for all that are known without asking.
        areas: The service's own name of a zone, where it differs from the known ones or a zone is not known.
        base_url: Where the service is; None for its usual address.
        network: Settings of `NetworkSettings` that differ from the service's defaults.
        surroundings: Time, pauses, chance and network; for tests.

    Raises:
        ConfigError: A setting is wrong, or a key is missing.
        UnknownZoneError: A zone in `zones` has no name at the service.
    """

    name: ClassVar[str]
    usual_base_url: ClassVar[str | None]
    key_fields: ClassVar[tuple[str, ...]] = ()
    known_areas: ClassVar[Mapping[str, str]] = {}
    is_open: ClassVar[bool] = False
    """The service may have more zones than are known here, under the names that carbon_ray uses too."""
    usual_network: ClassVar[NetworkSettings] = NetworkSettings()
    quota: ClassVar[Quota | None] = None
    quota_pause_s: ClassVar[float] = 60.0
    """Wait after 429 where the answer names none, seconds."""
    on_auth: ClassVar[OnAuth] = "raise"
    stays_behind: ClassVar[tuple[str, ...]] = ("_client", "_secrets", "_token")
    """Attributes that do not travel to another process."""

    def __init__(
        self,
        *,
        zones: Sequence[str] | None = None,
        areas: Mapping[str, str] | None = None,
        base_url: str | None = None,
        network: Mapping[str, Any] | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._network = network_settings(network, self.usual_network)
        if base_url is None and self.usual_base_url is None:
            raise ConfigError(f"{self.name} runs where you run it: give base_url")
        self._base_url = checked_base_url(base_url or self.usual_base_url or "", self._network, has_key=bool(self.key_fields))
        self._world = surroundings or Surroundings()
        if areas is not None and not (isinstance(areas, Mapping) and all(isinstance(one, str) for pair in areas.items() for one in pair)):
            raise ConfigError(f"areas of {self.name} must map zones to names at the service, got {areas!r}")
        self._areas = dict(self.known_areas) | dict(areas or {})
        if zones is not None and (isinstance(zones, str) or not all(isinstance(one, str) and one for one in zones)):
            raise ConfigError(f"zones of {self.name} must be a list of zones, or left out, got {zones!r}")
        self._zones = None if zones is None else tuple(sorted(set(zones)))
        for zone in self._zones or ():
            self._area(zone)
        self._find_secrets()
        self._client: ServiceClient | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self.stays_behind}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._client = None
        self._secrets: dict[str, Secret] = {}

    def _find_secrets(self) -> None:
        self._secrets = {field: find_secret(self.name, field) for field in self.key_fields}

    def _secret(self, field: str) -> Secret:
        if field not in self._secrets:  # after a journey
            try:
                self._find_secrets()
            except ConfigError as error:
                raise ProviderAuthError(self.name, "-", str(error)) from None
        return self._secrets[field]

    def zones(self) -> tuple[str, ...]:
        """The zones it was set to serve, or all that are known without asking, sorted."""
        return self._zones if self._zones is not None else tuple(sorted(self._areas))

    def _area(self, zone: str) -> str:
        """The service's own name of a zone.

        Raises:
            UnknownZoneError: It has none.
        """
        if self._zones is not None and zone not in self._zones:
            raise UnknownZoneError(zone, self._zones)
        if zone in self._areas:
            return self._areas[zone]
        if self.is_open and zone:
            return zone
        raise UnknownZoneError(zone, tuple(self._areas))

    @property
    def _quota(self) -> Quota | None:
        most = self._network.max_requests_per_h
        return Quota(requests=most, per_s=S_PER_H) if most else self.quota

    # Asking

    @property
    def client(self) -> ServiceClient:
        """The client; made when first used, and again after a journey between processes."""
        with _MAKING:
            if self._client is None:
                secrets = [self._secret(field) for field in self.key_fields]
                self._client = ServiceClient(
                    self.name, self._base_url, self._network, self._world, self._judge, quota=self._quota, on_auth=self.on_auth
                )
                self._client.hide(*secrets)
            return self._client

    def close(self) -> None:
        """Give connections back; the provider can still be used."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _judge(self, answer: Answer, question: Question) -> ProviderError | None:
        """What is wrong with an answer; services with rules of their own override it."""
        return self.client.refused(answer, question, pause_s=self.quota_pause_s)

    def _broken(self, zone: str, problem: str, answer: Answer) -> ProviderResponseError:
        return ProviderResponseError(self.name, zone, problem, self.client.excerpt(answer.beginning))

    def _json(self, answer: Answer, zone: str) -> Any:
        try:
            return answer.json()
        except ValueError as error:
            raise self._broken(zone, f"sent no JSON: {error}", answer) from None

    def _newest_at(self, fetched_at: datetime) -> datetime:
        """Nothing that came true can begin later, whatever the service's clock says."""
        return fetched_at + timedelta(seconds=self._network.max_clock_skew_s)

    def _issued_at(self, told_at: datetime | None, fetched_at: datetime, zone: str) -> datetime:
        """When a forecast was issued: not in the future, and when it was fetched where nothing is said.

        Raises:
            ProviderResponseError: It claims to have been issued further ahead than clocks may be off.
        """
        if told_at is None:
            return fetched_at
        if told_at > self._newest_at(fetched_at):
            raise ProviderResponseError(
                self.name, zone, f"issued its forecast at {told_at:%Y-%m-%dT%H:%M:%SZ}, which is still to come; check the clocks"
            )
        return min(told_at, fetched_at)


def whole_hours(start_at: datetime, end_at: datetime) -> tuple[datetime, datetime]:
    """The window widened to whole hours, so that the same question is asked within an hour and can be answered from memory."""
    first_at = start_at.replace(minute=0, second=0, microsecond=0)
    last_at = end_at.replace(minute=0, second=0, microsecond=0)
    return first_at, last_at if last_at == end_at else last_at + HOUR


def chunks(start_at: datetime, end_at: datetime, span: timedelta) -> list[tuple[datetime, datetime]]:
    """`[start_at, end_at)` cut into consecutive windows of at most `span`."""
    out = []
    while start_at < end_at:
        out.append((start_at, min(start_at + span, end_at)))
        start_at += span
    return out
