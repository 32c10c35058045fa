"""Values to JSON and back: nothing is lost, nothing unknown gets in."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import carbon_ray.core
from carbon_ray.core.capacity import CapacityPlan, TypePlan
from carbon_ray.core.clock import ReplayClock, SystemClock
from carbon_ray.core.codec import dumps, from_jsonable, loads, to_jsonable
from carbon_ray.core.decision import Decision, Directive, Placement
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.ledger import Emission, EnergyStretch, Outcome, Phase, Segment, Totals
from carbon_ray.core.objective import Objective
from carbon_ray.core.plan import Expected, Plan, PlanStep, RunnerUp
from carbon_ray.core.region import Market, NodeType, PowerModel, Region
from carbon_ray.core.transfers import Transfers
from carbon_ray.core.workload import Overheads, Progress, ScalingProfile, Workload

T0 = datetime(2022, 5, 2, 16, tzinfo=UTC)
T1 = datetime(2022, 5, 2, 17, 30, 15, 250, tzinfo=UTC)
PROVENANCE = Provenance(provider="trace", detail="de.csv", is_embedded=True)
SERIES = IntensitySeries(
    zone="DE",
    kind=IntensityKind.AVERAGE_DIRECT,
    start_at=T0,
    step_s=900.0,
    values_gco2_per_kwh=np.array([1 / 3, 0.0, 512.25]),
    provenance=PROVENANCE,
)
FORECAST = Forecast(
    zone="DE",
    kind=IntensityKind.AVERAGE_DIRECT,
    issued_at=T1,
    start_at=T0,
    step_s=900.0,
    quantiles_gco2_per_kwh={0.1: np.array([0.1, 0.2]), 0.5: np.array([0.3, 0.4]), 0.9: np.array([1 / 3, 0.5])},
    forecaster="ewma",
    provenance=PROVENANCE,
)
POWER = PowerModel(tdp_w=1000.0, idle_fraction=0.3, source="test")
NODE_TYPE = NodeType(
    name="gpu",
    resources={"CPU": 8.0, "GPU": 4.0},
    max_nodes=2,
    usd_per_h=1.5,
    power=POWER,
    market=Market.SPOT,
    interruptions_per_h=0.05,
    startup_s=90.0,
)
PLACEMENT = Placement(region="eu-de", workers=2)
STEP = PlanStep(start_at=T0, end_at=T1, region=None, workers=0)
EXPECTED = Expected(objective_usd=1.5, gco2=900.0, energy_kwh=3.5, usd=1.25, finish_at=T1, suspends=1, moves=0)

RUNNER_UP = RunnerUp(region=None, workers=0, objective_usd=1.75, extra_usd=0.25, description="waiting")
TRANSFERS = Transfers(
    checkpoint_bytes=2e10,
    bandwidth_bytes_per_s=1e8,
    pair_bandwidth_bytes_per_s={"eu-de": {"us-ca": 5e7}},
    egress_usd_per_gb={"us-ca": 0.09},
    wh_per_gb=3.0,
)

VALUES: list[Any] = [
    TypePlan(min_nodes=1, max_nodes=3, priority=-2, drain=("ab12", "cd34"), reason="clean"),
    CapacityPlan(version=7, issued_at=T0, valid_until=T1, types={"gpu": TypePlan(min_nodes=0, max_nodes=0)}),
    ReplayClock(start_at=T0, speedup=720.0, origin_at=T1),
    SystemClock(),
    PLACEMENT,
    Decision(workload_id="w", at=T0, current=None, target=PLACEMENT, reason="deadline", gain_usd=math.inf, is_forced=True),
    Directive(workload_id="w", epoch=4, target=None, reason="dirty"),
    PROVENANCE,
    SERIES,
    FORECAST,
    ForecastSnapshot(version=2, issued_at=T1, forecasts={"DE": FORECAST}),
    Segment(workload_id="w", index=0, region="eu-de", workers=2, node_type="gpu", nodes=1, start_at=T0),
    Segment(
        workload_id="w",
        index=1,
        region="eu-de",
        workers=2,
        node_type="gpu",
        nodes=1,
        start_at=T0,
        running_at=T0,
        stopped_at=T1,
        end_at=T1,
        start_step=3,
        end_step=9,
        outcome=Outcome.SUSPENDED,
        reason="dirty",
    ),
    EnergyStretch(start_at=T0, end_at=T1, energy_kwh=1 / 7, phase=Phase.RUNNING, source="model"),
    Emission(
        start_at=T0,
        end_at=T1,
        phase=Phase.STARTING,
        energy_kwh=0.25,
        gco2_per_kwh=400.0,
        gco2=100.0,
        kind=IntensityKind.MARGINAL,
        energy_source="model",
        intensity_source="trace (de.csv)",
    ),
    Totals(energy_kwh=1.5, gco2=2.5, usd=3.5, held_h=4.5),
    Objective(usd_per_kgco2=0.19, usd_per_h_delay=0.5, usd_weight=0.0),
    STEP,
    EXPECTED,
    RUNNER_UP,
    Plan(workload_id="w", created_at=T0, steps=(STEP, STEP), expected=EXPECTED, reason="wait", forecast_version=2, runner_up=RUNNER_UP),
    POWER,
    NODE_TYPE,
    Region(name="eu-de", zone="DE", pue=1.25, node_types=(NODE_TYPE,)),
    ScalingProfile(throughput=(1.0, 1.75)),
    TRANSFERS,
    Overheads(
        checkpoint_h=0.01,
        restore_h=0.02,
        migrate_h=0.03,
        startup_s=40.0,
        egress_usd=0.05,
        checkpoint_every_s=600.0,
        transfers=TRANSFERS,
    ),
    Workload(
        workload_id="w",
        work_h=2.5,
        workers=2,
        resources_per_worker={"GPU": 0.5},
        home_region="eu-de",
        regions=("eu-de", "us-ca"),
        submitted_at=T0,
        deadline_at=T1,
        objective=Objective(usd_weight=0.5),
        overheads=Overheads(startup_s=30.0),
        total_steps=120,
        profile=ScalingProfile.linear(3),
        worker_counts=(1, 2, 3),
        max_moves=2,
        min_segment_s=600.0,
        carbon_budget_gco2=500.0,
        cost_budget_usd=12.5,
        work_h_high=3.5,
    ),
    Progress(
        remaining_h=1.5,
        region="eu-de",
        is_running=True,
        is_started=True,
        since_at=T1,
        starting_s=12.0,
        workers=3,
        moves=1,
        spent_usd=2.5,
        last_gco2_per_kwh=90.5,
        remaining_high_h=2.5,
    ),
]


def name_of(value: object) -> str:
    return type(value).__name__


def same(one: object, other: object) -> bool:
    """Equality that looks into forecasts, which compare by identity, and tells 1 from 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)  # type: ignore[arg-type]  # same type as `one`
    if dataclasses.is_dataclass(one):
        return all(same(getattr(one, part.name), getattr(other, part.name)) for part in dataclasses.fields(one))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)  # type: ignore[call-overload,index]
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))  # type: ignore[arg-type]
    return bool(one == other)


