"""At submission: in time beside what was admitted, or refused at once with the instant at which it could be done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from carbon_ray.core.errors import DeadlineCrowded, DeadlinePassed, DeadlineTooShort, NoCapacityError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.region import NodeType, PowerModel, Region
from carbon_ray.core.workload import Overheads, Progress, Workload
from carbon_ray.policies.base import Member, Surroundings
from carbon_ray.policies.fleet.admission import admit
from carbon_ray.policies.fleet.allocation import Allocation
from carbon_ray.policies.fleet.member import Offer

T0 = datetime(2022, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOUR_S = 3600.0


def around(nodes: int = 1, hours: int = 12, regions: int = 1) -> Surroundings:
    forecasts, places = {}, {}
    for index in range(regions):
        name = f"r{index}"
        series = IntensitySeries(
            zone=name,
            kind=IntensityKind.AVERAGE_LIFECYCLE,
            start_at=T0,
            step_s=HOUR_S,
            values_gco2_per_kwh=np.linspace(100 + index, 300, hours),
            provenance=Provenance(provider="test"),
        )
        forecasts[name] = Forecast.certain(series, T0)
        power = PowerModel(tdp_w=1000.0, idle_fraction=0.5, source="test")
        node_type = NodeType(name=f"n{index}", resources={"GPU": 1.0}, max_nodes=nodes, usd_per_h=0.0, power=power)
        places[name] = Region(name=name, zone=name, pue=1.0, node_types=(node_type,))
    return Surroundings(regions=places, snapshot=ForecastSnapshot(version=1, issued_at=T0, forecasts=forecasts))


def member(
    name: str, work_h: float, deadline_h: float, *, priority: float = 1.0, startup_s: float = 0.0, regions: tuple[str, ...] = ("r0",)
) -> Member:
    workload = Workload(
        workload_id=name,
        work_h=work_h,
        workers=1,
        resources_per_worker={"GPU": 1.0},
        home_region="r0",
        regions=regions,
        submitted_at=T0,
        deadline_at=T0 + deadline_h * HOUR,
        overheads=Overheads(startup_s=startup_s),
    )
    return Member(workload=workload, progress=Progress(remaining_h=work_h, region="r0"), priority=priority)


def ask(
    candidate: Member, admitted: list[Member], place: Surroundings, before: Allocation | None = None, offer: Offer | None = None
) -> Allocation:
    return admit(candidate, admitted, place, now=T0, slot_s=HOUR_S, before=before, offer=offer)


def test_the_first_is_admitted_to_an_empty_fleet() -> None:
    found = ask(member("a", 3, 12), [], around())
    assert found.solutions[0].path == (0, 0, 0)
    assert not found.missed


def test_one_more_is_planned_beside_the_others() -> None:
    place, admitted, found = around(), list[Member](), None
    for index in range(4):
        candidate = member(f"w{index}", 3, 12)
        found = ask(candidate, admitted, place, found)
        admitted.append(candidate)
        assert not found.missed
        assert (found.used() <= found.batch.capacity).all()
        assert found.bound_usd <= found.total_usd + 1e-9
    with pytest.raises(NoCapacityError, match="leaves no room for it until 2022-03-01T12:00Z"):
        ask(member("late", 1, 12), admitted, place, found)


def test_others_are_moved_to_make_room() -> None:
    place = around()
    first = ask(member("a", 3, 12), [], place)  # takes the first three hours, the cleanest
    found = ask(member("b", 3, 3), list(first.batch.members), place, first)
    assert found.solutions[1].path == (0, 0, 0)
    assert found.solutions[0].path == (-1, -1, -1, 0, 0, 0)


@pytest.mark.parametrize(("startup_s", "finish_h"), [(0.0, 8), (HOUR_S, 9)])
def test_a_crowded_deadline_is_refused_with_the_earliest_finish(startup_s: float, finish_h: int) -> None:
    admitted = [member("a", 5, 5)]
    with pytest.raises(DeadlineCrowded) as caught:
        ask(member("b", 3, 6, startup_s=startup_s), admitted, around())
    assert caught.value.earliest_finish_at == T0 + finish_h * HOUR
    again = ask(member("b", 3, finish_h, startup_s=startup_s), admitted, around())
    assert not again.missed
    assert len(again.solutions[1].path) == finish_h


def test_no_priority_takes_an_admitted_deadline_away() -> None:
    with pytest.raises(DeadlineCrowded):
        ask(member("b", 3, 6, priority=100.0), [member("a", 5, 5)], around())


def test_another_region_helps() -> None:
    found = ask(member("b", 3, 6, regions=("r0", "r1")), [member("a", 6, 6)], around(regions=2))
    assert found.solutions[1].path == (1, 1, 1)


@pytest.mark.parametrize(
    ("candidate", "error"),
    [(member("b", 3, 2), DeadlineTooShort), (member("b", 3, 3, startup_s=1.0), DeadlineTooShort), (member("b", 3, 0), DeadlinePassed)],
)
def test_what_cannot_be_done_alone_is_refused_as_such(candidate: Member, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        ask(candidate, [], around())
    assert type(caught.value) is error


def test_an_offer_of_fewer_nodes_counts() -> None:
    nodes = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0])
    offer = Offer(start_at=T0, step_s=HOUR_S, nodes={"n0": nodes})
    found = ask(member("a", 3, 8), [], around(nodes=5), offer=offer)
    assert found.solutions[0].path == (-1, -1, 0, 0, -1, 0)
    with pytest.raises(DeadlineCrowded) as caught:
        ask(member("a", 3, 5), [], around(nodes=5), offer=offer)
    assert caught.value.earliest_finish_at == T0 + 6 * HOUR
    with pytest.raises(NoCapacityError):
        ask(member("a", 4, 8), [], around(nodes=5), offer=offer)


def test_the_safety_margin_is_part_of_the_earliest_finish() -> None:
    candidate = member("b", 3, 6)
    candidate = replace(candidate, workload=replace(candidate.workload, safety_margin_s=1800.0))
    with pytest.raises(DeadlineCrowded) as caught:
        ask(candidate, [member("a", 5, 5)], around())
    assert caught.value.earliest_finish_at == T0 + 8.5 * HOUR
