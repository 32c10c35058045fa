"""Deciding for many workloads at once: capacity per region and interval couples them."""
