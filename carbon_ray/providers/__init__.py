"""Asking the grid: files, the embedded profile, services."""
