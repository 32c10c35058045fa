"""Deciding: pure functions from state, snapshot, forecast and now to decisions."""
