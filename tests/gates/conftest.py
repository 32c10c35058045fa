"""Where the gates find their data and the replications."""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("CARBON_RAY_DATA", ROOT / ".." / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The reference data; skips where they are absent."""
    if not (DATA / "golden").is_dir():
        pytest.skip(f"the published results are not at {DATA}; set CARBON_RAY_DATA")
    return DATA


@pytest.fixture(scope="session")
def table(data: Path) -> Callable[[str], list[dict[str, str]]]:
    """Rows of a CSV file below the data, packed or not."""

    def read(name: str) -> list[dict[str, str]]:
        with gzip.open(data / name, "rt") if name.endswith(".gz") else (data / name).open() as file:
            return list(csv.DictReader(file))

    return read


@pytest.fixture(scope="session")
def golden(data: Path) -> Callable[[str], Any]:
    """A JSON file of published results."""
    return lambda name: json.loads((data / "golden" / name).read_text())
