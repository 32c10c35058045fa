"""`python -m carbon_ray.actors.start CLUSTER_YAML`: start the actors on the head node, as the last of its start commands."""

from __future__ import annotations

import argparse
import os
import sys

import ray

from carbon_ray.actors.handles import NAMESPACE, start_actors
from carbon_ray.config.cluster_yaml import load_cluster_config
from carbon_ray.core.errors import CarbonRayError


def main(arguments: list[str] | None = None) -> int:
    """Start the actors and return the exit code."""
    parser = argparse.ArgumentParser(description="Start carbon_ray's actors on this head node.")
    parser.add_argument("config", help="cluster YAML with a provider.carbon section")
    parser.add_argument("--address", default=os.environ.get("RAY_ADDRESS", "auto"), help="GCS address, host:port")
    options = parser.parse_args(arguments)
    try:
        config = load_cluster_config(os.path.expanduser(options.config))
    except CarbonRayError as error:
        print(f"carbon_ray: {error}", file=sys.stderr)
        return 2
    ray.init(address=options.address, namespace=NAMESPACE, log_to_driver=False)
    start_actors(config)
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
