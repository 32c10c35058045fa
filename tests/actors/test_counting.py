"""What the policy is told of emissions so far: as the books and the reports say it, also when the controller was killed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from carbon_ray.actors.counting import Counting
from carbon_ray.actors.pricing import Pricing
from carbon_ray.actors.seen_intensity import SeenIntensity
from carbon_ray.core.decision import Decision
from carbon_ray.core.errors import CarbonRayError, ControllerUnavailable, OutsideDataError
from carbon_ray.core.forecast import Forecast, ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.core.ledger import Outcome, Segment, energy_stretches, price, run_now_segment, totals
from carbon_ray.core.plan import Plan
from carbon_ray.core.workload import Progress, Workload
from carbon_ray.policies.base import Surroundings
from carbon_ray.policies.replan import Replan
from carbon_ray.reports.from_books import report_from_books

T0 = datetime(2022, 5, 2, tzinfo=UTC)
DAY = {  # dirty | east is clean | dirty | west is clean | south is clean, west is not
    "west": [500, 510, 520, 530, 540, 550, 560, 570, 90, 95, 500, 500, 500, 500],
    "east": [480, 480, 480, 100, 110, 120, 480, 480, 480, 480, 480, 480, 480, 480],
    "south": [520, 520, 520, 520, 520, 520, 520, 520, 520, 520, 20, 25, 30, 35],
}


@dataclass
class Noting:
    """Decides as the controller would, and remembers what it was told."""

    policy: Replan = field(default_factory=lambda: Replan(slot_s=900.0, backfire_fraction=0.0))
    told: list[tuple[datetime, Workload, Progress]] = field(default_factory=list)

    def decide(self, workload: Workload, progress: Progress, around: Surroundings, *, now: datetime) -> tuple[Plan, Decision]:
        self.told.append((now, workload, progress))
        return self.policy.decide(workload, progress, around, now=now)


def live(world: Any, check: Any = lambda: None) -> None:
    def is_over() -> bool:
        is_settled = bool(world.controller.is_settled("run"))  # in memory alone: asked before a restart
        check()
        return is_settled

    world.run_until(is_over)


def emitted_gco2(world: Any, segments: tuple[Segment, ...], now: datetime) -> float:
    """By the books' own arithmetic, every segment until `now` at the truth."""
    total = 0.0
    for segment in segments:
        region = world.config.regions[segment.region]
        stretches = energy_stretches(segment, region.node_types[0], 0.9, now)
        total += totals(price(stretches, world.truth[region.zone], region.pue), 0.0).gco2
    return total


def run_now_gco2(world: Any, workload: Workload, startup_s: float, now: datetime) -> float:
    home = world.config.regions[workload.home_region]
    whole = run_now_segment(workload, home.node_types[0], 1, workload.work_h, startup_s)
    emissions = price(energy_stretches(whole, home.node_types[0], 0.9, now), world.truth[home.zone], home.pue)
    return sum(
        emission.gco2 * max(0.0, (min(now, emission.end_at) - emission.start_at) / (emission.end_at - emission.start_at))
        for emission in emissions
        if emission.start_at < now
    )


def test_at_every_round_the_policy_is_told_what_the_books_and_the_reports_say(make_world: Any, make_workload: Any) -> None:
    policy = Noting()
    world = make_world(DAY, policy=policy)
    world.submit(make_workload(work_h=5.0))  # its owner's guess is wrong: it will be 7
    checked = 0

    def check() -> None:
        nonlocal checked
        for now, workload, progress in policy.told[checked:]:
            segments = world.before
            first_s = [(one.running_at - one.start_at).total_seconds() for one in segments if one.running_at is not None][:1]
            assert progress.emitted_gco2 == pytest.approx(emitted_gco2(world, segments, now), rel=1e-9, abs=1e-9)
            expected = run_now_gco2(world, workload, first_s[0] if first_s else 300.0, now)
            assert progress.run_now_gco2 == pytest.approx(expected, rel=1e-9)
            checked += 1
        world.before = world.ledger.segments("run")

    world.before = ()
    live(world, check)
    assert checked > 50
    assert policy.told[0][1].work_h == 5.0
    _, workload, last = policy.told[-1]
    assert workload.work_h == pytest.approx(7.0)
    books = world.controller.books("run")
    assert last.emitted_gco2 == pytest.approx(emitted_gco2(world, books.segments, policy.told[-1][0]), rel=0.02)
    report, _ = report_from_books(books, world.config, world.truth, forecaster="", clock="", bit_equal=None, now=world.clock.now())
    assert last.run_now_gco2 == pytest.approx(report.counterfactual.gco2, rel=5e-3)  # it times no segment's first step


