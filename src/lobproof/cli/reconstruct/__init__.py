"""``lobproof reconstruct``: the command, what it shows live, and what in the end."""
