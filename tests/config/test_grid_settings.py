"""The grid section names any provider with its settings, and never holds a key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from carbon_ray.config.grid import grid_provider
from carbon_ray.config.settings import GridSettings
from carbon_ray.core.errors import ConfigError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.registry import provider_names, provider_parameters

DIRECT, MARGINAL = IntensityKind.AVERAGE_DIRECT, IntensityKind.MARGINAL


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EIA_KEY", "ENTSOE_TOKEN", "ELECTRICITY_MAPS_TOKEN", "WATTTIME_USERNAME", "WATTTIME_PASSWORD"):
        monkeypatch.setenv(f"CARBON_RAY_{name}", "planted-key-0001")


@pytest.mark.parametrize(
    ("section", "zones"),
    [
        ({"provider": "electricity_maps"}, ("DE", "FR")),
        ({"provider": "electricity_maps", "kind": DIRECT, "options": {"disable_estimations": True}}, ("DE",)),
        ({"provider": "watttime", "kind": MARGINAL, "options": {"areas": {"US-NY-NYIS": "NYISO_NYC"}}}, ("US-NY-NYIS", "US-CAL-CISO")),
        ({"provider": "neso", "kind": DIRECT, "options": {"network": {"retries": 1}}}, ("GB", "GB-13")),
        ({"provider": "energy_charts"}, ("DE", "FR")),
        ({"provider": "entsoe", "options": {"factors": "entsoe_open_set"}}, ("DE", "DK-DK1")),
        ({"provider": "eia", "kind": DIRECT}, ("US-CAL-CISO", "US-MIDA-PJM")),
        ({"provider": "energi_data_service", "kind": DIRECT}, ("DK-DK1",)),
        ({"provider": "eco2mix", "kind": DIRECT}, ("FR",)),
        ({"provider": "eco2mix", "options": {"factors": "carboncast"}}, ("FR",)),
        ({"provider": "carbon_aware_sdk", "kind": MARGINAL, "options": {"base_url": "https://sdk.example"}}, ("eastus",)),
    ],
)
def test_every_service_can_be_named(section: dict[str, Any], zones: tuple[str, ...]) -> None:
    settings = GridSettings(**section)
    provider = grid_provider(settings, zones)
    assert provider.name == settings.provider
    assert provider.kind is settings.kind
    assert provider.zones() == tuple(sorted(zones)), "it serves the cluster's zones, and is not asked for all"
    assert json.loads(settings.model_dump_json())["options"] == section.get("options", {})
    assert "planted" not in f"{provider!r} {settings!r}"


def test_a_file_of_the_sdk_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_text(json.dumps([{"Location": "a", "Time": "2026-02-03T14:00Z", "Rating": 100, "Duration": "01:00"}]))
    section = {"provider": "carbon_aware_file", "kind": MARGINAL, "options": {"path": str(path), "unit": "gco2_per_kwh"}}
    assert grid_provider(GridSettings(**section), ("a",)).zones() == ("a",)


@pytest.mark.parametrize(
    ("section", "zones", "error", "says"),
    [
        ({"provider": "watttime"}, ("DE",), ConfigError, "watttime counts marginal, not average_lifecycle; change grid.kind"),
        ({"provider": "neso"}, ("GB",), ConfigError, "neso counts average_direct"),
        ({"provider": "eia"}, ("DE",), UnknownZoneError, "DE"),
        ({"provider": "eia", "options": {"factor": "x"}}, ("US-CAL-CISO",), ConfigError, "unexpected keyword argument 'factor'"),
        ({"provider": "eia", "options": {"factors": "x"}}, ("US-CAL-CISO",), ConfigError, "unknown factor set 'x'"),
        ({"provider": "eia", "options": {"network": {"verify": False}}}, ("US-CAL-CISO",), ConfigError, "verify"),
        ({"provider": "eia", "options": {"base_url": "http://eia.example"}}, ("US-CAL-CISO",), ConfigError, "in the clear"),
        ({"provider": "carbon_aware_sdk"}, ("eastus",), ConfigError, "give base_url"),
        ({"provider": "eco2mix", "kind": DIRECT, "options": {"dataset": "../x"}}, ("FR",), ConfigError, "dataset"),
        ({"provider": "embedded", "options": {"x": 1}}, ("DE",), ConfigError, "unexpected keyword argument 'x'"),
    ],
)
def test_a_section_that_cannot_be_served(section: dict[str, Any], zones: tuple[str, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        grid_provider(GridSettings(**section), zones)


@pytest.mark.parametrize(
    "settings",
    [
        {"key": "x"},
        {"api_key": "x"},
        {"token": "x"},
        {"authToken": "x"},
        {"username": "x"},
        {"network": {"password": "x"}},
        {"areas": {"DE": {"client_secret": "x"}}},
        {"list": [{"Authorization": "x"}]},
    ],
)
def test_keys_are_refused_and_not_repeated(settings: dict[str, Any]) -> None:
    planted = json.loads(json.dumps(settings).replace('"x"', '"planted-key-0002"'))
    with pytest.raises(ValidationError, match="looks like a key") as caught:
        GridSettings(provider="eia", options=planted)
    assert "planted" not in f"{caught.value} {caught.value!r}"
    with pytest.raises(ConfigError) as network:
        grid_provider(GridSettings(provider="eia").model_copy(update={"options": {"network": planted}}), ("US-CAL-CISO",))
    assert "planted" not in str(network.value)


@pytest.mark.parametrize("name", ["kind", "zones", "seed", "surroundings"])
def test_what_other_fields_say_is_not_said_twice(name: str) -> None:
    with pytest.raises(ValidationError, match=f"must not hold {name}"):
        GridSettings(provider="eia", options={name: "x"})


def test_without_its_key_a_service_is_not_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CARBON_RAY_EIA_KEY")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="set CARBON_RAY_EIA_KEY"):
        grid_provider(GridSettings(provider="eia"), ("US-CAL-CISO",))


def test_no_setting_of_any_provider_is_a_key() -> None:
    names = {name for provider in provider_names() for name in provider_parameters(provider)}
    for name in names:
        assert GridSettings(provider="eia", options={} if name in ("kind", "zones", "seed", "path", "surroundings") else {name: "x"})
