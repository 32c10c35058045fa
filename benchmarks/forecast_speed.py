"""How long training and forecasting take by number of zones, on synthetic years of the embedded profiles."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from carbon_ray.core.intensity import IntensitySeries
from carbon_ray.forecasting.many_zones import LightGbm
from carbon_ray.forecasting.model import Recipe
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.training import train
from carbon_ray.providers.embedded import EmbeddedProvider

YEARS = 2
END_AT = datetime(2023, 1, 1, tzinfo=UTC)
HORIZON_S = 168 * 3600.0


def histories(zones: int) -> dict[str, IntensitySeries]:
    """Two synthetic years of so many zones; a profile that is used again has another seed."""
    provider = EmbeddedProvider()
    names, out = provider.zones(), dict[str, IntensitySeries]()
    for number in range(zones):
        zone, seed = names[number % len(names)], number // len(names)
        series = EmbeddedProvider(seed=seed).history(zone, END_AT - timedelta(days=365 * YEARS), END_AT)
        out[f"{zone}/{seed}"] = IntensitySeries(
            zone=f"{zone}/{seed}",
            kind=series.kind,
            start_at=series.start_at,
            step_s=series.step_s,
            values_gco2_per_kwh=series.values_gco2_per_kwh,
            provenance=series.provenance,
        )
    return out


def speed_row(zones: int, recipe: Recipe) -> dict[str, Any]:
    """Seconds to train and to forecast; the forecast is the second one, when models are read and caches are warm."""
    history = histories(zones)
    pasts = {zone: ZonePast(zone=zone, start_at=one.start_at, values_gco2_per_kwh=one.values_gco2_per_kwh) for zone, one in history.items()}
    begin, begin_cpu = time.perf_counter(), time.process_time()
    model = train(pasts, recipe)
    trained, trained_cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    forecaster = LightGbm(model=model, recipe=recipe)
    forecaster.forecast(history, now=END_AT, horizon_s=HORIZON_S)
    begin, begin_cpu = time.perf_counter(), time.process_time()
    forecaster.forecast(history, now=END_AT, horizon_s=HORIZON_S)
    row = {
        "zones": zones,
        "years": YEARS,
        "train_s": trained,
        "train_cpu_s": trained_cpu,
        "forecast_s": time.perf_counter() - begin,
        "forecast_cpu_s": time.process_time() - begin_cpu,
        "horizon_h": HORIZON_S / 3600,
    }
    print(" ".join(f"{key} {value:.2f}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()), flush=True)
    return row
