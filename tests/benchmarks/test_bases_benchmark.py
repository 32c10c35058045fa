"""What the benchmark of base schedulers counts: iterations done again or skipped, checkpoints of others, and which sweeps are the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.tune_bases import CASES, attempt, same
from benchmarks.tune_bases_sweep import BASES, NEEDS, SEARCHERS, Case, Ended
from benchmarks.tune_bases_trials import TRAINABLES, Lineage


def begun(iteration: int, of: str) -> dict[str, Any]:
    return {"node": "n", "event": "begin", "iteration": iteration, "of": of}


def done(*iterations: int, node: str = "n") -> list[dict[str, Any]]:
    return [{"node": node, "event": "iteration", "iteration": iteration} for iteration in iterations]


def test_a_trial_that_goes_on_from_its_own_checkpoint_repeats_and_skips_nothing() -> None:
    made = Lineage.of("a", [begun(0, ""), *done(1, 2, 3), begun(3, "a"), *done(4, 5, node="m")])
    assert (made.repeated, made.missing, made.nodes) == (0, 0, ["n", "m"])


@pytest.mark.parametrize("again", [begun(0, ""), begun(2, "a")], ids=["from zero", "from an older one"])
def test_what_it_does_again_is_counted(again: dict[str, Any]) -> None:
    made = Lineage.of("a", [begun(0, ""), *done(1, 2, 3), again, *done(*range(again["iteration"] + 1, 5))])
    assert made.repeated == 3 - again["iteration"]


def test_what_it_skips_is_counted() -> None:
    assert Lineage.of("a", [begun(0, ""), *done(1, 2), begun(4, "a"), *done(5)]).missing == 1


def test_another_trials_checkpoint_may_bring_it_back_once_but_not_twice() -> None:
    given = [begun(0, ""), begun(3, "b"), *done(4)]
    once = Lineage.of("a", [begun(0, ""), *done(1, 2, 3, 4), *given])
    assert (once.repeated, once.given) == (0, 1)
    assert Lineage.of("a", [begun(0, ""), *done(1, 2, 3, 4), *given, *given]).repeated == 1


def test_sweeps_are_the_same_by_their_ends_and_their_decisions_and_never_by_having_none() -> None:
    one = Ended(
        ends=[[0.1, (1, 0.5)]], decisions=[(0, 1, "CONTINUE")], lost=0, lineages=[], rows_lost=0, columns_missing=0, held_s=[], errors=[]
    )
    assert same(one, replace(one))
    assert not same(one, replace(one, ends=[[0.1, (1, 0.6)]]))
    assert not same(one, replace(one, decisions=[(0, 1, "STOP")]))
    assert not same(replace(one, decisions=[]), replace(one, decisions=[]))


def test_every_base_trainable_and_searcher_has_a_case_and_every_title_is_one() -> None:
    assert {case.base for case in CASES} == set(BASES)
    assert {case.trainable for case in CASES} | {"train"} == set(TRAINABLES)
    assert {case.searcher for case in CASES} == set(SEARCHERS)
    assert len({case.title for case in CASES}) == len(CASES)


def test_a_case_that_lacks_a_package_is_left_out_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NEEDS, "function", ("no_such_package_of_anyone",))
    row = attempt("flat", Case(base="fifo"), 0, lambda folder: pytest.fail("it was run"))
    assert row["error"] == "left out: not installed: no_such_package_of_anyone"


def test_a_sweep_that_raises_is_a_row_with_its_error() -> None:
    def fail(folder: object) -> dict[str, Any]:
        raise RuntimeError("the reason")

    assert attempt("flat", Case(base="fifo"), 0, fail)["error"] == "RuntimeError: the reason"
