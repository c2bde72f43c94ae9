"""Running experiments: hooks, passes, the reference engine, and the model that a person works with."""
