"""Weather: places, units, hours, quotas told in words, and nothing that would be known only later."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from carbon_ray.core.errors import ConfigError, ProviderNoDataError, ProviderQuotaError, ProviderResponseError, UnknownZoneError
from carbon_ray.forecasting.weather import WEATHER as OF_THE_MODEL
from carbon_ray.providers.services.open_meteo import OpenMeteo
from carbon_ray.providers.weather import VARIABLES, WeatherForecast, WeatherProvider
from carbon_ray.testing import Reply
from tests.providers.services.samples import KEYED_WEATHER, KEYS, NOW, WEATHER, open_meteo, reply

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
