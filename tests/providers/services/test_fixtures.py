"""Every recorded, documented or assumed answer of the shared collection: what the client makes of each is said here.

The collection is not part of the repository: `CARBON_RAY_FIXTURES`, by default `../shared/fixtures`. A test holds that no file of
it is left out.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carbon_ray.core.errors import (
    CarbonRayError,
    ProviderAccessError,
    ProviderAuthError,
    ProviderNoDataError,
    ProviderQuotaError,
    ProviderRequestError,
    ProviderResponseError,
    ProviderUnavailable,
    TraceFormatError,
)
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.carbon_aware_file import CarbonAwareFileProvider, read_locations
from carbon_ray.providers.mix import Fuel
from carbon_ray.testing import FakeService, FakeWorld, Reply
from tests.providers.services.samples import BY_NAME, TOKEN, WEATHER, acknowledged, after_login, data_requests, entsoe, reply

ROOT = Path(os.environ.get("CARBON_RAY_FIXTURES", Path(__file__).parents[4] / "shared" / "fixtures"))
pytestmark = pytest.mark.skipif(not (ROOT / "manifest.json").is_file(), reason=f"no fixtures at {ROOT}; set CARBON_RAY_FIXTURES")

NOW = datetime(2026, 2, 3, 14, 10, tzinfo=UTC)
FOLDERS = {
    "electricitymaps": "electricity_maps",
    "energidataservice": "energi_data_service",
    **{one: one for one in ("watttime", "neso", "energy_charts", "entsoe", "eia", "eco2mix", "carbon_aware_sdk", "open_meteo")},
}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def manifest() -> dict[str, dict[str, Any]]:
    if not (ROOT / "manifest.json").is_file():
        return {}
    return {one["file"]: one for one in json.loads((ROOT / "manifest.json").read_text())["fixtures"]}


def fixture_reply(name: str) -> Reply:
    one = manifest()[name]
    return Reply(status=one["status"], body=(ROOT / name).read_bytes(), content_type=one["content_type"], headers=one.get("headers", {}))


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is asked, at what time, with what settings; and what comes of it."""

    do: Callable[[Any], Any]
    makes: Callable[[Any], object] | type[CarbonRayError]
    expect: object = None
    now: datetime = NOW
    settings: dict[str, Any] = field(default_factory=dict)
    then: tuple[Reply, ...] = ()
    requests: int = 1
    says: str = ""


def values(series: Any) -> list[float]:
    return [round(value, 3) for value in series.values_gco2_per_kwh.tolist()]


def medians(forecast: Any) -> list[float]:
    return values(forecast.median)


def count(readings: Any) -> object:
    return None if readings is None else readings.count


def shape(readings: Any) -> object:
    """Start, step, values that are there, gaps."""
    return readings.start_at, readings.step_s, readings.count, len(readings.gaps())


def history(zone: str, start: str, end: str) -> Callable[[Any], Any]:
    return lambda provider: provider.history(zone, at(start), at(end))


def readings(zone: str, start: str, end: str) -> Callable[[Any], Any]:
    return lambda provider: provider.readings(zone, at(start), at(end))


def mix(zone: str, start: str, end: str) -> Callable[[Any], Any]:
    return lambda provider: provider.mix(zone, at(start), at(end))


def forecast(zone: str, hours: float = 48.0) -> Callable[[Any], Any]:
    return lambda provider: provider.forecast(zone, hours * 3600.0)


def latest(provider: Any) -> Any:
    return provider.latest("DE")


def failing(do: Callable[[Any], Any], error: type[CarbonRayError], requests: int = 1, **further: Any) -> Case:
    return Case(do=do, makes=error, requests=requests, **further)


def power(mix_: Any) -> dict[str, list[float]]:
    return {fuel.value: [round(value, 3) for value in array.tolist()] for fuel, array in mix_.power_mw.items()}


# Electricity Maps

