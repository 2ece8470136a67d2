"""Crypto Lake history: zones, manifest, download, validation, certificate."""
