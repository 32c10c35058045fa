"""carbon_ray: Ray clusters that go where, and run when, the grid is clean."""
