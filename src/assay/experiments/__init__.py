"""What to run, as data: edits, captures, metrics, runs, sweeps."""
