"""Generation sweeps: every variant of an edit, for every prompt, as rows of one batch with a key/value cache."""
