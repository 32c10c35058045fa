"""Models that turn history into a Forecast; no Ray, no I/O."""
