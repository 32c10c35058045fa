"""The five-minute demonstration: a real cluster, a real job, a replayed day of grid data."""
