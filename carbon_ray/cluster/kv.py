"""The only file that touches the key-value store of Ray's GCS: small texts that every process of one cluster can read.

Works in drivers, in actors and in the autoscaler's monitor process. Ray's v2 monitor does not open the store by itself, so
it is opened here from the address on that process's command line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ray._raylet import GcsClient
from ray.exceptions import RayError
from ray.experimental import internal_kv

from carbon_ray.core.errors import ClusterError

NAMESPACE = b"carbon_ray"
"""Namespace of all keys; keeps them apart from Ray's own."""

T = TypeVar("T")


def monitor_gcs_address(argv: Sequence[str]) -> str | None:
    """The GCS address on the command line of Ray's autoscaler monitor; None in any other process."""
    if not argv or Path(argv[0]).name != "monitor.py":
        return None
    for index, argument in enumerate(argv):
        if argument.startswith("--gcs-address="):
            return argument.partition("=")[2]
        if argument == "--gcs-address" and index + 1 < len(argv):
            return argv[index + 1]
    return None


def _open() -> None:
    if internal_kv._internal_kv_initialized():
        return
    address = monitor_gcs_address(sys.argv)
    if address is None:
        raise ClusterError("this process is not connected to a Ray cluster; call ray.init(address=...) first")
    internal_kv._initialize_internal_kv(GcsClient(address=address))


def _call(what: str, call: Callable[[], T]) -> T:
    _open()
    try:
        return call()
    except RayError as error:
        raise ClusterError(f"cannot {what} in the cluster's key-value store; is its head alive? ({error})") from error


def gcs_client() -> GcsClient:
    """This process's client of the GCS.

    Raises:
        ClusterError: The process is not connected to a cluster, or only through Ray Client (`ray://`).
    """
    _open()
    client = internal_kv.internal_kv_get_gcs_client()
    if client is None:
        raise ClusterError("this needs a direct connection; use ray.init(address='<host>:<port>'), not ray://")
    return client


def put(key: str, value: str) -> None:
    """Store a text, over a former one if there is any.

    Raises:
        ClusterError: The process is not connected, or the store does not answer.
    """
    _call(f"store {key!r}", lambda: internal_kv._internal_kv_put(key, value, overwrite=True, namespace=NAMESPACE))


def get(key: str) -> str | None:
    """The text under `key`; None if there is none.

    Raises:
        ClusterError: The process is not connected, or the store does not answer.
    """
    data = _call(f"read {key!r}", lambda: internal_kv._internal_kv_get(key, namespace=NAMESPACE))
    return None if data is None else data.decode(errors="replace")


def put_if_absent(key: str, value: str) -> bool:
    """Store a text unless there is one already; True if it was stored. Atomic among all processes of the cluster.

    Raises:
        ClusterError: The process is not connected, or the store does not answer.
    """
    # Ray's function answers whether the key was there before.
    was_there = _call(f"store {key!r}", lambda: internal_kv._internal_kv_put(key, value, overwrite=False, namespace=NAMESPACE))
    return not was_there


def delete(key: str) -> None:
    """Remove a key; no error if it is not there.

    Raises:
        ClusterError: The process is not connected, or the store does not answer.
    """
    _call(f"delete {key!r}", lambda: internal_kv._internal_kv_del(key, namespace=NAMESPACE))
