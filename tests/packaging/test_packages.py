"""What is declared is there, and what is there is declared: packages, links, data files, entry points, version."""

from __future__ import annotations

import importlib.metadata
import os
import tomllib
from pathlib import Path

import pytest

import carbon_ray

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = CONFIG["tool"]["setuptools"]
HOMES = {"carbon_ray": ROOT / "carbon_ray", "carbon_ray.actors": ROOT / "actors", "carbon_ray.policies": ROOT / "policies"}


def home_of(package: str) -> Path:
    mapped = ".".join(package.split(".")[:2])
    return HOMES[mapped] if mapped in HOMES else HOMES["carbon_ray"].joinpath(*package.split(".")[1:])


def data_of(package: str) -> set[Path]:
    """Files of a package and its plain folders that are no Python; packages inside it have their own turn."""
    found = set()
    for folder, inner, names in os.walk(home_of(package)):
        inner[:] = [name for name in inner if name != "__pycache__" and not Path(folder, name, "__init__.py").exists()]
        found |= {Path(folder, name) for name in names if not name.endswith(".py")}
    return found


def test_every_package_is_declared() -> None:
    found = {
        ".".join([name, *Path(folder).relative_to(home).parts])
        for name, home in HOMES.items()
        for folder, _, names in os.walk(home)  # does not follow the links
        if "__init__.py" in names
    }
    assert set(SETUPTOOLS["packages"]) == found
    assert len(SETUPTOOLS["packages"]) == len(found)


@pytest.mark.parametrize("name", ["actors", "policies"])
def test_the_inner_links_point_to_the_real_directories(name: str) -> None:
    link, real = ROOT / "carbon_ray" / name, ROOT / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    assert not real.is_symlink()
    assert link.resolve() == real
    assert SETUPTOOLS["package-dir"][f"carbon_ray.{name}"] == name


@pytest.mark.parametrize(
    ("package", "pattern"), [(package, pattern) for package, patterns in SETUPTOOLS["package-data"].items() for pattern in patterns]
)
def test_every_data_pattern_finds_files(package: str, pattern: str) -> None:
    assert [path for path in home_of(package).glob(pattern) if path.is_file()], f"{package}: nothing matches {pattern!r}"


@pytest.mark.parametrize("package", SETUPTOOLS["packages"])
def test_every_data_file_is_declared(package: str) -> None:
    patterns = SETUPTOOLS["package-data"].get(package, [])
    assert data_of(package) <= {path for pattern in patterns for path in home_of(package).glob(pattern)}


@pytest.mark.parametrize("path", CONFIG["project"]["license-files"])
def test_licence_files_are_there(path: str) -> None:
    assert (ROOT / path).read_text().strip()


def test_the_version_is_the_installed_one() -> None:
    assert importlib.metadata.version("carbon-ray") == CONFIG["project"]["version"] == carbon_ray.__version__


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, name) for group, entries in CONFIG["project"]["entry-points"].items() for name in entries],
)
def test_every_entry_point_loads(group: str, name: str) -> None:
    installed = importlib.metadata.entry_points(group=group)[name]
    assert installed.value == CONFIG["project"]["entry-points"][group][name]
    assert callable(installed.load())


def test_ray_ships_no_second_copy_of_the_code() -> None:
    ignored = (ROOT / ".rayignore").read_text().split()
    assert {"/actors", "/policies", "/tests", "/benchmarks", "/docs", "/.venv", "/.git"} <= set(ignored)


def test_analysers_do_not_see_the_code_twice() -> None:
    assert set(CONFIG["tool"]["ruff"]["extend-exclude"]) == {"carbon_ray/actors", "carbon_ray/policies"}
    assert CONFIG["tool"]["coverage"]["run"]["source_pkgs"] == ["carbon_ray"]
