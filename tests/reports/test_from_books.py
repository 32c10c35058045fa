"""From the controller's books to the report: the same small run as in `test_assemble.py`, read back out of a ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.actors.views import Books
from carbon_ray.books import Ledger, NodeEvent, NodeEventKind
from carbon_ray.config.cluster_yaml import ClusterConfig
from carbon_ray.config.settings import CarbonConfig
from carbon_ray.core.errors import OutsideDataError, UnknownRegionError, UnknownZoneError
from carbon_ray.core.ledger import Outcome, Segment
from carbon_ray.core.objective import objective_named
from carbon_ray.core.workload import Overheads
from carbon_ray.reports.from_books import repeated_steps, report_from_books

T0 = datetime(2022, 5, 2, 16, tzinfo=UTC)
Make = Callable[..., Any]


def at(hour: float) -> datetime:
    return T0 + timedelta(hours=hour)


@pytest.fixture
def run(run_made: Make) -> Any:
    """The run, with carbon alone in its objective, so that the clairvoyant can be found by hand."""
    run = run_made()
    run.workload = replace(run.workload, objective=objective_named("carbon"))
    return run


@pytest.fixture
def report(tmp_path: Path) -> Make:
    """Writes a run into a ledger, reads its books, and makes the report of it."""

    def make(run: Any, **others: object) -> Any:
        with Ledger(tmp_path / "books.db") as ledger:
            run.write(ledger)
            name = run.workload.workload_id
            record = ledger.workload(name)
            assert record is not None
            books = Books(
                record=record,
                segments=ledger.segments(name),
                emissions=ledger.emissions(name),
                segment_totals=ledger.segment_totals(name),
                totals=ledger.totals(name),
                decisions=ledger.decisions(name),
                node_events=ledger.node_events(),
            )
        carbon = CarbonConfig.model_validate(
            {"regions": {"east": {"zone": "E"}, "west": {"zone": "W"}}, "node_types": {"e": {"tdp_w": 1000}, "w": {"tdp_w": 1000}}}
        )
        given_arguments: dict[str, Any] = {
            "config": ClusterConfig(name="test", carbon=carbon, regions=run.regions),
            "truth": {series.zone: series for series in run.intensity.values()},
            "forecaster": "ewma",
            "clock": "replay from hour 0",
            "bit_equal": None,
            "now": at(30),
        }
        return report_from_books(books, **(given_arguments | others))

    return make


def test_totals_and_counterfactual_are_those_of_the_books(run: Any, report: Make) -> None:
    made, intensity = report(run)
    assert made.totals.gco2 == pytest.approx(272, rel=1e-12)
    assert made.counterfactual.gco2 == pytest.approx(410, rel=1e-12)
    assert (made.lost_steps, made.redone_steps) == (0, 0)
    assert (made.forecaster, made.provenance[-1], made.bit_equal) == ("ewma", "clock: replay from hour 0", None)
    assert intensity == run.intensity
    assert len(made.node_events) == 2


def test_clairvoyant_by_hand(run: Any, report: Make) -> None:
    # Startup 1350 s on average, so two slots of 900 s: 0.25 h + 0.125 h at 200 W. East from 0.0, running 0.5-1.0 at 100 g:
    # 7.5 + 50 g. West from 3.5 at 2 x 90 g, running 4.0-5.0 at 2 x 40 and 5.0-5.5 at 2 x 80: 13.5 + 80 + 80 g.
    made, _ = report(run)
    best = made.clairvoyant
    assert best.gco2 == pytest.approx(231, rel=1e-9)
    assert best.energy_kwh == pytest.approx(0.075 + 0.5 + 2 * (0.075 + 1.5), rel=1e-9)
    assert (best.finish_at, best.suspends, best.moves) == (at(5.5), 1, 1)
    assert made.captured_fraction == pytest.approx(138 / 179, rel=1e-9)


def test_clairvoyant_minimises_what_the_workload_asked_for(run: Any, report: Make) -> None:
    run.workload = replace(run.workload, objective=objective_named("deadline"))
    made, _ = report(run)
    assert made.clairvoyant.finish_at == at(2.5)
    assert made.clairvoyant.moves == 0


def test_clairvoyant_pays_the_declared_overheads_and_the_measured_startup(run: Any, report: Make) -> None:
    run.workload = replace(run.workload, overheads=Overheads(startup_s=7200.0, restore_h=1.0, checkpoint_h=1.0))
    made, _ = report(run)
    # A pause costs more than it saves now: west alone, running 4.0-6.0, and 13.5 g to start as measured, not as declared.
    assert (made.clairvoyant.suspends, made.clairvoyant.finish_at) == (0, at(6))
    assert made.clairvoyant.gco2 == pytest.approx(13.5 + 80 + 160, rel=1e-9)


def test_clairvoyant_may_use_the_safety_margin(run: Any, report: Make) -> None:
    run.workload = replace(run.workload, deadline_at=at(5.5), safety_margin_s=4 * 3600.0)
    assert report(run)[0].clairvoyant.finish_at == at(5.5)


@pytest.mark.parametrize("case", ["truth ends before the deadline", "no plan meets the deadline"])
def test_no_clairvoyant(run: Any, report: Make, case: str) -> None:
    if case == "no plan meets the deadline":
        run.workload = replace(run.workload, deadline_at=at(2.25))
    else:
        run.intensity["west"] = run.intensity["west"].window(T0, at(6))
    made, _ = report(run)
    assert (made.clairvoyant, made.captured_fraction) == (None, None)


def test_truth_must_cover_the_run(run: Any, report: Make) -> None:
    truth = {series.zone: series for series in run.intensity.values()}
    with pytest.raises(UnknownZoneError, match="'W'"):
        report(run, truth={"E": truth["E"]})
    with pytest.raises(OutsideDataError, match="outside the data"):
        report(run, truth=truth | {"E": truth["E"].window(T0, at(2))})


def test_region_that_left_the_configuration(run: Any, report: Make) -> None:
    config = ClusterConfig(
        name="test",
        carbon=CarbonConfig.model_validate({"regions": {"east": {"zone": "E"}}, "node_types": {"e": {"tdp_w": 1}}}),
        regions={"east": run.regions["east"]},
    )
    with pytest.raises(UnknownRegionError, match="'west'"):
        report(run, config=config)


def test_only_nodes_of_the_time_of_the_run_are_shown(run: Any, report: Make) -> None:
    for node_id, came, left in [("before", -9, -1), ("across", -9, 1), ("after", 6, 7), ("stays", 5, 9)]:
        for kind, hour in ((NodeEventKind.ADDED, came), (NodeEventKind.REMOVED, left)):
            run.node_events.append(NodeEvent(region="west", node_type="w", node_id=node_id, kind=kind, at=at(hour)))
    made, _ = report(run)
    assert [event.node_id for event in made.node_events] == ["across", "across", "aa", "bb", "stays", "stays"]


S, L, F, C = Outcome.SUSPENDED, Outcome.LOST, Outcome.FAILED, Outcome.COMPLETED


def segments_of(rows: Sequence[tuple[int | None, int, int, Outcome]]) -> list[Segment]:
    """Segments of (start_step, end_step, reached_step, outcome)."""
    return [
        Segment(
            workload_id="run",
            index=index,
            region="east",
            workers=1,
            node_type="e",
            nodes=1,
            start_at=at(index),
            end_at=at(index + 1),
            start_step=start,
            end_step=end,
            reached_step=reached,
            outcome=outcome,
        )
        for index, (start, end, reached, outcome) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], (0, 0)),
        ([(0, 100, 100, C)], (0, 0)),
        ([(0, 50, 50, S), (50, 100, 100, C)], (0, 0)),
        ([(0, 50, 50, S), (40, 100, 100, C)], (10, 0)),  # a durable step was not carried over
        ([(0, 45, 50, S), (45, 100, 100, C)], (5, 0)),  # a planned stop did not save its last steps
        ([(0, 40, 50, L), (40, 100, 100, C)], (0, 10)),
        ([(0, 40, 50, F), (40, 100, 100, C)], (0, 10)),
        ([(0, 40, 50, L), (30, 100, 100, C)], (10, 10)),  # 30-40 was durable, 40-50 was not
        ([(0, 50, 50, S), (50, 0, 60, L), (50, 100, 100, C)], (0, 10)),  # lost before its first own checkpoint
        ([(0, 50, 50, S), (50, 0, 60, L), (40, 100, 100, C)], (10, 10)),
        ([(0, 50, 50, S), (None, 0, 0, S), (50, 100, 100, C)], (0, 0)),  # never came to a step
        ([(0, 50, 55, L), (None, 0, 0, L), (50, 100, 100, C)], (0, 5)),
    ],
)
def test_repeated_steps(rows: Sequence[tuple[int | None, int, int, Outcome]], expected: tuple[int, int]) -> None:
    repeated = repeated_steps(segments_of(rows))
    assert (repeated.lost, repeated.redone) == expected
    assert repeated.total == sum(expected)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 50), st.booleans()), min_size=1, max_size=8))
def test_steps_made_are_the_kept_ones_and_the_repeated_ones(draws: list[tuple[int, int, bool]]) -> None:
    rows: list[tuple[int, int, int, Outcome]] = []
    reached = 0
    for back, made, is_lost in draws:
        start = max(0, reached - back) if rows else 0
        reached = start + made
        rows.append((start, start if is_lost else reached, reached, L if is_lost else S))
    repeated = repeated_steps(segments_of(rows))
    assert sum(made for _, made, _ in draws) == reached + repeated.total
    assert min(repeated.lost, repeated.redone) >= 0
