"""What every result carries: when, on what, with which versions."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from carbon_ray.core.clock import wall_now

PACKAGES = ("carbon-ray", "ray", "numpy", "lightgbm", "pyarrow", "scikit-learn")


def environment() -> dict[str, Any]:
    """Machine and versions."""
    return {
        "measured_at": wall_now().isoformat(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def write(path: Path, result: dict[str, Any]) -> None:
    """Write a result as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**result, "environment": environment()}, indent=1, sort_keys=True) + "\n")
