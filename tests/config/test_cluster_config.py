"""The configuration: what is read, and that every mistake gets one error that names the field."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from carbon_ray.config.cluster_yaml import load_cluster_config, parse_cluster_config
from carbon_ray.config.grid import grid_provider
from carbon_ray.config.settings import CarbonConfig, ControllerSettings, GridSettings
from carbon_ray.core.errors import ConfigError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.region import Market
from carbon_ray.forecasting.registry import forecaster_named
from carbon_ray.policies.capacity import CapacityPolicy, DisruptionBudget, QuietHours, SpotRule
from carbon_ray.policies.capacity.budget import Quiet
from carbon_ray.policies.registry import policy_named

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs" / "config.schema.json"
CLUSTERS = sorted((ROOT / "cluster_configs").glob("*.yaml"))

GOOD: dict[str, Any] = {
    "cluster_name": "two-regions",
    "max_workers": 8,
    "provider": {
        "type": "external",
        "carbon": {
            "regions": {"east": {"zone": "DE", "pue": 1.1}, "west": {"zone": "ES"}},
            "node_types": {
                "gpu-east": {"usd_per_h": 3.0, "tdp_w": 2000.0, "idle_fraction": 0.1, "power_source": "data sheet"},
                "gpu-west": {"tdp_w": 1000.0},
            },
        },
    },
    "available_node_types": {
        "head": {"resources": {"CPU": 2}, "labels": {"ray.io/availability-region": "control"}},
        "gpu-east": {"resources": {"CPU": 8, "GPU": 4}, "labels": {"ray.io/availability-region": "east"}, "max_workers": 3},
        "gpu-west": {"resources": {"CPU": 8}, "labels": {"ray.io/availability-region": "west"}},
    },
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The good configuration with one thing set; `...` removes it."""
    data = copy.deepcopy(GOOD)
    at: Any = data
    *way, last = path.split("/")
    for key in way:
        at = at.setdefault(key, {})
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return data


def test_regions_and_node_types_are_what_the_yaml_says() -> None:
    config = parse_cluster_config(GOOD)
    assert config.name == "two-regions"
    east, west = config.regions["east"], config.regions["west"]
    assert (east.zone, east.pue, west.zone, west.pue) == ("DE", 1.1, "ES", 1.2)
    (gpu,) = east.node_types
    assert (gpu.name, gpu.resources, gpu.max_nodes, gpu.usd_per_h) == ("gpu-east", {"CPU": 8.0, "GPU": 4.0}, 3, 3.0)
    assert (gpu.power.tdp_w, gpu.power.idle_fraction, gpu.power.source) == (2000.0, 0.1, "data sheet")
    assert west.node_types[0].max_nodes == 8, "the cluster's max_workers where the type has none"
    assert config.carbon.grid.kind is IntensityKind.AVERAGE_LIFECYCLE
    assert config.carbon.controller == ControllerSettings()
    assert config.state_dir == Path.home() / ".carbon_ray" / "two-regions"


@pytest.mark.parametrize(
    ("written", "zone", "pue"),
    [
        ({"cloud": "aws/eu-central-1"}, "DE", 1.35),
        ({"cloud": "AWS/eu-central-1", "pue": 1.05}, "DE", 1.05),
        ({"cloud": "azure/westus2", "zone": "US-NW-BPAT"}, "US-NW-BPAT", 1.16),
        ({"cloud": "gcp/europe-west3", "zone": "AT", "pue": 1.2}, "AT", 1.2),
        ({"cloud": "gcp/europe-west3"}, "DE", 1.1),
        ({"cloud": "scaleway/PAR1"}, "FR", 1.2),  # no PUE is published: the default
        ({"zone": "DE"}, "DE", 1.2),
    ],
)
def test_a_cloud_region_gives_zone_and_pue_and_what_is_written_wins(written: dict[str, object], zone: str, pue: float) -> None:
    config = parse_cluster_config(changed("provider/carbon/regions/east", written))
    assert (config.regions["east"].zone, config.regions["east"].pue) == (zone, pue)


def test_a_state_directory_of_its_own() -> None:
    assert parse_cluster_config(changed("provider/carbon/state_dir", "/var/lib/carbon")).state_dir == Path("/var/lib/carbon")


