"""A sweep whose driver is killed with SIGKILL at random moments: does it go on, and do its books add up?

    python -m benchmarks.tune_restore --json benchmarks/results/tune_restore.json
    python -m benchmarks.tune_restore --kills 1 --bases fifo                  # a short look

For each base scheduler a sweep of real trials runs on a local Ray, is killed (its driver; trials die with it), taken up by
`Tuner.restore` in a new process, and so on, `--kills` times in all; the policy holds everything in between for some seconds, so that kills
hit running and held trials. The trials leave a trace of every iteration that they really did. Compared are the final table with
that of a sweep that nobody killed, and the journal of energy with the trace: stretches of a trial must not overlap, every
iteration done must lie in one (but for the last `ALIVE_EVERY_WALL_S` before a kill), and the columns must sum up to the journal.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.tune import RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, HyperBandScheduler, TrialScheduler

from benchmarks import record
from benchmarks.sweep_trials import known_space, local_ray, read_trace, saving_function
from carbon_ray.core.units import S_PER_H
from carbon_ray.testing.sweeps import ScriptedSweep
from carbon_ray.tune import CarbonAwareTuneScheduler
from carbon_ray.tune.accounting import ALIVE_EVERY_WALL_S
from carbon_ray.tune.journal import ALIVE, JOURNAL, instant_of, read_lines

CPUS, TRIALS, ITERATIONS, ITERATION_S = 2, 6, 16, 0.6
SCRIPT_S = ((0.0, "all"), (8.0, 0), (16.0, "all"), (30.0, 0), (36.0, 1), (44.0, "all"), (70.0, 0), (76.0, "all"))
"""Seconds from the sweep's start, and how many may run from then on."""
SLACK_S = 1.0
"""Seconds by which a trace may lie outside the books besides: clocks of two processes, and the way of a message."""


def base_named(name: str) -> TrialScheduler:
    if name == "asha":
        return ASHAScheduler(max_t=ITERATIONS, grace_period=2, reduction_factor=2)
    return HyperBandScheduler(max_t=ITERATIONS, reduction_factor=4) if name == "hyperband" else FIFOScheduler()


def drive(store: Path, name: str, base: str, seed: int, address: str) -> None:
    """The driver: begin the sweep, or take it up; write the table at its end."""
    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    path, trace = store / name, store / f"{name}.trace"
    if Tuner.can_restore(str(path)):
        tuner = Tuner.restore(str(path), trainable=saving_function, resume_errored=True)
    else:
        policy = ScriptedSweep(script=[(at_s / S_PER_H, places) for at_s, places in SCRIPT_S], check_every_s=5.0)
        scheduler = CarbonAwareTuneScheduler(base_named(base), regions=["DE"], policy=policy, power_w=300.0)
        tuner = Tuner(
            saving_function,
            param_space=known_space(TRIALS, ITERATIONS, ITERATION_S, trace, seed),
            tune_config=TuneConfig(metric="score", mode="max", scheduler=scheduler),
            run_config=RunConfig(name=name, storage_path=str(store), verbose=0),
        )
    frame = tuner.fit().get_dataframe()
    columns = ["config/number", "trial_id", "training_iteration", "score", "energy_kwh", "carbon_gco2", "held_s"]
    (store / f"{name}.table.json").write_text(frame[columns].sort_values("config/number").to_json(orient="records"))
    ray.shutdown()


