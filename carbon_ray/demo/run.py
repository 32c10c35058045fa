"""`carbon-ray demo`: a real local cluster, a real job through the Jobs API, a replayed day, and the report. Nothing is left running."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from carbon_ray.core.errors import ClusterError
from carbon_ray.demo.options import DemoOptions
from carbon_ray.demo.scenario import Scenario
from carbon_ray.reports.run_report import RunReport

WORKLOAD = "demo"

_SETTLE_S = 60.0
"""Wall seconds to wait for the last replayed hour to end, so that its true intensity is known; an hour takes 8 s."""


def run_demo(options: DemoOptions) -> RunReport:
    """Run the demonstration and write its report.

    Raises:
        ConfigError: An option is wrong; nothing was started.
        ClusterStartError: The local cluster did not come up.
        ClusterError: The job failed; the end of its log is in the message.
    """
    scenario = Scenario.of(traces=options.traces, zones=options.zones, start_at=options.start_at)
    console = Console(stderr=options.json)
    with _terminated_as_interrupted():
        return _run(scenario, options, console)


def _run(scenario: Scenario, options: DemoOptions, console: Console) -> RunReport:
    from carbon_ray.cluster.local_cluster import LocalCluster
    from carbon_ray.demo.watch import Watch
    from carbon_ray.reports.html import write_html
    from carbon_ray.reports.run_report import write_json
    from carbon_ray.reports.table import comparison_table

    regions = scenario.regions()
    names = ", ".join(f"{region.name} ({region.zone})" for region in regions)
    console.print(f"Starting a local Ray cluster with `ray up`: one head, and regions {names}; no node yet.")
    cluster = LocalCluster(regions=regions, carbon=scenario.carbon_section())
    with cluster:
        console.print(f"Cluster is up; dashboard at {cluster.dashboard_url}. Submitting a LightGBM training through the Jobs API.")
        job = _Job(cluster.dashboard_url, scenario, cluster.paths.root)
        with Watch(cluster.address, scenario, console) as watch:
            watch.follow(job)
            if not job.has_succeeded():
                raise ClusterError(f"the training job {job.state}; the end of its log:\n{job.log_tail()}")
            console.print("Training is done. Waiting for the last replayed hour to end, to price it at what came true.")
            report, intensity = watch.report(job.proof(), _SETTLE_S)
    options.out.mkdir(parents=True, exist_ok=True)
    write_html(report, intensity, options.out / "index.html")
    write_json(report, options.out / "report.json")
    console.print(comparison_table(report))
    console.print(f"Report: {options.out / 'index.html'} and {options.out / 'report.json'}")
    return report


class _Job:
    """The training job of the demonstration."""

    def __init__(self, dashboard_url: str, scenario: Scenario, directory: Path) -> None:
        from ray.job_submission import JobSubmissionClient

        self._proof = directory / "proof.json"
        command = scenario.training_command(sys.executable, WORKLOAD, directory / "runs", self._proof)
        self._client = JobSubmissionClient(dashboard_url)
        self._id = self._client.submit_job(entrypoint=shlex.join(command))

    @property
    def state(self) -> str:
        """As the Jobs API says."""
        return str(self._client.get_job_status(self._id))

    def is_done(self) -> bool:
        """True once it has ended."""
        return bool(self._client.get_job_status(self._id).is_terminal())

    def has_succeeded(self) -> bool:
        """True if it ended well."""
        return self.state == "SUCCEEDED"

    def log_tail(self) -> str:
        """The end of its output."""
        return "\n".join(self._client.get_job_logs(self._id).splitlines()[-15:])

    def proof(self) -> dict[str, object]:
        """What the job found when it compared itself with an uninterrupted training."""
        import json

        proof: dict[str, object] = json.loads(self._proof.read_text())
        return proof


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demonstration as Ctrl-C does: in order, with nothing left running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # Ray's coming default; unset, every driver warns about it
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
