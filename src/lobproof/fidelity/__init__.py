"""Proof that a reconstruction is what the market did. See ``docs/verification.md``."""