def test_a_region_without_nodes_is_allowed() -> None:
    config = parse_cluster_config(changed("provider/carbon/regions/north", {"zone": "NO-NO1"}))
    assert config.regions["north"].node_types == ()


CARBON = "provider/carbon"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("provider", ..., "a mapping with a `provider` section is needed"),
        ("provider", "local", "a mapping with a `provider` section is needed"),
        (CARBON, ..., "`provider.carbon` is missing"),
        (CARBON, 5, "provider.carbon"),
        (f"{CARBON}/regions", ..., "provider.carbon.regions: Field required"),
        (f"{CARBON}/regions", {}, "provider.carbon.regions"),
        (f"{CARBON}/node_types", {}, "provider.carbon.node_types"),
        (f"{CARBON}/regions/east/pue", 0.9, "provider.carbon.regions.east.pue"),
        (f"{CARBON}/regions/east/zone", "", "provider.carbon.regions.east.zone"),
        (f"{CARBON}/regions/east/zoen", "DE", "provider.carbon.regions.east.zoen"),
        (f"{CARBON}/regions/east", {"pue": 1.1}, "a region needs a zone, or a cloud (such as aws/eu-central-1)"),
        (f"{CARBON}/regions/east/cloud", "aws/eu-centrl-1", "cloud: unknown region 'aws/eu-centrl-1'; did you mean aws/eu-central-1"),
        (f"{CARBON}/regions/east/cloud", "", "provider.carbon.regions.east: "),
        (f"{CARBON}/node_types/gpu-east/tdp_w", 0, "provider.carbon.node_types.gpu-east.tdp_w"),
        (f"{CARBON}/node_types/gpu-east/tdp_w", ..., "provider.carbon.node_types.gpu-east.tdp_w: Field required"),
        (f"{CARBON}/node_types/gpu-east/usd_per_h", -1, "provider.carbon.node_types.gpu-east.usd_per_h"),
        (f"{CARBON}/node_types/gpu-east/idle_fraction", 1.1, "provider.carbon.node_types.gpu-east.idle_fraction"),
        (f"{CARBON}/node_types/gpu-north", {"tdp_w": 1}, "provider.carbon.node_types.gpu-north is not in available_node_types"),
        (f"{CARBON}/contoller", {}, "provider.carbon.contoller"),
        (f"{CARBON}/controller/tick_s", 0, "provider.carbon.controller.tick_s"),
        (f"{CARBON}/controller/tick_s", "soon", "provider.carbon.controller.tick_s"),
        (f"{CARBON}/controller/slot_s", -900, "provider.carbon.controller.slot_s"),
        (f"{CARBON}/controller/hysteresis_fraction", 1.0, "provider.carbon.controller.hysteresis_fraction"),
        (f"{CARBON}/controller/orphan_after_s", 0, "provider.carbon.controller.orphan_after_s"),
        (f"{CARBON}/controller/min_stay", 5, "provider.carbon.controller.min_stay"),
        (f"{CARBON}/controller/capacity/cooldown_s", -1, "provider.carbon.controller.capacity.cooldown_s"),
        (f"{CARBON}/controller/capacity/most_region_fraction", 0, "provider.carbon.controller.capacity.most_region_fraction"),
        (f"{CARBON}/controller/capacity/quiet", [{"start_h": 8, "end_h": 8}], "quiet hours need a start_h and an end_h that differ"),
        (f"{CARBON}/controller/capacity/quiet", [{"start_h": 8, "end_h": 9, "days": ["monday"]}], "quiet.0.days.0"),
        (f"{CARBON}/controller/capacity/spot/confidence_fraction", 1.0, "capacity.spot.confidence_fraction"),
        (f"{CARBON}/node_types/gpu-east/market", "cheap", "provider.carbon.node_types.gpu-east.market"),
        (f"{CARBON}/node_types/gpu-east/startup_s", -1, "provider.carbon.node_types.gpu-east.startup_s"),
        (f"{CARBON}/node_types/gpu-east/interruptions_per_h", 0.1, "interruptions_per_h above 0 goes with market spot alone"),
        (f"{CARBON}/grid/kind", "average", "provider.carbon.grid.kind"),
        (f"{CARBON}/grid/provider", "trace", "grid.provider 'trace' and grid.path go together"),
        (f"{CARBON}/grid/path", "trace.csv", "grid.provider 'trace' and grid.path go together"),
        (f"{CARBON}/grid/fallbacks", [{"provider": "trace"}], "provider 'trace' and path go together"),
        (f"{CARBON}/grid/fallbacks", [{"path": "t.csv"}], "provider.carbon.grid.fallbacks.0.provider: Field required"),
        (f"{CARBON}/grid", {"provider": "x", "kind": "marginal", "fallbacks": [{"provider": "embedded"}]}, "kinds never stand in"),
        (f"{CARBON}/grid/fallbacks", [{"provider": "x"}], "behind the embedded profile are never asked"),
        (f"{CARBON}/grid/options", {"api_key": "1234"}, "holds 'api_key', which looks like a key"),
        (f"{CARBON}/grid/patience_s", -1, "provider.carbon.grid.patience_s"),
        (f"{CARBON}/grid/breaker/failures", 0, "provider.carbon.grid.breaker.failures"),
        (f"{CARBON}/grid/breaker/open_s", 3600, "breaker.most_open_s must not be below breaker.open_s"),
        (f"{CARBON}/grid/cache/settle_h", -1, "provider.carbon.grid.cache.settle_h"),
        (f"{CARBON}/clock/mode", "replay", "clock.mode 'replay' and clock.start_at go together"),
        (f"{CARBON}/clock/start_at", "2022-05-02T16:00Z", "clock.mode 'replay' and clock.start_at go together"),
        (f"{CARBON}/clock", {"mode": "replay", "start_at": "2022-05-02T16:00"}, "write an instant in UTC"),
        (f"{CARBON}/clock", {"mode": "replay", "start_at": "2022-05-02T16:00+02:00"}, "write an instant in UTC"),
        (f"{CARBON}/clock/speedup", 0, "provider.carbon.clock.speedup"),
        (f"{CARBON}/history_days", 1, "provider.carbon.history_days"),
        (f"{CARBON}/horizon_h", 0, "provider.carbon.horizon_h"),
        ("available_node_types/gpu-east/labels", ..., "available_node_types.gpu-east.labels.ray.io/availability-region is None"),
        (
            "available_node_types/gpu-east/labels",
            {"ray.io/availability-region": "x"},
            "ray.io/availability-region is 'x', which is not in provider.carbon.regions (east, west)",
        ),
        ("available_node_types", ..., "is not in available_node_types"),
    ],
)
def test_a_mistake_is_one_error_that_names_the_field(path: str, value: object, says: str) -> None:
    data = changed(path, value)
    with pytest.raises(ConfigError) as error:
        parse_cluster_config(data, "cluster.yaml")
    assert str(error.value).startswith("cluster.yaml: ")
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_several_mistakes_are_told_at_once() -> None:
    data = changed(f"{CARBON}/regions/east/pue", 0.5)
    data["provider"]["carbon"]["node_types"]["gpu-west"]["tdp_w"] = -1
    with pytest.raises(ConfigError, match=r"regions\.east\.pue: .*; provider\.carbon\.node_types\.gpu-west\.tdp_w: "):
        parse_cluster_config(data)


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_what_is_no_mapping_is_refused(data: object) -> None:
    with pytest.raises(ConfigError, match="a mapping with a `provider` section is needed"):
        parse_cluster_config(data)


