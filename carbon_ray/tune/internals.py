"""The one place that touches what Ray Tune 2.60 does not offer. Pinned by a contract test; where it fails, the sweep runs on as stock.

Some things are needed that no public interface gives: closing the door by which Tune starts PENDING trials without asking the
scheduler, taking back the request of a trial that was about to start, letting cached actors go while nothing may run, a callback
that runs before the loggers without the user adding it, and whether the cluster has a dashboard.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback, PlacementGroupFactory
from ray.tune.experiment import Trial

from carbon_ray.cluster.once import OncePerCause
from carbon_ray.core.region import REGION_LABEL

log = logging.getLogger(__name__)

CLOSED = -1
"""Below the number of pending actors, whatever it is; 0 would mean Tune's default."""

HOOKED = (
    "on_step_end",
    "on_trial_start",
    "on_trial_result",
    "on_trial_complete",
    "on_trial_error",
    "on_trial_recover",
    "on_experiment_end",
)
"""Calls of Tune to its list of callbacks that ours takes part in, before all others."""


def controller_of(tune_controller: Any) -> Any:
    """Tune's controller behind the restricted interface that schedulers are handed."""
    return vars(tune_controller).get("_tune_controller", tune_controller)


class TuneInternals:
    """Tune's controller, as far as carbon_ray reaches into it.

    Args:
        tune_controller: What a scheduler is handed, or the controller itself.
    """

    def __init__(self, tune_controller: Any) -> None:
        self._controller = controller_of(tune_controller)
        self._once = OncePerCause(log)
        self._door: int | None = None
        self._is_door_set = False

    @property
    def controller(self) -> Any:
        """The controller itself."""
        return self._controller

    @property
    def reuses_actors(self) -> bool:
        """Whether `TuneConfig(reuse_actors=True)`."""
        return bool(getattr(self._controller, "_reuse_actors", False))

    @property
    def is_resumed(self) -> bool:
        """Whether this is a restored sweep; known once its trials are there."""
        return bool(getattr(self._controller, "_resumed", False))

    def directory(self) -> Path | None:
        """Where the sweep's files may be written: the experiment directory, or Tune's own copy of it where that is remote."""
        storage = getattr(self._controller, "_storage", None)
        if storage is None:
            return None
        if is_local(storage):
            return Path(storage.experiment_fs_path)
        return Path(storage.experiment_driver_staging_path)

    def fetch(self, name: str) -> None:
        """Bring a file of a remote experiment directory to where it is written from now on."""
        storage = getattr(self._controller, "_storage", None)
        directory = self.directory()
        if storage is None or directory is None or is_local(storage) or (directory / name).exists():
            return
        remote = f"{storage.experiment_fs_path}/{name}"
        try:
            with storage.storage_filesystem.open_input_stream(remote) as stream:
                content = stream.readall()
        except OSError as error:
            log.info("%s is not in the experiment directory (%s)", remote, error)
            return
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)

    def set_door(self, trials: int | None) -> None:
        """How many trials may wait for their place.

        Args:
            trials: At most so many, `CLOSED` for none: the searcher is not asked, and no PENDING trial starts by itself. None: as
                Tune sets it.
        """
        if self._is_door_set and trials == self._door:
            return
        self._attempt("close the door to PENDING trials", lambda: self._controller.update_max_pending_trials(trials))
        self._door, self._is_door_set = trials, True

    @property
    def door(self) -> int | None:
        """As it was set last."""
        return self._door

    def is_staged(self, trial: Trial) -> bool:
        """Whether a PENDING trial has asked for its place."""
        return trial in getattr(self._controller, "_staged_trials", ()) or (
            trial.status == Trial.PENDING and trial in getattr(self._controller, "_trial_to_actor", ())
        )

    def unstage(self, trial: Trial) -> bool:
        """Take back the request of a trial that waits for its place; it stays PENDING. False where that was not possible."""

        def take_back() -> bool:
            controller = self._controller
            actor = controller._trial_to_actor.get(trial)
            if actor is None or trial not in controller._staged_trials or trial.temporary_state.ray_actor is not None:
                return False
            if actor in controller._actor_manager._live_actors_to_ray_actors_resources:
                return False  # it has its place already: it starts, and is held at its first result
            controller._actor_manager.remove_actor(actor)
            del controller._trial_to_actor[trial]
            controller._actor_to_trial.pop(actor, None)
            controller._staged_trials.discard(trial)
            controller._actor_cache.decrease_max(trial.placement_group_factory)
            controller._pending_trials_list.append(trial)
            return True

        return bool(self._attempt("take back the request of a waiting trial", take_back))

    def let_cached_actors_go(self) -> None:
        """End actors that are kept for reuse, which hold resources."""
        if self.reuses_actors:
            self._attempt("end cached actors", lambda: self._controller._cleanup_cached_actors(force_all=True))

    def quiet(self) -> None:
        """Nothing runs because nothing may: no warning about a lack of resources."""
        watch = getattr(self._controller, "_insufficient_resources_manager", None)
        if watch is not None and hasattr(watch, "_no_running_trials_since"):
            watch._no_running_trials_since = -1

    def place(self, trial: Trial, region: str) -> None:
        """Ask for the trial's place in a region; only for one that does not run."""
        request = request_in(trial.placement_group_factory, region)
        by_request = getattr(self._controller, "_resources_to_pending_trials", None)
        if by_request is not None and trial.status == Trial.PENDING:
            by_request[trial.placement_group_factory].discard(trial)
            by_request[request].add(trial)
        trial.update_resources(request)

    def install(self, callback: Callback, on_save: Callable[[], None]) -> bool:
        """Let a callback take part before all others, and be told when Tune saves the state of the experiment.

        Returns:
            Whether that was possible; else the user has to add the callback.
        """

        def install() -> bool:
            callbacks = self._controller._callbacks
            if any(one is callback for one in callbacks._callbacks):
                hooked: tuple[str, ...] = ()  # the user has added it
            else:
                hooked = HOOKED
            for name in hooked:
                setattr(callbacks, name, partial(_both, getattr(callback, name), getattr(callbacks, name)))
            save = callbacks.save_to_dir

            def save_to_dir(*arguments: Any, **named: Any) -> None:
                save(*arguments, **named)
                on_save()

            callbacks.save_to_dir = save_to_dir
            return True

        return bool(self._attempt("install the callback that writes the carbon columns", install))

    def _attempt(self, purpose: str, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except (AttributeError, KeyError, TypeError) as error:
            self._once.warn(purpose, f"this version of Ray Tune does not let carbon_ray {purpose} ({error!r}); the sweep runs on without")
            return None


def _both(ours: Callable[..., None], theirs: Callable[..., None], **named: Any) -> None:
    ours(**named)
    theirs(**named)


def dashboard_url() -> str:
    """Where the cluster's dashboard is; empty where it has none, or where that cannot be said."""
    return str(getattr(getattr(ray._private, "worker", None), "get_dashboard_url", lambda: "")() or "")


def is_local(storage: Any) -> bool:
    """Whether an experiment directory is on a file system that this process can write to."""
    filesystem = getattr(storage, "storage_filesystem", None)
    return filesystem is None or getattr(filesystem, "type_name", "local") == "local"


def request_in(request: PlacementGroupFactory, region: str) -> PlacementGroupFactory:
    """The same resources on nodes of a region."""
    bundles = request.bundles
    head: list[dict[str, float]] = [{}] if request.head_bundle_is_empty else []
    selectors = [{REGION_LABEL: region} for _ in bundles]
    return PlacementGroupFactory([*head, *bundles], strategy=request.strategy, bundle_label_selector=selectors)


def region_asked_for(trial: Trial) -> str:
    """Region that the trial's placement group asks for; empty where it asks for none."""
    bound = getattr(trial.placement_group_factory, "_bound", None)
    asked = bound.kwargs.get("bundle_label_selector") if bound is not None else None
    return str(asked[0].get(REGION_LABEL, "")) if asked else ""
