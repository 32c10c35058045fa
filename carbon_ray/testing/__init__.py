"""Fakes for tests, shipped so that plug-in authors can use them too."""