EM_NOW = {"now": at("2026-02-03T14:10")}
EM_DAY = readings("DE", "2026-02-02T15:00", "2026-02-03T15:00")
EM_PAST = readings("DE", "2025-06-11T00:00", "2025-06-11T12:00")
EM_V4 = {"settings": {"base_url": "https://api.electricitymaps.com/v4"}}
ELECTRICITY_MAPS = {
    "latest.json": Case(do=latest, makes=lambda one: (one.value_gco2_per_kwh, one.is_estimated), expect=(388.0, True)),
    "latest_float.json": Case(do=latest, makes=lambda one: round(one.value_gco2_per_kwh, 3), expect=391.275),
    "latest_null.json": failing(latest, ProviderNoDataError),
    "latest_other_zone.json": failing(latest, ProviderResponseError, says="another zone"),
    "latest_unknown_method.json": Case(do=latest, makes=lambda one: (one.value_gco2_per_kwh, one.is_estimated), expect=(402.0, True)),
    "history.json": Case(do=EM_DAY, makes=shape, expect=(at("2026-02-02T15:00"), 3600.0, 24, 0)),
    "past.json": Case(do=latest, makes=lambda one: (one.start_at, one.value_gco2_per_kwh), expect=(at("2025-06-11T04:00"), 287.0)),
    "past_range.json": Case(do=EM_PAST, makes=shape, expect=(at("2025-06-11T00:00"), 3600.0, 12, 0)),
    "past_range_gap_and_duplicate.json": Case(do=EM_PAST, makes=lambda one: one.count, expect=10),
    "past_range_empty.json": Case(do=EM_PAST, makes=count, expect=None),
    "forecast.json": Case(
        do=forecast("DE"), makes=lambda one: (len(one.median), one.issued_at), expect=(25, at("2026-02-03T14:06:12.551"))
    ),
    "forecast_no_updated_at.json": Case(do=forecast("DE"), makes=lambda one: (len(one.median), one.issued_at), expect=(7, NOW)),
    "forecast_empty.json": failing(forecast("DE"), ProviderNoDataError),
    "zones.json": Case(do=lambda one: one.zones(), makes=len, expect=3, settings={"zones": None}),
    "zones_with_access.json": Case(do=lambda one: one.zones(), makes=len, expect=2, settings={"zones": None}),
    "zones_wrapped.json": Case(do=lambda one: one.zones(), makes=tuple, expect=("DE",), settings={"zones": None}),
    "power_breakdown_latest.json": Case(
        do=mix("DE", "2026-02-03T14:00", "2026-02-03T15:00"),
        makes=lambda one: (len(one), one.is_consumption, power(one)["hydro_pumped"], float(one.total_mw[0])),
        expect=(1, True, [905.0], 52471.0),
    ),
    "home_assistant_no_data.json": failing(latest, ProviderNoDataError),
    "v4_latest_flat.json": Case(do=latest, makes=lambda one: one.value_gco2_per_kwh, expect=377.4, **EM_V4),
    "v4_latest_wrapped.json": Case(do=latest, makes=lambda one: one.value_gco2_per_kwh, expect=377.4, **EM_V4),
    "v4_past_range.json": Case(
        do=readings("DE", "2026-02-03T14:00", "2026-02-03T18:00"),
        makes=lambda one: (one.count, "not confirmed" in one.provenance.detail),
        expect=(4, True),
        now=at("2026-02-04T14:10"),
        **EM_V4,
    ),
    "v4_forecast.json": Case(do=forecast("DE"), makes=medians, expect=[342.0, 345.0, 340.0, 354.0], **EM_V4),
    "error_400.json": failing(latest, ProviderRequestError, says="Invalid value for parameter datetime"),
    "error_401_invalid_token.json": failing(latest, ProviderAuthError, requests=4),
    "error_401_over_quota.json": failing(latest, ProviderAuthError, requests=4),
    "error_403_zone.json": failing(latest, ProviderAccessError, says="zoneKey=FR"),
    "error_403_endpoint.json": failing(forecast("DE"), ProviderAccessError, says="Endpoint not available"),
    "error_404_no_recent_data.json": failing(latest, ProviderNoDataError, says="No recent data"),
    "error_429.json": failing(latest, ProviderQuotaError, requests=2),
    "error_502.html": failing(latest, ProviderUnavailable, requests=4),
}

# WattTime