def test_a_controller_that_is_killed_at_every_round_counts_the_same(make_world: Any, make_workload: Any) -> None:
    notes = []
    for is_killed in (False, True):
        policy = Noting()
        world = make_world(DAY, policy=policy)
        world.submit(make_workload())
        live(world, world.restart if is_killed else lambda: None)
        notes.append([(now, told.last_gco2_per_kwh, told.emitted_gco2, told.run_now_gco2) for now, _, told in policy.told])
    assert len(notes[0]) == len(notes[1]) > 30
    for one, other in zip(*notes, strict=True):
        assert one[:2] == other[:2]
        assert one[2:] == pytest.approx(other[2:], rel=1e-12)


def test_the_slot_that_has_just_run_is_told_where_steps_are_made(make_world: Any, make_workload: Any) -> None:
    policy = Noting()
    world = make_world(DAY, policy=policy)
    world.submit(make_workload())
    live(world)
    told = {(now - T0) / timedelta(hours=1): progress.last_gco2_per_kwh for now, _, progress in policy.told}
    assert told[2.0] is None  # it waits
    assert told[4.0] == 100  # east, from 3 on: the hour that has ended, not the one that begins
    assert told[4.25] == 110
    assert told[7.0] is None  # suspended
    assert told[9.0] == 90


def test_a_past_that_is_not_known_is_not_guessed(make_world: Any, make_workload: Any) -> None:
    policy = Noting()
    world = make_world(DAY, policy=policy)  # what came true is known from a day before T0 on
    world.submit(make_workload(submitted_at=T0 - timedelta(days=2)))
    for _ in range(20):
        world.round()
    assert policy.told
    assert {progress.run_now_gco2 for _, _, progress in policy.told} == {None}
    assert policy.told[-1][2].emitted_gco2 > 0  # its own past is known, from its first segment on


def test_emissions_of_another_kind_are_not_added(make_world: Any, make_workload: Any) -> None:
    """The ledger was priced before the cluster was told to count otherwise: until it is priced anew, nothing of it is summed."""
    world = make_world(DAY)
    world.submit(make_workload())
    world.run_until(lambda: bool(world.ledger.segment_totals("run")))
    snapshot, segments, now = world.forecasts.snapshot(), world.ledger.segments("run"), world.clock.now()
    pricing = Pricing(world.config.regions, world.ledger, world.forecasts)
    counting = Counting(world.config.regions, pricing, SeenIntensity(world.forecasts), 900.0)
    same = counting.emitted_gco2(make_workload(), segments, snapshot, now=now)
    twice = ForecastSnapshot(
        version=99,
        issued_at=now,
        forecasts={zone: replace(one, kind=IntensityKind.MARGINAL) for zone, one in snapshot.forecasts.items()},
    )

    class Doubled:
        def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
            series = world.forecasts.actual(zone, start_at, end_at)
            return replace(series, kind=IntensityKind.MARGINAL, values_gco2_per_kwh=2 * series.values_gco2_per_kwh)

    other = Counting(world.config.regions, pricing, SeenIntensity(Doubled()), 900.0)  # type: ignore[arg-type]
    assert other.emitted_gco2(make_workload(), segments, twice, now=now) == pytest.approx(2 * same, rel=1e-9)


