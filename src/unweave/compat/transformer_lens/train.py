"""A training loop."""