WT = "US-CAL-CISO"
WT_FORECAST = forecast(WT, 1.0)
WT_HISTORY = readings(WT, "2026-02-03T14:00", "2026-02-03T14:30")
WT_14 = at("2026-02-03T14:02")
WT_LATER = at("2026-02-05T10:00")
WATTTIME = {
    "login.json": Case(do=WT_FORECAST, makes=ProviderResponseError, says="sent what does not fit", now=WT_14),
    "region_from_loc.json": Case(do=lambda one: one.region_of(38.6, -121.5), makes=str, expect="CAISO_NORTH"),
    "my_access.json": Case(do=lambda one: one.allowed_regions(), makes=tuple, expect=("EXAMPLE_EAST",)),
    "forecast.json": Case(
        do=WT_FORECAST,
        makes=lambda one: (len(one.median), medians(one)[0], one.step_s, one.issued_at),
        expect=(12, round(1002.606077 * 0.45359237, 3), 300.0, at("2026-02-03T14:00")),
        now=WT_14,
    ),
    "forecast_with_warnings.json": Case(
        do=WT_FORECAST,
        makes=lambda one: (len(one.median), one.provenance.detail),
        expect=(3, "WattTime co2_moer; warning EXAMPLE_WARNING: An example."),
        now=WT_14,
    ),
    "forecast_warnings_null.json": Case(do=WT_FORECAST, makes=lambda one: len(one.median), expect=3, now=WT_14),
    "forecast_horizon_0.json": Case(do=WT_FORECAST, makes=lambda one: len(one.median), expect=1, now=WT_14),
    "forecast_unknown_units.json": failing(WT_FORECAST, ProviderResponseError, says="kg_co2_per_mwh", now=WT_14),
    "forecast_health_damage.json": failing(WT_FORECAST, ProviderResponseError, says="health_damage", now=WT_14),
    "forecast_empty.json": failing(WT_FORECAST, ProviderNoDataError, now=WT_14),
    "forecast_historical.json": Case(
        do=lambda one: one.issued_forecasts(WT, at("2026-02-03T14:00"), at("2026-02-03T14:10")),
        makes=lambda found: [(one.issued_at, len(one.median)) for one in found],
        expect=[(at("2026-02-03T14:00"), 3), (at("2026-02-03T14:05"), 3)],
        now=WT_LATER,
    ),
    "historical.json": Case(
        do=WT_HISTORY,
        makes=lambda one: (one.count, [mark.is_estimated for mark in one].count(True), round(one.provenance.estimated_fraction, 3)),
        expect=(6, 1, 0.167),
        now=WT_LATER,
    ),
    "historical_next_chunk.json": Case(do=readings(WT, "2026-02-03T14:25", "2026-02-03T14:35"), makes=count, expect=2, now=WT_LATER),
    "historical_empty.json": Case(do=WT_HISTORY, makes=count, expect=None, now=WT_LATER),
    "signal_index.json": failing(WT_FORECAST, ProviderResponseError, says="percentile", now=WT_14),
    "error_400.json": failing(WT_HISTORY, ProviderRequestError, says="start must be before end"),
    "error_401.json": failing(WT_FORECAST, ProviderAuthError, requests=2),
    "error_403_login.html": failing(WT_FORECAST, ProviderAuthError, requests=2),
    "error_403_data.html": failing(WT_FORECAST, ProviderAuthError, requests=2),
    "error_403_scope.json": failing(WT_FORECAST, ProviderAccessError, says="Invalid scope"),
    "error_404_no_coverage.json": failing(lambda one: one.region_of(1.5, -30.25), ProviderNoDataError),
    "error_429.html": failing(WT_FORECAST, ProviderQuotaError),
    "error_503.html": failing(WT_FORECAST, ProviderUnavailable, requests=4),
}

# NESO

GB = readings("GB", "2026-02-03T13:00", "2026-02-03T14:30")
REGION = {"settings": {"areas": {"GB-X": "postcode/ZZ1"}}}
NESO = {
    "national_current.json": Case(
        do=readings("GB", "2026-02-03T14:00", "2026-02-03T14:30"), makes=values, expect=[138.0], now=at("2026-02-03T14:40")
    ),
    "national_fw24h.json": Case(
        do=forecast("GB", 24.0),
        makes=lambda one: (one.start_at, len(one.median), medians(one)[0]),
        expect=(at("2026-02-03T14:00"), 48, 211.0),
    ),
    "national_forecast_null.json": Case(do=forecast("GB", 24.0), makes=medians, expect=[152.0]),
    "national_date_spring_dst.json": Case(
        do=readings("GB", "2026-03-29T00:00", "2026-03-29T23:00"),
        makes=shape,
        expect=(at("2026-03-29T00:00"), 1800.0, 46, 0),
        now=at("2026-03-30T10:00"),
    ),
    "regional_postcode_list.json": Case(
        do=readings("GB-X", "2026-02-03T14:00", "2026-02-03T14:30"),
        makes=lambda one: (values(one), one.provenance.estimated_fraction),
        expect=([118.0], 1.0),
        now=at("2026-02-03T14:40"),
        **REGION,
    ),
    "regional_fw48h_object.json": Case(do=forecast("GB-X"), makes=lambda one: len(one.median), expect=6, **REGION),
    "postcode_not_found_200_null.json": failing(forecast("GB-X"), ProviderRequestError, says="capitals", **REGION),
    "generation.json": failing(GB, ProviderResponseError, says="intensity"),
    "stats.json": failing(GB, ProviderResponseError, says="intensity"),
    "factors.json": failing(GB, ProviderResponseError, says="from"),
    "empty.json": Case(do=GB, makes=count, expect=None),
    "error_400.json": failing(GB, ProviderRequestError, says="Please enter a valid start"),
    "error_500.json": failing(GB, ProviderUnavailable, requests=4, says="An unexpected error occurred"),
    "error_502.html": failing(GB, ProviderUnavailable, requests=4),
}

