"""What `carbon-ray doctor` looks at on this machine, and the form of every check's answer."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version

from carbon_ray.core.errors import CarbonRayError


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check's answer.

    Attributes:
        name: What was looked at.
        verdict: How it came out.
        found: What was found.
        advice: What to do; empty where nothing is to be done.
    """

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


def run(name: str, advice: str, look: Callable[[], Check | str]) -> Check:
    """Make one check. Plain words mean that all is well; an error means that it is not, and never ends the others."""
    try:
        found = look()
    except CarbonRayError as error:
        return Check(name=name, verdict=Verdict.FAIL, found=" ".join(str(error).split()), advice=advice)
    except Exception as error:  # a check that breaks is a finding, too
        return Check(name=name, verdict=Verdict.FAIL, found=f"{type(error).__name__}: {' '.join(str(error).split())}", advice=advice)
    return found if isinstance(found, Check) else Check(name=name, verdict=Verdict.OK, found=found)


def local_checks() -> list[Check]:
    """Everything that needs no cluster."""
    return [
        run("Python", "use Python 3.11, 3.12 or 3.13", _python),
        run("Ray version", "pip install --force-reinstall carbon-ray, which brings the Ray that it is tested with", _ray),
        run("Scheduler hook contract", "install the Ray version that carbon_ray asks for; with another one Ray scales as stock", _hook),
        run("Embedded profile", "reinstall carbon-ray; its data files are damaged", _profile),
    ]


def _python() -> Check | str:
    here = sys.version_info
    words = f"{here.major}.{here.minor}.{here.micro}"
    if not (3, 11) <= here[:2] <= (3, 13):
        return Check(name="Python", verdict=Verdict.FAIL, found=words, advice="use Python 3.11, 3.12 or 3.13")
    return words


def _ray() -> Check | str:
    from packaging.requirements import Requirement

    try:
        wanted = next(one for one in map(Requirement, requires("carbon-ray") or []) if one.name == "ray")
        found = version("ray")
    except (PackageNotFoundError, StopIteration):
        return Check(name="Ray version", verdict=Verdict.FAIL, found="not installed", advice="pip install carbon-ray")
    if not wanted.specifier.contains(found, prereleases=True):
        advice = f"pip install 'ray[default,train,tune]{wanted.specifier}'"
        return Check(name="Ray version", verdict=Verdict.FAIL, found=f"{found}, needs {wanted.specifier}", advice=advice)
    return f"{found} ({wanted.specifier})"


_FIELDS = {
    "NodeTypeConfig": {"min_worker_nodes", "max_worker_nodes", "priority"},
    "SchedulingRequest": {"node_type_configs", "current_instances"},
    "SchedulingReply": {"to_launch", "to_terminate"},
}
"""Private names of Ray's autoscaler that `carbon_ray.cluster.scheduler_hook` reads or sets."""


def _hook() -> Check | str:
    import dataclasses

    from ray._raylet import InnerGcsClient
    from ray.autoscaler.v2 import autoscaler, scheduler
    from ray.autoscaler.v2.instance_manager.config import NodeTypeConfig

    from carbon_ray.cluster.scheduler_hook import SCHEDULER_NAME

    classes = {"NodeTypeConfig": NodeTypeConfig, "SchedulingRequest": scheduler.SchedulingRequest}
    classes["SchedulingReply"] = scheduler.SchedulingReply
    missing = [
        f"{name}.{field}"
        for name, fields in _FIELDS.items()
        for field in sorted(fields - {one.name for one in dataclasses.fields(classes[name])})
    ]
    if getattr(autoscaler, SCHEDULER_NAME, None) is not scheduler.ResourceDemandScheduler:
        missing.append(f"autoscaler.{SCHEDULER_NAME}")
    if not callable(getattr(InnerGcsClient, "drain_node", None)):
        missing.append("GcsClient.drain_node")
    if missing:
        advice = "install the Ray version that carbon_ray asks for; with this one Ray scales as stock"
        return Check(name="Scheduler hook contract", verdict=Verdict.FAIL, found=f"Ray lacks {', '.join(missing)}", advice=advice)
    return "all private names of Ray's autoscaler are there"


_A_DAY = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC)


def _profile() -> str:
    from carbon_ray.providers.embedded import EmbeddedProvider

    provider = EmbeddedProvider()
    zones = provider.zones()
    provider.history(zones[0], *_A_DAY)
    return f"{len(zones)} zones"