def test_markets_and_the_capacity_section() -> None:
    data = changed(f"{CARBON}/node_types/gpu-west", {"tdp_w": 1.0, "market": "spot", "interruptions_per_h": 0.1, "startup_s": 90})
    data["provider"]["carbon"]["controller"] = {
        "capacity": {
            "cooldown_s": 60,
            "drain_s": 30,
            "most_drains": 3,
            "most_region_fraction": 0.5,
            "quiet": [{"start_h": 22, "end_h": 6, "days": ["mon", "sun"], "protects": "all"}],
            "spot": {"confidence_fraction": 0.99},
        }
    }
    config = parse_cluster_config(data)
    (west,) = config.regions["west"].node_types
    assert (west.market, west.interruptions_per_h, west.startup_s) == (Market.SPOT, 0.1, 90.0)
    assert config.regions["east"].node_types[0].market is Market.ON_DEMAND
    capacity = config.carbon.controller.capacity
    quiet = QuietHours(start_h=22.0, end_h=6.0, days=(0, 6), protects=Quiet.ALL)
    assert capacity.policy(valid_s=30.0) == CapacityPolicy(
        valid_s=30.0, cooldown_s=60.0, drain_s=30.0, budget=DisruptionBudget(nodes=3, region_fraction=0.5, quiet=(quiet,))
    )
    assert capacity.spot.rule() == SpotRule(confidence_fraction=0.99)