# Energy-Charts: 8 measured quarter hours from 14:00 on

EC = readings("DE", "2026-02-03T14:00", "2026-02-03T18:00")
EC_NOW = at("2026-02-03T16:05")
EC_ALL = {"now": at("2026-02-03T14:05")}
ENERGY_CHARTS = {
    "co2eq.json": Case(do=EC, makes=lambda one: (one.count, values(one)[0]), expect=(8, 391.7), now=EC_NOW),
    "co2eq_trailing_nulls.json": Case(
        do=forecast("DE"), makes=lambda one: (len(one.median), medians(one)[-1]), expect=(10, 90.3), **EC_ALL
    ),
    "co2eq_overlap.json": Case(do=forecast("DE"), makes=lambda one: (len(one.median), medians(one)[0]), expect=(10, 401.0), **EC_ALL),
    "co2eq_gap.json": Case(do=EC, makes=lambda one: (one.count, len(one.gaps())), expect=(5, 1), now=EC_NOW),
    "co2eq_empty.json": Case(do=EC, makes=count, expect=None),
    "co2eq_unequal_lengths.json": failing(EC, ProviderResponseError, says="6 instants, 6 values and 5 forecasts"),
    "co2eq_deprecated.json": Case(do=forecast("DE"), makes=lambda one: len(one.median), expect=4, **EC_ALL),
    "signal.json": failing(EC, ProviderResponseError, says="co2eq"),
    "error_400_unknown_country.txt": failing(EC, ProviderRequestError, says="not the code for an available country"),
    "error_429.txt": failing(EC, ProviderQuotaError, requests=2),
    "error_503.html": failing(EC, ProviderUnavailable, requests=4),
}

# Energi Data Service

DK1 = readings("DK-DK1", "2026-02-03T00:00", "2026-02-03T00:15")
DK2 = readings("DK-DK2", "2026-02-03T00:00", "2026-02-03T00:15")
ENERGI_DATA_SERVICE = {
    "co2emis_utc.json": Case(
        do=lambda one: (DK1(one), DK2(one)), makes=lambda two: [values(one) for one in two], expect=[[101, 106, 108], [60, 61, 58]]
    ),
    "co2emisprog_utc.json": Case(do=forecast("DK-DK1"), makes=medians, expect=[100, 99, 103, 109], now=at("2026-02-03T00:02")),
    "co2emis_local_time_trap.json": failing(DK1, ProviderResponseError, says="Danish time"),
    "co2emis_autumn_hour.json": Case(
        do=readings("DK-DK1", "2026-10-25T00:55", "2026-10-25T01:10"),
        makes=shape,
        expect=(at("2026-10-25T00:55"), 300.0, 3, 0),
        now=at("2026-10-25T10:00"),
    ),
    "co2emis_null.json": Case(do=lambda one: (DK1(one), DK2(one)), makes=lambda two: [one.count for one in two], expect=[1, 2]),
    "co2emis_page.json": Case(
        do=DK1, makes=ProviderResponseError, then=(reply({"total": 288, "records": []}),), requests=2, says="sent 4 of 288 records"
    ),
    "co2emis_empty.json": Case(do=DK1, makes=count, expect=None),
    "error_400.json": failing(DK1, ProviderRequestError, says="Invalid filter"),
    "error_429.txt": failing(DK1, ProviderQuotaError, requests=2),
    "error_503.html": failing(DK1, ProviderUnavailable, requests=4),
}

