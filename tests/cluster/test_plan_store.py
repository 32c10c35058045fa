from datetime import UTC, datetime, timedelta

import pytest

from carbon_ray.cluster import kv, plan_store
from carbon_ray.cluster.once import OncePerCause
from carbon_ray.core.capacity import CapacityPlan, TypePlan
from carbon_ray.core.codec import dumps
from carbon_ray.core.errors import ClusterError

NOW = datetime(2022, 5, 2, 12, tzinfo=UTC)
PLAN = CapacityPlan(
    version=3,
    issued_at=NOW,
    valid_until=NOW + timedelta(seconds=30),
    types={"gpu": TypePlan(min_nodes=1, max_nodes=2, priority=4, drain=("ab",), reason="sun")},
)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    values: dict[str, str] = {}
    monkeypatch.setattr(kv, "put", values.__setitem__)
    monkeypatch.setattr(kv, "get", values.get)
    return values


def test_a_published_plan_is_read_back(store: dict[str, str]) -> None:
    assert plan_store.read_plan() is None
    plan_store.publish_plan(PLAN)
    assert plan_store.read_plan() == PLAN


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        '"plan"',
        dumps(PLAN).replace('"version":3', '"version":"3"'),
        dumps(PLAN).replace('"min_nodes":1', '"min_nodes":9'),
    ],
)
def test_a_malformed_plan_is_none_and_logged_once(text: str, caplog: pytest.LogCaptureFixture) -> None:
    plan_store._once.clear()
    assert [plan_store.parse_plan(text) for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1


def test_an_unreadable_plan_is_none_and_logged_once_until_it_is_back(
    store: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(key: str) -> str:
        raise ClusterError("the head is gone")

    plan_store._once.clear()
    read = kv.get
    for getter, logged in ((fail, 1), (fail, 1), (read, 1), (fail, 2)):
        monkeypatch.setattr(kv, "get", getter)
        assert plan_store.read_plan() is None
        assert len(caplog.records) == logged


def test_the_store_needs_a_cluster() -> None:
    with pytest.raises(ClusterError, match=r"ray\.init"):
        kv.get("anything")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["/x/ray/autoscaler/v2/monitor.py", "--logs-dir=/l", "--gcs-address=127.0.0.1:1"], "127.0.0.1:1"),
        (["monitor.py", "--gcs-address", "h:2"], "h:2"),
        (["monitor.py"], None),
        (["train.py", "--gcs-address=h:2"], None),
        ([], None),
    ],
)
def test_only_the_monitor_takes_the_address_of_its_command_line(argv: list[str], expected: str | None) -> None:
    assert kv.monitor_gcs_address(argv) == expected


def test_a_cause_is_logged_again_after_it_was_cleared() -> None:
    import logging

    once = OncePerCause(logging.getLogger("test"))
    assert [once.warn("a", "x"), once.warn("a", "x"), once.warn("b", "x")] == [True, False, True]
    once.clear("a")
    assert [once.warn("a", "x"), once.warn("b", "x")] == [True, False]