def spawn(store: Path, name: str, base: str, seed: int, address: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.tune_restore", "--drive", name, "--store", str(store), "--bases", base]
    log = (store / f"{name}.log").open("ab")
    return subprocess.Popen([*command, "--seed", str(seed), "--address", address], stdout=log, stderr=log, cwd=Path(__file__).parents[1])


def events_of(path: Path) -> int:
    return len(read_trace(path))


def sweep(store: Path, name: str, base: str, kills: int, seed: int, address: str) -> dict[str, Any]:
    """Run one sweep through its kills to its end, and check its books."""
    draw, trace, killed = np.random.default_rng(seed + len(name)), store / f"{name}.trace", []
    for turn in range(kills + 1):
        process, before = spawn(store, name, base, seed, address), events_of(trace)
        if turn < kills:
            begun_s = time.monotonic()
            while events_of(trace) == before and process.poll() is None and time.monotonic() - begun_s < 25:
                time.sleep(0.2)  # the trials have to be under way, or all held
            time.sleep(float(draw.uniform(0.5, 9.0)))
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                alive = json.loads((store / name / ALIVE).read_text()) if (store / name / ALIVE).exists() else {"at": None}
                killed.append({"done": events_of(trace), "alive_at": alive["at"]})
        process.wait(timeout=600)
    if process.returncode != 0:
        raise RuntimeError(f"{name} ended with {process.returncode}; see its log:\n{(store / f'{name}.log').read_text()[-3000:]}")
    table = json.loads((store / f"{name}.table.json").read_text())
    log = (store / f"{name}.log").read_text()
    return {
        "kills": len(killed),
        "killed": killed,
        "table": table,
        "base_anew": log.count("begins anew"),
        **checked(store / name, trace, table),
    }


def checked(path: Path, trace: Path, table: list[dict[str, Any]]) -> dict[str, Any]:
    """The journal against the trace and the table."""
    stretches, energy_kwh = defaultdict(list), defaultdict(float)
    for line in read_lines(path / JOURNAL):
        if "run" in line:
            stretches[line["run"]].append((instant_of(line["start_at"]).timestamp(), instant_of(line["end_at"]).timestamp()))
            energy_kwh[line["run"]] += line["energy_kwh"]
    overlaps_s = 0.0
    for spans in stretches.values():
        spans.sort()
        overlaps_s += sum(max(0.0, before[1] - after[0]) for before, after in pairwise(spans))
    by_number = {row["config/number"]: row["trial_id"] for row in table}
    done = [row for row in read_trace(trace) if row["event"] == "iteration"]
    outside_s = [distance_s(row["at_s"], stretches[by_number[row["trial"]]]) for row in done]
    held_s = sum(end - start for spans in stretches.values() for start, end in spans)
    return {
        "iterations_done": len(done),
        "iterations_needed": int(sum(row["training_iteration"] for row in table)),
        "overlaps_s": overlaps_s,
        "outside_books": sum(1 for one in outside_s if one > SLACK_S),
        "outside_books_s_max": max(outside_s),
        "booked_s": held_s,
        "iterations_s": len(done) * ITERATION_S,
        "table_less_journal_kwh": sum(row["energy_kwh"] for row in table) - sum(energy_kwh[row["trial_id"]] for row in table),
        "trials_outside_table": len(set(stretches) - {row["trial_id"] for row in table}),
    }


def distance_s(at_s: float, spans: list[tuple[float, float]]) -> float:
    """Seconds by which an instant lies outside all spans."""
    return min((max(start - at_s, at_s - end, 0.0) for start, end in spans), default=float("inf"))


def same_table(table: list[dict[str, Any]], reference: list[dict[str, Any]]) -> dict[str, Any]:
    """What differs from the sweep that nobody killed."""
    pairs = list(zip(table, reference, strict=True))
    return {
        "trials": len(table),
        "iterations_differ": sum(1 for one, other in pairs if one["training_iteration"] != other["training_iteration"]),
        "score_difference_max": max(abs(one["score"] - other["score"]) for one, other in pairs),
        "energy_ratio": sum(one["energy_kwh"] for one, _ in pairs) / sum(other["energy_kwh"] for _, other in pairs),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--bases", default="fifo,hyperband,asha")
    parser.add_argument("--kills-each", type=int, default=4, help="kills of one sweep, at most")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--drive", default="", help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--address", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.drive:
        drive(options.store, options.drive, options.bases, options.seed, options.address)
        return
    bases, results, references, left = options.bases.split(","), [], {}, options.kills
    with local_ray(CPUS), tempfile.TemporaryDirectory() as folder:
        address, store = ray.get_runtime_context().gcs_address, Path(folder)
        for base in bases:
            references[base] = sweep(store, f"{base}-unkilled", base, 0, options.seed, address)
        index = 0
        while left > 0:
            base = bases[index % len(bases)]
            one = sweep(store, f"{base}-{index}", base, min(left, options.kills_each), options.seed, address)
            left -= max(1, one["kills"])
            results.append({"base": base, **one, **same_table(one["table"], references[base]["table"])})
            print({name: value for name, value in results[-1].items() if name not in ("table", "killed")}, flush=True)
            index += 1
    if options.json:
        summary = {
            "kills": sum(one["kills"] for one in results),
            "trials_lost": sum(TRIALS - one["trials"] for one in results),
            "overlaps_s": sum(one["overlaps_s"] for one in results),
            "outside_books_s_max": max(one["outside_books_s_max"] for one in results),
            "alive_every_s": ALIVE_EVERY_WALL_S,
        }
        settings = {"seed": options.seed, "trials": TRIALS, "iterations": ITERATIONS, "iteration_s": ITERATION_S, "script_s": SCRIPT_S}
        record.write(
            options.json,
            {"benchmark": "tune_restore", "summary": summary, "sweeps": results, "unkilled": references, "settings": settings},
        )


if __name__ == "__main__":
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
    main()
