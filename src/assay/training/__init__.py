"""Why it was learned: small models whose inside is known because it was planted there."""
