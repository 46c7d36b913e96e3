"""The chassis: knows logs and models, knows nothing of trajectories."""
