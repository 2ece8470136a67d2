"""A first look at a recording: how it is stamped, when it begins, whose it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lobproof.errors import InputError, UsageError
from lobproof.sources.binance.decode import symbol_of
from lobproof.sources.recordings.reader import RecordingFile, Stamps, stamps_of

_LOOK_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Probe:
    """A recording's file before it is read; ``symbol`` is None where its beginning names none."""

    path: Path
    stamps: Stamps
    symbol: str | None


def probe(path: Path) -> Probe:
    """Look at the beginning of a file; InputError if it is no recording."""
    stamps: Stamps | None = None
    looked = 0
    for data in RecordingFile(path):
        if stamps is None:
            stamps = stamps_of(data, path)
        for line in data.splitlines():
            symbol = symbol_of(line)
            if symbol is not None:
                return Probe(path, stamps, symbol)
        looked += len(data)
        if looked > _LOOK_BYTES:
            break
    if stamps is None:
        stamps = stamps_of(b"", path)
    return Probe(path, stamps, None)


def probe_all(files: Sequence[Path], symbol: str | None) -> tuple[list[Probe], str]:
    """The files by their first stamps, and the symbol: the given one or the first named.

    Raises
    ------
    InputError
        When a file is no recording, or none names a symbol.
    UsageError
        Without files.
    """
    if not files:
        raise UsageError("no files to import", hint="name the recording's files")
    probes = sorted((probe(Path(p)) for p in files), key=lambda p: (p.stamps.first_ns, p.path.name))
    named = symbol.upper() if symbol else next((p.symbol for p in probes if p.symbol), None)
    if named is None:
        shown = ", ".join(str(p.path) for p in probes)
        raise InputError(
            f"no market-data line in {shown}",
            hint="the messages are to be Binance's: depthUpdate, trade, aggTrade, bookTicker",
        )
    return probes, named
