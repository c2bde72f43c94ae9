"""The scheduled engine: the same numbers as the naive one from a fraction of the work."""
