"""Real sweeps under every base scheduler: does a flat grid change nothing, and does a hold lose or repeat nothing?

    python -m benchmarks.tune_bases --json benchmarks/results/tune_bases.json
    python -m benchmarks.tune_bases --only fifo,asha --seeds 0                # a short look

Each case is swept on a local Ray twice for each seed, under the base scheduler alone and under `CarbonAwareTuneScheduler` with
carbon_ray's own policy on a grid that is the same at all hours; one trial runs at a time, so that nothing but the schedulers decides
the order of results. `ends_as_base`: every trial has reported the same iterations and scores, and the base scheduler has decided the
same, one by one. Where that is not so, the base alone runs once more, which tells whether it repeats itself. Then the case is swept
with up to three trials at once and a hold of a few seconds in which nothing may run. `lost` trials have failed or done nothing;
`repeated_iterations` were done again by a trial that went on from its own checkpoint (not: from another's, given by the base);
`rows_lost` results were reported and are not in the result grid (`base_rows_lost`: under the base alone);
`columns_missing` trials have ended without the columns of carbon and energy.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.sweep_trials import local_ray
from benchmarks.tune_bases_places import MoveOnce, two_regions, with_dashboard
from benchmarks.tune_bases_sweep import BASES, BESIDE_EACH_OTHER, CPUS, ITERATIONS, ONE_AT_A_TIME, Case, Ended, flat_forecasts, sweep
from benchmarks.tune_hold import HoldOnce
from carbon_ray.tune import CarbonAwareTuneScheduler

SEEDS = (0, 1)
HOLD_S = 4.0
HELD_TRIALS = 4
FLAT_ITERATION_S, HELD_ITERATION_S = 0.05, 0.4
"""Seconds of an iteration; the policy is asked every second, so that trials which are to be held must last for some."""

TRIALS = {"fifo": 4, "pbt": 3, "pbt in step": 3, "pb2": 3, "median": 4}
"""Fewer where six would show no more: a population pauses its trials again and again, and every start of an actor takes seconds."""
CASES = (
    *(Case(base=base, trials=TRIALS.get(base, 6)) for base in BASES if base != "bohb"),
    Case(base="bohb", searcher="bohb"),
    Case(base="asha", trainable="class", trials=4),
    Case(base="pbt", trainable="class", trials=4, reuses_actors=True),
    Case(base="fifo", trainable="lightgbm", trials=2),
    Case(base="fifo", trainable="torch", trials=2),
    Case(base="asha", searcher="optuna"),
    Case(base="asha", searcher="limiter", trials=4),
    Case(base="fifo", trials=4, most_live=2),
)
"""Every base scheduler with a function; then other trainables, searchers and limits."""
TRAIN = Case(base="fifo", trainable="train", trials=2)
MOVE = Case(base="fifo", trials=3)


def what(case: Case, seed: int) -> dict[str, Any]:
    """The columns that say what was swept."""
    return {name: getattr(case, name) for name in ("base", "trainable", "searcher", "most_live", "reuses_actors", "trials")} | {
        "seed": seed
    }


def key(row: dict[str, Any]) -> tuple[Any, ...]:
    """What tells a row from all others."""
    return tuple(row[name] for name in ("kind", "base", "trainable", "searcher", "most_live", "reuses_actors", "seed"))


def row_of(kind: str, case: Case, seed: int, ended: Ended, ends_as_base: bool | None, wall_s: float, **more: Any) -> dict[str, Any]:
    return {
        "kind": kind,
        **what(case, seed),
        "ends_as_base": ends_as_base,
        "held": any(span_s > 0 for span_s in ended.held_s),
        "held_trials": sum(span_s > 0 for span_s in ended.held_s),
        "lost": ended.lost,
        "iterations": sum(len(one) - 1 for one in ended.ends),
        "repeated_iterations": sum(one.repeated for one in ended.lineages),
        "missing_iterations": sum(one.missing for one in ended.lineages),
        "checkpoints_given": sum(one.given for one in ended.lineages),
        "rows_lost": ended.rows_lost,
        "columns_missing": ended.columns_missing,
        "wall_s": round(wall_s, 1),
        "error": "; ".join(ended.errors),
        **more,
    }


def same(one: Ended, other: Ended) -> bool:
    """Whether two sweeps ended in the same way, and their base schedulers decided the same, one by one."""
    return bool(one.decisions) and one.ends == other.ends and one.decisions == other.decisions


def flat(case: Case, folder: Path, seed: int, **wishes: Any) -> dict[str, Any]:
    """The case alone and wrapped, on a flat grid.

    Args:
        case: What is swept.
        folder: For what the sweeps leave.
        seed: Of both.
        wishes: Further arguments of the scheduler.
    """
    begun_s = time.monotonic()

    def run(name: str, **how: Any) -> Ended:
        return sweep(case, folder / name, seed=seed, cpus=ONE_AT_A_TIME, iteration_s=FLAT_ITERATION_S, **how)

    def wrap(base: Any) -> CarbonAwareTuneScheduler:
        return CarbonAwareTuneScheduler(base, regions=["DE"], forecasts=flat_forecasts("DE"), power_w=300.0, **wishes)

    alone, wrapped = run("alone"), run("wrapped", wrap=wrap)
    is_same = same(wrapped, alone)
    more = {} if is_same else {"base_repeats_itself": same(run("again"), alone)}
    return row_of("flat", case, seed, wrapped, is_same, time.monotonic() - begun_s, base_rows_lost=alone.rows_lost, **more)


def held(case: Case, folder: Path, seed: int, cpus: float = BESIDE_EACH_OTHER, **wishes: Any) -> dict[str, Any]:
    """The case with a hold of everything in it; arguments as `flat`.

    Under FIFO, where no order matters, its ends are compared with the base's: they show that what was held has lost nothing of its state.
    """
    begun_s, policy = time.monotonic(), HoldOnce(HOLD_S, begin_at_iteration=2, begin_with_trials=1)

    def wrap(base: Any) -> CarbonAwareTuneScheduler:
        return CarbonAwareTuneScheduler(base, regions=["DE"], forecasts=flat_forecasts("DE"), policy=policy, power_w=300.0, **wishes)

    ended = sweep(case, folder / "held", seed=seed, cpus=cpus, iteration_s=HELD_ITERATION_S, wrap=wrap)
    if case.base != "fifo" or case.trainable == "train":
        return row_of("held", case, seed, ended, None, time.monotonic() - begun_s)
    alone = sweep(case, folder / "alone", seed=seed, cpus=cpus, iteration_s=FLAT_ITERATION_S)
    return row_of("held", case, seed, ended, ended.ends == alone.ends, time.monotonic() - begun_s)


def moved(case: Case, folder: Path, seed: int) -> dict[str, Any]:
    """The case in two regions: all its trials begin in the first, and go on in the second."""
    begun_s = time.monotonic()

    def wrap(base: Any) -> CarbonAwareTuneScheduler:
        wishes = {"regions": ["DE", "ES"], "forecasts": flat_forecasts("DE", "ES"), "policy": MoveOnce(), "power_w": 300.0}
        return CarbonAwareTuneScheduler(base, **wishes)

    ended = sweep(case, folder / "moved", seed=seed, cpus=BESIDE_EACH_OTHER, iteration_s=HELD_ITERATION_S, wrap=wrap)
    trials_moved = sum(len(set(one.nodes)) > 1 for one in ended.lineages)
    return row_of("moved", case, seed, ended, None, time.monotonic() - begun_s, trials_moved=trials_moved)


def attempt(kind: str, case: Case, seed: int, run: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """A row, whatever happens: what a sweep raises is a result, too."""
    print(f"{kind}: {case.title} seed {seed}", flush=True)
    if missing := case.not_installed():
        error = f"left out: not installed: {', '.join(missing)}"
        return {"kind": kind, **what(case, seed), "error": error}
    with tempfile.TemporaryDirectory() as folder:
        try:
            row = run(Path(folder))
        except Exception as error:  # the other cases are to be seen all the same
            row = {"kind": kind, **what(case, seed), "error": f"{type(error).__name__}: {error}"}
    print(f"  {row}", flush=True)
    return row


def rows_of(cases: Sequence[Case], seeds: Sequence[int], names: set[str]) -> Iterator[dict[str, Any]]:
    """All rows, one by one."""
    first = seeds[0]
    if not names or "train" in names:
        yield apart(train_row, first)
    if not names or "move" in names:
        yield apart(move_row, first)
    with local_ray(CPUS) if cases else contextlib.nullcontext():
        for case in cases:
            for seed in seeds if case.has_seeds else seeds[:1]:
                yield attempt("flat", case, seed, lambda folder, case=case, seed=seed: flat(case, folder, seed))
            short = replace(case, trials=min(HELD_TRIALS, case.trials))
            yield attempt("held", short, first, lambda folder, case=short: held(case, folder, first))


def train_row(seed: int) -> dict[str, Any]:
    """A sweep whose trials run Ray Train, held; without a dashboard Ray Train would leave the placement groups of the held runs behind."""
    with with_dashboard(CPUS):
        return attempt("held", TRAIN, seed, lambda folder: held(TRAIN, folder, seed, cpus=0.5, allow_restart_from_zero=True))


def move_row(seed: int) -> dict[str, Any]:
    """A sweep in two regions whose trials move."""
    with two_regions("DE", "ES"):
        return attempt("moved", MOVE, seed, lambda folder: moved(MOVE, folder, seed))


def apart(run: Callable[[int], dict[str, Any]], seed: int) -> dict[str, Any]:
    """A row from a process of its own.

    It has to come before any other Ray of this process: else the first actors of the cluster were cancelled, again and again, for a reason
    that was not found.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run, seed).result()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--only", default="", help="titles of cases, or bases, train, move; all by default")
    parser.add_argument("--append", action="store_true", help="keep the rows of other cases that are in the file")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    options = parser.parse_args(arguments)
    names, seeds = set(filter(None, options.only.split(","))), [int(one) for one in options.seeds.split(",")]
    settings = {"seeds": seeds, "iterations": ITERATIONS, "hold_s": HOLD_S, "cpus": CPUS, "only": options.only}
    begun_s, rows, before_s = time.monotonic(), [], 0
    if options.append:
        before = json.loads(options.json.read_text())
        rows, before_s, settings["only"] = before["rows"], before["wall_s"], before["settings"]["only"]
    for row in rows_of([case for case in CASES if not names or {case.title, case.base} & names], seeds, names):
        rows = [one for one in rows if key(one) != key(row)] + [row]
        if options.json:  # after every row: it takes a while, and what is there is there
            result = {"benchmark": "tune_bases", "rows": rows, "settings": settings, "wall_s": before_s + round(time.monotonic() - begun_s)}
            record.write(options.json, {**result, "real": "a local Ray, three CPUs; two nodes where trials move"})


if __name__ == "__main__":
    main()
