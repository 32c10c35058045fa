"""Showing a finished or running workload: JSON and self-contained HTML."""