def test_a_replayed_day_is_read_in_utc() -> None:
    clock = parse_cluster_config(
        changed(f"{CARBON}/clock", {"mode": "replay", "start_at": datetime(2022, 5, 2, 16, tzinfo=UTC), "speedup": 288})
    ).carbon.clock
    assert (clock.mode, clock.start_at, clock.speedup) == ("replay", datetime(2022, 5, 2, 16, tzinfo=UTC), 288.0)


# Files


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "is not valid YAML"),
        ("", "a mapping with a `provider` section is needed"),
        ("provider: {}", "`provider.carbon` is missing"),
    ],
)
def test_a_bad_file_is_one_error(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as error:
        load_cluster_config(path)
    assert str(path) in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the cluster configuration .*nothing\.yaml: No such file"):
        load_cluster_config(tmp_path / "nothing.yaml")


def test_there_are_cluster_configurations() -> None:
    assert "local.yaml" in [path.name for path in CLUSTERS]


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda path: path.name)
def test_every_shipped_cluster_configuration_is_read_whole(path: Path) -> None:
    config = load_cluster_config(path)
    data = yaml.safe_load(path.read_text())
    carbon = config.carbon
    assert config.name == data["cluster_name"]
    workers = set(data["available_node_types"]) - {data["head_node_type"]}
    assert workers == set(carbon.node_types), "every worker type has a price and a power"
    assert all(region.node_types for region in config.regions.values())
    assert all(node_type.max_nodes > 0 for region in config.regions.values() for node_type in region.node_types)
    forecaster_named(carbon.forecaster)
    policy_named(carbon.controller.policy)
    if carbon.grid.provider == "embedded":
        zones = tuple(sorted({region.zone for region in config.regions.values()}))
        assert set(zones) <= set(grid_provider(carbon.grid, zones).zones())


# From the grid section to a provider


@pytest.mark.parametrize(
    ("settings", "zones", "error", "says"),
    [
        (GridSettings(provider="nobody"), ("DE",), ConfigError, "unknown provider 'nobody'; use one of"),
        (GridSettings(), ("DE", "XX"), UnknownZoneError, "unknown grid zone 'XX'"),
        (GridSettings(kind=IntensityKind.MARGINAL), ("DE",), ConfigError, "change grid.kind or grid.provider"),
        (GridSettings(provider="trace", path=Path("/nowhere/trace.csv")), ("DE",), ConfigError, "trace.csv"),
    ],
)
def test_a_grid_section_that_cannot_be_served(settings: GridSettings, zones: tuple[str, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        grid_provider(settings, zones)


# The schema


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from sections(part)


def test_every_setting_is_described_and_every_section_closed() -> None:
    found = list(sections(CarbonConfig))
    assert {section.__name__ for section in found} == {
        *("CarbonConfig", "GridSettings", "ClockSettings", "RegionSettings", "NodeTypeSettings", "ControllerSettings"),
        *("CapacitySettings", "QuietSettings", "SpotSettings"),
        *("FallbackSettings", "BreakerSettings", "CacheSettings", "ForecastingSettings", "WeatherSettings"),
    }
    for section in found:
        assert section.model_config["extra"] == "forbid"
        for name, field in section.model_fields.items():
            is_section = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            assert field.description or is_section, f"{section.__name__}.{name}"


def test_the_committed_schema_is_that_of_the_code() -> None:
    """`CARBON_RAY_WRITE_SCHEMA=1 pytest tests/config` writes it anew."""
    text = json.dumps(CarbonConfig.model_json_schema(), indent=2, sort_keys=True) + "\n"
    if os.environ.get("CARBON_RAY_WRITE_SCHEMA"):
        SCHEMA.write_text(text)
    assert SCHEMA.read_text() == text, "the settings changed: write docs/config.schema.json anew"
