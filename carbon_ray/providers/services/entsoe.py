"""ENTSO-E Transparency Platform: generation by fuel in Europe's bidding zones, made an intensity by an emission-factor table.

Production-based: imports are not in. The service has day-ahead forecasts of wind and solar alone, none of carbon intensity.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import ClassVar

from carbon_ray.core.errors import ProviderAuthError, ProviderError, ProviderRequestError, ProviderResponseError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.base import Capabilities, Quota, require_window
from carbon_ray.providers.mix import Fuel, GenerationMix
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.client import Question
from carbon_ray.providers.services.entsoe_document import Acknowledged, read_document
from carbon_ray.providers.services.mix_service import MixService
from carbon_ray.providers.services.mixing import FuelRow, mix_of
from carbon_ray.providers.services.network import NetworkSettings
from carbon_ray.providers.services.service import chunks, whole_hours
from carbon_ray.providers.services.wire import Credentials

_CHUNK, _LEAST_CHUNK = timedelta(days=30), timedelta(hours=1)
_XML = ("text/xml", "application/xml")

FUELS: Mapping[str, Fuel] = {
    "B01": Fuel.BIOMASS,
    "B02": Fuel.LIGNITE,
    "B03": Fuel.COAL_GAS,
    "B04": Fuel.GAS,
    "B05": Fuel.HARD_COAL,
    "B06": Fuel.OIL,
    "B07": Fuel.OIL_SHALE,
    "B08": Fuel.PEAT,
    "B09": Fuel.GEOTHERMAL,
    "B10": Fuel.HYDRO_PUMPED,
    "B11": Fuel.HYDRO_RUN_OF_RIVER,
    "B12": Fuel.HYDRO_RESERVOIR,
    "B13": Fuel.MARINE,
    "B14": Fuel.NUCLEAR,
    "B15": Fuel.OTHER_RENEWABLE,
    "B16": Fuel.SOLAR,
    "B17": Fuel.WASTE,
    "B18": Fuel.WIND_OFFSHORE,
    "B19": Fuel.WIND_ONSHORE,
    "B20": Fuel.OTHER,
    "B25": Fuel.BATTERY,
}
"""Fuels by the service's code; any other counts as unknown."""


