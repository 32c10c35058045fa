"""Providers by name, and the fake that stands in for one."""

from __future__ import annotations

import pickle
import sys
import types
from datetime import UTC, datetime, timedelta
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest

from carbon_ray.core.errors import ConfigError, ProviderNoDataError, ProviderUnavailable, UnitMismatchError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.providers import registry
from carbon_ray.providers.base import HistoryProvider
from carbon_ray.providers.embedded import EmbeddedProvider
from carbon_ray.providers.registry import provider_named, provider_names
from carbon_ray.providers.trace import TraceProvider
from carbon_ray.testing import FakeProvider

T0 = datetime(2022, 5, 2, tzinfo=UTC)
GOOD = "zone,time_utc,gco2_per_kwh,kind\nDE,2022-05-02T00:00Z,1,marginal\nDE,2022-05-02T01:00Z,2,marginal\n"


def series(zone: str = "DE", kind: IntensityKind = IntensityKind.MARGINAL) -> IntensitySeries:
    return IntensitySeries(
        zone=zone, kind=kind, start_at=T0, step_s=3600.0, values_gco2_per_kwh=np.arange(5.0), provenance=Provenance(provider="test")
    )


def test_the_shipped_providers_are_found_by_name(tmp_path: Path) -> None:
    assert {"embedded", "trace"} <= set(provider_names())
    embedded = provider_named("embedded", seed=4)
    assert embedded == EmbeddedProvider(seed=4)
    (tmp_path / "t.csv").write_text(GOOD)
    trace = provider_named("trace", path=tmp_path / "t.csv", kind="marginal", zones=["DE"])
    assert isinstance(trace, TraceProvider)
    assert trace.zones() == ("DE",)


@pytest.mark.parametrize(
    ("name", "settings", "match"),
    [
        ("embeded", {}, "unknown provider 'embeded'; use one of .*embedded.*trace"),
        ("embedded", {"sed": 1}, r"provider 'embedded': got an unexpected keyword argument 'sed'; it takes \(seed"),
        ("trace", {}, "provider 'trace': missing a required argument: 'path'"),
        ("embedded", {"seed": -1}, "seed of the embedded provider"),
    ],
)
def test_what_is_wrong_with_the_configuration_is_said(name: str, settings: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        provider_named(name, **settings)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ("no_such_module_of_carbon:Provider", "'plugin' cannot be imported from no_such_module_of_carbon:Provider"),
        ("plugin_of_this_test:Absent", "'plugin' cannot be imported"),
        ("plugin_of_this_test:NoProvider", r"'plugin' .* has not all of name, kind, zones\(\) and history\(\)"),
    ],
)
def test_a_broken_plug_in_is_a_configuration_error(value: str, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("plugin_of_this_test")
    module.NoProvider = type("NoProvider", (), {})  # type: ignore[attr-defined]  # made here
    monkeypatch.setitem(sys.modules, "plugin_of_this_test", module)
    found = EntryPoints([EntryPoint(name="plugin", value=value, group=registry.GROUP)])
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    with pytest.raises(ConfigError, match=match):
        provider_named("plugin")


def test_without_any_entry_point_the_remedy_is_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints())
    with pytest.raises(ConfigError, match="install the carbon-ray package"):
        provider_named("embedded")


def test_a_fake_serves_its_series_until_it_is_told_to_fail() -> None:
    fake = FakeProvider({"DE": series()}, fail_after=2)
    assert isinstance(fake, HistoryProvider)
    assert (fake.name, fake.kind, fake.zones()) == ("fake", IntensityKind.MARGINAL, ("DE",))
    window = (T0 + timedelta(minutes=30), T0 + timedelta(hours=2))
    assert list(fake.history("DE", *window).values_gco2_per_kwh) == [0.0, 1.0]
    fake.history("DE", *window)
    with pytest.raises(ProviderUnavailable, match="fake, zone DE: told to fail after 2 calls"):
        fake.history("DE", *window)
    fake.fail_after = None
    assert len(fake.history("DE", *window)) == 2
    assert fake.calls == 4


def test_a_fake_is_as_strict_as_a_provider() -> None:
    fake = pickle.loads(pickle.dumps(FakeProvider({"ES": series("ES"), "DE": series()}, name="weather")))
    assert (fake.name, fake.zones()) == ("weather", ("DE", "ES"))
    with pytest.raises(UnknownZoneError):
        fake.history("FR", T0, T0 + timedelta(hours=1))
    with pytest.raises(ProviderNoDataError, match="weather, zone DE"):
        fake.history("DE", T0, T0 + timedelta(hours=6))
    with pytest.raises(UnitMismatchError):
        FakeProvider({"DE": series(), "ES": series("ES", IntensityKind.AVERAGE_DIRECT)})
