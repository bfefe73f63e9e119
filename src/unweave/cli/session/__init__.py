"""`unweave session`: recorded sessions from a terminal."""
