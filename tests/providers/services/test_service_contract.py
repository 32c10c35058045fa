"""What every service does, whatever it is: the same table of good and bad answers for each, with bodies made here."""

from __future__ import annotations

import contextlib
import math
import pickle
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from carbon_ray.core.errors import (
    ConfigError,
    ProviderAccessError,
    ProviderAuthError,
    ProviderNoDataError,
    ProviderQuotaError,
    ProviderRequestError,
    ProviderResponseError,
    ProviderUnavailable,
    UnknownZoneError,
)
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.base import DescribedProvider, ForecastProvider, HistoryProvider, MixProvider, ReadingsProvider
from carbon_ray.providers.mix import Fuel
from carbon_ray.testing import Reply
from tests.providers.services.samples import BY_NAME, END, KEYED_WEATHER, KEYS, KITS, NOW, SERVICES, START, TOKEN, Kit, data_requests, reply

every = pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.name)
every_service = pytest.mark.parametrize(
    "kit", [*SERVICES, KEYED_WEATHER], ids=lambda kit: kit.name + ("+key" if kit is KEYED_WEATHER else "")
)
forecasting = pytest.mark.parametrize("kit", [kit for kit in KITS if kit.forecast], ids=lambda kit: kit.name)


@every
def test_it_is_what_it_says(kit: Kit) -> None:
    provider, service, _ = kit.served(Reply())
    assert isinstance(provider, HistoryProvider)
    assert isinstance(provider, DescribedProvider)
    assert isinstance(provider, ReadingsProvider)
    stated = provider.capabilities
    assert stated.history
    assert stated.forecast == isinstance(provider, ForecastProvider)
    assert stated.mix == isinstance(provider, MixProvider)
    assert stated.marginal == (provider.kind is IntensityKind.MARGINAL)
    assert stated.needs_key == bool(kit.key_in)
    assert kit.zone in provider.zones()
    assert stated.resolution_s <= kit.step_s
    assert service.asked == [], "nothing is asked before it is needed"


@every
def test_success(kit: Kit) -> None:
    provider, service, world = kit.served(kit.history(START, kit.values()))
    series = provider.history(kit.zone, START, END)
    assert (series.zone, series.kind, series.start_at, series.step_s) == (kit.zone, provider.kind, START, kit.step_s)
    assert list(series.values_gco2_per_kwh) == pytest.approx(kit.values(), abs=1e-6)
    assert (series.provenance.provider, series.provenance.fetched_at) == (kit.name, world.clock.now())
    assert not series.provenance.is_embedded
    (asked,) = data_requests(service)
    assert asked.path == kit.path
    assert kit.asks.items() <= dict(asked.params).items()
    assert asked.headers["user-agent"].startswith("carbon-ray/")
    if kit.key_in is not None:
        where, name = kit.key_in
        sent = dict(asked.params)[name] if where == "param" else asked.headers[name].removeprefix("Bearer ")
        assert sent in {*KEYS.values(), TOKEN}


@every
def test_the_same_question_is_answered_from_memory_for_a_while(kit: Kit) -> None:
    provider, service, world = kit.served(kit.history(START, kit.values()))
    first = provider.history(kit.zone, START, END)
    assert provider.history(kit.zone, START, END) == first
    assert len(data_requests(service)) == 1
    world.clock.advance(timedelta(hours=1))
    provider.history(kit.zone, START, END)
    assert len(data_requests(service)) == 2


@every
def test_feeling_for_the_newest_value_costs_one_request(kit: Kit) -> None:
    """Ask up to the present, then for less and less, as one does with a source that is late."""
    provider, service, _ = kit.served(kit.history(START, kit.values()[:-1]))
    found = []
    for late in range(12):
        with contextlib.suppress(ProviderNoDataError):
            found.append(provider.history(kit.zone, START, END - late * timedelta(minutes=15)))
    assert len(data_requests(service)) == 1
    assert END - timedelta(hours=1) <= found[0].end_at <= END - timedelta(seconds=kit.step_s)
    assert [len(one) for one in found] == sorted((len(one) for one in found), reverse=True)


@every
def test_a_window_off_the_grid_gets_the_intervals_that_it_touches(kit: Kit) -> None:
    provider, _, _ = kit.served(kit.history(START, kit.values()))
    step = timedelta(seconds=kit.step_s)
    series = provider.history(kit.zone, START + step * 0.5, START + step * 1.5)
    assert (series.start_at, len(series)) == (START, 2)


