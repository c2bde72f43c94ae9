"""Directions: probes, what they are used for, and how well that works."""
