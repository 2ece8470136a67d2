"""Crypto Lake: its files as streams and as written ones; its bucket is in `bucket`."""
