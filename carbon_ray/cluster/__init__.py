"""Doing, inside one Ray cluster: node providers, the autoscaler's plan, drains."""
