"""``lobproof golden``: collections of captures and golden samples."""
