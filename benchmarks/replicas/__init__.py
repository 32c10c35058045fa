"""Published studies run again on their own data, on the arithmetic that carbon_ray's rules use."""
