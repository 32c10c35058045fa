"""Intensity series: half-open, piecewise constant, never extended."""

from __future__ import annotations

import math
import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.core.errors import OutsideDataError, UnitMismatchError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance, frozen_array, require_one_kind

START_AT = datetime(2022, 5, 2, tzinfo=UTC)
NAIVE = START_AT.replace(tzinfo=None)
VALUES = st.lists(st.floats(0, 1500, allow_nan=False, allow_subnormal=False), min_size=1, max_size=40)
STEPS_S = st.sampled_from([300.0, 420.0, 900.0, 1800.0, 3600.0])


def series_of(values: list[float], step_s: float = 3600.0, kind: IntensityKind = IntensityKind.AVERAGE_LIFECYCLE) -> IntensitySeries:
    return IntensitySeries(
        zone="DE",
        kind=kind,
        start_at=START_AT,
        step_s=step_s,
        values_gco2_per_kwh=np.array(values, dtype=np.float64),
        provenance=Provenance(provider="test"),
    )


def at_h(hours: float) -> datetime:
    return START_AT + timedelta(hours=hours)


@st.composite
def series_and_stretch(draw: st.DrawFn) -> tuple[IntensitySeries, datetime, datetime]:
    series = series_of(draw(VALUES), draw(STEPS_S))
    total_s = round(series.step_s * len(series))
    first_s = draw(st.integers(0, total_s - 1))
    last_s = draw(st.integers(first_s + 1, total_s))
    return series, START_AT + timedelta(seconds=first_s), START_AT + timedelta(seconds=last_s)


def brute_mean(series: IntensitySeries, start_at: datetime, end_at: datetime) -> float:
    """Overlap of every interval with the stretch, one by one."""
    total = 0.0
    for index, value in enumerate(series.values_gco2_per_kwh):
        left = max(start_at, series.start_at + index * timedelta(seconds=series.step_s))
        right = min(end_at, series.start_at + (index + 1) * timedelta(seconds=series.step_s))
        total += value * max(0.0, (right - left).total_seconds())
    return total / (end_at - start_at).total_seconds()


@pytest.mark.parametrize(
    ("hours", "expected"),
    [(0, 10.0), (0.5, 10.0), (1 - 1e-9, 10.0), (1, 20.0), (1.999, 20.0), (2, 30.0), (2.999999, 30.0)],
)
def test_an_instant_belongs_to_the_interval_it_starts(hours: float, expected: float) -> None:
    instant = START_AT + timedelta(microseconds=math.floor(hours * 3.6e9))
    assert series_of([10, 20, 30]).at(instant) == expected


@pytest.mark.parametrize("instant", [START_AT - timedelta.resolution, at_h(3), at_h(300), at_h(-300)])
def test_no_instant_outside_has_a_value(instant: datetime) -> None:
    with pytest.raises(OutsideDataError, match="zone DE"):
        series_of([10, 20, 30]).at(instant)


OUTSIDE = [(-0.5, 1.0), (2.0, 3.5), (-2.0, -1.0), (4.0, 5.0), (-1.0, 4.0)]


@pytest.mark.parametrize(("left_h", "right_h"), [*OUTSIDE, (2.0, 1.0)])
def test_pieces_and_mean_raise_outside(left_h: float, right_h: float) -> None:
    series = series_of([10, 20, 30])
    with pytest.raises(OutsideDataError):
        list(series.pieces(at_h(left_h), at_h(right_h)))
    with pytest.raises(OutsideDataError):
        series.mean(at_h(left_h), at_h(right_h))


@pytest.mark.parametrize(("left_h", "right_h"), OUTSIDE)
def test_resample_and_window_raise_outside(left_h: float, right_h: float) -> None:
    series = series_of([10, 20, 30])
    with pytest.raises(OutsideDataError):
        series.resample(at_h(left_h), (right_h - left_h) * 900, 4)
    with pytest.raises(OutsideDataError):
        series.window(at_h(left_h), at_h(right_h))


def test_both_edges_are_still_inside() -> None:
    series = series_of([10, 20, 30])
    assert series.mean(series.start_at, series.end_at) == pytest.approx(20)
    assert series.window(series.start_at, series.end_at) == series
    assert series.resample(series.start_at, 5400.0, 2) == pytest.approx([40 / 3, 80 / 3])


def test_a_mean_over_nothing_is_refused_and_its_pieces_are_none() -> None:
    series = series_of([10, 20, 30])
    with pytest.raises(OutsideDataError):
        series.mean(at_h(1), at_h(1))
    assert list(series.pieces(at_h(1), at_h(1))) == []


def test_naive_instants_are_refused() -> None:
    with pytest.raises(ValueError, match="aware UTC"):
        series_of([10, 20, 30]).at(NAIVE)


@given(series_and_stretch())
def test_mean_agrees_with_brute_force(case: tuple[IntensitySeries, datetime, datetime]) -> None:
    series, start_at, end_at = case
    assert series.mean(start_at, end_at) == pytest.approx(brute_mean(series, start_at, end_at), rel=1e-9, abs=1e-6)


