"""Asking the hardware what it draws."""
