"""Imagining: the same policies and guards as on a cluster, over days that have been; no Ray, no I/O, no clock."""
