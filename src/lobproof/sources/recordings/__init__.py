"""Recordings that others made, as golden samples.

It answers: is it a recording, of what, and what are its lines (`reader`, in whatever shape:
`shapes`, `shape_kernels`); what becomes of each
line (`intake`, `intake_kernels`); what do the ids, clocks and digits of all of them tell (`audit`);
when is a sample made, and what does its document say (`importer`).

What a message means is the venue's to know (`sources.binance`).
"""

from lobproof.sources.recordings.importer import import_recordings

__all__ = ["import_recordings"]
