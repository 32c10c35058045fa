"""Weather: places, units, hours, quotas told in words, and nothing that would be known only later."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from carbon_ray.core.errors import ConfigError, ProviderNoDataError, ProviderQuotaError, ProviderResponseError, UnknownZoneError
from carbon_ray.forecasting.weather import WEATHER as OF_THE_MODEL
from carbon_ray.providers.services.open_meteo import OpenMeteo, OpenMeteoRuns
from carbon_ray.providers.weather import VARIABLES, WeatherForecast, WeatherProvider
from carbon_ray.testing import Asked, FakeService, FakeWorld, Reply
from tests.providers.services.samples import KEYED_WEATHER, KEYS, NOW, UNITS, WEATHER, open_meteo, reply

DAY = NOW.replace(hour=0, minute=0)
HOURS: list[float | None] = [80.0 + hour for hour in range(48)]


def changed(**changes: Any) -> Reply:
    document = json.loads(open_meteo(DAY, HOURS).body)
    for name, value in changes.items():
        where, _, code = name.partition("__")
        if code:
            document[where][code] = value
        else:
            document[where] = value
    return reply(document)


def test_variables_are_those_of_the_model() -> None:
    assert VARIABLES == OF_THE_MODEL


def test_success() -> None:
    provider, service, world = WEATHER.served(open_meteo(DAY, HOURS))
    assert isinstance(provider, WeatherProvider)
    found = provider.weather("DE")
    assert isinstance(found, WeatherForecast)
    assert (found.start_at, len(found), found.issued_at) == (DAY, 48, world.clock.now())
    np.testing.assert_allclose(found.values["wind_speed_m_per_s"], np.arange(80, 128) / 10)
    assert set(found.values["temperature_k"]) == {1.5 + 273.15}
    assert (found.provenance.provider, found.provenance.fetched_at) == ("open_meteo", world.clock.now())
    (asked,) = service.asked
    assert asked.path == WEATHER.path
    assert WEATHER.asks.items() <= dict(asked.params).items()
    assert "past_days" not in dict(asked.params), "that was never issued so"


def test_an_hour_is_answered_from_memory() -> None:
    provider, service, world = WEATHER.served(open_meteo(DAY, HOURS))
    provider.weather("DE")
    provider.weather("DE")
    assert len(service.asked) == 1
    world.clock.advance(timedelta(hours=1))
    provider.weather("DE")
    assert len(service.asked) == 2


def test_what_is_not_known_stays_so() -> None:
    provider, _, _ = WEATHER.served(open_meteo(DAY, [80.0, None, 82.0]))
    found = provider.weather("DE")
    assert (len(found), found.count) == (3, 2)
    assert all(np.isnan(found.values[name][1]) for name in VARIABLES)
    document = json.loads(open_meteo(DAY, HOURS).body)
    del document["hourly"]["precipitation"]
    found = WEATHER.served(reply(document))[0].weather("DE")
    assert np.isnan(found.values["precipitation_kg_per_m2"]).all()
    assert found.count == 48
    for empty in (open_meteo(DAY, []), open_meteo(DAY, [None, None])):
        with pytest.raises(ProviderNoDataError):
            WEATHER.served(empty)[0].weather("DE")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (changed(latitude=48.1), "answered for 48.10,13.42"),
        (changed(longitude=-170.0), "asked for 52.5,13.4"),
        (changed(utc_offset_seconds=3600), "another time"),
        (changed(hourly_units__temperature_2m="°F"), "°F, not in °C"),
        (changed(hourly_units__wind_speed_100m=None), "hourly_units"),
        (changed(hourly__wind_speed_100m=[1.0]), "48 instants and 1 values"),
        (changed(hourly__wind_speed_100m=[-1.0] * 48), "that cannot be"),
        (changed(hourly__temperature_2m=[900.0] * 48), "that cannot be"),
        (changed(hourly__temperature_2m={"a": 1}), "does not fit"),
        (changed(hourly__time=["2026-02-03T00:00"] * 48), "consecutive hours"),
        (changed(hourly__time=[f"2026-02-03T{hour:02}:30" for hour in range(24)] * 2), "consecutive hours"),
        (open_meteo(DAY + timedelta(days=2), HOURS), "still to come"),
        (reply([json.loads(open_meteo(DAY, HOURS).body)] * 2), "answered for 2 places, asked for 1"),
        (reply([]), "answered for 0 places"),
        (reply({"error": True, "reason": "out of order"}), "as if it were an answer"),
    ],
)
def test_what_cannot_be_is_refused(answer: Reply, says: str) -> None:
    provider, service, _ = WEATHER.served(answer)
    with pytest.raises(ProviderResponseError, match=says):
        provider.weather("DE")
    assert len(service.asked) == 1


@pytest.mark.parametrize(("which", "wait"), [("Hourly", timedelta(hours=1)), ("Daily", timedelta(days=1))])
def test_the_used_up_quota_is_told_in_words(which: str, wait: timedelta) -> None:
    busy = reply({"error": True, "reason": f"{which} API request limit exceeded. Please try again later."}, status=429)
    provider, service, world = WEATHER.served(busy)
    with pytest.raises(ProviderQuotaError) as caught:
        provider.weather("DE")
    expected = DAY + wait if which == "Daily" else world.clock.now() + wait
    assert caught.value.retry_at == expected
    with pytest.raises(ProviderQuotaError):
        provider.weather("DE")
    assert len(service.asked) == 1


@pytest.mark.parametrize("text", ["", "52.5", "52.5,13.4,1", "a,b", "91,0", "0,181", "nan,1", "1,1 " * 11])
def test_places_are_checked_when_it_is_made(text: str) -> None:
    with pytest.raises(ConfigError, match="pairs of latitude and longitude"):
        OpenMeteo(areas={"X": text})


def test_settings_are_checked_when_it_is_made() -> None:
    for settings, says in (({"plan": "paid"}, "plan"), ({"days": 17}, "days"), ({"days": True}, "days"), ({"zones": ["MOON"]}, "MOON")):
        with pytest.raises(ConfigError, match=says):
            OpenMeteo(**settings)  # type: ignore[arg-type]


def test_zones_of_cloud_regions_need_no_places() -> None:
    provider = OpenMeteo()
    assert {"DE", "US-CAL-CISO", "SE-SE3"} <= set(provider.zones())
    with pytest.raises(UnknownZoneError):
        provider.weather("MOON")


def test_a_commercial_plan_asks_elsewhere_and_with_its_key() -> None:
    provider, service, _ = KEYED_WEATHER.served(open_meteo(DAY, HOURS))
    provider.weather("DE")
    assert dict(service.asked[0].params)["apikey"] == KEYS["CARBON_RAY_OPEN_METEO_KEY"]
    assert "customer-api.open-meteo.com" in repr(provider)


# Past runs


def past_reply(asked: Any) -> Reply:
    """Every wind tells its valid hour, and by how many days before that it was said: 10 days + hours / 1000."""
    params = dict(asked.params)
    first, last = (datetime.fromisoformat(params[name]).replace(tzinfo=UTC) for name in ("start_date", "end_date"))
    hours = (last - first) // timedelta(hours=1) + 24
    hourly: dict[str, Any] = {"time": [f"{first + index * timedelta(hours=1):%Y-%m-%dT%H:%M}" for index in range(hours)]}
    units = {"time": "iso8601"}
    for name in params["hourly"].split(","):
        code, days = name.split("_previous_day")
        units[name] = UNITS[code]
        hourly[name] = [10.0 * int(days) + index / 1000 if code == "wind_speed_100m" else 1.0 for index in range(hours)]
    place = {"latitude": 52.52, "longitude": 13.42, "utc_offset_seconds": 0, "hourly_units": units, "hourly": hourly}
    return reply(place)


def past_runs(answer: Any, first_at: datetime, last_at: datetime) -> tuple[list[WeatherForecast], FakeService]:
    world, service = FakeWorld(NOW), FakeService(answer)
    provider = OpenMeteoRuns(areas={"DE": "52.5,13.4"}, surroundings=world.surroundings(service.transport))
    return provider.past_weather("DE", first_at, last_at), service


def test_a_past_run_holds_nothing_that_was_said_after_its_beginning() -> None:
    found, service = past_runs(past_reply, DAY - timedelta(days=70), DAY - timedelta(days=7))
    assert [asked.path for asked in service.asked] == ["/v1/forecast"] * 2, "sixty days at a time"
    assert [one.start_at for one in found] == [DAY - timedelta(days=day) for day in range(70, 7, -1)]
    for one in found[:3]:
        assert (one.issued_at, len(one)) == (one.start_at, 168)
        for lead, value in enumerate(one.values["wind_speed_m_per_s"]):
            said_before = timedelta(days=value // 10)
            valid_at = DAY - timedelta(days=70) + timedelta(hours=round(value % 10 * 1000))
            assert valid_at == one.start_at + timedelta(hours=lead)
            assert valid_at - said_before <= one.issued_at
            assert valid_at - said_before >= one.issued_at - timedelta(days=1), "and nothing older than need be"


def test_past_runs_that_cannot_be_are_refused_and_empty_ones_left_out() -> None:
    params = (("start_date", "2026-01-01"), ("end_date", "2026-01-09"), ("hourly", past_codes()))
    shifted = past_reply(Asked(path="", params=params, headers={}))
    with pytest.raises(ProviderResponseError, match="begins at 2026-01-01"):
        past_runs([shifted], DAY - timedelta(days=2), DAY)
    document = json.loads(shifted.body)
    document["hourly"] = {name: one if name == "time" else [None] * len(one) for name, one in document["hourly"].items()}
    first_at = datetime(2026, 1, 1, tzinfo=UTC)
    assert past_runs([reply(document)], first_at, first_at + timedelta(days=2))[0] == []


def past_codes() -> str:
    return ",".join(f"{code}_previous_day{day}" for day in range(1, 8) for code in UNITS)
