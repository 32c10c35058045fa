"""A forecast service whose model is trained and used by fake tasks, on clocks that are moved by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from carbon_ray.actors.forecast_making import BesideForecaster, ContextSource, NoContext
from carbon_ray.actors.forecast_models import ModelFolder
from carbon_ray.actors.forecast_service import ForecastService
from carbon_ray.actors.forecast_tracks import TRACKS_FILE, TrackFile
from carbon_ray.actors.model_training import ModelTraining
from carbon_ray.core.clock import ManualClock
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.forecasting.model import Recipe
from carbon_ray.testing import FakeProvider, FakeTasks

T0 = datetime(2026, 6, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FIRST_AT = T0 - 140 * DAY
SMALL = Recipe(leads=48, issue_hours=(0,), rows=3000, rounds=8, leaves=7, folds=2, calibration_issues=20, threads=1)


def truth(zone: str, days: int = 240, *, first_at: datetime = FIRST_AT, is_embedded: bool = False) -> IntensitySeries:
    hours = np.arange(days * 24)
    noise = np.random.default_rng(sum(zone.encode())).standard_normal(len(hours))
    return IntensitySeries(
        zone=zone,
        kind=IntensityKind.AVERAGE_LIFECYCLE,
        start_at=first_at,
        step_s=3600.0,
        values_gco2_per_kwh=300 + 100 * np.sin(hours / 24 * 2 * np.pi) + 20 * np.sin(hours / 168 * 2 * np.pi) + 10 * noise,
        provenance=Provenance(provider="grid", is_embedded=is_embedded),
    )


class Bench:
    """All parts of a forecast actor but Ray."""

    def __init__(self, folder: Path, zones: tuple[str, ...] = ("A", "B"), context: ContextSource | None = None) -> None:
        self.folder, self.zones, self.context = folder, zones, context or NoContext()
        self.clock, self.wall = ManualClock(T0), ManualClock(T0)
        self.provider = FakeProvider({zone: truth(zone) for zone in ("A", "B", "C")}, name="grid")
        self.tasks = FakeTasks()
        self.trained = 0
        self.restart()

    def restart(self) -> None:
        """The actor's process has died, and another one takes up its folder."""
        self.models = ModelFolder(self.folder / "models")
        self.tracks = TrackFile(self.folder / TRACKS_FILE)
        forecaster = BesideForecaster(
            tasks=self.tasks, models=self.models, tracks=self.tracks, context=self.context, limit_s=60.0, wall=self.wall.now
        )
        self.service = ForecastService(
            zones=self.zones,
            provider=lambda: self.provider,
            forecaster=forecaster,
            clock=self.clock,
            state_dir=self.folder,
            history_days=100,
            horizon_h=48.0,
        )
        self.training = ModelTraining(
            zones=self.zones,
            source=lambda: self.provider,
            context=self.context,
            tasks=self.tasks,
            models=self.models,
            recipe=SMALL,
            train_days=120,
            refit_days=28,
            limit_s=600.0,
            clock=self.clock,
            wall=self.wall.now,
            on_trained=self._count,
        )

    def _count(self) -> None:
        self.trained += 1

    def pass_time(self, span: timedelta) -> None:
        self.clock.advance(span)
        self.wall.advance(span)