@every
def test_empty(kit: Kit) -> None:
    provider, service, _ = kit.served(kit.history(START, []))
    assert provider.readings(kit.zone, START, END) is None
    with pytest.raises(ProviderNoDataError, match="has nothing for"):
        provider.history(kit.zone, START, END)
    assert len(data_requests(service)) == 1


@every
def test_a_null_is_a_gap_and_never_zero(kit: Kit) -> None:
    values: list[float | None] = [*kit.values()]
    values[1] = None
    provider, _, _ = kit.served(kit.history(START, values))
    step = timedelta(seconds=kit.step_s)
    readings = provider.readings(kit.zone, START, END)
    assert readings is not None
    assert readings.gaps() == ((START + step, START + 2 * step),)
    assert readings.count == len(values) - 1
    assert math.isnan(readings.values_gco2_per_kwh[1])
    with pytest.raises(ProviderNoDataError, match=f"{START + step:%Y-%m-%dT%H:%MZ}"):
        provider.history(kit.zone, START, END)
    assert len(provider.history(kit.zone, START + 2 * step, END)) == len(values) - 2


@every
def test_a_tail_that_has_not_come_yet_is_told(kit: Kit) -> None:
    provider, _, _ = kit.served(kit.history(START, kit.values()[:-1]))
    readings = provider.readings(kit.zone, START, END)
    assert readings is not None
    assert readings.end_at == END - timedelta(seconds=kit.step_s)
    with pytest.raises(ProviderNoDataError, match=f"not all of .*{END:%H:%MZ}"):
        provider.history(kit.zone, START, END)


FLEETING = {
    "slow": Reply(fault="slow"),
    "dropped": Reply(fault="dropped"),
    "500": Reply(status=500, body=b"{}"),
    "502 html": Reply(status=502, body=b"<html>bad gateway</html>", content_type="text/html"),
    "503": Reply(status=503, body=b"<html>busy</html>", content_type="text/html"),
}


@every_service
@pytest.mark.parametrize("bad", [*FLEETING.values(), "cut_off"], ids=[*FLEETING, "cut off"])
def test_what_passes_is_tried_again_and_then_unavailable(kit: Kit, bad: Reply | str) -> None:
    good = kit.history(START, kit.values())
    broken = replace(good, fault="cut_off") if isinstance(bad, str) else bad
    provider, service, world = kit.served(broken, broken, good)
    assert len(kit.ask(provider)) == len(kit.values())
    assert len(data_requests(service)) == 3
    assert {0.5, 1.0} <= {round(pause_s, 6) for pause_s in world.pauses_s}
    provider, service, world = kit.served(broken)
    with pytest.raises(ProviderUnavailable) as caught:
        kit.ask(provider)
    assert (caught.value.provider, caught.value.zone) == (kit.name, kit.zone)
    assert len(data_requests(service)) == 4


ONCE: dict[str, tuple[Reply, type[Exception]]] = {
    "400": (Reply(status=400, body=b"what?", content_type="text/plain"), ProviderRequestError),
    "404": (Reply(status=404, body=b"{}"), ProviderRequestError),
    "501": (Reply(status=501, body=b"{}"), ProviderAccessError),
    "unknown status": (Reply(status=299, body=b"{}"), ProviderResponseError),
    "no JSON": (Reply(body=b'{"zone": "DE", "hist'), ProviderResponseError),
    "not UTF-8": (Reply(body=b"\xff\xfe{}"), ProviderResponseError),
    "NaN": (Reply(body=b'{"data": NaN}'), ProviderResponseError),
    "other JSON": (Reply(body=b'[["a"], 3, null]'), ProviderResponseError),
    "deep JSON": (Reply(body=b"[" * 20_000 + b"]" * 20_000), ProviderResponseError),
    "html with 200": (Reply(body=b"<html>log in</html>", content_type="text/html"), ProviderResponseError),
    "no type": (Reply(body=b"{}", content_type=""), ProviderResponseError),
    "zip": (Reply(body=b"PK\x03\x04", content_type="application/zip"), ProviderResponseError),
    "elsewhere": (Reply(status=302, headers={"Location": "https://elsewhere.example/x"}), ProviderResponseError),
    "same name, in the clear": (Reply(status=301, headers={"Location": "http://sdk.example/x"}), ProviderResponseError),
}


