"""éCO2mix by RTE on the ODRE portal: France in quarter hours, no key, no forecast of carbon intensity.

Either the direct intensity that RTE publishes, or the mix by an emission-factor table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar

from pydantic import Field

from carbon_ray.core.errors import ConfigError, ProviderError, ProviderQuotaError, ProviderRequestError, ProviderResponseError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.base import Capabilities, require_window
from carbon_ray.providers.mix import Fuel, GenerationMix
from carbon_ray.providers.readings import Readings
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Question
from carbon_ray.providers.services.fields import Number, Payload, Stamp, read_payload
from carbon_ray.providers.services.grid import readings_of, stepped
from carbon_ray.providers.services.mix_service import MixService
from carbon_ray.providers.services.mixing import FuelRow, mix_of
from carbon_ray.providers.services.network import NetworkSettings
from carbon_ray.providers.services.service import whole_hours
from carbon_ray.providers.services.surroundings import Surroundings

_STEP = timedelta(minutes=15)
_PAGE_ROWS, _MAX_PAGES = 100, 100
_PAGED_SPAN = timedelta(hours=24)
"""Longer windows are exported, which needs no pages."""
_DATASET = re.compile(r"[a-z0-9-]{3,80}")


class _Record(Payload):
    at: Stamp = Field(alias="date_heure")
    intensity: Number = Field(default=None, alias="taux_co2")
    oil: Number = Field(default=None, alias="fioul")
    coal: Number = Field(default=None, alias="charbon")
    gas: Number = Field(default=None, alias="gaz")
    nuclear: Number = Field(default=None, alias="nucleaire")
    wind: Number = Field(default=None, alias="eolien")
    solar: Number = Field(default=None, alias="solaire")
    hydro: Number = Field(default=None, alias="hydraulique")
    biomass: Number = Field(default=None, alias="bioenergies")
    battery: Number = Field(default=None, alias="destockage_batterie")


_FUELS: tuple[Fuel, ...] = (*(Fuel.OIL, Fuel.COAL, Fuel.GAS, Fuel.NUCLEAR, Fuel.WIND, Fuel.SOLAR, Fuel.HYDRO, Fuel.BIOMASS, Fuel.BATTERY),)


class Eco2mixProvider(MixService):
    """History and mix of France.

    Args:
        kind: Direct (default) or life-cycle.
        zones: See `Service`.
        areas: Not needed.
        base_url: `https://odre.opendatasoft.com/api/explore/v2.1` by default.
        network: See `NetworkSettings`.
        factors: Name of the emission-factor set that makes an intensity of the mix; None for the direct intensity as RTE
            publishes it. Life-cycle needs a set: `carboncast` where none is named.
        dataset: `eco2mix-national-tr` has about the last two months; `eco2mix-national-cons-def` what is older.
        surroundings: For tests.
    """

    name: ClassVar[str] = "eco2mix"
    kinds: ClassVar = (IntensityKind.AVERAGE_DIRECT, IntensityKind.AVERAGE_LIFECYCLE)
    published: ClassVar = (IntensityKind.AVERAGE_DIRECT,)
    usual_base_url: ClassVar[str | None] = "https://odre.opendatasoft.com/api/explore/v2.1"
    known_areas: ClassVar = {"FR": "France"}
    usual_network: ClassVar = NetworkSettings(cache_s=600.0, min_interval_s=0.5)
    quota_pause_s: ClassVar[float] = 3600.0

    def __init__(
        self,
        *,
        kind: IntensityKind | str | None = None,
        zones: Sequence[str] | None = None,
        areas: Mapping[str, str] | None = None,
        base_url: str | None = None,
        network: Mapping[str, Any] | None = None,
        factors: str | None = None,
        dataset: str = "eco2mix-national-tr",
        surroundings: Surroundings | None = None,
    ) -> None:
        if not isinstance(dataset, str) or not _DATASET.fullmatch(dataset):
            raise ConfigError(f"dataset of eco2mix must be like eco2mix-national-tr, got {dataset!r}")
        self._dataset = dataset
        super().__init__(
            kind=kind, zones=zones, areas=areas, base_url=base_url, network=network, factors=factors, surroundings=surroundings
        )

    @property
    def capabilities(self) -> Capabilities:
        """History and mix in quarter hours."""
        return self._able(resolution_s=_STEP.total_seconds(), mix=True)

    def _as_published(self, zone: str, start_at: datetime, end_at: datetime) -> Readings | None:
        """The direct intensity of `[start_at, end_at)` as RTE publishes it."""
        records, answer = self._records(zone, start_at, end_at)
        readings = readings_of(
            stepped([(one.at, one.intensity, None) for one in records], _STEP.total_seconds()),
            zone=zone,
            kind=self._kind,
            provenance=self._provenance(f"RTE éCO2mix ({self._dataset}), direct, as published", answer.fetched_at),
            newest_at=self._newest_at(answer.fetched_at),
        )
        return readings.window(start_at, end_at) if readings is not None else None

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Generation by fuel in `[start_at, end_at)`."""
        records, answer = self._records(zone, start_at, end_at)
        rows = []
        for one in records:
            end = one.at + _STEP
            for fuel in _FUELS:
                power_mw: float | None = getattr(one, fuel.value)
                if power_mw is not None and one.at > self._newest_at(answer.fetched_at):
                    raise self._broken(zone, f"says what was generated at {one.at:%Y-%m-%dT%H:%MZ}, which is still to come", answer)
                rows.append(FuelRow(fuel.value, fuel, one.at, end, power_mw))
        provenance = self._provenance(f"RTE éCO2mix ({self._dataset})", answer.fetched_at)
        return mix_of(rows, zone=zone, start_at=start_at, end_at=end_at, provenance=provenance)

    def _records(self, zone: str, start_at: datetime, end_at: datetime) -> tuple[list[_Record], Answer]:
        require_window(start_at, end_at)
        self._area(zone)
        first_at, last_at = whole_hours(start_at, end_at)
        if last_at - first_at > _PAGED_SPAN:
            answer = self._ask(zone, "exports/json", first_at, last_at)
            return self._page(answer, zone)[0], answer
        records: list[_Record] = []
        for _ in range(_MAX_PAGES):
            answer = self._ask(zone, "records", first_at, last_at, offset=len(records))
            page, total = self._page(answer, zone)
            records += page
            if not page or len(records) >= total:
                break
        if len(records) < total:
            raise ProviderResponseError(
                self.name, zone, f"sent {len(records)} of {total} records and no more", self.client.excerpt(answer.beginning)
            )
        return records, answer

    def _ask(self, zone: str, form: str, start_at: datetime, end_at: datetime, *, offset: int = 0) -> Answer:
        params = (
            ("where", f"date_heure>='{start_at:%Y-%m-%dT%H:%M:%S+00:00}' and date_heure<'{end_at:%Y-%m-%dT%H:%M:%S+00:00}'"),
            ("order_by", "date_heure"),
            ("timezone", "UTC"),
            *((("limit", str(_PAGE_ROWS)), ("offset", str(offset))) if form == "records" else ()),
        )
        return self.client.get(Question(path=f"/catalog/datasets/{self._dataset}/{form}", params=params, zone=zone))

    def _page(self, answer: Answer, zone: str) -> tuple[list[_Record], int]:
        """Records of an answer, and how many there are in all."""
        data = self._json(answer, zone)
        items: Any = data.get("results") if isinstance(data, dict) else data
        records = read_payload(list[_Record], items, provider=self.name, zone=zone, excerpt=self.client.excerpt(answer.beginning))
        total = data.get("total_count") if isinstance(data, dict) else len(records)
        if not isinstance(total, int) or isinstance(total, bool) or total < 0:
            raise self._broken(zone, "does not say how many records there are", answer)
        return records, total

    def _judge(self, answer: Answer, question: Question) -> ProviderError | None:
        data = answer.json_or_none()
        code = str(data["error_code"]) if isinstance(data, dict) and "error_code" in data else None
        told = self.client.excerpt(f"{code}: {data.get('message', '')}") if code is not None else None
        if code is not None and answer.status == 200:  # exports answer so
            problem = f"answered with an error: {told}"
            if "toomany" in code.lower() or "quota" in code.lower():
                return ProviderQuotaError(self.name, question.zone, problem, answer.retry_at(self.quota_pause_s))
            return ProviderRequestError(self.name, question.zone, problem)
        return self.client.refused(answer, question, pause_s=self.quota_pause_s, says=told)
