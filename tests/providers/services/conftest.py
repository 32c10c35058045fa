"""Keys for the services' tests: planted ones, in the environment alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.providers.services.samples import KEYS


@pytest.fixture(autouse=True)
def _planted_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("CARBON_RAY_KEY_FILE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
