"""Measurements behind carbon_ray's claims: ratios of two things run in one benchmark run, written as JSON with versions and seeds."""
