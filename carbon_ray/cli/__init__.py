"""The `carbon-ray` command."""
