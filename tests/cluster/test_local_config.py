from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from carbon_ray.cluster import LocalProvider
from carbon_ray.cluster.local_cluster import free_base_port
from carbon_ray.cluster.local_config import DEFAULT_REGIONS, local_cluster_config
from carbon_ray.cluster.local_paths import PORT_COUNT
from carbon_ray.config.cluster_yaml import parse_cluster_config
from carbon_ray.core.region import REGION_LABEL, Market, Region

LOCAL_YAML = Path(__file__).parents[2] / "cluster_configs" / "local.yaml"


def committed() -> dict:
    return yaml.safe_load(LOCAL_YAML.read_text())


def test_committed_yaml_is_the_default_configuration() -> None:
    assert committed() == local_cluster_config()


def test_ray_accepts_the_committed_yaml() -> None:
    validate_config(prepare_config(committed()))


def test_ray_refuses_an_unknown_key_beside_it() -> None:
    with pytest.raises(Exception, match="carbon"):
        validate_config(prepare_config({**committed(), "carbon": {}}))


def test_the_provider_is_found_by_the_name_in_the_yaml() -> None:
    module, _, name = committed()["provider"]["module"].rpartition(".")
    assert (module, name) == ("carbon_ray.cluster", LocalProvider.__name__)


def test_the_terms_of_a_region_come_through() -> None:
    (sure,) = DEFAULT_REGIONS[0].node_types
    spot = replace(sure, name="spot", market=Market.SPOT, interruptions_per_h=0.05, startup_s=60.0)
    regions = (replace(DEFAULT_REGIONS[0], node_types=(sure, spot)),)
    assert parse_cluster_config(local_cluster_config(regions=regions)).regions == {regions[0].name: regions[0]}


def test_head_commands_run_after_ray_has_started() -> None:
    commands = local_cluster_config(head_commands=("one", "two"))["head_start_ray_commands"]
    assert commands[-2:] == ["one", "two"]
    assert "ray start --head" in commands[-3]


def test_carbon_entries_replace_the_defaults() -> None:
    carbon = local_cluster_config(carbon={"forecaster": "lightgbm", "extra": 1})["provider"]["carbon"]
    assert carbon["forecaster"] == "lightgbm"
    assert carbon["extra"] == 1
    assert set(carbon["regions"]) == {region.name for region in DEFAULT_REGIONS}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_region_has_a_labelled_type_with_prices(count: int) -> None:
    regions: tuple[Region, ...] = DEFAULT_REGIONS[:count]
    config = local_cluster_config(regions=regions, idle_timeout_s=90)
    workers = {name: node_type for name, node_type in config["available_node_types"].items() if name != config["head_node_type"]}
    assert {node_type["labels"][REGION_LABEL] for node_type in workers.values()} == {region.name for region in regions}
    assert set(config["provider"]["carbon"]["node_types"]) == set(workers)
    assert config["max_workers"] == 2 * count
    assert config["idle_timeout_minutes"] == 1.5
    validate_config(prepare_config(config))


def test_state_dir_is_computed_unless_given(tmp_path: Path) -> None:
    assert "state_dir" not in local_cluster_config()["provider"]
    assert local_cluster_config(state_dir=tmp_path)["provider"]["state_dir"] == str(tmp_path)


def test_free_ports_can_be_bound() -> None:
    import socket

    base = free_base_port()
    for offset in range(PORT_COUNT):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", base + offset))
