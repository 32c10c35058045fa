"""The cluster YAML of a local cluster as data; `cluster_configs/local.yaml` is this with its defaults, and comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from carbon_ray.core.region import REGION_LABEL, Market, NodeType, PowerModel, Region

DEFAULT_NAME = "carbon-ray-local"
DEFAULT_BASE_PORT = 26400
"""Outside Ray's own defaults and below the ephemeral ports of Linux (32768) and macOS (49152)."""
DEFAULT_IDLE_TIMEOUT_S = 30.0
HEAD_TYPE = "head"
CONTROL_REGION = "control"
"""Region label of the head: it runs no training and is in no grid zone."""
OBJECT_STORE_BYTES = 150_000_000
"""Per node; small, because all nodes share one machine's /dev/shm."""


DEFAULT_HEAD_COMMANDS = ("python -m carbon_ray.actors.start ~/ray_bootstrap_config.yaml",)
"""Starts the forecast actor and the controller; the bootstrap file is the cluster YAML as `ray up` leaves it on the head."""


def _a100_region(name: str, zone: str, usd_per_h: float) -> Region:
    power = PowerModel(tdp_w=2000.0, idle_fraction=0.2, source="4 x NVIDIA A100 400 W TDP + 400 W host, declared")
    node_type = NodeType(name=f"gpu-{name}", resources={"CPU": 2, "GPU": 4}, max_nodes=2, usd_per_h=usd_per_h, power=power)
    return Region(name=name, zone=zone, pue=1.15, node_types=(node_type,))


DEFAULT_REGIONS = (
    _a100_region("us-west", "US-CAL-CISO", 14.69),
    _a100_region("eu-central", "DE", 15.95),
    _a100_region("eu-south", "ES", 15.25),
)
"""Three regions with nodes of four declared A100; cluster_configs/local.yaml says where the numbers come from."""


def _carbon_section(regions: Sequence[Region]) -> dict[str, Any]:
    return {
        "grid": {"provider": "embedded", "seed": 0, "kind": "average_lifecycle"},
        "forecaster": "ewma",
        "regions": {region.name: {"zone": region.zone, "pue": region.pue} for region in regions},
        "node_types": {
            node_type.name: {
                "usd_per_h": node_type.usd_per_h,
                "tdp_w": node_type.power.tdp_w,
                "idle_fraction": node_type.power.idle_fraction,
                "power_source": node_type.power.source,
                **_terms(node_type),
            }
            for region in regions
            for node_type in region.node_types
        },
    }


def _terms(node_type: NodeType) -> dict[str, Any]:
    """On what terms its nodes are had, where that is not the default."""
    given = {
        "market": str(node_type.market) if node_type.market is not Market.ON_DEMAND else None,
        "interruptions_per_h": node_type.interruptions_per_h,
        "startup_s": node_type.startup_s,
    }
    return {name: value for name, value in given.items() if value}


def _ray_node_types(regions: Sequence[Region]) -> dict[str, Any]:
    return {
        HEAD_TYPE: {"resources": {"CPU": 2}, "labels": {REGION_LABEL: CONTROL_REGION}, "node_config": {}, "max_workers": 0},
        **{
            node_type.name: {
                "resources": {name: int(amount) for name, amount in node_type.resources.items()},  # Ray's schema wants integers
                "labels": {REGION_LABEL: region.name},
                "node_config": {},
                "min_workers": 0,
                "max_workers": node_type.max_nodes,
            }
            for region in regions
            for node_type in region.node_types
        },
    }


_COMMON_FLAGS = (
    f"--min-worker-port=0 --max-worker-port=0 --object-store-memory={OBJECT_STORE_BYTES} --disable-usage-stats --log-style=record"
)
_HEAD_START = (
    "AUTOSCALER_UPDATE_INTERVAL_S=1 ray start --head --node-ip-address=127.0.0.1 --port=$CARBON_RAY_GCS_PORT "
    "--temp-dir=$CARBON_RAY_NODE_TEMP --dashboard-host=127.0.0.1 --dashboard-port=$CARBON_RAY_DASHBOARD_PORT "
    "--dashboard-agent-listen-port=$CARBON_RAY_DASHBOARD_AGENT_PORT --metrics-export-port=$CARBON_RAY_METRICS_PORT "
    f"--autoscaling-config=~/ray_bootstrap_config.yaml {_COMMON_FLAGS}"
)
_WORKER_START = f"ray start --address=$RAY_ADDRESS --dashboard-agent-listen-port=0 --include-log-monitor=false {_COMMON_FLAGS}"


def local_cluster_config(
    *,
    name: str = DEFAULT_NAME,
    base_port: int = DEFAULT_BASE_PORT,
    state_dir: Path | None = None,
    regions: Sequence[Region] = DEFAULT_REGIONS,
    idle_timeout_s: float = DEFAULT_IDLE_TIMEOUT_S,
    head_commands: Sequence[str] = DEFAULT_HEAD_COMMANDS,
    carbon: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole cluster YAML of a local cluster.

    Args:
        name: Cluster name; one cluster of a name can run per user and state directory.
        base_port: First of six consecutive free ports (`carbon_ray.cluster.local_paths.LocalPorts`).
        state_dir: Where local clusters keep their files, 26 bytes at most; None for a directory in the system's temporary one.
        regions: Regions and their node types.
        idle_timeout_s: Ray removes a node that was idle for so long.
        head_commands: Shell commands run on the head after Ray has started.
        carbon: Entries of `provider.carbon` that replace the defaults (`grid`, `forecaster`, ...).
    """
    provider: dict[str, Any] = {"type": "external", "module": "carbon_ray.cluster.LocalProvider", "base_port": base_port}
    if state_dir is not None:
        provider["state_dir"] = str(state_dir)
    provider["carbon"] = {**_carbon_section(regions), **(carbon or {})}
    return {
        "cluster_name": name,
        "max_workers": sum(node_type.max_nodes for region in regions for node_type in region.node_types),
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": idle_timeout_s / 60,
        "provider": provider,
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_node_type": HEAD_TYPE,
        "available_node_types": _ray_node_types(regions),
        "head_start_ray_commands": ["ray stop", _HEAD_START, *head_commands],
        "worker_start_ray_commands": ["ray stop", _WORKER_START],
    }
