"""Heads told by their attention patterns."""