# ENTSO-E

XX = {"settings": {"areas": {"XX": "10YXX-EXAMPLE--0"}}}
ENTSOE_DO = readings("XX", "2026-02-03T00:00", "2026-02-03T04:00")
ENTSOE_MIX = mix("XX", "2026-02-03T00:00", "2026-02-03T04:00")


def day_ahead(provider: Any) -> Any:
    return provider.wind_solar_forecast("XX", at("2026-02-03T00:00"), at("2026-02-03T04:00"))


ENTSOE = {
    "generation_a75.xml": Case(do=ENTSOE_MIX, makes=lambda one: (len(one), power(one)["gas"]), expect=(4, [4120, 3985, 3870, 3902]), **XX),
    "generation_a75_a03_gaps.xml": Case(
        do=ENTSOE_MIX, makes=power, expect={"nuclear": [1510.5, 1510.5, 1510.5, 1498, 1502.25, 1502.25, 1502.25, 1502.25]}, **XX
    ),
    "generation_a75_pumping.xml": Case(do=ENTSOE_MIX, makes=power, expect={"hydro_pumped": [0, 0, 120, 340]}, **XX),
    "generation_a75_mixed_resolution.xml": Case(
        do=ENTSOE_MIX,
        makes=lambda one: (one.step_s, power(one)["hard_coal"]),
        expect=(900.0, [900] * 4 + [880] * 4 + [860, 855, 850, 842]),
        **XX,
    ),
    "generation_a75_unknown_psr.xml": Case(do=ENTSOE_MIX, makes=power, expect={"unknown": [33]}, **XX),
    "wind_solar_a69.xml": Case(
        do=day_ahead, makes=lambda one: (len(one), sorted(one.power_mw)), expect=(4, [Fuel.SOLAR, Fuel.WIND_ONSHORE]), **XX
    ),
    "load_a65.xml": Case(do=ENTSOE_MIX, makes=lambda one: one, expect=None, **XX),
    "ack_200_no_data.xml": Case(do=ENTSOE_DO, makes=count, expect=None, **XX),
    "ack_400_no_data.xml": failing(ENTSOE_DO, ProviderResponseError, **XX),
    "ack_400_range_exceeded.xml": Case(
        do=ENTSOE_MIX,
        makes=power,
        expect={"gas": [pytest.approx(395.62, abs=0.01)] * 2, "wind_onshore": [pytest.approx(604.38, abs=0.01)] * 2},
        then=(acknowledged("No matching data found"), entsoe(at("2026-02-03T02:00"), [200.5, 200.5])),
        requests=3,
        **XX,
    ),
    "ack_400_invalid_parameter.xml": failing(ENTSOE_DO, ProviderRequestError, says="indomain", **XX),
    "error_401.xml": failing(ENTSOE_DO, ProviderAuthError, **XX),
    "error_429.txt": failing(ENTSOE_DO, ProviderQuotaError, says="Max allowed requests", **XX),
    "error_503.html": failing(ENTSOE_DO, ProviderUnavailable, requests=4, **XX),
    "truncated_200.xml": failing(ENTSOE_DO, ProviderResponseError, says="cannot be read", **XX),
}
ENTSOE["ack_400_no_data.xml"] = Case(do=ENTSOE_DO, makes=count, expect=None, **XX)

# EIA