@pytest.mark.parametrize("value", VALUES, ids=name_of)
def test_every_value_comes_back_the_same(value: Any) -> None:
    text = dumps(value)
    again = loads(type(value), text)
    assert same(again, value)
    assert dumps(again) == text
    assert dumps(loads(type(value), text.encode())) == text


def test_every_dataclass_of_core_is_tried() -> None:
    found = set()
    for module in pkgutil.iter_modules(carbon_ray.core.__path__, "carbon_ray.core."):
        for one in vars(importlib.import_module(module.name)).values():
            if isinstance(one, type) and dataclasses.is_dataclass(one) and one.__module__ == module.name:
                found.add(one.__name__)
    assert found == {name_of(value) for value in VALUES}


def test_a_workload_written_before_there_were_elastic_ones_still_loads() -> None:
    workload = next(value for value in VALUES if isinstance(value, Workload))
    data = to_jsonable(workload)
    for name in ("worker_counts", "max_moves", "min_segment_s", "carbon_budget_gco2", "cost_budget_usd", "work_h_high"):
        del data[name]
    del data["overheads"]["rescale_h"], data["overheads"]["transfers"]
    again = from_jsonable(Workload, data)
    assert again.counts == (2,)
    assert (again.max_moves, again.min_segment_s, again.carbon_budget_gco2, again.cost_budget_usd) == (None, 0.0, None, None)


def test_what_the_text_looks_like() -> None:
    assert dumps(PLACEMENT) == '{"region":"eu-de","workers":2}'
    assert to_jsonable(T0.astimezone(timezone(timedelta(hours=2)))) == "2022-05-02T16:00:00Z"
    data = to_jsonable(FORECAST)
    assert data["quantiles_gco2_per_kwh"]["0.5"] == [0.3, 0.4]
    assert data["kind"] == "average_direct"
    assert type(data["kind"]) is str
    json.loads(json.dumps(data, allow_nan=False))


@pytest.mark.parametrize("value", [value for value in VALUES if dataclasses.fields(value)], ids=name_of)
def test_an_unknown_field_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name_of(value)} has no field .'surprise'"):
        from_jsonable(type(value), {**to_jsonable(value), "surprise": 1})


