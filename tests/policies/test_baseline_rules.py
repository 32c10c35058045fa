"""The published rules: one table each by hand, and what all of them must do: end in time, wait only where it is allowed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.policies.baselines import (
    RULES,
    BestWindow,
    Cap,
    CarbonScaler,
    CarbonTime,
    Cheapest,
    Ecovisor,
    LowestSlot,
    LowestWindow,
    Pcaps,
    Punctual,
    RunNowRule,
    StaticCleanest,
    Threshold,
    WaitAwhile,
    after,
    roll,
)
from carbon_ray.policies.baselines.windows import cheapest_slots, first_best_rate, first_lowest, percentile, window_sums
from carbon_ray.policies.outlook import Outlook, Rule, Run

DOCS = Path(__file__).parents[2] / "docs" / "policies"
HILLS = [5.0, 3.0, 4.0, 1.0, 6.0, 2.0, 7.0, 8.0]
LATE = [8.0, 3.0, 3.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 2.0, 2.0]
SHUT = math.inf


def outlook(*columns: Sequence[float], left: float = 2.0, **changes: Any) -> Outlook:
    gco2 = np.array(columns, dtype=np.float64).T
    given_: dict[str, Any] = {"usd": np.ones_like(gco2), "total": left, "elapsed": 0, "waited": 0, "home": 0, "at": 0}
    return Outlook(gco2=gco2, left=left, **{**given_, **changes})


def course(rule: Rule, around: Outlook) -> str:
    """The rolled rule as text: `.` holds nothing, a letter is the region, capital where progress is made, a digit for more workers."""
    rolled = roll(rule, around)
    assert rolled.left == 0
    signs = []
    for run, works in zip(rolled.runs, rolled.working, strict=True):
        if run is None:
            signs.append(".")
        else:
            letter = "abc"[run.region]
            signs.append((letter.upper() if works else letter) + (str(run.workers) if run.workers > 1 else ""))
    return "".join(signs)


@pytest.mark.parametrize(
    ("rule", "around", "expected"),
    [
        (RunNowRule(), outlook(HILLS), "AA"),
        (RunNowRule(), outlook(HILLS, startup_slots=2), "aaAA"),
        (RunNowRule(), outlook(HILLS, left=2.5), "AAA"),
        (RunNowRule(), outlook([SHUT, 1, 1, 1]), ".AA"),
        (StaticCleanest(), outlook([3] * 4, [2] * 4, [2] * 4), "BB"),
        (StaticCleanest(annual_mean=(3.0, 2.0, 1.0)), outlook([1] * 4, [2] * 4, [3] * 4), "CC"),
        (StaticCleanest(), outlook([3] * 4, [2] * 4, is_started=True), "AA"),
        (WaitAwhile(), outlook(HILLS), "...A.A"),
        (WaitAwhile(), outlook(HILLS, left=1.5), "...A.A"),
        (WaitAwhile(), outlook([2, 1, 1, 1]), ".AA"),
        (WaitAwhile(), outlook(HILLS, startup_slots=1), "..aAA"),  # slot 5 cannot be reached after a pause in slot 4
        (WaitAwhile(interruptible=False), outlook(HILLS), "..AA"),
        (WaitAwhile(interruptible=False), outlook(HILLS, startup_slots=1), ".aAA"),
        (LowestWindow(), outlook(HILLS), "..AA"),
        (LowestWindow(), outlook([1] * 6), "AA"),
        (LowestWindow(), outlook([4, 1, SHUT, 2, 2, 9]), "...AA"),
        (LowestWindow(), outlook([9, 2, 2, 9], left=1.5), ".AA"),
        (LowestWindow(), outlook(LATE), "..........AA"),
        (LowestSlot(), outlook(HILLS), "...AA"),
        (LowestSlot(), outlook([3, 3, 3, 1]), "AA"),  # the last slot is no start that ends in time
        (LowestSlot(), outlook(HILLS, startup_slots=1), "..aAA"),
        (CarbonTime(), outlook(HILLS), "..AA"),
        (CarbonTime(), outlook(LATE), ".AA"),
        (CarbonTime(), outlook([1] * 6), "AA"),
        (CarbonTime(), outlook(LATE, startup_slots=1), ".........aAA"),  # at once it would work in slots 1 and 2, as clean
        (Ecovisor(), outlook(HILLS), ".A.A"),
        (Ecovisor(wait_slots=1), outlook(HILLS), ".AA"),
        (Ecovisor(), outlook([1] * 5), "...AA"),  # nothing lies strictly below
        (Threshold(), outlook(HILLS), "...AA"),
        (Threshold(low_percentile=30.0, high_percentile=30.0), outlook(HILLS), "...A.A"),
        (Threshold(), outlook([1] * 5), "AA"),
        (Cap(), outlook(HILLS), ".A.A"),
        (Cap(), outlook([1] * 5), "AA"),
        (Pcaps(), outlook(HILLS), "AA"),
        (Pcaps(gamma=1.0, importance=0.0), outlook(HILLS), "......AA"),
        (Pcaps(gamma=1.0, importance=1.0), outlook(HILLS[::-1]), "AA"),
        (CarbonScaler(max_workers=2), outlook(HILLS, throughput=(1.0, 1.5), power=(1.0, 2.0)), "...A2.A"),
        (CarbonScaler(max_workers=1), outlook(HILLS, throughput=(1.0, 1.5), power=(1.0, 2.0)), "...A.A"),
        (CarbonScaler(), outlook(HILLS), "...A.A"),
        (CarbonScaler(max_workers=2), outlook([5, 1, 5], left=4.0, throughput=(1.0, 2.0), power=(1.0, 2.0)), "A2A2"),
        (CarbonScaler(max_workers=2), outlook([1, 9, 1], left=3.0, throughput=(1.0, 2.0), power=(1.0, 2.0), startup_slots=1), "a2A2A2"),
        (BestWindow(), outlook([4] * 4, [3, 3, 9, 9]), "BB"),
        (BestWindow(), outlook([4] * 4, [3, 3, 9, 9], staging=1.0), "AA"),
        (BestWindow(), outlook([4] * 4, [3] * 4, [3] * 4), "BB"),
        (BestWindow(), outlook([9, 9, 3, 3], [9, 9, 2, 4], staging=0.5), "..AA"),
        (Cheapest(), outlook([1] * 4, [9] * 4, usd=np.array([[2.0, 1.0]] * 4)), "BB"),
        (Cheapest(), outlook(HILLS), "AA"),
        (Cheapest(), outlook([1] * 4, [9] * 4, usd=np.array([[2.0, 2.0], [2.0, 1.0], [2.0, 1.0], [2.0, 3.0]])), ".BB"),
    ],
)
def test_course(rule: Rule, around: Outlook, expected: str) -> None:
    assert course(rule, around) == expected


@pytest.mark.parametrize("rule", [rule_class() for rule_class in RULES], ids=lambda rule: rule.name)
@pytest.mark.parametrize("startup_slots", [0, 1, 2])
def test_what_cannot_wait_runs(rule: Rule, startup_slots: int) -> None:
    just = outlook([9.0, 1.0, 1.0, 1.0, 1.0, 1.0][: 2 + startup_slots], startup_slots=startup_slots)
    assert rule.act(just) == Run(region=0)
    too_late = replace(just, left=3.0)
    assert rule.act(too_late) == Run(region=0)
    a_restart_would_be_too_late = outlook(
        [9.0] + [1.0] * (1 + startup_slots), startup_slots=startup_slots, is_running=True, is_started=True
    )
    assert rule.act(a_restart_would_be_too_late) == Run(region=0)


@pytest.mark.parametrize("rule", [rule_class() for rule_class in RULES], ids=lambda rule: rule.name)
def test_a_start_under_way_is_finished(rule: Rule) -> None:
    dirty_now = outlook([9.0] + [1.0] * 20, [1.0] * 21, at=0, is_running=True, is_started=True, startup_slots=2, starting_slots=1)
    assert rule.act(dirty_now) == Run(region=0)


@pytest.mark.parametrize("rule", [WaitAwhile(interruptible=False), LowestWindow(), LowestSlot(), CarbonTime(), BestWindow(), Cheapest()])
def test_a_block_is_not_interrupted(rule: Rule) -> None:
    dirty_now = outlook([9.0] + [1.0] * 20, [0.5] * 21, usd=np.array([[2.0, 1.0]] * 21), is_running=True, is_started=True)
    assert rule.act(dirty_now) == Run(region=0)


@pytest.mark.parametrize("rule", [WaitAwhile(), Ecovisor(), CarbonScaler(), Cap(), Pcaps(gamma=1.0, importance=0.0), Threshold()])
def test_the_others_stop_in_the_dirtiest_hour(rule: Rule) -> None:
    assert rule.act(outlook([9.0] + [1.0] * 20, is_running=True, is_started=True)) is None


def test_home_is_left_only_where_it_is_shut_and_the_deadline_presses() -> None:
    shut = outlook([SHUT, SHUT, 1.0], [5.0, 5.0, 5.0], [4.0, 4.0, 4.0])
    assert LowestWindow().act(shut) is None
    assert LowestWindow().act(replace(shut, left=3.0)) == Run(region=2)
    everywhere = replace(shut, left=3.0, gco2=np.full((3, 3), SHUT))
    assert LowestWindow().act(everywhere) == Run(region=0)
    running = replace(shut, left=3.0, is_running=True, is_started=True)
    assert LowestWindow().act(running) == Run(region=0)


def test_carbon_time_and_ecovisor_keep_what_submission_fixed() -> None:
    later = outlook(LATE[1:], elapsed=1, waited=1)
    assert CarbonTime().act(replace(later, past_gco2=np.array([[8.0]]))) == Run(region=0)
    assert CarbonTime().act(replace(later, past_gco2=np.array([[6.01 - 3.0]]))) is None  # then as good as nothing was saved by now
    assert CarbonTime().act(later) == Run(region=0)  # the mean window ahead stands in
    assert Ecovisor().act(outlook([3.0, 4.0, 5.0, 6.0], left=1.0, elapsed=4, past_gco2=np.full((4, 1), 9.0))) == Run(region=0)
    assert Ecovisor().act(outlook([3.0, 4.0, 5.0, 6.0], left=1.0, elapsed=4, past_gco2=np.full((4, 1), 1.0))) is None
    assert CarbonTime().act(replace(later, past_gco2=np.array([[SHUT]]))) == Run(region=0)


@pytest.mark.parametrize(
    ("rule_class", "parameters"),
    [
        (Threshold, {"low_percentile": 70.0}),
        (Threshold, {"ahead_h": 0.0}),
        (CarbonScaler, {"max_workers": 0}),
        (Cap, {"base": 2}),
        (Pcaps, {"gamma": 1.5}),
    ],
)
def test_senseless_parameters_are_refused(rule_class: type[Punctual], parameters: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="got"):
        rule_class(**parameters)


def test_a_table_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="one value a region"):
        StaticCleanest(annual_mean=(1.0,)).act(outlook([1.0] * 4, [1.0] * 4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanderer(Punctual):
    """Moves and rescales in every slot, and now and then wants to stop: whatever a rule may come to wish."""

    name: ClassVar[str] = "wanderer"

    @property
    def interrupts(self) -> bool:
        return True

    @property
    def most_workers(self) -> int:
        return 3

    def wish(self, outlook: Outlook) -> Run | None:
        if outlook.elapsed % 5 == 4:
            return None
        return Run(region=outlook.elapsed % outlook.gco2.shape[1], workers=1 + outlook.elapsed % 3)


ELASTIC = (Wanderer(), CarbonScaler(max_workers=3), Cap(executors=3, base=1), Cap(executors=2))
PROPERTY_RULES = (*(rule_class() for rule_class in RULES), WaitAwhile(interruptible=False), Pcaps(gamma=1.0, importance=0.0), *ELASTIC)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_rule_misses_a_deadline_that_can_be_met(data: st.DataObject) -> None:
    """The forecast changes in every slot, regions open and shut, and the rule may or may not be told how far a start is."""
    slots, regions = data.draw(st.integers(1, 14)), data.draw(st.integers(1, 3))
    startup = data.draw(st.integers(0, min(2, slots - 1)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    knows_starting, shut = data.draw(st.booleans()), data.draw(st.sampled_from([0.0, 0.3, 1.0]))
    throughput, power = (1.0, 1.6, 2.0), (1.0, 2.0, 3.0)

    def forecast(count: int) -> np.ndarray[Any, Any]:
        return np.where(rng.random((count, regions)) < shut, np.inf, rng.integers(0, 6, (count, regions)).astype(float))

    for rule in PROPERTY_RULES:
        most = max(throughput[: rule.most_workers])
        left = (slots - startup) * most * (1.0 - rng.random() * rng.choice([0.0, 0.5, 0.95]))
        gco2 = forecast(slots)
        now = outlook(*gco2.T, left=left, startup_slots=startup, throughput=throughput, power=power, staging=0.5)
        while now.left > 1e-9 and len(now.gco2):
            seen = now if knows_starting else replace(now, starting_slots=0)
            now = after(now, rule.act(seen))
            now = replace(now, gco2=forecast(len(now.gco2)))
        assert now.left <= 1e-9, (rule, left, startup)


@given(
    values=st.lists(st.floats(0, 9) | st.just(SHUT), min_size=1, max_size=12),
    length=st.floats(0.1, 12.0),
)
def test_window_sums_are_sums(values: list[float], length: float) -> None:
    length = round(length, 1)
    touched = math.ceil(length - 1e-9)
    weights = [min(1.0, length - slot) for slot in range(touched)]
    expected = [
        sum(weight * value for weight, value in zip(weights, values[start : start + touched], strict=True))
        for start in range(len(values) - touched + 1)
    ]
    assert window_sums(np.array(values), length) == pytest.approx(expected, abs=1e-9)


@given(values=st.lists(st.integers(0, 4), min_size=1, max_size=10), count=st.integers(1, 12))
def test_the_cheapest_slots_are_the_earliest_of_equals(values: list[int], count: int) -> None:
    chosen = sorted(range(len(values)), key=lambda slot: (values[slot], slot))[:count]
    array = np.array(values, dtype=float)
    assert set(np.flatnonzero(cheapest_slots(array, count))) == set(chosen)
    limit = values[chosen[-1]]
    assert list(cheapest_slots(array, count, with_ties=True)) == [value <= limit for value in values]
    assert list(cheapest_slots(np.stack([array, array], axis=1), count)[:, 1]) == list(cheapest_slots(array, count))


def test_ties_hide_no_rounding() -> None:
    assert first_lowest(np.array([0.1 + 0.2, 0.3])) == 0
    assert first_lowest(np.array([[1.0, 2.0], [1.0, 1.0]])).tolist() == [0, 1]
    assert first_lowest(np.array([SHUT, SHUT])) == 0
    assert first_best_rate(0.3, np.array([0.1 + 0.2, 0.3]), np.array([9.0, 1.0])) == 0
    assert first_best_rate(1.0, np.array([SHUT, SHUT]), np.array([1.0, 2.0])) == 0
    assert percentile(np.array([SHUT, 1.0, 3.0]), 50.0) == 2.0
    assert percentile(np.array([SHUT]), 50.0) == SHUT


@pytest.mark.parametrize("rule_class", RULES, ids=lambda rule_class: rule_class.__name__)
def test_every_rule_is_documented(rule_class: type[Punctual]) -> None:
    index = (DOCS / "README.md").read_text()
    pages = [line for line in index.splitlines() if f"`{rule_class.__name__}`" in line]
    assert len(pages) == 1, "one line of docs/policies/README.md names the class"
    page = DOCS / pages[0].split("](")[1].split(")")[0]
    text = page.read_text()
    assert f"`{rule_class.__name__}`" in text
    assert all(f"`{field.name}`" in text for field in fields(rule_class)), "every parameter is on its page"  # type: ignore[arg-type]
    for heading in ("## Formula", "## Source", "## Parameters", "## What it ignores", "## How it is charged here"):
        assert heading in text, f"{page.name} lacks {heading}"
    assert "Formula:" in (rule_class.__doc__ or "")
    assert "Source:" in (rule_class.__doc__ or "")


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    linked = set(re.findall(r"\]\((\w+\.md)\)", index))
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} == linked
