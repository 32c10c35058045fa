"""A forecast actor on a real local Ray of one node, for as long as a test module asks it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray

from carbon_ray.actors.forecast_client import ForecastClient
from carbon_ray.actors.handles import start_forecasts
from carbon_ray.cluster.local_cluster import LocalCluster
from carbon_ray.cluster.local_config import DEFAULT_REGIONS
from carbon_ray.config.cluster_yaml import parse_cluster_config
from carbon_ray.core.region import REGION_LABEL


@contextmanager
def forecast_actor(name: str, state_dir: Path, check_every_s: float, **carbon: Any) -> Iterator[ForecastClient]:
    """A client of an actor that was started for it.

    Args:
        name: Of the cluster.
        state_dir: Of the actor.
        check_every_s: Of the client.
        carbon: Further fields of `provider.carbon`.
    """
    config = parse_cluster_config(
        {
            "cluster_name": name,
            "provider": {"carbon": {"node_types": {"gpu": {"tdp_w": 1.0}}, "state_dir": str(state_dir), **carbon}},
            "available_node_types": {"gpu": {"labels": {REGION_LABEL: "east"}}},
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with LocalCluster(regions=DEFAULT_REGIONS[:1], head_commands=()) as cluster:
            try:
                ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
                start_forecasts(config)
                yield ForecastClient(check_every_s=check_every_s)
            finally:
                ray.shutdown()
