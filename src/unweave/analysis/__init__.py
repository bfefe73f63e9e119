"""Techniques: one a file. Each takes a model and tokens, never a path."""
