"""Arithmetic of the books, held against numbers worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.core.errors import OutsideDataError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.ledger import EnergyStretch, Phase, Segment, Totals, energy_stretches, price, run_now_segment, totals
from carbon_ray.core.region import NodeType, PowerModel
from carbon_ray.core.workload import Workload

T0 = datetime(2022, 5, 2, tzinfo=UTC)
POWER = PowerModel(tdp_w=1000.0, idle_fraction=0.2, source="test bench")
NODE_TYPE = NodeType(name="gpu", resources={"GPU": 4.0}, max_nodes=4, usd_per_h=3.0, power=POWER)


def at_min(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def segment(**changes: Any) -> Segment:
    fields: dict[str, Any] = {
        "workload_id": "w",
        "index": 0,
        "region": "eu-de",
        "workers": 8,
        "node_type": "gpu",
        "nodes": 2,
        "start_at": at_min(0),
        "running_at": at_min(30),
        "stopped_at": at_min(120),
        "end_at": at_min(135),
    }
    return Segment(**{**fields, **changes})


def intensity(values: list[float], step_s: float = 3600.0) -> IntensitySeries:
    return IntensitySeries(
        zone="DE",
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=T0,
        step_s=step_s,
        values_gco2_per_kwh=np.array(values),
        provenance=Provenance(provider="trace", detail="de.csv"),
    )


def stretch(left_min: float, right_min: float, energy_kwh: float) -> EnergyStretch:
    return EnergyStretch(start_at=at_min(left_min), end_at=at_min(right_min), energy_kwh=energy_kwh, phase=Phase.RUNNING, source="test")


@pytest.mark.parametrize(
    ("changes", "now_min", "expected"),
    [
        ({}, 999, [(Phase.STARTING, 0, 30), (Phase.RUNNING, 30, 120), (Phase.STOPPING, 120, 135)]),
        ({"running_at": at_min(0)}, 999, [(Phase.RUNNING, 0, 120), (Phase.STOPPING, 120, 135)]),
        ({"stopped_at": at_min(135)}, 999, [(Phase.STARTING, 0, 30), (Phase.RUNNING, 30, 135)]),
        ({"running_at": None, "stopped_at": None}, 999, [(Phase.STARTING, 0, 135)]),
        ({"stopped_at": None}, 999, [(Phase.STARTING, 0, 30), (Phase.RUNNING, 30, 135)]),
        ({"stopped_at": None, "end_at": None}, 60, [(Phase.STARTING, 0, 30), (Phase.RUNNING, 30, 60)]),
        ({"end_at": None}, 130, [(Phase.STARTING, 0, 30), (Phase.RUNNING, 30, 120), (Phase.STOPPING, 120, 130)]),
        ({"running_at": None, "stopped_at": None, "end_at": None}, 10, [(Phase.STARTING, 0, 10)]),
        ({"end_at": None}, -10, []),
        ({"stopped_at": None, "end_at": None}, 20, [(Phase.STARTING, 0, 20)]),
    ],
)
def test_phases_of_open_and_closed_segments(changes: dict[str, Any], now_min: float, expected: list[tuple[Phase, float, float]]) -> None:
    phases = segment(**changes).phases(at_min(now_min))
    assert list(phases) == [(phase, at_min(left), at_min(right)) for phase, left, right in expected]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"running_at": at_min(-1)}, "segment 0 of w: instants are out of order"),
        ({"stopped_at": at_min(20)}, "out of order"),
        ({"end_at": at_min(110)}, "out of order"),
        ({"end_at": T0.replace(day=3, tzinfo=None)}, "aware UTC"),
    ],
)
def test_a_segment_runs_forward_in_utc(changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        segment(**changes)


def test_energy_emissions_and_money_by_hand() -> None:
    # Two nodes: idle 2 x 200 W = 0.4 kW, at 50 % 2 x (200 + 0.5 x 800) = 1.2 kW.
    stretches = energy_stretches(segment(), NODE_TYPE, 0.5, at_min(999))
    assert [one.energy_kwh for one in stretches] == pytest.approx([0.4 * 0.5, 1.2 * 1.5, 0.4 * 0.25])
    assert "2 x 1000 W" in stretches[1].source
    assert "test bench" in stretches[1].source

    # Hours at 100, 400 and 200 g/kWh, PUE 1.5: the run of 90 min lies 30 min in the first hour and 60 min in the second.
    emissions = price(stretches, intensity([100.0, 400.0, 200.0]), pue=1.5)
    assert [(one.start_at, one.end_at) for one in emissions] == [
        (at_min(0), at_min(30)),
        (at_min(30), at_min(60)),
        (at_min(60), at_min(120)),
        (at_min(120), at_min(135)),
    ]
    assert [one.energy_kwh for one in emissions] == pytest.approx([0.3, 0.9, 1.8, 0.15])
    assert [one.gco2 for one in emissions] == pytest.approx([30.0, 90.0, 720.0, 30.0])
    assert {one.intensity_source for one in emissions} == {"trace (de.csv)"}
    assert {one.kind for one in emissions} == {IntensityKind.AVERAGE_LIFECYCLE}

    total = totals(emissions, usd_per_h=2 * NODE_TYPE.usd_per_h)
    assert (total.energy_kwh, total.gco2, total.usd, total.held_h) == pytest.approx((3.15, 870.0, 13.5, 2.25))


def test_totals_add_part_by_part() -> None:
    one = Totals(energy_kwh=1.0, gco2=2.0, usd=3.0, held_h=4.0)
    assert one + Totals() == one
    assert one + one == Totals(energy_kwh=2.0, gco2=4.0, usd=6.0, held_h=8.0)
    assert totals((), usd_per_h=5.0) == Totals()


@pytest.mark.parametrize(("left", "right"), [(-1, 30), (170, 181), (181, 190)])
def test_nothing_is_priced_without_data(left: float, right: float) -> None:
    with pytest.raises(OutsideDataError):
        price([stretch(left, right, 1.0)], intensity([100.0, 400.0, 200.0]), pue=1.0)


SERIES = st.lists(st.floats(0, 1000, allow_subnormal=False), min_size=4, max_size=4).map(intensity)
MINUTES = st.lists(st.integers(1, 239), min_size=0, max_size=6, unique=True).map(sorted)


@given(SERIES, MINUTES, st.floats(0, 50, allow_subnormal=False), st.floats(1, 2))
def test_splitting_a_stretch_changes_no_total(series: IntensitySeries, cuts: list[int], energy_kwh: float, pue: float) -> None:
    edges = [0, *cuts, 240]
    parts = [stretch(left, right, energy_kwh * (right - left) / 240) for left, right in pairwise(edges)]
    whole = totals(price([stretch(0, 240, energy_kwh)], series, pue), usd_per_h=7.0)
    split = totals(price(parts, series, pue), usd_per_h=7.0)
    assert split.energy_kwh == pytest.approx(whole.energy_kwh, rel=1e-9)
    assert split.gco2 == pytest.approx(whole.gco2, rel=1e-9, abs=1e-9)
    assert (split.usd, split.held_h) == pytest.approx((whole.usd, whole.held_h))


@given(SERIES, MINUTES.filter(lambda cuts: len(cuts) >= 4), st.floats(0, 1), st.floats(1, 2))
def test_energy_is_conserved_from_nodes_to_books(series: IntensitySeries, cuts: list[int], utilisation: float, pue: float) -> None:
    start, running, stopped, end = (at_min(cut) for cut in cuts[:4])
    one = segment(start_at=start, running_at=running, stopped_at=stopped, end_at=end)
    stretches = energy_stretches(one, NODE_TYPE, utilisation, at_min(999))
    emissions = price(stretches, series, pue)
    assert sum(part.energy_kwh for part in emissions) == pytest.approx(pue * sum(part.energy_kwh for part in stretches), rel=1e-9)
    total = totals(emissions, usd_per_h=1.0)
    assert total.held_h == pytest.approx((end - start).total_seconds() / 3600)
    low, high = series.values_gco2_per_kwh.min(), series.values_gco2_per_kwh.max()
    assert low * total.energy_kwh - 1e-6 <= total.gco2 <= high * total.energy_kwh + 1e-6


@given(MINUTES.filter(lambda cuts: len(cuts) >= 4), st.integers(0, 260))
def test_an_open_segment_grows_into_the_closed_one(cuts: list[int], now_min: int) -> None:
    start, running, stopped, end = (at_min(cut) for cut in cuts[:4])
    closed = segment(start_at=start, running_at=running, stopped_at=stopped, end_at=end)
    known = {
        "start_at": start,
        "running_at": running if running <= at_min(now_min) else None,
        "stopped_at": stopped if stopped <= at_min(now_min) else None,
        "end_at": end if end <= at_min(now_min) else None,
    }
    so_far = [(phase, left, min(right, at_min(now_min))) for phase, left, right in closed.phases(end) if left < at_min(now_min)]
    assert list(segment(**known).phases(at_min(now_min))) == so_far


def test_the_counterfactual_runs_at_once_and_at_home() -> None:
    workload = Workload(
        workload_id="w",
        work_h=2.0,
        workers=8,
        resources_per_worker={"GPU": 1.0},
        home_region="eu-de",
        regions=("us-ca",),
        submitted_at=T0,
        deadline_at=T0 + timedelta(days=2),
    )
    would = run_now_segment(workload, NODE_TYPE, nodes=2, running_h=1.5, startup_s=600.0)
    assert (would.region, would.nodes, would.workers, would.node_type) == ("eu-de", 2, 8, "gpu")
    assert would.phases(T0) == ((Phase.STARTING, at_min(0), at_min(10)), (Phase.RUNNING, at_min(10), at_min(100)))
