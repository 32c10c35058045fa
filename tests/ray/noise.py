"""Marks of tests that start Ray: what Ray itself warns of is not theirs to fail on."""

from __future__ import annotations

import pytest

REAL_RAY = (
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets and log files to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # the same, when they are collected
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),  # Ray announces a change of a default that nothing here uses
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),  # Ray's own
)
REAL_TUNE = (*REAL_RAY, pytest.mark.filterwarnings("ignore::UserWarning:ray"))
"""Also of those that run sweeps."""
