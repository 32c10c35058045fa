"""What `carbon-ray doctor` looks at on a running cluster."""

from __future__ import annotations

from collections.abc import Callable

from carbon_ray.cli.checks import Check, Verdict, run
from carbon_ray.cli.connection import HostPort, connected, head_address, parse_host_port, within
from carbon_ray.core.clock import wall_now
from carbon_ray.core.errors import CarbonRayError

_RETRY_S = 3.0
_ANSWER_S = 10.0

HEAD = "Head"
ON_CLUSTER = (
    "Controller",
    "Forecast actor",
    "Forecast age",
    "Grid sources",
    "Capacity plan",
    "Autoscaler hook",
    "Dashboard",
    "Ledger",
    "Clock",
)
_START_ACTORS = "add `python -m carbon_ray.actors.start ~/ray_bootstrap_config.yaml` to head_start_ray_commands, as its last command"


def cluster_checks(given: str | None) -> list[Check]:
    """Everything about one cluster. Without one they are skipped; that is a failure only where a cluster was named."""
    address, is_asked = head_address(given)
    try:
        with connected(given) as dashboard:
            head = Check(name=HEAD, verdict=Verdict.OK, found=f"answers at {address}")
            return [head, *_on_cluster(dashboard)]
    except CarbonRayError as error:
        why = Check(name=HEAD, verdict=Verdict.FAIL, found=str(error), advice="start the cluster, or name its address with --address")
        skipped = f"no cluster at {address}"
        head = why if is_asked else Check(name=HEAD, verdict=Verdict.SKIPPED, found=skipped)
        return [head, *(Check(name=name, verdict=Verdict.SKIPPED, found=skipped) for name in ON_CLUSTER)]


def _on_cluster(dashboard: str) -> list[Check]:
    looks: dict[str, tuple[str, Callable[[], Check | str]]] = {
        "Controller": (_START_ACTORS, _controller),
        "Forecast actor": (_START_ACTORS, _forecast_actor),
        "Forecast age": ("read the log of the actor `forecasts` (`ray logs actor`): its data source fails", _forecast_age),
        "Grid sources": (_START_ACTORS, _sources),
        "Capacity plan": ("read the log of the actor `controller` (`ray logs actor`): its rounds fail", _plan),
        "Autoscaler hook": ("read monitor.log on the head, and see that provider.module of the cluster YAML is carbon_ray's", _hook),
        "Dashboard": ("start the head without --include-dashboard=false", lambda: _dashboard(dashboard)),
        "Ledger": ("see that the controller can write to its state_dir", _ledger),
        "Clock": (_START_ACTORS, _clock),
    }
    return [run(name, *looks[name]) for name in ON_CLUSTER]


def _controller() -> str:
    from carbon_ray.actors.handles import ControllerClient

    rounds = within(_ANSWER_S, "the controller", ControllerClient(_RETRY_S).rounds)
    return f"answers, {rounds:,} rounds done"


def _forecast_actor() -> str:
    from carbon_ray.actors.handles import ForecastClient

    snapshot = within(_ANSWER_S, "the forecast actor", ForecastClient(_RETRY_S).snapshot)
    return f"answers, version {snapshot.version} for {', '.join(snapshot.forecasts)}"


def _forecast_age() -> str:
    from carbon_ray.actors.handles import ControllerClient, ForecastClient

    controller = ControllerClient(_RETRY_S)
    config = within(_ANSWER_S, "the controller", controller.config)
    snapshot = within(_ANSWER_S, "the forecast actor", ForecastClient(_RETRY_S).snapshot)
    now, limit_s = controller.clock().now(), config.carbon.controller.max_forecast_age_s
    snapshot.require_fresh(now, limit_s)
    return f"{max(0.0, (now - snapshot.issued_at).total_seconds()) / 60:.0f} min of the {limit_s / 60:.0f} min allowed"


def _sources() -> Check:
    from carbon_ray.actors.handles import ForecastClient
    from carbon_ray.cli.source_checks import judged

    return judged(within(_ANSWER_S, "the forecast actor", ForecastClient(_RETRY_S).health))


def _plan() -> Check | str:
    from carbon_ray.cluster.plan_store import read_plan

    plan = read_plan()
    if plan is None:
        return Check(name="Capacity plan", verdict=Verdict.FAIL, found="none is published", advice=_START_ACTORS)
    if not plan.is_valid(wall_now()):
        advice = "read the log of the actor `controller` (`ray logs actor`): its rounds fail, and Ray scales as stock"
        return Check(name="Capacity plan", verdict=Verdict.FAIL, found=f"version {plan.version} has lapsed", advice=advice)
    return f"version {plan.version} is in force"


def _hook() -> Check | str:
    from carbon_ray.cluster.scheduler_log import read_scheduler_log

    actions = read_scheduler_log()
    if not actions:
        found = "nothing was launched or ended yet, so it was not seen at work"
        return Check(name="Autoscaler hook", verdict=Verdict.WARN, found=found, advice="submit a workload and look again")
    newest = actions[-1]
    words = f"newest action: {newest.kind} of {newest.node_type} at {newest.at:%H:%M:%SZ}"
    if newest.plan_version is None:
        advice = "normal just after a start; else see the capacity plan above"
        return Check(name="Autoscaler hook", verdict=Verdict.WARN, found=f"{words}, without a plan", advice=advice)
    return f"{words}, under plan {newest.plan_version}"


def _dashboard(address: str) -> Check | str:
    place: HostPort | None = parse_host_port(address) if address else None
    if place is None or not place.listens():
        found = "is off" if place is None else f"does not answer at {place}"
        advice = "start the head with its dashboard: the Jobs API and Ray Tune over Ray Train need it"
        return Check(name="Dashboard", verdict=Verdict.WARN, found=found, advice=advice)
    return f"answers at http://{place}"


def _ledger() -> str:
    from carbon_ray.actors.handles import ControllerClient
    from carbon_ray.books.ledger import Ledger

    controller = ControllerClient(_RETRY_S)
    path = within(_ANSWER_S, "the controller", controller.ledger_path)
    if not path.exists():  # this is not the head
        return f"{len(within(_ANSWER_S, 'the controller', controller.views)):,} workloads, read by the controller"
    with Ledger(path, create=False) as ledger:
        return f"{len(ledger.workloads()):,} workloads in {path}"


def _clock() -> str:
    from carbon_ray.actors.handles import ControllerClient
    from carbon_ray.cli.cluster_status import clock_words

    controller = ControllerClient(_RETRY_S)
    config = within(_ANSWER_S, "the controller", controller.config)
    return f"{clock_words(config)}; now {controller.clock().now():%Y-%m-%dT%H:%MZ}"