@every_service
@pytest.mark.parametrize(("bad", "error"), ONCE.values(), ids=list(ONCE))
def test_what_will_not_pass_is_not_tried_again(kit: Kit, bad: Reply, error: type[Exception]) -> None:
    provider, service, _ = kit.served(bad)
    with pytest.raises(error) as caught:
        kit.ask(provider)
    assert type(caught.value) is error
    assert len(data_requests(service)) == 1
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@every_service
def test_an_answer_that_is_too_large_is_not_read(kit: Kit) -> None:
    good = kit.history(START, kit.values())
    for told in (good, replace(good, headers={"Content-Length": ""})):  # announced, or found out while reading
        provider, service, _ = kit.served(told, network={"max_response_bytes": 100})
        with pytest.raises(ProviderResponseError, match="more than 100 bytes"):
            kit.ask(provider)
        assert len(data_requests(service)) == 1


@every_service
def test_a_quota_is_waited_for_where_the_wait_is_short(kit: Kit) -> None:
    busy = Reply(status=429, headers={"Retry-After": "37"}, body=b"slow down", content_type="text/plain")
    provider, service, world = kit.served(busy, kit.history(START, kit.values()))
    kit.ask(provider)
    assert len(data_requests(service)) == 2
    assert sum(world.pauses_s) >= 37
    provider, service, world = kit.served(replace(busy, headers={"Retry-After": "4000"}))
    for _ in range(2):
        with pytest.raises(ProviderQuotaError) as caught:
            kit.ask(provider)
        assert caught.value.retry_at == world.clock.now() + timedelta(seconds=4000)
    assert len(data_requests(service)) == 1, "while the service is closed nothing is asked"
    assert world.clock.now() == NOW + timedelta(seconds=sum(world.pauses_s))


@every_service
def test_a_refused_key_is_said(kit: Kit) -> None:
    provider, service, _ = kit.served(Reply(status=401, body=b"{}"))
    with pytest.raises(ProviderAuthError):
        kit.ask(provider)
    assert len(data_requests(service)) == {"electricity_maps": 4, "watttime": 2}.get(kit.name, 1)


@every_service
def test_a_redirect_within_the_service_is_followed(kit: Kit) -> None:
    moved = Reply(status=307, headers={"Location": "/elsewhere?x=1"})
    provider, service, _ = kit.served(moved, kit.history(START, kit.values()))
    assert len(kit.ask(provider)) == len(kit.values())
    assert [asked.path for asked in data_requests(service)][1] == "/elsewhere"
    provider, service, _ = kit.served(moved)
    with pytest.raises(ProviderResponseError, match="redirects more than 3 times"):
        kit.ask(provider)


