"""The forecast actor on a real local Ray: cached reads, version checks under eight clients, and back after kill -9.

    python -m benchmarks.forecast_actor --json benchmarks/results/forecast_actor.json

One head, no other node. The actor keeps forecasts of 24 zones, made of a trace file written for this run. *Reads*: a client in a
process of its own reads its cached snapshot as fast as it can, with its looks at the edition in between. *Checks*: eight clients,
a process each, look up the edition, first at a set pace, then each as soon as it has its answer. *Restart*: the trace is
removed, the actor's process is killed with SIGKILL, and a new client, with nothing cached, asks for the forecasts until it has them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import ray

from benchmarks import record
from carbon_ray.actors.forecast_client import ForecastClient, edition_of
from carbon_ray.actors.handles import start_forecasts
from carbon_ray.cluster.local_cluster import LocalCluster
from carbon_ray.cluster.local_config import DEFAULT_REGIONS
from carbon_ray.config.cluster_yaml import ClusterConfig, parse_cluster_config
from carbon_ray.core.clock import wall_now
from carbon_ray.core.errors import CarbonRayError
from carbon_ray.core.region import REGION_LABEL
from carbon_ray.providers.embedded import EmbeddedProvider

READS_PER_S, CHECKS_PER_S, CHECK_P99_S, BACK_S = 50_000.0, 1_000.0, 0.020, 3.0
"""What is aimed at."""

HISTORY = timedelta(days=21)


class Client:
    """A process that reads the forecast actor."""

    def __init__(self) -> None:
        self._client = ForecastClient()
        self._client.snapshot()

    def reads(self, for_s: float) -> dict[str, float]:
        """Cached reads, one after the other, with the clock looked at every thousand."""
        read, count, begun_s = self._client.snapshot, 0, time.perf_counter()
        while (passed_s := time.perf_counter() - begun_s) < for_s:
            for _ in range(1000):
                read()
            count += 1000
        return {"reads": count, "wall_s": passed_s, "reads_per_s": count / passed_s}

    def checks(self, for_s: float, begin_at_s: float, every_s: float) -> list[float]:
        """Latencies of version checks, seconds; one every `every_s`, or one after the other where that is 0."""
        check, found = self._client.edition, []
        check()
        time.sleep(max(0.0, begin_at_s - time.monotonic()))
        due_s = end_s = time.monotonic()
        end_s += for_s
        while (now_s := time.monotonic()) < end_s:
            if every_s and now_s < due_s:
                time.sleep(due_s - now_s)
            sent_s = time.perf_counter()
            check()
            found.append(time.perf_counter() - sent_s)
            due_s += every_s
        return found


def write_trace(path: Path, zones: Sequence[str]) -> None:
    """Hours of the embedded profile up to tomorrow, as a file that can be taken away."""
    now = wall_now()
    provider, lines = EmbeddedProvider(), ["zone,time_utc,gco2_per_kwh,kind"]
    for zone in zones:
        series = provider.history(zone, now - HISTORY - timedelta(hours=2), now + timedelta(days=1))
        for index, value in enumerate(series.values_gco2_per_kwh):
            at = series.start_at + index * timedelta(seconds=series.step_s)
            lines.append(f"{zone},{at:%Y-%m-%dT%H:%MZ},{value},average_lifecycle")
    path.write_text("\n".join(lines) + "\n")


def config_of(zones: Sequence[str], trace: Path, state_dir: Path) -> ClusterConfig:
    return parse_cluster_config(
        {
            "cluster_name": "forecast-benchmark",
            "provider": {
                "carbon": {
                    "grid": {"provider": "trace", "path": str(trace)},
                    "history_days": HISTORY.days,
                    "regions": {f"at-{zone}": {"zone": zone} for zone in zones},
                    "node_types": {"gpu": {"tdp_w": 1000.0}},
                    "state_dir": str(state_dir),
                }
            },
            "available_node_types": {"gpu": {"resources": {"CPU": 1}, "labels": {REGION_LABEL: f"at-{zones[0]}"}}},
        }
    )


def measured_checks(clients: Sequence[Any], for_s: float, checks_per_s: float) -> dict[str, float]:
    """Rate and latency over all clients; `checks_per_s` 0: as fast as they can."""
    every_s = len(clients) / checks_per_s if checks_per_s else 0.0
    begin_at_s = time.monotonic() + 2.0  # the machine's clock, the same in all of its processes
    found = ray.get([client.checks.remote(for_s, begin_at_s, every_s) for client in clients])
    latencies = np.concatenate([np.array(one) for one in found])
    result = {f"p{level}_ms": float(np.percentile(latencies, level) * 1000) for level in (50, 95, 99)}
    return {**result, "max_ms": float(latencies.max() * 1000), "checks": len(latencies), "checks_per_s": len(latencies) / for_s}


def killed(trace: Path) -> dict[str, Any]:
    """Kill the actor and wait until a new client is served; its source is away."""
    trace.unlink(missing_ok=True)
    before = ForecastClient()
    edition, pid = before.edition(), before.process_id()
    os.kill(pid, signal.SIGKILL)
    begun_s = time.perf_counter()
    while True:
        with contextlib.suppress(CarbonRayError):
            snapshot = ForecastClient(retry_for_s=30.0).snapshot()
            break
    back_s = time.perf_counter() - begun_s
    after = ForecastClient()
    assert after.process_id() != pid, "the actor that answered is the one that was killed"
    assert edition_of(snapshot) == edition, "what is served is not what was served before"
    return {"back_s": back_s, "zones": len(snapshot.forecasts), "version": snapshot.version}


def told_problem(wait_s: float = 60.0) -> str:
    """What the actor says is wrong with its source, which is away by now: without that, the restarts have shown nothing."""
    client, end_s = ForecastClient(), time.monotonic() + wait_s
    while not (problem := client.health().problem):
        assert time.monotonic() < end_s, "the source was to be away, and is not"
        time.sleep(0.2)
    return problem


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--clients", type=int, default=8, help="processes that check the version at the same time")
    parser.add_argument("--zones", type=int, default=24, help="zones whose forecasts are kept")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--kills", type=int, default=3, help="how often the actor is killed")
    options = parser.parse_args(arguments)
    zones = EmbeddedProvider().zones()[: options.zones]
    with (
        LocalCluster(regions=DEFAULT_REGIONS[:1], head_commands=()) as cluster,
        tempfile.TemporaryDirectory() as folder,
        contextlib.ExitStack() as stack,
    ):
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        stack.callback(ray.shutdown)
        trace = Path(folder, "trace.csv")
        write_trace(trace, zones)
        start_forecasts(config_of(zones, trace, Path(folder, "state")))
        ForecastClient().snapshot()
        make = ray.remote(num_cpus=0)(Client)
        first = make.remote()
        reads = [ray.get(first.reads.remote(options.seconds)) for _ in range(3)]
        clients = [first]
        for _ in range(options.clients - 1):  # one after the other, which is easier on a small machine
            clients.append(make.remote())
            ray.get(clients[-1].reads.remote(0.01))
        paced = measured_checks(clients, options.seconds, CHECKS_PER_S)
        free = measured_checks(clients, options.seconds, 0.0)
        for client in clients:
            ray.kill(client)
        kills = [killed(trace) for _ in range(options.kills)]
        problem = told_problem() if kills else ""
    result = {
        "reads": {"rounds": reads, "worst_reads_per_s": min(one["reads_per_s"] for one in reads), "target_reads_per_s": READS_PER_S},
        "checks": {
            "clients": options.clients,
            "paced": paced,
            "free": free,
            "target_checks_per_s": CHECKS_PER_S,
            "target_p99_ms": CHECK_P99_S * 1000,
        },
        "restart": {
            "rounds": kills,
            "worst_back_s": max((one["back_s"] for one in kills), default=None),
            "target_back_s": BACK_S,
            "problem_told": problem.replace(folder, "."),
        },
        "zones": len(zones),
        "load_average": os.getloadavg()[0],
    }
    print(f"cached reads: {result['reads']['worst_reads_per_s']:,.0f}/s (target {READS_PER_S:,.0f})")
    for name, one in (("paced", paced), ("free", free)):
        print(f"version checks, {options.clients} clients, {name}: {one['checks_per_s']:,.0f}/s, p99 {one['p99_ms']:.1f} ms")
    shown = [f"{one['back_s']:.2f} s" for one in kills]
    print(f"back after kill -9: {', '.join(shown)} (target {BACK_S:g} s)")
    print(f"load average of the machine: {result['load_average']:.1f} on {os.cpu_count()} cores")
    if options.json:
        notes = "a real Ray head of local processes; the trace was made of the embedded profile"
        record.write(options.json, {"benchmark": "forecast_actor", "results": result, "real": notes})


if __name__ == "__main__":
    main()
