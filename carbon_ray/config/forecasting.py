"""How forecasts are made beside the actor, as people write it: what is learned from, how often, and what a task may cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from carbon_ray.config.section import Section


class WeatherSettings(Section):
    """Weather forecasts as a part of what forecasts are made of; see docs/providers.md."""

    provider: Literal["open_meteo"] = Field(default="open_meteo", description="Service that is asked")
    plan: Literal["free", "commercial"] = Field(default="free", description="free: for non-commercial use, without a key")
    areas: dict[str, str] = Field(
        default_factory=dict, description="Places by zone, latitude and longitude: '53.6,10.0 48.1,11.6'; default: its cloud regions"
    )
    has_past: bool = Field(default=True, description="Begin with what was forecast on past days, from 2024 on")
    base_url: str | None = Field(default=None, description="Another address of the service")
    network: dict[str, JsonValue] = Field(default_factory=dict, description="Time-outs, retries, pace; see docs/providers.md")


class ForecastingSettings(Section):
    """Training and forecasting of `lightgbm`, which run as tasks beside the forecast actor; other forecasters need none of it."""

    train_days: int = Field(default=730, ge=90, le=3650, description="Days of history that a model learns from, where there are as many")
    refit_days: int = Field(default=28, ge=1, description="Days after which a model is trained anew")
    rows: int = Field(default=200_000, ge=1000, description="Rows of all zones that the trees of a model learn from")
    rounds: int = Field(default=300, ge=1, description="Trees that a model has at most, for each of its parts")
    threads: int = Field(default=2, ge=1, description="Threads of a task")
    task_num_cpus: float = Field(
        default=0.0,
        ge=0,
        description="CPUs of the head that a task reserves; with 0 it never waits for work of others, nor asks for a node",
    )
    forecast_limit_s: float = Field(default=300.0, gt=0, description="Wall seconds after which a forecast that has not ended is given up")
    train_limit_s: float = Field(default=7200.0, gt=0, description="Wall seconds after which a training that has not ended is given up")
    mix: bool = Field(default=True, description="Use generation by fuel where the zone's source tells it")
    source_forecast: bool = Field(default=True, description="Blend with the forecast of the zone's source where it issues one")
    weather: WeatherSettings | None = Field(default=None, description="Use issued weather forecasts; none by default")
