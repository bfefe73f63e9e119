"""The hookable transformer, its cache, and its folder on disk."""
