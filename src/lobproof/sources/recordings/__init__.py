"""Recordings that others made, as golden samples."""

from lobproof.sources.recordings.importer import import_recordings

__all__ = ["import_recordings"]
