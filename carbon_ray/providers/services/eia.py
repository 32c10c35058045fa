"""US EIA v2: hourly generation by fuel of American balancing authorities, made an intensity by an emission-factor table.

Production-based, hours to a day late, no forecast. The service names an hour by its END; here, as everywhere, by its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from carbon_ray.core.errors import ProviderAuthError, ProviderError, ProviderQuotaError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.units import S_PER_H
from carbon_ray.providers.base import Capabilities, Quota, require_window
from carbon_ray.providers.mix import Fuel, GenerationMix
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Question
from carbon_ray.providers.services.fields import Number, Payload, UtcStamp, read_payload
from carbon_ray.providers.services.mix_service import MixService
from carbon_ray.providers.services.mixing import FuelRow, mix_of
from carbon_ray.providers.services.network import NetworkSettings
from carbon_ray.providers.services.service import HOUR, whole_hours
from carbon_ray.providers.services.wire import Credentials

PAGE_ROWS = 5000
_MAX_PAGES = 200
_PATH = "/electricity/rto/fuel-type-data/data/"
_SORT = ("period", "respondent", "fueltype")
"""Without an order over all three, pages overlap."""

FUELS: Mapping[str, Fuel] = {
    "BAT": Fuel.BATTERY,
    "BM": Fuel.BIOMASS,
    "COL": Fuel.COAL,
    "GEO": Fuel.GEOTHERMAL,
    "NG": Fuel.GAS,
    "NUC": Fuel.NUCLEAR,
    "OIL": Fuel.OIL,
    "OTH": Fuel.OTHER,
    "PS": Fuel.HYDRO_PUMPED,
    "SUN": Fuel.SOLAR,
    "WAT": Fuel.HYDRO,
    "WND": Fuel.WIND,
}
"""Fuels by the service's code; any other counts as unknown."""


class _Row(Payload):
    period: UtcStamp
    respondent: str
    fueltype: str
    value: Number = None
    units: str | None = Field(default=None, alias="value-units")


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 12 else value


class _Response(Payload):
    total: Annotated[int, BeforeValidator(_whole), Field(ge=0)]
    data: list[_Row]


class _Page(Payload):
    response: _Response


