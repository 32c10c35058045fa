"""Ray Train workloads in segments: suspend, move and go on without losing a step."""
