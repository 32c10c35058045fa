"""Metrics of the forecast actor, exported by Ray to Prometheus; what they say is taken from plain values."""

from __future__ import annotations

from ray.util.metrics import Gauge

from carbon_ray.actors.forecast_health import ForecastHealth, RefreshLoad
from carbon_ray.providers.breaker import Circuit

_CIRCUIT = {Circuit.CLOSED: 0.0, Circuit.HALF_OPEN: 1.0, Circuit.OPEN: 2.0}


class ForecastMetrics:
    """Gauges of one actor; made in its process."""

    def __init__(self) -> None:
        self._version = Gauge("carbon_ray_forecast_version", "Version of the newest forecasts; 0 before the first")
        self._failures = Gauge("carbon_ray_forecast_failures", "Refreshes in a row that renewed nothing")
        self._age = Gauge("carbon_ray_forecast_age_s", "Seconds since the zone's forecast was made, cluster's clock", ("zone",))
        self._lag = Gauge("carbon_ray_forecast_history_age_s", "Seconds since the end of the newest value it was made of", ("zone",))
        self._embedded = Gauge("carbon_ray_forecast_is_embedded", "1 where the embedded profile stands in, else 0", ("zone",))
        self._circuit = Gauge("carbon_ray_source_circuit", "0: asked, 1: tried with one request, 2: left alone", ("source",))
        self._source_failures = Gauge("carbon_ray_source_failures", "Failures of the source in a row", ("source",))
        self._model_age = Gauge(
            "carbon_ray_forecast_model_age_s", "Seconds since the model in use was trained, cluster's clock; -1 without"
        )
        self._training = Gauge("carbon_ray_forecast_is_training", "1 while a model is trained, else 0")
        self._last_s = Gauge("carbon_ray_forecast_refresh_s", "Seconds that the last refresh took")
        self._running_s = Gauge("carbon_ray_forecast_refresh_running_s", "Seconds for which the present refresh runs; 0 between them")
        self._waiting = Gauge("carbon_ray_forecast_waiting", "Requests that wait for the refreshing thread")
        self._refused = Gauge("carbon_ray_forecast_refused", "Requests sent away because too many waited")

    def show(self, health: ForecastHealth, load: RefreshLoad) -> None:
        """Export the values as they are now."""
        self._version.set(health.version)
        self._failures.set(health.failures)
        for zone in health.zones:
            tags = {"zone": zone.zone}
            self._age.set(zone.age_s, tags)
            self._embedded.set(float(zone.is_embedded), tags)
            if zone.history_end_at is not None:
                behind = (zone.issued_at - zone.history_end_at).total_seconds()
                self._lag.set(zone.age_s + behind, tags)
        for source in health.sources:
            tags = {"source": source.name}
            self._circuit.set(_CIRCUIT[source.circuit], tags)
            self._source_failures.set(source.failures, tags)
        if (training := health.training) is not None:
            self._model_age.set(-1.0 if training.age_s is None else training.age_s)
            self._training.set(float(training.is_training))
        self._last_s.set(load.last_s or 0.0)
        self._running_s.set(load.running_s or 0.0)
        self._waiting.set(load.waiting)
        self._refused.set(load.refused)
