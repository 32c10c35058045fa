"""The long-lived actors (forecasts, controller) and the handles by which everything else reaches them."""