EX = {"settings": {"areas": {"EX": "EXBA"}}}
EIA_MIX = mix("EX", "2026-02-03T00:00", "2026-02-03T03:00")
EIA = {
    "fuel_type.json": Case(
        do=EIA_MIX,
        makes=lambda one: (one.start_at, power(one)),
        expect=(at("2026-02-03T00:00"), {"coal": [812, 799], "gas": [2260, 2187], "wind": [1433, 1502]}),
        **EX,
    ),
    "fuel_type_numbers.json": Case(do=EIA_MIX, makes=power, expect={"gas": [2260, 2187]}, **EX),
    "fuel_type_null.json": Case(
        do=EIA_MIX, makes=lambda one: (one.start_at, power(one)), expect=(at("2026-02-03T01:00"), {"gas": [2187]}), **EX
    ),
    "fuel_type_storage.json": Case(
        do=EIA_MIX,
        makes=power,
        expect={"battery": [0, 96], "solar": [0, 0], "unknown": [51, 0], "other": [0, 12]},
        **EX,
    ),
    "page_1.json": Case(
        do=EIA_MIX,
        makes=lambda one: (len(one), power(one)["coal"]),
        expect=(2, [537, 574]),
        then=("eia/page_2.json", "eia/page_3.json"),
        requests=3,
        **EX,
    ),
    "page_2.json": Case(do=EIA_MIX, makes=ProviderResponseError, then=("eia/page_3.json", "eia/empty.json"), requests=3, says="rows", **EX),
    "page_3.json": Case(do=EIA_MIX, makes=ProviderResponseError, then=("eia/empty.json",), requests=2, says="rows", **EX),
    "page_2_overlap.json": Case(
        do=EIA_MIX, makes=ProviderResponseError, then=("eia/page_1.json", "eia/page_3.json"), requests=3, says="pages overlap", **EX
    ),
    "region_demand.json": failing(EIA_MIX, ProviderResponseError, says="fueltype", **EX),
    "empty.json": Case(do=EIA_MIX, makes=lambda one: one, expect=None, **EX),
    "error_403_key_missing.json": failing(EIA_MIX, ProviderAuthError, says="No api_key", **EX),
    "error_403_key_invalid.json": failing(EIA_MIX, ProviderAuthError, **EX),
    "error_429.json": failing(EIA_MIX, ProviderQuotaError, says="exceeded your rate limit", **EX),
    "error_400.json": failing(EIA_MIX, ProviderRequestError, says="respondant", **EX),
    "error_404.json": failing(EIA_MIX, ProviderRequestError, **EX),
    "error_503.html": failing(EIA_MIX, ProviderUnavailable, requests=4, **EX),
}

# éCO2mix

FR = readings("FR", "2026-02-03T14:00", "2026-02-03T15:00")
FR_MIX = mix("FR", "2026-02-03T14:00", "2026-02-03T15:00")
FR_LONG = readings("FR", "2026-02-01T00:00", "2026-02-03T15:00")
FR_NOW = at("2026-02-03T14:40")
ECO2MIX = {
    "records.json": Case(do=FR, makes=values, expect=[31.0, 33.0], now=FR_NOW),
    "records_local_offset.json": Case(
        do=FR, makes=lambda one: (one.start_at, values(one)), expect=(at("2026-02-03T14:00"), [31.0]), now=FR_NOW
    ),
    "records_mixed_types.json": Case(do=FR_MIX, makes=lambda one: (len(one), power(one)["battery"]), expect=(1, [0.0]), now=FR_NOW),
    "export.json": Case(do=FR_LONG, makes=values, expect=[31.0, 33.0], now=FR_NOW),
    "records_empty.json": Case(do=FR, makes=count, expect=None, now=FR_NOW),
    "records_page.json": Case(
        do=FR, makes=ProviderResponseError, then=(reply({"total_count": 96, "results": []}),), requests=2, says="1 of 96", now=FR_NOW
    ),
    "error_400_odsql.json": failing(FR, ProviderRequestError, says="ODSQL query is malformed"),
    "error_200_body.json": failing(FR_LONG, ProviderRequestError, says="unexpected token"),
    "error_404_dataset.json": failing(FR, ProviderRequestError, says="Unknown dataset"),
    "error_429.json": failing(FR, ProviderQuotaError),
    "error_503.html": failing(FR, ProviderUnavailable, requests=4),
}

# Carbon Aware SDK

SDK = readings("eastus", "2026-02-03T14:00", "2026-02-03T16:00")
SDK_NOW = at("2026-02-03T16:10")
NE = {"settings": {"zones": ["northeurope"]}, "now": at("2026-02-03T14:00")}


def in_file(name: str, unit: str = "gco2_per_kwh") -> CarbonAwareFileProvider:
    return CarbonAwareFileProvider(ROOT / "carbon_aware_sdk" / name, kind="average_direct", unit=unit)


def file_counts(name: str, unit: str = "gco2_per_kwh") -> Callable[[Any], Any]:
    def look(_: Any) -> Any:
        provider = in_file(name, unit)
        whole = {zone: provider.readings(zone, at("2026-01-01T00:00"), at("2026-12-31T00:00")) for zone in provider.zones()}
        return {zone: (one.step_s, one.count) for zone, one in whole.items() if one is not None}

    return look