class EiaProvider(MixService):
    """History and mix of American balancing authorities.

    Kinds are life-cycle (default) and direct, `areas` are codes of further balancing authorities, the rest is as in `MixService`.

    The key is `CARBON_RAY_EIA_KEY`.
    """

    name: ClassVar[str] = "eia"
    kinds: ClassVar = (IntensityKind.AVERAGE_LIFECYCLE, IntensityKind.AVERAGE_DIRECT)
    usual_base_url: ClassVar[str | None] = "https://api.eia.gov/v2"
    key_fields: ClassVar = ("key",)
    known_areas: ClassVar = {
        "US-CAL-CISO": "CISO",
        "US-CAR-CPLE": "CPLE",
        "US-CAR-DUK": "DUK",
        "US-CENT-SWPP": "SWPP",
        "US-FLA-FPL": "FPL",
        "US-MIDA-PJM": "PJM",
        "US-MIDW-MISO": "MISO",
        "US-NE-ISNE": "ISNE",
        "US-NW-BPAT": "BPAT",
        "US-NW-NEVP": "NEVP",
        "US-NW-PACE": "PACE",
        "US-NW-PACW": "PACW",
        "US-NY-NYIS": "NYIS",
        "US-SE-SOCO": "SOCO",
        "US-SW-AZPS": "AZPS",
        "US-SW-PNM": "PNM",
        "US-SW-SRP": "SRP",
        "US-TEN-TVA": "TVA",
        "US-TEX-ERCO": "ERCO",
    }
    usual_network: ClassVar = NetworkSettings(read_timeout_s=60.0, cache_s=900.0, min_interval_s=0.2)
    quota: ClassVar = Quota(requests=9000, per_s=3600.0)
    quota_pause_s: ClassVar[float] = 3600.0

    @property
    def capabilities(self) -> Capabilities:
        """Hourly history and mix."""
        return self._able(resolution_s=S_PER_H, mix=True)

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Net generation by fuel in `[start_at, end_at)`, page by page."""
        require_window(start_at, end_at)
        area, (first_at, last_at) = self._area(zone), whole_hours(start_at, end_at)
        found: dict[tuple[datetime, str], FuelRow] = {}
        gathered, total = 0, None
        fetched_at = self._world.clock.now()
        for _ in range(_MAX_PAGES):
            answer = self._ask(zone, area, first_at, last_at, offset=gathered)
            fetched_at = answer.fetched_at
            page = read_payload(
                _Page, self._json(answer, zone), provider=self.name, zone=zone, excerpt=self.client.excerpt(answer.beginning)
            ).response
            if total is not None and page.total != total:
                raise self._broken(zone, f"counts {page.total} rows, and {total} on the page before", answer)
            total = page.total
            for row in page.data:
                found[row.period, row.fueltype] = self._fuel_row(row, zone, area, answer)
            gathered += len(page.data)
            if gathered >= total or not page.data:
                break
        if total is not None and len(found) != total:
            raise self._broken(zone, f"sent {len(found)} different rows of {total}: pages overlap or miss some", answer)
        self._warn_of({row.code for row in found.values()} - set(FUELS), zone)
        provenance = self._provenance("U.S. Energy Information Administration, EIA-930", fetched_at)
        return mix_of(list(found.values()), zone=zone, start_at=start_at, end_at=end_at, provenance=provenance)

    def _ask(self, zone: str, area: str, first_at: datetime, last_at: datetime, *, offset: int) -> Answer:
        params = (
            ("frequency", "hourly"),
            ("data[]", "value"),
            ("facets[respondent][]", area),
            ("start", f"{first_at + HOUR:%Y-%m-%dT%H}"),  # hours are named by their end, and both bounds are counted in
            ("end", f"{last_at:%Y-%m-%dT%H}"),
            *(
                (f"sort[{number}][{part}]", one)
                for number, name in enumerate(_SORT)
                for part, one in (("column", name), ("direction", "asc"))
            ),
            ("offset", str(offset)),
            ("length", str(PAGE_ROWS)),
        )
        return self.client.get(
            Question(path=_PATH, params=params, zone=zone, credentials=Credentials(params={"api_key": self._secret("key")}))
        )

    def _fuel_row(self, row: _Row, zone: str, area: str, answer: Answer) -> FuelRow:
        if row.respondent != area:
            raise self._broken(zone, f"sent rows of another authority than {area}", answer)
        if row.units not in (None, "megawatthours"):
            raise self._broken(zone, f"sent {self.client.excerpt(row.units)}, not megawatthours", answer)
        if row.period > self._newest_at(answer.fetched_at) + timedelta(hours=1) and row.value is not None:
            raise self._broken(zone, f"says what was generated until {row.period:%Y-%m-%dT%H:%MZ}, which is still to come", answer)
        return FuelRow(row.fueltype, FUELS.get(row.fueltype, Fuel.UNKNOWN), row.period - HOUR, row.period, row.value)

    def _judge(self, answer: Answer, question: Question) -> ProviderError | None:
        data = answer.json_or_none()
        error = data.get("error") if isinstance(data, dict) else None
        code, told = "", None
        if isinstance(error, dict):
            code, told = str(error.get("code", "")), str(error.get("message", ""))
        elif error is not None:
            told = str(error)
        problem = f"answered {answer.status}: {self.client.excerpt(told or answer.beginning)}"
        if code.startswith("API_KEY"):
            return ProviderAuthError(self.name, question.zone, problem)
        if code == "OVER_RATE_LIMIT":
            return ProviderQuotaError(self.name, question.zone, problem, answer.retry_at(self.quota_pause_s))
        if error is not None and answer.status == 200:
            return self._broken(question.zone, "sent an error as if it were an answer", answer)
        return self.client.refused(answer, question, pause_s=self.quota_pause_s, says=told)
