"""Reading a cluster YAML: the one place where the carbon section and Ray's own node types become core's regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from carbon_ray.config.settings import CarbonConfig
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.region import REGION_LABEL, NodeType, PowerModel, Region


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """A cluster as carbon_ray sees it.

    Attributes:
        name: Cluster name.
        carbon: The validated carbon section.
        regions: Regions with their node types, by name.
    """

    name: str
    carbon: CarbonConfig
    regions: Mapping[str, Region]

    @property
    def state_dir(self) -> Path:
        """Where ledger and forecast state live."""
        return self.carbon.state_dir or Path.home() / ".carbon_ray" / self.name


def load_cluster_config(path: str | Path) -> ClusterConfig:
    """Read a cluster YAML.

    Raises:
        ConfigError: The file cannot be read or is wrong; says where and what to write.
    """
    try:
        data = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"cannot read the cluster configuration {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from None
    return parse_cluster_config(data, str(path))


def parse_cluster_config(data: Any, origin: str = "cluster configuration") -> ClusterConfig:
    """The carbon view of an already loaded cluster YAML.

    Raises:
        ConfigError: As `load_cluster_config`.
    """
    if not isinstance(data, Mapping) or not isinstance(data.get("provider"), Mapping):
        raise ConfigError(f"{origin}: a mapping with a `provider` section is needed")
    section = data["provider"].get("carbon")
    if section is None:
        raise ConfigError(f"{origin}: `provider.carbon` is missing; see cluster_configs/local.yaml for an example")
    try:
        carbon = CarbonConfig.model_validate(section)
    except ValidationError as error:
        problems = "; ".join(f"provider.carbon.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"{origin}: {problems}") from None
    return ClusterConfig(name=str(data.get("cluster_name", "default")), carbon=carbon, regions=_regions(data, carbon, origin))


def _regions(data: Mapping[str, Any], carbon: CarbonConfig, origin: str) -> dict[str, Region]:
    available = data.get("available_node_types") or {}
    found: dict[str, list[NodeType]] = {name: [] for name in carbon.regions}
    for name, settings in carbon.node_types.items():
        if name not in available:
            raise ConfigError(f"{origin}: provider.carbon.node_types.{name} is not in available_node_types ({', '.join(available)})")
        ray_type = available[name]
        region = (ray_type.get("labels") or {}).get(REGION_LABEL)
        if region not in found:
            raise ConfigError(
                f"{origin}: available_node_types.{name}.labels.{REGION_LABEL} is {region!r}, which is not in provider.carbon.regions "
                f"({', '.join(found)})"
            )
        power = PowerModel(tdp_w=settings.tdp_w, idle_fraction=settings.idle_fraction, source=settings.power_source)
        found[region].append(
            NodeType(
                name=name,
                resources={key: float(amount) for key, amount in (ray_type.get("resources") or {}).items()},
                max_nodes=int(ray_type.get("max_workers", data.get("max_workers", 0))),
                usd_per_h=settings.usd_per_h,
                power=power,
                market=settings.market,
                interruptions_per_h=settings.interruptions_per_h,
                startup_s=settings.startup_s,
            )
        )
    return {
        name: Region(name=name, zone=settings.grid_zone, pue=settings.site_pue, node_types=tuple(found[name]))
        for name, settings in carbon.regions.items()
    }