@given(series_and_stretch(), st.integers(1, 7))
def test_resample_agrees_with_brute_force(case: tuple[IntensitySeries, datetime, datetime], count: int) -> None:
    series, start_at, end_at = case
    step_s = math.floor((end_at - start_at).total_seconds() / count)
    if step_s == 0:
        count, step_s = 1, round((end_at - start_at).total_seconds())
    step = timedelta(seconds=step_s)
    expected = [brute_mean(series, start_at + k * step, start_at + (k + 1) * step) for k in range(count)]
    assert series.resample(start_at, float(step_s), count) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(series_and_stretch())
def test_pieces_join_without_gap_and_sum_to_the_integral(case: tuple[IntensitySeries, datetime, datetime]) -> None:
    series, start_at, end_at = case
    pieces = list(series.pieces(start_at, end_at))
    assert pieces[0][0] == start_at
    assert pieces[-1][1] == end_at
    assert all(left[1] == right[0] for left, right in pairwise(pieces))
    assert all(series.at(left_at) == value for left_at, _, value in pieces)
    integral = sum((right_at - left_at).total_seconds() * value for left_at, right_at, value in pieces)
    assert integral == pytest.approx(brute_mean(series, start_at, end_at) * (end_at - start_at).total_seconds(), rel=1e-9, abs=1e-6)


@given(st.floats(0, 1500, allow_subnormal=False), st.integers(1, 40), STEPS_S, STEPS_S)
def test_resampling_a_constant_gives_the_constant(value: float, count: int, step_s: float, new_step_s: float) -> None:
    series = series_of([value] * count, step_s)
    new_count = math.floor(count * step_s / new_step_s)
    assert series.resample(series.start_at, new_step_s, new_count) == pytest.approx([value] * new_count, rel=1e-9, abs=1e-9)


@given(VALUES, STEPS_S)
def test_resampling_on_its_own_grid_changes_nothing(values: list[float], step_s: float) -> None:
    series = series_of(values, step_s)
    assert series.resample(series.start_at, step_s, len(values)) == pytest.approx(values, rel=1e-9, abs=1e-9)


def test_a_window_keeps_everything_but_the_rest() -> None:
    window = series_of([10, 20, 30]).window(at_h(1), at_h(2))
    assert (window.start_at, window.end_at, list(window.values_gco2_per_kwh)) == (at_h(1), at_h(2), [20.0])
    assert (window.zone, window.kind, window.provenance) == ("DE", IntensityKind.AVERAGE_LIFECYCLE, Provenance(provider="test"))


@pytest.mark.parametrize(("left_h", "right_h"), [(0.5, 2), (0, 1.5), (1, 1), (2, 1)])
def test_a_window_off_the_grid_or_empty_is_refused(left_h: float, right_h: float) -> None:
    with pytest.raises(OutsideDataError):
        series_of([10, 20, 30]).window(at_h(left_h), at_h(right_h))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.001])
def test_a_value_that_is_no_intensity_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="zone DE"):
        series_of([10, bad, 30])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"values_gco2_per_kwh": np.array([])}, "not empty"),
        ({"values_gco2_per_kwh": np.ones((2, 2))}, "one-dimensional"),
        ({"step_s": 0.0}, "step_s must be above 0"),
        ({"step_s": -3600.0}, "step_s must be above 0"),
        ({"start_at": NAIVE}, "start_at must be an aware UTC"),
    ],
)
def test_a_malformed_series_is_refused(change: dict[str, object], match: str) -> None:
    fields: dict[str, object] = {
        "zone": "DE",
        "kind": IntensityKind.MARGINAL,
        "start_at": START_AT,
        "step_s": 3600.0,
        "values_gco2_per_kwh": np.ones(3),
        "provenance": Provenance(provider="test"),
    }
    with pytest.raises(ValueError, match=match):
        IntensitySeries(**{**fields, **change})  # type: ignore[arg-type]  # one field of each case is wrong on purpose


def test_values_are_a_read_only_copy() -> None:
    mine = np.array([10.0, 20.0])
    series = series_of(list(mine))
    frozen = frozen_array(mine)
    mine[0] = 99.0
    assert frozen[0] == 10.0
    with pytest.raises(ValueError, match="read-only"):
        series.values_gco2_per_kwh[0] = 1.0


def test_equal_series_are_equal_and_hash_alike() -> None:
    one, other = series_of([10, 20]), series_of([10, 20])
    assert one == other
    assert hash(one) == hash(other)
    assert one != series_of([10, 21])
    assert one != series_of([10, 20], kind=IntensityKind.MARGINAL)
    assert one != "series"
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        (Provenance(provider="trace", detail="de.csv"), "trace (de.csv)"),
        (Provenance(provider="trace"), "trace"),
        (Provenance(provider="embedded", detail="seed 0", is_embedded=True), "embedded (seed 0)"),
        (Provenance(provider="profile", is_embedded=True), "embedded profile"),
    ],
)
def test_provenance_says_when_it_is_embedded(provenance: Provenance, expected: str) -> None:
    assert str(provenance) == expected


def test_kinds_do_not_mix() -> None:
    assert require_one_kind([IntensityKind.MARGINAL] * 3) is IntensityKind.MARGINAL
    with pytest.raises(UnitMismatchError, match=r"average_direct.*marginal"):
        require_one_kind([IntensityKind.MARGINAL, IntensityKind.AVERAGE_DIRECT])
    with pytest.raises(UnitMismatchError, match="none"):
        require_one_kind([])
