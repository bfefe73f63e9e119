"""Helpers, under the module name they had before 3.0."""
