"""Deciding for a hyperparameter sweep: how many trials may run now, and which."""
