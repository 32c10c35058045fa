"""The report's numbers against the same numbers worked out by hand.

The run (conftest): nodes draw 200 W idle and 1000 W running. East, PUE 1, 2 USD/h: 100, 200, 300, 400, ... g/kWh hour by
hour. West, PUE 2, 4 USD/h: 40 in hour 4, 80 in hour 5.

    east  starting 0.0-0.5   0.1 kWh x 100 =  10 g      west  starting 4.00-4.25  0.1 kWh x 40 =  4 g
          running  0.5-1.0   0.5     x 100 =  50              running  4.25-5.00  1.5     x 40 = 60
          running  1.0-1.5   0.5     x 200 = 100              running  5.00-5.25  0.5     x 80 = 40
                             1.1 kWh        160 g, 3 USD      stopping 5.25-5.50  0.1     x 80 =  8
                                                                                  2.2 kWh       112 g, 6 USD

    run-now in east: 0.1 x 100 + 0.5 x 100 + 1.0 x 200 + 0.5 x 300 = 410 g, 2.1 kWh, 2.5 h, 5 USD
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carbon_ray.books import Ledger
from carbon_ray.core.decision import Change
from carbon_ray.core.errors import ConfigError, LedgerError, OutsideDataError, UnitMismatchError, UnknownRegionError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.core.ledger import Outcome, Totals
from carbon_ray.reports.assemble import ClairvoyantRun, assemble, useful_running_h
from carbon_ray.reports.run_report import CurvePoint

T0 = datetime(2022, 5, 2, 16, tzinfo=UTC)
Make = Callable[..., Any]


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


def test_totals_and_segments(run_made: Make, report_of: Make) -> None:
    report = report_of(run_made())
    assert [(row.energy_kwh, row.gco2, row.usd) for row in report.segments] == [
        pytest.approx((1.1, 160.0, 3.0), rel=1e-12),
        pytest.approx((2.2, 112.0, 6.0), rel=1e-12),
    ]
    totals = report.totals
    assert (totals.energy_kwh, totals.gco2, totals.usd, totals.held_h, totals.running_h) == pytest.approx((3.3, 272, 9, 3, 2), rel=1e-12)
    assert [(row.region, row.start_step, row.end_step, row.outcome) for row in report.segments] == [
        ("east", 0, 50, Outcome.SUSPENDED),
        ("west", 50, 100, Outcome.COMPLETED),
    ]


def test_against_run_now_and_clairvoyant(run_made: Make, report_of: Make) -> None:
    report = report_of(run_made())
    run_now = report.counterfactual
    assert (run_now.policy, run_now.region, run_now.finish_at) == ("run_now", "east", at(2.5))
    assert (run_now.energy_kwh, run_now.gco2, run_now.usd, run_now.hours) == pytest.approx((2.1, 410, 5, 2.5), rel=1e-12)
    assert report.saving_fraction == pytest.approx(138 / 410, rel=1e-12)
    assert report.clairvoyant.saving_fraction == pytest.approx(0.5, rel=1e-12)
    assert report.clairvoyant.hours == 6.0
    assert report.captured_fraction == pytest.approx(276 / 410, rel=1e-12)


def test_times_moves_and_suspends(run_made: Make, report_of: Make) -> None:
    report = report_of(run_made())
    assert (report.finished_at, report.deadline_met, report.suspended_h, report.moves, report.suspends) == (at(5.5), True, 2.5, 1, 1)


def test_overheads_as_measured(run_made: Make, report_of: Make) -> None:
    overheads = report_of(run_made()).overheads
    # Mean of 30 and 15 min to start; of 0 and 15 min to stop.
    assert (overheads.startup_s, overheads.stopping_s) == pytest.approx((1350, 450), rel=1e-12)
    assert (overheads.starting_gco2, overheads.stopping_gco2) == pytest.approx((14, 8), rel=1e-12)
    assert (overheads.starting_energy_kwh, overheads.stopping_energy_kwh) == pytest.approx((0.2, 0.1), rel=1e-12)


def test_curves_rise_to_the_totals_and_are_flat_while_suspended(run_made: Make, report_of: Make) -> None:
    report = report_of(run_made())
    assert [point.gco2 for point in report.carbon_aware_curve] == pytest.approx([0, 10, 60, 160, 160, 164, 224, 264, 272])
    assert [point.at for point in report.carbon_aware_curve] == [at(hour) for hour in (0, 0.5, 1, 1.5, 4, 4.25, 5, 5.25, 5.5)]
    assert report.run_now_curve[0] == CurvePoint(at=T0, gco2=0.0)
    assert report.run_now_curve[-1].gco2 == pytest.approx(410)


def test_move_without_a_decided_pause_is_no_suspend(run_made: Make, report_of: Make) -> None:
    run = run_made()
    run.decisions = [decision for decision in run.decisions if decision.change is not Change.SUSPEND]
    report = report_of(run)
    assert (report.moves, report.suspends) == (1, 0)


@pytest.mark.parametrize(("lost_steps", "redone_steps"), [(25, 0), (0, 25), (10, 15)])
def test_steps_made_twice_are_not_in_run_now(run_made: Make, report_of: Make, lost_steps: int, redone_steps: int) -> None:
    # 100 steps kept of 125 made: 2 h x 100 / 125 = 1.6 h. 10 + 50 + 200 + 0.1 x 300 = 290 g.
    report = report_of(run_made(), lost_steps=lost_steps, redone_steps=redone_steps)
    assert report.counterfactual.gco2 == pytest.approx(290, rel=1e-12)
    assert report.counterfactual.hours == pytest.approx(2.1, rel=1e-12)
    assert (report.lost_steps, report.redone_steps) == (lost_steps, redone_steps)


def test_wait_for_a_lost_node_is_not_in_run_now(run_made: Make) -> None:
    first, last = run_made().segments
    lost = replace(first, index=1, start_at=at(1.5), running_at=at(2), stopped_at=None, end_at=at(4), start_step=50, end_step=0)
    lost = replace(lost, reached_step=75, outcome=Outcome.LOST)
    # The 2 h of the lost segment say nothing about steps: the other two made 100 steps in 2 h, and 100 were kept.
    assert useful_running_h([first, lost, replace(last, index=2)], repeated_steps=25) == pytest.approx(2.0)
    # Alone it is all there is: 2 h for the 25 steps of which 10 were kept.
    alone = replace(lost, start_step=0, reached_step=25, end_step=10)
    assert useful_running_h([alone], repeated_steps=15) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("deadline_h", "outcome", "expected"),
    [(5.5, Outcome.COMPLETED, True), (5.49, Outcome.COMPLETED, False), (8, Outcome.FAILED, False), (8, Outcome.LOST, False)],
)
def test_deadline(run_made: Make, report_of: Make, deadline_h: float, outcome: Outcome, expected: bool) -> None:
    run = run_made()
    run.workload = replace(run.workload, deadline_at=at(deadline_h))
    run.segments[1] = replace(run.segments[1], outcome=outcome)
    assert report_of(run).deadline_met is expected


@pytest.mark.parametrize("gco2", [410.0, 500.0])
def test_nothing_is_captured_where_the_clairvoyant_saves_nothing(run_made: Make, report_of: Make, gco2: float) -> None:
    report = report_of(run_made(), clairvoyant=ClairvoyantRun(totals=Totals(gco2=gco2), finish_at=at(3)))
    assert report.captured_fraction is None
    assert report_of(run_made(), clairvoyant=None).captured_fraction is None


def test_no_saving_where_run_now_emits_nothing(run_made: Make, report_of: Make) -> None:
    run = run_made()
    run.intensity["east"] = replace(run.intensity["east"], values_gco2_per_kwh=[0.0] * 9)
    report = report_of(run)
    assert (report.saving_fraction, report.captured_fraction, report.clairvoyant.saving_fraction) == (None, None, None)


def test_decisions_and_node_events_in_order(run_made: Make, report_of: Make) -> None:
    report = report_of(run_made())
    assert [(row.change, row.from_region, row.to_region, row.workers, row.gain_usd) for row in report.decisions] == [
        (Change.START, None, "east", 2, None),
        (Change.KEEP, "east", "east", 2, 0.0),
        (Change.SUSPEND, "east", None, 0, 0.25),
        (Change.START, None, "west", 2, 0.5),
    ]
    assert [(row.region, row.kind, row.at) for row in report.node_events] == [("east", "removed", at(2)), ("west", "added", at(3.9))]


def test_provenance_names_every_source(run_made: Make, report_of: Make) -> None:
    report = report_of(run_made(is_embedded=True))
    assert report.is_embedded
    assert report.provenance[:2] == (
        "intensity of east: zone E, average_lifecycle, embedded hand (E.csv)",
        "intensity of west: zone W, average_lifecycle, hand (W.csv)",
    )
    assert any(line.startswith("energy: model: 1 x 1000 W, idle share 0.2, utilisation 1") for line in report.provenance)
    assert report.provenance[-1] == "clock: real time"
    assert report.pue == {"east": 1.0, "west": 2.0}


def test_observed_data_are_not_marked_embedded(run_made: Make, report_of: Make) -> None:
    assert not report_of(run_made()).is_embedded


def test_segment_that_ended_as_it_began_needs_no_price(run_made: Make, arguments_of: Make) -> None:
    given_arguments = arguments_of(run_made())
    first, last = given_arguments["segments"]
    empty = replace(first, index=1, start_at=at(3), running_at=None, stopped_at=None, end_at=at(3), outcome=Outcome.LOST)
    report = assemble(**{**given_arguments, "segments": [first, empty, replace(last, index=2)], **_moved_to_index_2(given_arguments)})
    assert [row.gco2 for row in report.segments] == pytest.approx([160, 0, 112])


def _moved_to_index_2(given_arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: {0: given_arguments[name][0], 2: given_arguments[name][1]} for name in ("emissions", "segment_totals")}


@pytest.mark.parametrize("name", ["energy_kwh", "gco2", "usd", "held_h"])
@pytest.mark.parametrize("factor", [1 + 1e-8, 1 - 1e-8])
def test_sums_that_differ_are_refused(run_made: Make, arguments_of: Make, name: str, factor: float) -> None:
    given_arguments = arguments_of(run_made())
    wrong = replace(given_arguments["ledger_totals"], **{name: getattr(given_arguments["ledger_totals"], name) * factor})
    with pytest.raises(LedgerError, match=f"{name} of the whole of run: the parts sum to .* price the workload anew"):
        assemble(**{**given_arguments, "ledger_totals": wrong})


def test_emissions_that_a_segment_total_does_not_know_are_refused(run_made: Make, arguments_of: Make) -> None:
    given_arguments = arguments_of(run_made())
    emissions = {**given_arguments["emissions"], 1: given_arguments["emissions"][1][:-1]}
    with pytest.raises(LedgerError, match="of segment 1 of run"):
        assemble(**{**given_arguments, "emissions": emissions})


def test_unfinished_or_unpriced_is_refused(run_made: Make, arguments_of: Make) -> None:
    given_arguments = arguments_of(run_made())
    first, last = given_arguments["segments"]
    for segments in ([], [first, replace(last, end_at=None, outcome=None)]):
        with pytest.raises(LedgerError, match="run has not finished"):
            assemble(**{**given_arguments, "segments": segments})
    with pytest.raises(LedgerError, match=r"segments \[1\] of run are not priced yet"):
        assemble(**{**given_arguments, "segment_totals": {0: given_arguments["segment_totals"][0]}})


def test_home_must_be_known_large_enough_and_have_data(run_made: Make, arguments_of: Make) -> None:
    run = run_made()
    given_arguments = arguments_of(run)
    for name in ("regions", "intensity"):
        with pytest.raises(UnknownRegionError, match="'east'"):
            assemble(**{**given_arguments, name: {"west": given_arguments[name]["west"]}})
    with pytest.raises(ConfigError, match="east cannot hold the 9 workers of run"):
        assemble(**{**given_arguments, "workload": replace(run.workload, workers=9)})
    short = run.intensity["east"].window(T0, at(2))
    with pytest.raises(OutsideDataError, match="outside the data"):
        assemble(**{**given_arguments, "intensity": {**run.intensity, "east": short}})


def test_two_kinds_of_intensity_are_refused(run_made: Make, arguments_of: Make) -> None:
    given_arguments = arguments_of(run_made())
    marginal = replace(given_arguments["intensity"]["east"], kind=IntensityKind.MARGINAL)
    with pytest.raises(UnitMismatchError, match="one kind"):
        assemble(**{**given_arguments, "intensity": {**given_arguments["intensity"], "east": marginal}})


@given(
    values=st.lists(st.floats(0, 1500), min_size=9, max_size=9),
    marks=st.lists(st.integers(1, 8 * 3600 - 1), min_size=7, max_size=7, unique=True).map(sorted),
    nodes=st.integers(1, 2),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_segments_ledger_and_report_have_one_sum(run_made: Make, values: list[float], marks: list[int], nodes: int) -> None:
    run = run_made()
    run.intensity = {name: replace(series, values_gco2_per_kwh=values) for name, series in run.intensity.items()}
    instants = [T0 + timedelta(seconds=mark) for mark in marks]
    for index, (start, running, stopped, end) in enumerate([(T0, *instants[:3]), tuple(instants[3:])]):
        run.segments[index] = replace(run.segments[index], nodes=nodes, start_at=start, running_at=running, stopped_at=stopped, end_at=end)
    run.workload = replace(run.workload, home_region="west", workers=1)
    run.intensity["west"] = replace(run.intensity["west"], values_gco2_per_kwh=values * 3)
    with Ledger("sqlite://") as ledger:
        run.write(ledger)
        report = assemble(**run.arguments(ledger))
        booked = ledger.totals("run")
    for name in ("energy_kwh", "gco2", "usd"):
        whole = getattr(report.totals, name)
        assert sum(getattr(row, name) for row in report.segments) == pytest.approx(whole, rel=1e-9, abs=1e-12)
        assert getattr(booked, name) == pytest.approx(whole, rel=1e-9, abs=1e-12)
    assert report.carbon_aware_curve[-1].gco2 == pytest.approx(report.totals.gco2, rel=1e-9, abs=1e-12)
    assert report.run_now_curve[-1].gco2 == pytest.approx(report.counterfactual.gco2, rel=1e-9, abs=1e-12)
