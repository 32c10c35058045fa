"""Forecasts without a cluster: from the embedded profile, a trace file or a cluster's configured source, made in this process."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from carbon_ray.cli import parsing
from carbon_ray.config.cluster_yaml import load_cluster_config
from carbon_ray.config.grid import grid_provider
from carbon_ray.config.settings import GridSettings
from carbon_ray.core.clock import wall_now
from carbon_ray.core.errors import ConfigError
from carbon_ray.core.forecast import ForecastSnapshot
from carbon_ray.core.intensity import IntensityKind, IntensitySeries
from carbon_ray.forecasting.registry import forecaster_named
from carbon_ray.providers.base import HistoryProvider, ReadingsProvider
from carbon_ray.providers.recent import newest_history
from carbon_ray.providers.trace import TraceProvider

HISTORY, YEAR = timedelta(days=21), timedelta(days=365)
"""What a forecaster is shown where there is as much: as on a cluster by default, and all seasons for one that learns from them."""
_NAIVE = ("ewma", "persistence")
_FIRST_YEAR, _LAST_YEAR = 1970, 2100
MIN_HISTORY = timedelta(days=2)
"""What it is shown at least: as on a cluster."""


def open_source(traces: Path | None, kind: str, zones: tuple[str, ...]) -> HistoryProvider:
    """The embedded profile or a trace file, checked to know the zones; all of a trace's zones where none is named.

    Raises:
        ConfigError: The kind is unknown, or not what the source counts.
        UnknownZoneError: The source does not know a zone.
        TraceFormatError: The trace is malformed.
    """
    try:
        counted = IntensityKind(kind)
    except ValueError:
        raise ConfigError(f"unknown intensity kind {kind!r}; use one of {', '.join(IntensityKind)}") from None
    if traces is None:
        return grid_provider(GridSettings(kind=counted), zones)
    if not zones:
        return TraceProvider(traces, counted)
    return grid_provider(GridSettings(provider="trace", path=traces, kind=counted), zones)


def configured_source(config: Path, zones: tuple[str, ...]) -> HistoryProvider:
    """The source that a cluster's grid section names, without those that stand in for it, checked to know the zones.

    Raises:
        ConfigError: The file is wrong, or the source cannot be made.
        UnknownZoneError: The source does not know a zone.
    """
    return grid_provider(load_cluster_config(config).carbon.grid, zones)


def start_of(text: str | None, provider: HistoryProvider, zones: tuple[str, ...]) -> datetime:
    """The instant that counts as now.

    Args:
        text: As given; None for the present, which a trace does not reach.
        provider: The source.
        zones: Zones that are asked for.

    Raises:
        ConfigError: It is no instant of our time, or a trace has not enough data before it.
    """
    if text is None and not isinstance(provider, TraceProvider):
        return wall_now().replace(second=0, microsecond=0)
    spans = {zone: provider.span(zone) for zone in zones} if isinstance(provider, TraceProvider) else {}
    start_at = None if text is None else parsing.instant(text, "--start")
    if start_at is not None and not _FIRST_YEAR <= start_at.year <= _LAST_YEAR:
        raise ConfigError(f"--start {start_at:%Y-%m-%dT%H:%MZ} is outside the years {_FIRST_YEAR} to {_LAST_YEAR}; choose another")
    for zone, (first_at, end_at) in spans.items():
        room = f"from {first_at + MIN_HISTORY:%Y-%m-%dT%H:%MZ} to {end_at:%Y-%m-%dT%H:%MZ}"
        if first_at + MIN_HISTORY > end_at:
            raise ConfigError(f"the trace has only {end_at - first_at} of zone {zone}; a forecast needs two days before its start")
        if start_at is None:
            raise ConfigError(f"a trace needs --start, the instant that counts as now: {room}")
        if not first_at + MIN_HISTORY <= start_at <= end_at:
            raise ConfigError(f"--start {start_at:%Y-%m-%dT%H:%MZ} is outside what the trace can serve for zone {zone}: choose one {room}")
    assert start_at is not None  # without a text there is a trace, and a trace refuses that
    return start_at


def forecast_of(
    provider: HistoryProvider, zones: tuple[str, ...], *, start_at: datetime, horizon: timedelta, forecaster: str
) -> ForecastSnapshot:
    """Forecasts of the zones as they would have been made at `start_at`.

    Raises:
        ConfigError: There is no such forecaster.
        ProviderNoDataError: The source has nothing for that time.
    """
    model = forecaster_named(forecaster)
    span = HISTORY if forecaster in _NAIVE else YEAR
    history = {zone: _history(provider, zone, start_at, span) for zone in zones}
    forecasts = model.forecast(history, now=start_at, horizon_s=horizon.total_seconds())
    return ForecastSnapshot(version=1, issued_at=start_at, forecasts=forecasts)


def _history(provider: HistoryProvider, zone: str, start_at: datetime, span: timedelta) -> IntensitySeries:
    begin_at = start_at - span
    if isinstance(provider, ReadingsProvider):  # a service: late, and with a past of its own length
        return newest_history(provider, zone, begin_at, start_at)
    if isinstance(provider, TraceProvider):
        begin_at = max(begin_at, provider.span(zone)[0])
    return provider.history(zone, begin_at, start_at)