@every
def test_a_clock_that_is_off_does_no_harm(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    ahead = "Tue, 03 Feb 2026 16:02:00 GMT"
    provider, _, world = kit.served(replace(kit.history(START, kit.values()), headers={"Date": ahead}))
    series = provider.history(kit.zone, START, END)
    assert series.provenance.fetched_at == world.clock.now()
    assert series.provenance.issued_at is None or series.provenance.issued_at <= world.clock.now()
    assert "is 7200 s ahead of ours" in caplog.text
    busy = Reply(status=429, headers={"Retry-After": "Tue, 03 Feb 2026 16:02:20 GMT", "Date": ahead}, body=b"{}")
    provider, service, world = kit.served(busy, kit.history(START, kit.values()))
    provider.history(kit.zone, START, END)
    assert 20 <= sum(world.pauses_s) < 200, "the wait is counted from the service's own clock"
    assert len(data_requests(service)) == 2


@every
def test_what_came_true_cannot_lie_ahead(kit: Kit) -> None:
    ahead = kit.history(NOW.replace(minute=0) + timedelta(hours=3), kit.values())
    provider, _, _ = kit.served(ahead)
    with contextlib.suppress(ProviderResponseError):  # refused, or left out as the forecast that it must be
        assert provider.readings(kit.zone, START, END + timedelta(hours=12)) is None


@pytest.mark.parametrize("kit", [kit for kit in KITS if kit.name not in ("entsoe", "eia")], ids=lambda kit: kit.name)
@pytest.mark.parametrize("value", [-1.0, 3001.0, 1e308])
def test_what_is_no_intensity_is_refused(kit: Kit, value: float) -> None:
    values = kit.values()
    values[1] = value
    provider, _, _ = kit.served(kit.history(START, values))
    with pytest.raises(ProviderResponseError):
        provider.history(kit.zone, START, END)


@every
def test_zones_are_known_or_refused(kit: Kit) -> None:
    provider, service, _ = kit.served(Reply(), zones=[kit.zone])
    assert provider.zones() == (kit.zone,)
    with pytest.raises(UnknownZoneError):
        provider.history("NOWHERE", START, END)
    with pytest.raises(ValueError, match="start_at before end_at"):
        provider.history(kit.zone, END, START)
    assert service.asked == []


@every
@pytest.mark.parametrize("kind", list(IntensityKind))
def test_a_kind_is_served_as_itself_or_not_at_all(kit: Kit, kind: IntensityKind) -> None:
    """What is average never passes for marginal, nor the other way round."""
    if kind in kit.cls.kinds:
        provider, _, _ = kit.served(kit.history(START, kit.values()), kind=kind)
        assert provider.kind is kind
        with contextlib.suppress(ProviderResponseError, ProviderNoDataError):  # what it sent may be the other, and say so
            assert provider.history(kit.zone, START, END).kind is kind
    else:
        with pytest.raises(ConfigError, match=f"{kit.name} counts .*, not {kind}"):
            kit.served(kit.history(START, kit.values()), kind=kind)


def test_no_service_but_a_relay_serves_both_average_and_marginal() -> None:
    both = {kit.name for kit in KITS if IntensityKind.MARGINAL in kit.cls.kinds and len(kit.cls.kinds) > 1}
    assert both == {"carbon_aware_sdk"}, "which must be told"


@every_service
def test_without_its_keys_it_says_which(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = kit.cls(**kit.settings)
    for name in KEYS:
        monkeypatch.delenv(name)
    if kit.key_in is None:
        assert kit.cls(**kit.settings).name == kit.name
        return
    with pytest.raises(ConfigError, match=f"CARBON_RAY_{kit.name.upper()}_"):
        kit.cls(**kit.settings)
    arrived: Any = pickle.loads(pickle.dumps(provider))
    with pytest.raises(ProviderAuthError, match=f"CARBON_RAY_{kit.name.upper()}_"):
        kit.ask(arrived)


@pytest.mark.parametrize("name", ["eia", "entsoe"])
def test_a_fuel_that_nobody_knows_is_told_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    kit = BY_NAME[name]
    good = kit.history(START, kit.values())
    provider: Any = kit.served(replace(good, body=good.body.replace(b"WND", b"XYZ").replace(b"B19", b"B99")))[0]
    mix = provider.mix(kit.zone, START, END)
    assert Fuel.UNKNOWN in mix.power_mw
    assert caplog.text.count("is not known and counts as unknown") == 1
    assert "XYZ" in caplog.text or "B99" in caplog.text


def test_the_french_mix_goes_through_the_factor_table() -> None:
    rows = [
        {
            "date_heure": f"2026-02-03T11:{minute:02}:00+00:00",
            "gaz": 1000,
            "nucleaire": "3000",
            "pompage": -500,
            "eolien": None,
            "taux_co2": 77,
        }
        for minute in (0, 15, 30, 45)
    ]
    kit = BY_NAME["eco2mix"]
    answer = reply({"total_count": 4, "results": rows})
    window = ("FR", START, START + timedelta(hours=1))
    for kind, factors, expected in (
        ("average_direct", None, 77.0),
        ("average_direct", "carboncast", 92.5),
        ("average_lifecycle", None, 131.5),
        ("average_lifecycle", "entsoe_open_set", 131.5),
    ):
        provider, _, _ = kit.served(answer, kind=kind, factors=factors)
        series = provider.history(*window)
        assert set(series.values_gco2_per_kwh) == {expected}
        assert ("factors" in series.provenance.detail) == (expected != 77.0)


def test_the_codes_of_bidding_zones_are_well_formed() -> None:
    """The last character of an EIC code checks the others: weights 16 to 2, modulo 37."""
    signs = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-"
    codes = BY_NAME["entsoe"].cls.known_areas
    assert len(set(codes.values())) == len(codes) >= 39
    for code in codes.values():
        total = sum(signs.index(sign) * (16 - place) for place, sign in enumerate(code[:15]))
        assert (len(code), code[15]) == (16, signs[36 - (total - 1) % 37])


@every_service
def test_it_pickles_without_its_keys(kit: Kit) -> None:
    world_kit, _, _ = kit.served(kit.history(START, kit.values()))
    kit.ask(world_kit)  # a client and a token are there
    provider = kit.cls(**kit.settings)
    data = pickle.dumps(provider)
    assert not any(key.encode() in data for key in [*KEYS.values(), TOKEN])
    again = pickle.loads(data)
    assert (again.name, again.zones()) == (provider.name, provider.zones() if kit.settings else again.zones())
    assert getattr(again, "kind", None) is getattr(provider, "kind", None)
    assert repr(again) == repr(provider)


# Forecasts


@forecasting
def test_a_forecast_begins_with_the_present(kit: Kit) -> None:
    assert kit.forecast is not None
    provider, service, world = kit.served(kit.forecast(NOW.replace(minute=0), kit.values(24)))
    assert isinstance(provider, ForecastProvider)
    forecast = provider.forecast(kit.zone, 1800.0)
    assert (forecast.zone, forecast.kind) == (kit.zone, provider.kind)
    assert forecast.start_at <= NOW < forecast.start_at + timedelta(seconds=kit.step_s)
    assert forecast.issued_at <= world.clock.now()
    assert forecast.end_at >= NOW + timedelta(seconds=1800)
    assert list(forecast.median.values_gco2_per_kwh) == pytest.approx(kit.values(24)[: len(forecast.median)], abs=1e-6)
    assert forecast.provenance.fetched_at == world.clock.now()
    assert forecast.forecaster == kit.name
    assert len(data_requests(service)) == 1


@pytest.mark.parametrize("name", ["electricity_maps", "watttime", "carbon_aware_sdk"])
def test_a_forecast_is_not_issued_in_the_future(name: str) -> None:
    """A clock that is a little ahead is forgiven; more than that is a mistake that would make old forecasts look new."""
    kit = BY_NAME[name]
    assert kit.forecast is not None
    good = kit.forecast(NOW.replace(minute=0), kit.values(24))
    told = {"electricity_maps": 1, "watttime": 2, "carbon_aware_sdk": 7}[name]
    issued = f"{NOW - timedelta(minutes=told):%Y-%m-%dT%H:%M:%SZ}".encode()
    assert issued in good.body
    for ahead_s, is_taken in ((120, True), (299, True), (301, False)):
        later = f"{NOW + timedelta(seconds=ahead_s):%Y-%m-%dT%H:%M:%SZ}".encode()
        before, _, after = good.body.rpartition(issued)  # points may begin at that instant too
        provider, _, world = kit.served(replace(good, body=before + later + after))
        assert isinstance(provider, ForecastProvider)
        if is_taken:
            assert provider.forecast(kit.zone, 3600.0).issued_at == world.clock.now()
        else:
            with pytest.raises(ProviderResponseError, match="still to come"):
                provider.forecast(kit.zone, 3600.0)


@forecasting
def test_a_forecast_ends_at_its_first_gap(kit: Kit) -> None:
    assert kit.forecast is not None
    values: list[float | None] = [*kit.values(24)]
    values[2] = None
    provider: Any = kit.served(kit.forecast(NOW.replace(minute=0), values))[0]
    assert len(provider.forecast(kit.zone, 86400.0).median) == 2


@forecasting
@pytest.mark.parametrize("shift_h", [-48, 5], ids=["all over", "yet to begin"])
def test_no_forecast_for_the_present_is_no_forecast(kit: Kit, shift_h: int) -> None:
    assert kit.forecast is not None
    provider: Any = kit.served(kit.forecast(NOW.replace(minute=0) + timedelta(hours=shift_h), kit.values(12)))[0]
    with pytest.raises((ProviderNoDataError, ProviderResponseError)):
        provider.forecast(kit.zone, 3600.0)
    empty: Any = kit.served(kit.forecast(NOW, []))[0]
    with pytest.raises(ProviderNoDataError):
        empty.forecast(kit.zone, 3600.0)
