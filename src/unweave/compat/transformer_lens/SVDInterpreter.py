"""Singular vectors of a model's weights."""
