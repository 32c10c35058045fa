"""The Carbon Aware SDK's files in every form that is about, and what is wrong with others."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carbon_ray.core.errors import ConfigError, ProviderNoDataError, TraceFormatError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.base import HistoryProvider, ReadingsProvider, capabilities_of
from carbon_ray.providers.carbon_aware_file import CarbonAwareFileProvider, read_locations
from carbon_ray.providers.services.carbon_aware_sdk import duration

T0 = datetime(2026, 2, 3, 14, tzinfo=UTC)
H = timedelta(hours=1)


def entry(**further: Any) -> dict[str, Any]:
    return {"Location": "a", "Time": "2026-02-03T14:00:00+00:00", "Rating": 100, "Duration": "01:00:00", **further}


def provider(tmp_path: Path, data: object, **settings: Any) -> CarbonAwareFileProvider:
    path = tmp_path / "emissions.json"
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return CarbonAwareFileProvider(path, **{"kind": "marginal", "unit": "gco2_per_kwh", **settings})


def test_an_official_file(tmp_path: Path) -> None:
    one = provider(tmp_path, {"Emissions": [entry(), entry(Time="2026-02-03T15:00:00Z", Rating="120.5"), entry(Location="b")]})
    assert isinstance(one, HistoryProvider)
    assert isinstance(one, ReadingsProvider)
    assert (one.zones(), one.kind, capabilities_of(one).marginal) == (("a", "b"), IntensityKind.MARGINAL, True)
    series = one.history("a", T0, T0 + 2 * H)
    assert (list(series.values_gco2_per_kwh), series.step_s) == ([100.0, 120.5], 3600.0)
    assert series.provenance.detail == "emissions.json"
    assert pickle.loads(pickle.dumps(one)).history("a", T0, T0 + H) == one.history("a", T0, T0 + H)


def test_a_bom_a_bare_list_text_and_no_offset(tmp_path: Path) -> None:
    data = b"\xef\xbb\xbf" + json.dumps([{"Location": "a", "Time": "2026-02-03T14:00:00", "Rating": "0.5", "More": 1}]).encode()
    one = provider(tmp_path, data, unit="kgco2_per_kwh", default_duration_s=1800)
    series = one.history("a", T0, T0 + timedelta(minutes=30))
    assert list(series.values_gco2_per_kwh) == [500.0]
    assert series.provenance.detail == "emissions.json; entries without a duration; times without an offset taken as UTC"
    with pytest.raises(ProviderNoDataError, match="ask for a window inside"):
        one.history("a", T0, T0 + H)


def test_pounds_become_grams(tmp_path: Path) -> None:
    series = provider(tmp_path, [entry(Rating=1000)], unit="lb_per_mwh").history("a", T0, T0 + H)
    assert list(series.values_gco2_per_kwh) == pytest.approx([453.59237])


def test_between_two_entries_there_is_a_gap(tmp_path: Path) -> None:
    one = provider(tmp_path, [entry(), entry(Time="2026-02-03T17:00Z")])
    with pytest.raises(ProviderNoDataError, match="2026-02-03T15:00Z"):
        one.history("a", T0, T0 + 4 * H)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        ({"emissions": []}, "has neither a list"),
        ("text", "has neither a list"),
        ([1], "entry 1: is no object"),
        ([entry(), entry(Location="")], "entry 2: Location"),
        ([entry(Time=None)], "entry 1: Time is missing"),
        ([entry(Time="noon")], "entry 1: Time 'noon'"),
        ([entry(Time="0001-01-01T00:00:00+09:00")], "entry 1"),
        ([entry(Time="1026-02-03T14:00Z")], "entry 1: lies outside"),
        ([entry(Rating=None)], "entry 1: Rating is missing"),
        ([entry(Rating=True)], "entry 1: Rating is missing"),
        ([entry(Rating="n/a")], "entry 1: Rating 'n/a'"),
        ([entry(Rating=-4)], "entry 1: Rating -4"),
        ([entry(Rating=float("nan"))], "entry 1: Rating nan"),
        ([entry(Rating="9" * 400)], "entry 1: Rating"),
        ([entry(Rating=4000)], "check unit"),
        ([entry(Duration="1 h")], "entry 1: duration"),
        ([entry(Duration="00:00:00")], "entry 1: a duration is nothing"),
        ([entry(Duration=3600)], "entry 1: Duration is no text"),
        ([entry(Duration="00:00:01")], "location a: sent intervals that lie on no regular grid"),
    ],
)
def test_what_is_wrong_is_told_by_position(tmp_path: Path, data: object, says: str) -> None:
    with pytest.raises(TraceFormatError, match=says):
        provider(tmp_path, data)


@pytest.mark.parametrize(
    ("settings", "error", "says"),
    [
        ({"kind": "carbon"}, ConfigError, "unknown intensity kind"),
        ({"unit": "g"}, ConfigError, "use one of gco2_per_kwh, kgco2_per_kwh, lb_per_mwh"),
        ({"zones": ["x"]}, UnknownZoneError, "'x'"),
        ({"default_duration_s": 1}, ConfigError, "default_duration_s"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        provider(tmp_path, [entry()], **settings)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TraceFormatError, match="cannot be read"):
        CarbonAwareFileProvider(tmp_path / "absent.json", "marginal", "gco2_per_kwh")
    with pytest.raises(TraceFormatError, match="cannot be read"):
        read_locations(tmp_path / "absent.json")


def test_only_the_zones_that_are_wanted(tmp_path: Path) -> None:
    one = provider(tmp_path, [entry(), entry(Location="b")], zones=["b"])
    assert one.zones() == ("b",)
    with pytest.raises(UnknownZoneError):
        one.history("a", T0, T0 + H)


@pytest.mark.parametrize(("text", "span"), [(None, None), ("00:30", 30), ("01:00:00", 60), ("1.00:00:00", 1440), ("00:05:00.0000000", 5)])
def test_durations_of_net(text: str | None, span: int | None) -> None:
    assert duration(text) == (None if span is None else timedelta(minutes=span))


def test_locations(tmp_path: Path) -> None:
    path = tmp_path / "locations.json"
    path.write_text(json.dumps({"northeurope": {"Name": "IE"}, "eastus": {"Latitude": "37.5", "Longitude": "-79.2"}}))
    assert read_locations(path) == {"northeurope": "IE", "eastus": "eastus"}
    for wrong in ("[]", '{"a": 1}', "{"):
        path.write_text(wrong)
        with pytest.raises(TraceFormatError):
            read_locations(path)
