"""Techniques: one a file. Each takes a model and tokens, never a path."""

from unweave.analysis import patching

__all__ = ["patching"]