def series(values: list[float], start_at: datetime = T0) -> IntensitySeries:
    return IntensitySeries(
        zone="Z",
        kind=IntensityKind.MARGINAL,
        start_at=start_at,
        step_s=3600.0,
        values_gco2_per_kwh=np.array(values),
        provenance=Provenance(provider="test"),
    )


def snapshot_of(version: int, hour: int) -> ForecastSnapshot:
    at = T0 + timedelta(hours=hour)
    return ForecastSnapshot(version=version, issued_at=at, forecasts={"Z": Forecast.certain(series([900.0, 901.0], at), at)})


class Asked:
    """Knows ten hours from T0 on, and who asked."""

    def __init__(self) -> None:
        self.questions: list[datetime] = []
        self.error: CarbonRayError | None = None

    def actual(self, zone: str, start_at: datetime, end_at: datetime) -> IntensitySeries:
        self.questions.append(start_at)
        if self.error is not None:
            raise self.error
        if start_at < T0:
            raise OutsideDataError("test")
        return series([100.0 * hour for hour in range(10)])


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 2, 50.0), (1.5, 2.5, 150.0), (9.5, 10.5, 900.0), (9, 11, 900.0), (8, 10.5, (800 + 900 + 450) / 2.5), (10.25, 10.5, 900.0)],
)
def test_what_came_true_counts_up_to_the_forecast(start: float, end: float, expected: float) -> None:
    seen = SeenIntensity(Asked())  # type: ignore[arg-type]
    assert seen.mean(snapshot_of(1, 10), "Z", at(start), at(end)) == pytest.approx(expected)


def test_the_service_is_asked_once_for_each_zone_and_snapshot() -> None:
    asked = Asked()
    seen = SeenIntensity(asked)  # type: ignore[arg-type]
    for hour in (3, 1, 0, 2):  # the answer to the first reaches back further than was asked for
        seen.mean(snapshot_of(1, 10), "Z", at(hour), at(10.5))
    assert asked.questions == [at(3)]
    seen.mean(snapshot_of(2, 10), "Z", at(1), at(10.5))
    seen.mean(snapshot_of(2, 10), "Z", at(10), at(10.5))
    assert asked.questions == [at(3), at(1)]


@pytest.mark.parametrize(("error", "asked_again"), [(OutsideDataError("test"), True), (ControllerUnavailable("test"), False)])
def test_what_is_not_known_is_not_asked_again_before_the_next_snapshot(error: CarbonRayError, asked_again: bool) -> None:
    asked = Asked()
    seen, asked.error = SeenIntensity(asked), error  # type: ignore[arg-type]
    for _ in range(3):
        with pytest.raises(OutsideDataError, match="is not known"):
            seen.mean(snapshot_of(1, 10), "Z", at(2), at(4))
    assert len(asked.questions) == 1
    asked.error = None
    if asked_again:  # a later begin may be known
        assert seen.mean(snapshot_of(1, 10), "Z", at(3), at(4)) == 300
    else:
        with pytest.raises(OutsideDataError):
            seen.mean(snapshot_of(1, 10), "Z", at(3), at(4))
    assert seen.mean(snapshot_of(2, 10), "Z", at(2), at(4)) == 250


def test_a_region_that_is_gone_leaves_the_count_open(make_world: Any, make_workload: Any) -> None:
    world = make_world(DAY)
    workload = make_workload()
    gone = Segment(
        workload_id="run",
        index=0,
        region="north",
        workers=2,
        node_type="gpu-north",
        nodes=1,
        start_at=T0,
        end_at=at(1),
        outcome=Outcome.SUSPENDED,
    )
    pricing = Pricing(world.config.regions, world.ledger, world.forecasts)
    counting = Counting(world.config.regions, pricing, SeenIntensity(world.forecasts), 900.0)
    world.clock.advance(timedelta(hours=2))
    told = counting.counted(Progress(remaining_h=1.0, region="west"), workload, (gone,), world.forecasts.snapshot(), now=at(2))
    assert (told.emitted_gco2, told.run_now_gco2) == (None, None)
