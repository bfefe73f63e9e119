"""`unweave journal`: the research log from a terminal."""