CARBON_AWARE_SDK = {
    "file_bom_strings.json": Case(
        do=file_counts("file_bom_strings.json", "kgco2_per_kwh"),
        makes=dict,
        expect={"Northtown": (3600.0, 2), "Southport": (3600.0, 1)},
        requests=0,
    ),
    "file_bare_array.json": Case(do=file_counts("file_bare_array.json"), makes=dict, expect={"us-example-1": (3600.0, 6)}, requests=0),
    "file_standard.json": Case(do=file_counts("file_standard.json"), makes=dict, expect={"eastus": (3600.0, 3)}, requests=0),
    "file_durations.json": Case(do=file_counts("file_durations.json"), makes=dict, expect={"a": (300.0, 6 + 1 + 288 + 12)}, requests=0),
    "file_empty.json": Case(do=file_counts("file_empty.json"), makes=dict, expect={}, requests=0),
    "file_bad_rating.json": failing(file_counts("file_bad_rating.json"), TraceFormatError, says="entry 1: Rating 'n/a'", requests=0),
    "locations_coordinates.json": Case(
        do=lambda _: read_locations(ROOT / "carbon_aware_sdk" / "locations_coordinates.json"), makes=len, expect=2, requests=0
    ),
    "locations_zone_names.json": Case(
        do=lambda _: read_locations(ROOT / "carbon_aware_sdk" / "locations_zone_names.json"),
        makes=dict,
        expect={"northeurope": "IE", "swedencentral": "SE"},
        requests=0,
    ),
    "webapi_bylocation.json": Case(
        do=SDK, makes=lambda one: (one.start_at, values(one)), expect=(at("2026-02-03T14:00"), [214.6, 209.0]), now=SDK_NOW
    ),
    "webapi_best.json": Case(do=SDK, makes=lambda one: (one.start_at, values(one)), expect=(at("2026-02-03T15:00"), [209.0]), now=SDK_NOW),
    "webapi_204.txt": Case(do=SDK, makes=count, expect=None),
    "webapi_forecasts_current.json": Case(
        do=forecast("northeurope"),
        makes=lambda one: (len(one.median), one.step_s, one.issued_at, "rolling means over 10 min" in one.provenance.detail),
        expect=(5, 300.0, at("2026-02-03T13:55"), True),
        **NE,
    ),
    "webapi_forecasts_current_docs.json": Case(do=forecast("northeurope"), makes=lambda one: len(one.median), expect=5, **NE),
    "webapi_average.json": failing(SDK, ProviderResponseError),
    "webapi_error_400.json": failing(SDK, ProviderRequestError),
    "webapi_error_501.json": failing(SDK, ProviderAccessError),
    "webapi_error_500.json": failing(SDK, ProviderUnavailable, requests=4),
}

# Open-Meteo


def weather(zone: str = "DE") -> Callable[[Any], Any]:
    return lambda provider: provider.weather(zone)


def sky(one: Any) -> tuple[object, ...]:
    """Start, hours, hours that are known, wind and temperature of the first one."""
    first = [round(float(one.values[name][0]), 2) for name in ("wind_speed_m_per_s", "temperature_k")]
    return (one.start_at, len(one), one.count, *first)


TWO = {"settings": {"areas": {"DE": "52.5,13.4 59.3,18.1"}}}
OPEN_METEO = {
    "forecast.json": Case(do=weather(), makes=sky, expect=(at("2026-02-03T00:00"), 24, 24, 8.83, 274.65)),
    "forecast_unixtime.json": Case(do=weather(), makes=sky, expect=(at("2026-02-03T14:00"), 6, 6, 8.83, 274.65)),
    "forecast_two_places.json": Case(do=weather(), makes=sky, expect=(at("2026-02-03T00:00"), 3, 3, 8.72, 274.75), **TWO),
    "forecast_null_tail.json": Case(do=weather(), makes=sky, expect=(at("2026-02-03T00:00"), 6, 4, 8.83, 274.65)),
    "forecast_wrong_unit.json": failing(weather(), ProviderResponseError, says="wind_speed_100m in km/h, not in m/s"),
    "error_400.json": failing(weather(), ProviderRequestError, says="Latitude must be in range"),
    "error_429.json": Case(do=weather(), makes=ProviderQuotaError, says="Minutely API request limit exceeded", requests=2),
    "error_502.html": failing(weather(), ProviderUnavailable, requests=4),
}

