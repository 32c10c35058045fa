"""One kit for each service: how to make its provider, and bodies of its answers for any values. All of it is invented here."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.services.carbon_aware_sdk import CarbonAwareSdkProvider
from carbon_ray.providers.services.eco2mix import Eco2mixProvider
from carbon_ray.providers.services.eia import EiaProvider
from carbon_ray.providers.services.electricity_maps import ElectricityMapsProvider
from carbon_ray.providers.services.energi_data_service import EnergiDataServiceProvider
from carbon_ray.providers.services.energy_charts import EnergyChartsProvider
from carbon_ray.providers.services.entsoe import EntsoeProvider
from carbon_ray.providers.services.neso import NesoProvider
from carbon_ray.providers.services.open_meteo import OpenMeteo
from carbon_ray.providers.services.watttime import WattTimeProvider
from carbon_ray.testing import Asked, FakeService, FakeWorld, Reply

NOW = datetime(2026, 2, 3, 14, 2, tzinfo=UTC)
START = datetime(2026, 2, 3, 11, tzinfo=UTC)
END = datetime(2026, 2, 3, 14, tzinfo=UTC)

KEYS = {
    "CARBON_RAY_EIA_KEY": "planted+eia/Key=0001",
    "CARBON_RAY_ENTSOE_TOKEN": "planted-entsoe-token-0002",
    "CARBON_RAY_ELECTRICITY_MAPS_TOKEN": "planted-em-token-0003",
    "CARBON_RAY_WATTTIME_USERNAME": "planted-user-0004",
    "CARBON_RAY_WATTTIME_PASSWORD": "planted:pass&word 0005",
    "CARBON_RAY_OPEN_METEO_KEY": "planted-weather/key 0007",
}
"""With characters that are written otherwise in URLs, and in Base64."""
TOKEN = "planted-session-token-0006"

Values = Sequence[float | None]
LB = 0.45359237


def iso(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"


def reply(data: Any, **further: Any) -> Reply:
    return Reply(body=json.dumps(data).encode(), **further)


@dataclass(frozen=True, kw_only=True)
class Kit:
    """What the contract needs to know of a service.

    `history` and `forecast` make an answer of values from an instant on.
    """

    cls: Any
    zone: str
    step_s: float
    history: Callable[[datetime, Values], Reply]
    forecast: Callable[[datetime, Values], Reply] | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)
    path: str = ""
    key_in: tuple[str, str] | None = None
    sees_gaps: bool = True

    @property
    def name(self) -> str:
        name: str = self.cls.name
        return name

    def ask(self, provider: Any) -> Any:
        """What the service is there for, as one value with a length."""
        return provider.history(self.zone, START, END)

    def make(self, transport: httpx.BaseTransport | None, world: FakeWorld, **settings: Any) -> Any:
        return self.cls(**{**self.settings, **settings}, surroundings=world.surroundings(transport))

    def served(self, *replies: Reply, now: datetime = NOW, **settings: Any) -> tuple[Any, FakeService, FakeWorld]:
        """Provider, service and world; the login of WattTime is answered by the way."""
        world, service = FakeWorld(now), FakeService(after_login(replies))
        return self.make(service.transport, world, **settings), service, world

    def values(self, count: int | None = None) -> list[float]:
        count = round((END - START).total_seconds() / self.step_s) if count is None else count
        return [200.0 + index % 50 for index in range(count)]


def after_login(replies: Sequence[Reply]) -> Callable[[Asked], Reply]:
    left = list(replies)

    def answer(asked: Asked) -> Reply:
        if asked.path == "/login":
            return reply({"token": TOKEN})
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def data_requests(service: FakeService) -> list[Asked]:
    return [asked for asked in service.asked if asked.path != "/login"]


# Bodies


def electricity_maps(key: str) -> Callable[[datetime, Values], Reply]:
    def body(start_at: datetime, values: Values) -> Reply:
        points = [
            {
                "zone": "DE",
                "carbonIntensity": value,
                "datetime": iso(start_at + index * timedelta(hours=1)),
                "updatedAt": iso(start_at),
                "emissionFactorType": "lifecycle",
                "isEstimated": index == 0,
                "estimationMethod": None,
            }
            for index, value in enumerate(values)
        ]
        return reply({"zone": "DE", "updatedAt": iso(NOW - timedelta(minutes=1)), key: points})

    return body


def watttime(start_at: datetime, values: Values) -> Reply:
    points = [
        {
            "point_time": iso(start_at + index * timedelta(minutes=5)),
            "value": None if value is None else value / LB,
            "imputed_data_used": False,
        }
        for index, value in enumerate(values)
    ]
    meta = {
        "data_point_period_seconds": 300,
        "region": "CAISO_NORTH",
        "warnings": [{"type": "EXAMPLE", "message": "an example"}],
        "signal_type": "co2_moer",
        "units": "lbs_co2_per_mwh",
        "generated_at": iso(NOW - timedelta(minutes=2)),
    }
    return reply({"data": points, "meta": meta})


def neso(key: str) -> Callable[[datetime, Values], Reply]:
    def body(start_at: datetime, values: Values) -> Reply:
        half = timedelta(minutes=30)
        slots = [
            {
                "from": f"{start_at + index * half:%Y-%m-%dT%H:%MZ}",
                "to": f"{start_at + (index + 1) * half:%Y-%m-%dT%H:%MZ}",
                "intensity": {"forecast": value, "actual": value if key == "actual" else None, "index": "low"},
            }
            for index, value in enumerate(values)
        ]
        return reply({"data": slots})

    return body


def energy_charts(key: str) -> Callable[[datetime, Values], Reply]:
    def body(start_at: datetime, values: Values) -> Reply:
        seconds = [int(start_at.timestamp()) + index * 900 for index in range(len(values))]
        other = "co2eq_forecast" if key == "co2eq" else "co2eq"
        return reply({"unix_seconds": seconds, key: list(values), other: [None] * len(values), "deprecated": False})

    return body


def energi_data_service(start_at: datetime, values: Values) -> Reply:
    records = [
        {
            "Minutes5UTC": f"{start_at + index * timedelta(minutes=5):%Y-%m-%dT%H:%M:%S}",
            "Minutes5DK": f"{start_at + timedelta(hours=1) + index * timedelta(minutes=5):%Y-%m-%dT%H:%M:%S}",
            "PriceArea": area,
            "CO2Emission": value if area == "DK1" else 999.0,
        }
        for index, value in enumerate(values)
        for area in ("DK1", "DK2")
    ]
    return reply({"total": len(records), "limit": 0, "dataset": "CO2Emis", "records": records})


def gas_share(value: float) -> float:
    """Share of gas beside wind that makes a life-cycle intensity by the set carboncast: 490 and 11."""
    return (value - 11.0) / (490.0 - 11.0)


def entsoe(start_at: datetime, values: Values) -> Reply:
    if not values:
        return acknowledged("No matching data found")
    end_at = start_at + len(values) * timedelta(hours=1)
    series = ""
    for code, share in (("B04", gas_share), ("B19", lambda value: 1 - gas_share(value))):
        points = "".join(
            f"<Point><position>{index + 1}</position><quantity>{1000 * share(value):.9f}</quantity></Point>"
            for index, value in enumerate(values)
            if value is not None
        )
        series += (
            "<TimeSeries><inBiddingZone_Domain.mRID>X</inBiddingZone_Domain.mRID><quantity_Measure_Unit.name>MAW</quantity_Measure_Unit.name>"
            f"<curveType>A01</curveType><MktPSRType><psrType>{code}</psrType></MktPSRType><Period><timeInterval>"
            f"<start>{start_at:%Y-%m-%dT%H:%MZ}</start><end>{end_at:%Y-%m-%dT%H:%MZ}</end></timeInterval>"
            f"<resolution>PT60M</resolution>{points}</Period></TimeSeries>"
        )
    text = f'<GL_MarketDocument xmlns="urn:example:3:0"><createdDateTime>{iso(NOW)}</createdDateTime>{series}</GL_MarketDocument>'
    return Reply(body=text.encode(), content_type="text/xml")


def acknowledged(text: str, status: int = 200) -> Reply:
    reason = f"<Reason><code>999</code><text>{text}</text></Reason>"
    body = f'<Acknowledgement_MarketDocument xmlns="urn:example:8:1">{reason}</Acknowledgement_MarketDocument>'
    return Reply(status=status, body=body.encode(), content_type="text/xml")


def eia(start_at: datetime, values: Values) -> Reply:
    rows = [
        {
            "period": f"{start_at + (index + 1) * timedelta(hours=1):%Y-%m-%dT%H}",
            "respondent": "CISO",
            "fueltype": code,
            "value": None if value is None else f"{1000 * share(value):.9f}",
            "value-units": "megawatthours",
        }
        for index, value in enumerate(values)
        for code, share in (("NG", gas_share), ("WND", lambda value: 1 - gas_share(value)))
    ]
    return reply({"response": {"total": str(len(rows)), "data": rows}, "apiVersion": "2.1.12"})


def eco2mix(start_at: datetime, values: Values) -> Reply:
    rows = [{"date_heure": iso(start_at + index * timedelta(minutes=15)), "taux_co2": value} for index, value in enumerate(values)]
    return reply({"total_count": len(rows), "results": rows})


def sdk_history(start_at: datetime, values: Values) -> Reply:
    if not values:
        return Reply(status=204, content_type="")
    return reply(
        [
            {"location": "EX", "time": iso(start_at + index * timedelta(hours=1)), "rating": value, "duration": "01:00:00"}
            for index, value in enumerate(values)
        ]
    )


def sdk_forecast(start_at: datetime, values: Values) -> Reply:
    points = [
        {"timestamp": iso(start_at + index * timedelta(hours=1)), "duration": 5, "value": value} for index, value in enumerate(values)
    ]
    issue = {"generatedAt": iso(NOW - timedelta(minutes=7)), "location": "eastus", "windowSize": 5, "forecastData": points}
    return reply([issue] if values else [])


KITS = (
    Kit(
        cls=ElectricityMapsProvider,
        zone="DE",
        step_s=3600.0,
        history=electricity_maps("history"),
        forecast=electricity_maps("forecast"),
        settings={"zones": ["DE"]},
        path="/v3/carbon-intensity/history",
        asks={"zone": "DE", "emissionFactorType": "lifecycle", "disableCallerLookup": "true"},
        key_in=("header", "auth-token"),
    ),
    Kit(
        cls=WattTimeProvider,
        zone="US-CAL-CISO",
        step_s=300.0,
        history=watttime,
        forecast=watttime,
        path="/v3/historical",
        asks={"region": "CAISO_NORTH", "signal_type": "co2_moer", "start": "2026-02-03T11:00Z", "end": "2026-02-03T13:55Z"},
        key_in=("header", "authorization"),
    ),
    Kit(
        cls=NesoProvider,
        zone="GB",
        step_s=1800.0,
        history=neso("actual"),
        forecast=neso("forecast"),
        path="/intensity/2026-02-03T11:00Z/2026-02-03T14:00Z",
    ),
    Kit(
        cls=EnergyChartsProvider,
        zone="DE",
        step_s=900.0,
        history=energy_charts("co2eq"),
        forecast=energy_charts("co2eq_forecast"),
        path="/co2eq",
        asks={"country": "de", "start": "2026-02-03T11:00Z"},
    ),
    Kit(
        cls=EnergiDataServiceProvider,
        zone="DK-DK1",
        step_s=300.0,
        history=energi_data_service,
        forecast=energi_data_service,
        path="/dataset/CO2Emis",
        asks={
            "start": "2026-02-03T11:00",
            "end": "2026-02-03T14:00",
            "timezone": "utc",
            "filter": '{"PriceArea":["DK1","DK2"]}',
            "limit": "0",
        },
    ),
    Kit(
        cls=EntsoeProvider,
        zone="DE",
        step_s=3600.0,
        history=entsoe,
        path="/api",
        asks={
            "documentType": "A75",
            "processType": "A16",
            "in_Domain": "10Y1001A1001A82H",
            "periodStart": "202602031100",
            "periodEnd": "202602031400",
        },
        key_in=("param", "securityToken"),
    ),
    Kit(
        cls=EiaProvider,
        zone="US-CAL-CISO",
        step_s=3600.0,
        history=eia,
        path="/v2/electricity/rto/fuel-type-data/data/",
        asks={
            "facets[respondent][]": "CISO",
            "start": "2026-02-03T12",
            "end": "2026-02-03T14",
            "sort[0][column]": "period",
            "sort[1][column]": "respondent",
            "sort[2][column]": "fueltype",
            "length": "5000",
        },
        key_in=("param", "api_key"),
    ),
    Kit(
        cls=Eco2mixProvider,
        zone="FR",
        step_s=900.0,
        history=eco2mix,
        path="/api/explore/v2.1/catalog/datasets/eco2mix-national-tr/records",
        asks={"timezone": "UTC", "order_by": "date_heure"},
    ),
    Kit(
        cls=CarbonAwareSdkProvider,
        zone="eastus",
        step_s=3600.0,
        history=sdk_history,
        forecast=sdk_forecast,
        settings={"kind": IntensityKind.MARGINAL, "zones": ["eastus"], "base_url": "https://sdk.example"},
        path="/emissions/bylocation",
        asks={"location": "eastus"},
    ),
)
BY_NAME = {kit.name: kit for kit in KITS}


@dataclass(frozen=True, kw_only=True)
class WeatherKit(Kit):
    """A service of weather: the values are those of the wind, in tenths of m/s."""

    def ask(self, provider: Any) -> Any:
        return provider.weather(self.zone)


UNITS = {
    "wind_speed_100m": "m/s",
    "temperature_2m": "°C",
    "dew_point_2m": "°C",
    "shortwave_radiation": "W/m²",
    "precipitation": "mm",
}


def open_meteo(start_at: datetime, values: Values) -> Reply:
    hours = [f"{start_at + index * timedelta(hours=1):%Y-%m-%dT%H:%M}" for index in range(len(values))]
    wind = [None if value is None else value / 10 for value in values]
    others = {code: [None if value is None else 1.5 for value in values] for code in UNITS}
    place = {
        "latitude": 52.52,
        "longitude": 13.42,
        "utc_offset_seconds": 0,
        "hourly_units": {"time": "iso8601", **UNITS},
        "hourly": {"time": hours, **others, "wind_speed_100m": wind},
    }
    return reply(place)


WEATHER = WeatherKit(
    cls=OpenMeteo,
    zone="DE",
    step_s=3600.0,
    history=open_meteo,
    settings={"zones": ["DE"], "areas": {"DE": "52.5,13.4"}},
    path="/v1/forecast",
    asks={"latitude": "52.5", "longitude": "13.4", "timezone": "GMT", "wind_speed_unit": "ms", "forecast_days": "9"},
)
KEYED_WEATHER = replace(WEATHER, settings={**WEATHER.settings, "plan": "commercial"}, key_in=("param", "apikey"))
SERVICES: tuple[Kit, ...] = (*KITS, WEATHER)
"""All that are asked over HTTP, whatever for."""
