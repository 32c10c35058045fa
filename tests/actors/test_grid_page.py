"""The page of the grid: its metrics are exported, its settings are taken, its counts are right."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from carbon_ray.config.settings import GridSettings, RegionSettings
from carbon_ray.providers.cloud_regions import cloud_regions
from carbon_ray.providers.embedded import EmbeddedProvider

ROOT = Path(__file__).parents[2]


def test_the_page_lists_every_metric() -> None:
    exported = set(re.findall(r'Gauge\(\s*"(\w+)"', (ROOT / "actors" / "forecast_metrics.py").read_text()))
    page = (ROOT / "docs" / "grid.md").read_text()
    listed = set(re.findall(r"`(carbon_ray_(?:forecast|source)_\w+)`", page))
    assert len(exported) == 13
    assert exported == listed


def test_the_page_writes_settings_that_exist() -> None:
    blocks = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "grid.md").read_text(), flags=re.DOTALL)]
    regions, grid = blocks[0]["provider"]["carbon"]["regions"], blocks[1]["grid"]
    sites = {name: RegionSettings.model_validate(one) for name, one in regions.items()}
    assert {name: (one.grid_zone, one.site_pue) for name, one in sites.items()} == {
        "frankfurt": ("DE", 1.35),
        "oregon": ("US-NW-BPAT", 1.16),
        "basement": ("DE", 1.6),
    }
    settings = GridSettings.model_validate(grid)
    default = GridSettings()
    assert (settings.patience_s, settings.stale_after_h, settings.breaker, settings.cache) == (
        default.patience_s,
        default.stale_after_h,
        default.breaker,
        default.cache,
    ), "the page shows the defaults"


def test_the_page_counts_what_is_there() -> None:
    page = (ROOT / "docs" / "grid.md").read_text()
    known = cloud_regions()
    zones, profiled = {one.zone for one in known}, {one.zone for one in known if one.has_profile}
    assert f"lists {len(known)} regions of" in page
    assert f"covers {len(EmbeddedProvider().zones())} zones, among them {len(profiled)} of the table's {len(zones)}" in page
