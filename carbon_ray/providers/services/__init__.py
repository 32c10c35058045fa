"""Grid data over HTTP: one client that all share, and one small file for each service."""
