"""Edges cut between parts of a network: what one part reads of another, replaced, while all else reads it as it is."""
