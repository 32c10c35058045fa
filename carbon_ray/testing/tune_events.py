"""What happens in a virtual Tune loop: its events, the slots that trials hold, and how long things take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ray.tune.experiment import Trial

from carbon_ray.core.region import REGION_LABEL


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopEvent:
    """Something that happened to a trial.

    Attributes:
        at: When, aware UTC.
        kind: started, result, paused, stopped, ended or failed.
        trial_id: Whose.
        iteration: Results that it had reported by then.
        region: Where it ran; empty in a loop without regions.
    """

    at: datetime
    kind: str
    trial_id: str
    iteration: int
    region: str = ""


@dataclass(slots=True, kw_only=True)
class LoopStretch:
    """A stretch of time for which a trial held its slot."""

    trial_id: str
    region: str
    start_at: datetime
    end_at: datetime


class LoopStalled(RuntimeError):
    """Nothing runs, nothing is about to, and the end of time has come."""


@dataclass(slots=True, kw_only=True, eq=False)
class Slot:
    """What a trial holds."""

    trial: Trial
    region: str
    stretch: LoopStretch | None = None
    is_started: bool = False
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class LoopTiming:
    """How long things take besides the iterations.

    Attributes:
        startup_s: From having the resources to being started, seconds.
        save_every: Iterations between checkpoints; 0: the trials make none.
        stop_s: For which a paused or ended trial still holds its slot, seconds.
        tick_s: Seconds that pass at most between two steps, where nothing happens.
    """

    startup_s: float = 0.0
    save_every: int = 1
    stop_s: float = 0.0
    tick_s: float = 300.0


def region_of(trial: Trial) -> str:
    """Region that the trial's placement group asks for; empty where it asks for none."""
    selectors = getattr(trial.placement_group_factory, "_bound", None)
    asked = selectors.kwargs.get("bundle_label_selector") if selectors is not None else None
    return str(asked[0].get(REGION_LABEL, "")) if asked else ""