NEEDED = [
    pytest.param(value, part.name, id=f"{name_of(value)}.{part.name}")
    for value in VALUES
    for part in dataclasses.fields(value)
    if part.default is dataclasses.MISSING and part.default_factory is dataclasses.MISSING
]


@pytest.mark.parametrize(("value", "name"), NEEDED)
def test_a_missing_field_is_refused(value: Any, name: str) -> None:
    data = to_jsonable(value)
    del data[name]
    with pytest.raises(TypeError, match=name):
        from_jsonable(type(value), data)


@pytest.mark.parametrize(
    ("value", "change"),
    [
        (PLACEMENT, {"workers": "2"}),
        (PLACEMENT, {"workers": 2.5}),
        (PLACEMENT, {"workers": True}),
        (PLACEMENT, {"region": None}),
        (PROVENANCE, {"is_embedded": 1}),
        (POWER, {"tdp_w": True}),
        (POWER, {"tdp_w": "1000"}),
        (VALUES[0], {"drain": "ab12"}),
        (VALUES[0], {"drain": [1]}),
        (VALUES[1], {"types": []}),
        (VALUES[1], {"types": {"gpu": 3}}),
        (VALUES[1], {"issued_at": 0}),
        (SERIES, {"values_gco2_per_kwh": "512"}),
        (SERIES, {"provenance": "trace"}),
    ],
)
def test_a_wrong_type_is_refused(value: Any, change: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        from_jsonable(type(value), {**to_jsonable(value), **change})


@pytest.mark.parametrize(
    ("value", "change", "match"),
    [
        (SERIES, {"values_gco2_per_kwh": [1.0, -1.0]}, "negative"),
        (SERIES, {"kind": "average"}, "not a valid IntensityKind"),
        (SERIES, {"start_at": "2022-05-02T16:00"}, "no UTC offset"),
        (VALUES[0], {"max_nodes": 0}, "min_nodes <= max_nodes"),
    ],
)
def test_a_wrong_value_is_refused_by_the_value_itself(value: Any, change: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        from_jsonable(type(value), {**to_jsonable(value), **change})


@pytest.mark.parametrize(("text", "error"), [("{", ValueError), ("[]", TypeError), ("null", TypeError), ('"x"', TypeError)])
def test_text_that_is_no_object_is_refused(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        loads(Placement, text)


@pytest.mark.parametrize("value", [object(), 1j, b"bytes", Placement], ids=["object", "complex", "bytes", "class"])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="has no JSON form"):
        to_jsonable({"deep": [value]})


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, kw_only=True)
class Keyed:
    by_enum: Mapping[Colour, int] = field(default_factory=dict)
    by_int: Mapping[int, str] = field(default_factory=dict)
    by_instant: dict[datetime, float] = field(default_factory=dict)


def test_keys_of_every_kind_come_back() -> None:
    value = Keyed(by_enum={Colour.RED: 1}, by_int={4: "four"}, by_instant={T1: 0.5})
    assert to_jsonable(value)["by_enum"] == {"red": 1}
    again = loads(Keyed, dumps(value))
    assert again == value
    assert isinstance(next(iter(again.by_enum)), Colour)


FLOATS = st.floats(0, 1e6, allow_nan=False)
AWARE = st.integers(0, 8 * 10**15).map(lambda us: T0.replace(year=1950) + timedelta(microseconds=us))


@given(AWARE, st.floats(1, 1e5), st.lists(FLOATS, min_size=1, max_size=20), st.sampled_from(IntensityKind), st.text())
def test_any_series_comes_back_bit_for_bit(
    start_at: datetime, step_s: float, values: list[float], kind: IntensityKind, detail: str
) -> None:
    provenance = Provenance(provider="test", detail=detail)
    series = IntensitySeries(
        zone="DE", kind=kind, start_at=start_at, step_s=step_s, values_gco2_per_kwh=np.array(values), provenance=provenance
    )
    assert loads(IntensitySeries, dumps(series)) == series


@given(st.dictionaries(st.text(), st.integers(0, 9), max_size=6), st.permutations(range(6)))
def test_equal_values_give_equal_bytes(types: dict[str, int], order: list[int]) -> None:
    def plan(items: list[tuple[str, int]]) -> CapacityPlan:
        return CapacityPlan(version=1, issued_at=T0, valid_until=T1, types={k: TypePlan(min_nodes=0, max_nodes=n) for k, n in items})

    items = list(types.items())
    shuffled = [items[index] for index in order if index < len(items)]
    assert dumps(plan(items)) == dumps(plan(shuffled))


def test_the_reader_of_one_class_does_not_read_another() -> None:
    reader: Callable[[type[Any], str], Any] = loads
    with pytest.raises(TypeError):
        reader(Totals, dumps(PLACEMENT))