CASES: dict[str, dict[str, Case]] = {
    "electricitymaps": ELECTRICITY_MAPS,
    "watttime": WATTTIME,
    "neso": NESO,
    "energy_charts": ENERGY_CHARTS,
    "energidataservice": ENERGI_DATA_SERVICE,
    "entsoe": ENTSOE,
    "eia": EIA,
    "eco2mix": ECO2MIX,
    "carbon_aware_sdk": CARBON_AWARE_SDK,
    "open_meteo": OPEN_METEO,
}


def cases() -> Iterator[Any]:
    for folder, table in CASES.items():
        for name, case in table.items():
            yield pytest.param(f"{folder}/{name}", case, id=f"{folder}/{name}")


def served(name: str, case: Case) -> tuple[Any, FakeService, FakeWorld]:
    kit = {**BY_NAME, WEATHER.name: WEATHER}[FOLDERS[name.partition("/")[0]]]
    replies = [fixture_reply(name), *(fixture_reply(one) if isinstance(one, str) else one for one in case.then)]
    world, service = FakeWorld(case.now), FakeService(after_login(replies))
    return kit.make(service.transport, world, **case.settings), service, world


@pytest.mark.parametrize(("name", "case"), list(cases()))
def test_what_comes_of_an_answer(name: str, case: Case) -> None:
    provider, service, world = served(name, case)
    if isinstance(case.makes, type) and issubclass(case.makes, CarbonRayError):
        with pytest.raises(case.makes) as caught:
            case.do(provider)
        assert type(caught.value) is case.makes or case.makes is ProviderRequestError
        assert re.search(re.escape(case.says), str(caught.value))
        if isinstance(caught.value, ProviderQuotaError):
            assert caught.value.retry_at > world.clock.now() - timedelta(seconds=1)
    else:
        assert case.makes(case.do(provider)) == case.expect
    assert len(data_requests(service)) == case.requests


def test_every_fixture_has_its_case() -> None:
    assert {f"{folder}/{name}" for folder, table in CASES.items() for name in table} == set(manifest())


def test_the_outcome_is_the_one_that_the_collection_names() -> None:
    """Errors by name; what our base class of an error covers is not told apart there."""
    other = {"carbon_aware_sdk/file_bad_rating.json": "TraceFormatError"}  # a ConfigError
    partial = {"eia/page_2_overlap.json"}
    for name, one in manifest().items():
        folder, _, file = name.partition("/")
        match = re.search(r"(\w+Error|ProviderUnavailable)$", one["expect"])
        if match is None or name in partial:
            continue
        makes = CASES[folder][file].makes
        assert getattr(makes, "__name__", "") == other.get(name, match[1]), name


def test_the_way_of_estimating_is_told() -> None:
    provider = served("electricitymaps/history.json", ELECTRICITY_MAPS["history.json"])[0]
    assert "estimated by TIME_SLICER_AVERAGE" in EM_DAY(provider).provenance.detail


def test_the_keyed_services_are_asked_with_their_key() -> None:
    for name in ("electricitymaps/latest.json", "watttime/forecast.json"):
        folder, _, file = name.partition("/")
        provider, service, _ = served(name, CASES[folder][file])
        CASES[folder][file].do(provider)
        sent = data_requests(service)[0].headers
        assert sent.get("auth-token", "").startswith("planted-") or sent["authorization"] == f"Bearer {TOKEN}"
    provider, service, _ = served("electricitymaps/zones.json", ELECTRICITY_MAPS["zones.json"])
    provider.zones()
    assert "auth-token" not in service.asked[0].headers, "zones are asked for without a key"


def test_a_refused_login_is_the_keys_fault() -> None:
    world, service = FakeWorld(NOW), FakeService([fixture_reply("watttime/error_403_login.html")])
    provider = BY_NAME["watttime"].make(service.transport, world)
    with pytest.raises(ProviderAuthError, match="user and password"):
        provider.history(WT, at("2026-02-03T12:00"), at("2026-02-03T13:00"))
    assert [asked.path for asked in service.asked] == ["/login", "/login"]


def test_a_deprecated_service_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    provider, _, world = served("energy_charts/co2eq_deprecated.json", ENERGY_CHARTS["co2eq_deprecated.json"])
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            forecast("DE")(provider)
            world.clock.advance(timedelta(seconds=1000))
    assert caplog.text.count("deprecated") == 1


def test_the_sdk_takes_any_kind_but_must_be_told() -> None:
    assert in_file("file_standard.json").kind is IntensityKind.AVERAGE_DIRECT
