"""Policies of other packages: the page that explains them is a package that works, and what does not work is told in one line."""

from __future__ import annotations

import importlib
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from carbon_ray.cli.main import main
from carbon_ray.core.errors import ConfigError
from carbon_ray.policies.base import PlacementPolicy
from carbon_ray.policies.fleet.policy import FleetPolicy, FleetReplan
from carbon_ray.policies.registry import installed_policies, policy_named

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "policies" / "writing_a_policy.md").read_text()
BLOCKS = {language: re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL) for language in ("toml", "python", "yaml", "console")}

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package on the path as pip would: its module, and the metadata of its pyproject.toml."""
    monkeypatch.syspath_prepend(tmp_path)

    def installed(project: str, code: str) -> None:
        section = tomllib.loads(project)["project"]
        points = section["entry-points"]["carbon_ray.policies"]
        metadata = tmp_path / f"{section['name'].replace('-', '_')}-{section['version']}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {section['name']}\nVersion: {section['version']}\n")
        lines = [f"{name} = {where}" for name, where in points.items()]
        (metadata / "entry_points.txt").write_text("\n".join(["[carbon_ray.policies]", *lines]) + "\n")
        (module,) = {where.partition(":")[0] for where in points.values()}
        (tmp_path / f"{module}.py").write_text(code)
        importlib.invalidate_caches()

    before = set(sys.modules)
    yield installed
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_the_page_has_its_blocks() -> None:
    assert {language: len(blocks) for language, blocks in BLOCKS.items()} == {"toml": 1, "python": 2, "yaml": 1, "console": 1}


def test_the_package_of_the_page_is_found_and_its_own_test_passes(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(BLOCKS["toml"][0], BLOCKS["python"][0])
    exec(compile(BLOCKS["python"][1], "writing_a_policy.md", "exec"), {})
    policy = policy_named("below_mean", slot_s=3600.0, margin_fraction=0.1, hysteresis_fraction=0.5)
    assert isinstance(policy, PlacementPolicy)
    assert (policy.slot_s, policy.margin_fraction) == (3600.0, 0.1)  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match=r"below_mean.*margin_fraction must be at least 0"):
        policy_named("below_mean", margin_fraction=-1.0)
    assert main(["policies", "--json"]) == 0
    told = {one["name"]: one for one in json.loads(capsys.readouterr().out)["policies"]}
    assert told["below_mean"] == {
        "name": "below_mean",
        "summary": "Work at home in hours that are cleaner than the mean of what is ahead.",
        "package": "below-mean 1.0",
        "location": "below_mean:BelowMean",
        "parameters": {"margin_fraction": 0.05, "slot_s": 900.0},
        "is_fleet": False,
        "error": "",
    }


def test_the_experiment_of_the_page_runs(install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(BLOCKS["toml"][0], BLOCKS["python"][0])
    experiment = tmp_path / "experiment.yaml"
    experiment.write_text(BLOCKS["yaml"][0])
    assert main(["simulate", str(experiment), "--json", "-"]) == 0
    (few,) = json.loads(capsys.readouterr().out)["sets"]
    rows = {row["policy"]: row["summary"] for row in few["rows"]}
    assert set(rows) == {"run_now", "below_mean", "cleanest_now", "carbon_ray"}
    assert all(row["missed"] == 0 for row in rows.values())
    assert rows["run_now"]["saving_fraction"] == pytest.approx(0.0)
    assert rows["cleanest_now"]["delay_mean_h"] == pytest.approx(0.0)
    assert rows["carbon_ray"]["saving_fraction"] > rows["below_mean"]["saving_fraction"] > 0


PROJECT = '[project]\nname = "odd"\nversion = "2"\n[project.entry-points."carbon_ray.policies"]\nodd = "odd:Odd"\n'


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nothing_of_that_name", "does not load: No module named"),
        ("Other = 1", "does not load"),
        ("class Odd:\n    def decide(self): ...", "is no dataclass with a method `decide`"),
        ("from dataclasses import dataclass\n@dataclass\nclass Odd:\n    a: int = 1", "is no dataclass with a method `decide`"),
        ("Odd = 3", "is no dataclass"),
    ],
)
def test_a_policy_that_does_not_work_is_told(install: Install, capsys: pytest.CaptureFixture[str], code: str, words: str) -> None:
    install(PROJECT, code)
    with pytest.raises(ConfigError, match=re.escape(words)):
        policy_named("odd")
    (odd,) = (one for one in installed_policies() if one.name == "odd")
    assert words in odd.error
    assert main(["policies"]) == 0, "one that is broken does not hide the others"
    shown = capsys.readouterr().out
    assert "does not load" in shown
    assert "best_window" in shown


def test_a_field_without_a_default_is_told(install: Install) -> None:
    install(PROJECT, "from dataclasses import dataclass\n@dataclass\nclass Odd:\n    a: int\n    def decide(self): ...")
    with pytest.raises(ConfigError, match=r"odd.*missing"):
        policy_named("odd")


def test_every_installed_policy_says_what_it_does() -> None:
    found = installed_policies()
    assert [one.name for one in found[:2]] == ["carbon_ray", "carbon_ray_fleet"]
    for one in found:
        assert one.error == ""
        assert one.package.startswith("carbon-ray ")
        assert one.summary.endswith(".")
        assert " " in one.summary, f"{one.name}: {one.summary}"
        assert one.parameters["slot_s"] == 900.0
        assert policy_named(one.name, slot_s=600.0).slot_s == 600.0  # type: ignore[attr-defined]
    assert [one.name for one in found if one.is_fleet] == ["carbon_ray_fleet"]


def test_every_own_policy_has_a_page() -> None:
    pages = (ROOT / "docs" / "policies" / "README.md").read_text()
    assert [one.name for one in installed_policies() if f"`{one.name}`" not in pages] == []
    links = re.findall(r"\]\(([\w./]+\.md)\)", pages)
    assert len(links) > 13
    assert [link for link in links if not (ROOT / "docs" / "policies" / link).exists()] == []


def test_the_page_of_the_fleet_policy_has_its_defaults() -> None:
    page = (ROOT / "docs" / "policies" / "carbon_ray_fleet.md").read_text()
    (fleet,) = (one for one in installed_policies() if one.is_fleet)
    told = {}
    for names, defaults in re.findall(r"^\| (`[^|]+`) \| ([\d., ]+) \|", page, flags=re.MULTILINE):
        told |= dict(zip(re.findall(r"`(\w+)`", names), map(float, defaults.split(",")), strict=True))
    assert told == fleet.parameters


def test_the_fleet_policy_is_both_kinds() -> None:
    policy = policy_named("carbon_ray_fleet", slot_s=3600.0)
    assert policy == FleetReplan(slot_s=3600.0)
    assert isinstance(policy, PlacementPolicy)
    assert isinstance(policy, FleetPolicy)


def test_the_fleet_policy_shares_capacity_in_a_simulation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three jobs at once and a node in each of two regions: whoever plans them apart runs into one another."""
    experiment = tmp_path / "scarce.yaml"
    experiment.write_text(
        "name: scarce\nstart_at: 2022-03-07T00:00Z\nslot_s: 3600\n"
        "regions: {a: {zone: DE, nodes: 1}, b: {zone: ES, nodes: 1}}\n"
        "policies: [carbon_ray, carbon_ray_fleet]\nforecasters: [clairvoyant]\n"
        "job_sets: [{name: few, kind: every, length_h: 4, slack_h: 20, step_h: 2, count: 5}]\n"
    )
    assert main(["simulate", str(experiment), "--json", "-"]) == 0
    (few,) = json.loads(capsys.readouterr().out)["sets"]
    rows = {row["policy"]: row["summary"] for row in few["rows"]}
    assert rows["carbon_ray_fleet"]["missed"] <= rows["carbon_ray"]["missed"]
    assert rows["carbon_ray_fleet"]["missed"] == 0
    assert rows["carbon_ray_fleet"]["decided"] > 0
