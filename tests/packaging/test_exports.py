"""The front door: what `import carbon_ray` offers, and what it must not drag in."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import carbon_ray
import carbon_ray.testing


def in_order(names: list[str]) -> list[str]:
    """Once each: constants, classes, the rest, as ruff sorts them too."""
    return sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def test_names_are_listed_in_order_and_once() -> None:
    assert list(carbon_ray.__all__) == in_order(carbon_ray.__all__)


def test_every_listed_name_can_be_imported() -> None:
    missing = [name for name in carbon_ray.__all__ if not hasattr(carbon_ray, name)]
    assert carbon_ray.__all__
    assert missing == []


@pytest.mark.parametrize("module", ["carbon_ray.testing"])
def test_public_packages_list_what_they_offer(module: str) -> None:
    package = importlib.import_module(module)
    assert list(package.__all__) == in_order(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)


HEAVY = ("ray", "httpx", "pandas", "pyarrow", "sqlalchemy", "matplotlib", "lightgbm", "sklearn")


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("carbon_ray", ("ray", "httpx")),
        ("carbon_ray.core.codec", HEAVY),
        ("carbon_ray.providers.embedded", HEAVY),
        ("carbon_ray.forecasting.naive", HEAVY),
    ],
)
def test_imports_stay_light(module: str, unwanted: tuple[str, ...]) -> None:
    code = f"import json, sys, {module}; print(json.dumps(sorted(name.split('.')[0] for name in sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert set(json.loads(loaded)) & set(unwanted) == set()
