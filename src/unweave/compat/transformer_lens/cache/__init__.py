"""Keys and values of positions that were run already."""
