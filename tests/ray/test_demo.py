"""The demonstration as a newcomer runs it: its report is complete and adds up, and Ctrl-C at any moment leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from carbon_ray.books.records import NodeEventKind

pytestmark = pytest.mark.ray

DEMO = [sys.executable, "-c", "from carbon_ray.cli.main import run; run()", "demo"]


def children_left(marker: str) -> list[str]:
    """Processes that carry the marker in their environment: everything that the demonstration started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("CARBON_RAY_TEST_MARK") == marker:
                found.append(" ".join(process.cmdline())[:120])
        except (psutil.AccessDenied, psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def environment(marker: str) -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"CARBON_RAY_TEST_MARK": marker}


def test_the_report_is_complete_and_adds_up(tmp_path: Path) -> None:
    out = tmp_path / "report"
    run = subprocess.run(
        [*DEMO, "--out", str(out)], env=environment(str(tmp_path)), capture_output=True, text=True, timeout=420, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert children_left(str(tmp_path)) == []
    report: dict[str, Any] = json.loads((out / "report.json").read_text())
    assert report["bit_equal"] is True
    assert report["deadline_met"] is True
    assert report["lost_steps"] == 0
    assert 0 < report["saving_fraction"] < 1
    assert 0.5 < report["captured_fraction"] < 1.1
    assert report["suspended_h"] > 0
    assert report["moves"] >= 1
    assert report["forecaster"] == "ewma"
    assert any("embedded" in line for line in report["provenance"])
    for key in ("energy_kwh", "gco2", "usd"):
        assert sum(segment[key] for segment in report["segments"]) == pytest.approx(report["totals"][key], rel=1e-9)
    saving = 1 - report["totals"]["gco2"] / report["counterfactual"]["gco2"]
    assert report["saving_fraction"] == pytest.approx(saving, rel=1e-9)
    assert report["captured_fraction"] == pytest.approx(saving / report["clairvoyant"]["saving_fraction"], rel=1e-9)
    ran_in = {segment["region"] for segment in report["segments"]}
    for kind in (NodeEventKind.ADDED, NodeEventKind.REMOVED):
        events = [event for event in report["node_events"] if event["kind"] == kind.value]
        assert ran_in <= {event["region"] for event in events}, f"Ray's autoscaler had nodes {kind.value} where the job ran"
        assert all(event["reason"] for event in events)
    page = (out / "index.html").read_text()
    assert "<svg" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize("after_s", [6.0, 45.0], ids=["while the cluster starts", "while the job runs"])
def test_ctrl_c_leaves_nothing_running(tmp_path: Path, after_s: float) -> None:
    demo = subprocess.Popen(
        [*DEMO, "--out", str(tmp_path / "report")],
        env=environment(str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(after_s)
    assert demo.poll() is None, demo.stdout.read() if demo.stdout else ""
    demo.send_signal(signal.SIGINT)
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 130, output
    assert "Traceback" not in output
    assert children_left(str(tmp_path)) == []
    assert not (tmp_path / "report").exists()
