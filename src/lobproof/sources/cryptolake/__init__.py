"""Crypto Lake: names, connection, catalogue and transfer of its objects."""
