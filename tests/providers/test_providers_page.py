"""docs/providers.md says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from carbon_ray.core import errors
from carbon_ray.providers.factors import factor_sets
from carbon_ray.providers.registry import provider_names, provider_parameters
from carbon_ray.providers.services.network import NetworkSettings
from tests.providers.services.samples import KEYS, KITS, Kit

PAGE = (Path(__file__).parents[2] / "docs" / "providers.md").read_text()
TABLE = {
    cells[0].strip("`"): cells
    for line in PAGE.split("## Table")[1].split("## Settings")[0].splitlines()
    if line.startswith("| `")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}
COMMON = {"kind", "zones", "areas", "base_url", "network", "surroundings", "seed", "path"}


def test_every_provider_has_its_row() -> None:
    assert tuple(sorted(TABLE)) == provider_names()


@pytest.mark.parametrize("kit", KITS, ids=lambda kit: kit.name)
def test_a_row_says_what_the_provider_states(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    _, _, kinds, forecast, mix, step, _, keys = TABLE[kit.name]
    stated = kit.cls(**kit.settings).capabilities
    assert (forecast != "no", mix == "yes") == (stated.forecast, stated.mix)
    assert set(re.findall(r"`(\w+)`", kinds)) in ({*kit.cls.kinds}, set())
    assert [one.lower() for one in re.findall(r"`(\w+)`", keys)] == list(kit.cls.key_fields)
    if minutes := re.match(r"(\d+)", step):
        assert float(minutes[1]) * 60 == stated.resolution_s


def test_every_setting_is_described() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    for provider in provider_names():
        assert set(provider_parameters(provider)) - COMMON <= named, provider
    assert set(NetworkSettings.model_fields) <= named
    assert set(factor_sets()) <= named
    assert set(KEYS) <= named


def test_every_error_of_a_provider_is_told() -> None:
    told = set(re.findall(r"^\| `(\w+)` \| ", PAGE, flags=re.MULTILINE))
    assert {one.__name__ for one in errors.ProviderError.__subclasses__() if one.__module__ == errors.__name__} <= told


def test_the_default_network_settings_are_the_codes() -> None:
    defaults = NetworkSettings()
    assert "| `connect_timeout_s`, `read_timeout_s`, `total_timeout_s` | 5, 30, 120 |" in PAGE
    assert (defaults.connect_timeout_s, defaults.read_timeout_s, defaults.total_timeout_s) == (5, 30, 120)
    assert (defaults.retries, defaults.backoff_s, defaults.max_backoff_s, defaults.max_wait_s) == (3, 0.5, 30, 65)
    assert "| 3, 0.5, 30 |" in PAGE
