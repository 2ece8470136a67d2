"""Assessment: what recorded data is good for, and what this machine can make of it."""