class EntsoeProvider(MixService):
    """History and mix of Europe's bidding zones.

    Kinds are life-cycle (default) and direct, `areas` are EIC codes of further zones, the rest is as in `MixService`.

    The key is `CARBON_RAY_ENTSOE_TOKEN`.
    """

    name: ClassVar[str] = "entsoe"
    kinds: ClassVar = (IntensityKind.AVERAGE_LIFECYCLE, IntensityKind.AVERAGE_DIRECT)
    usual_base_url: ClassVar[str | None] = "https://web-api.tp.entsoe.eu"
    key_fields: ClassVar = ("token",)
    known_areas: ClassVar = {
        "AT": "10YAT-APG------L",
        "BE": "10YBE----------2",
        "BG": "10YCA-BULGARIA-R",
        "CH": "10YCH-SWISSGRIDZ",
        "CZ": "10YCZ-CEPS-----N",
        "DE": "10Y1001A1001A82H",
        "DK-DK1": "10YDK-1--------W",
        "DK-DK2": "10YDK-2--------M",
        "EE": "10Y1001A1001A39I",
        "ES": "10YES-REE------0",
        "FI": "10YFI-1--------U",
        "FR": "10YFR-RTE------C",
        "GR": "10YGR-HTSO-----Y",
        "HR": "10YHR-HEP------M",
        "HU": "10YHU-MAVIR----U",
        "IE": "10Y1001A1001A59C",
        "IT-CNO": "10Y1001A1001A70O",
        "IT-CSO": "10Y1001A1001A71M",
        "IT-NO": "10Y1001A1001A73I",
        "IT-SAR": "10Y1001A1001A74G",
        "IT-SIC": "10Y1001A1001A75E",
        "IT-SO": "10Y1001A1001A788",
        "LT": "10YLT-1001A0008Q",
        "LV": "10YLV-1001A00074",
        "NL": "10YNL----------L",
        "NO-NO1": "10YNO-1--------2",
        "NO-NO2": "10YNO-2--------T",
        "NO-NO3": "10YNO-3--------J",
        "NO-NO4": "10YNO-4--------9",
        "NO-NO5": "10Y1001A1001A48H",
        "PL": "10YPL-AREA-----S",
        "PT": "10YPT-REN------W",
        "RO": "10YRO-TEL------P",
        "SE-SE1": "10Y1001A1001A44P",
        "SE-SE2": "10Y1001A1001A45N",
        "SE-SE3": "10Y1001A1001A46L",
        "SE-SE4": "10Y1001A1001A47J",
        "SI": "10YSI-ELES-----O",
        "SK": "10YSK-SEPS-----K",
    }
    usual_network: ClassVar = NetworkSettings(read_timeout_s=300.0, total_timeout_s=600.0, cache_s=900.0, max_response_bytes=64 * 2**20)
    quota: ClassVar = Quota(requests=400, per_s=60.0)
    quota_pause_s: ClassVar[float] = 600.0

    @property
    def capabilities(self) -> Capabilities:
        """History and mix in steps of a quarter of an hour to an hour."""
        return self._able(resolution_s=900.0, mix=True)

    def mix(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Generation by fuel in `[start_at, end_at)`, a month in one request."""
        return self._mix(zone, start_at, end_at, "A75", "A16", is_forecast=False)

    def wind_solar_forecast(self, zone: str, start_at: datetime, end_at: datetime) -> GenerationMix | None:
        """Wind and solar as forecast on the day before, for a forecaster to look at; None where there is none.

        Raises:
            UnknownZoneError: It does not know the zone.
            ProviderError: It could not be asked.
        """
        return self._mix(zone, start_at, end_at, "A69", "A01", is_forecast=True)

    def _mix(
        self, zone: str, start_at: datetime, end_at: datetime, document: str, process: str, *, is_forecast: bool
    ) -> GenerationMix | None:
        require_window(start_at, end_at)
        rows: list[FuelRow] = []
        fetched_at, issued_at = self._world.clock.now(), None
        for one, two in chunks(*whole_hours(start_at, end_at), _CHUNK):
            for answer in self._ask(zone, one, two, document, process):
                fetched_at = answer.fetched_at
                found = read_document(answer.body, provider=self.name, zone=zone, excerpt=self.client.excerpt(answer.beginning))
                if isinstance(found, Acknowledged):
                    continue
                issued_at = found.created_at or issued_at
                newest_at = self._newest_at(fetched_at)
                for code, begin, end, power_mw in found.generation:
                    if power_mw is not None and begin > newest_at and not is_forecast:
                        raise self._broken(zone, f"says what was generated at {begin:%Y-%m-%dT%H:%MZ}, which is still to come", answer)
                    rows.append(FuelRow(code, FUELS.get(code, Fuel.UNKNOWN), begin, end, power_mw))
        self._warn_of({row.code for row in rows} - set(FUELS), zone)
        what = "day-ahead forecast of wind and solar" if is_forecast else "generation"
        provenance = self._provenance(f"ENTSO-E Transparency Platform, {what}", fetched_at, issued_at)
        return mix_of(rows, zone=zone, start_at=start_at, end_at=end_at, provenance=provenance)

    def _ask(self, zone: str, start_at: datetime, end_at: datetime, document: str, process: str) -> list[Answer]:
        """The answers that cover a window: one, or more where the service says that one would be too large."""
        params = (
            ("documentType", document),
            ("processType", process),
            ("in_Domain", self._area(zone)),
            ("periodStart", f"{start_at:%Y%m%d%H%M}"),
            ("periodEnd", f"{end_at:%Y%m%d%H%M}"),
        )
        credentials = Credentials(params={"securityToken": self._secret("token")})
        try:
            return [self.client.get(Question(path="/api", params=params, zone=zone, content=_XML, credentials=credentials))]
        except _RangeTooLong as error:
            half = (end_at - start_at) / 2 // _LEAST_CHUNK * _LEAST_CHUNK
            if half < _LEAST_CHUNK:
                raise ProviderRequestError(self.name, zone, error.problem) from None
            middle_at = start_at + half
            return [*self._ask(zone, start_at, middle_at, document, process), *self._ask(zone, middle_at, end_at, document, process)]

    def _judge(self, answer: Answer, question: Question) -> ProviderError | None:
        """The root element tells an acknowledgement from data, whatever the status; its text tells what it means."""
        if answer.status in (200, 400, 401, 404) and answer.content_type in _XML:
            try:
                excerpt = self.client.excerpt(answer.beginning)
                found = read_document(answer.body, provider=self.name, zone=question.zone, excerpt=excerpt)
            except ProviderResponseError as error:
                if answer.status == 200:
                    return error
            else:
                if isinstance(found, Acknowledged):
                    return self._acknowledged(found, answer, question)
        return self.client.refused(answer, question, pause_s=self.quota_pause_s)

    def _acknowledged(self, found: Acknowledged, answer: Answer, question: Question) -> ProviderError | None:
        text = found.text.lower()
        told = (self.name, question.zone, self.client.excerpt(found.text) or "answered without data or a reason")
        if answer.status == 401 or "unauthorized" in text or "security token" in text:
            return ProviderAuthError(*told)
        if "no matching data" in text:
            return None
        if "exceeds the allowed" in text or "exceeds allowed limit" in text:
            return _RangeTooLong(*told)
        return ProviderRequestError(*told)


class _RangeTooLong(ProviderRequestError):
    """The window must be asked for in smaller pieces; does not leave this file."""
