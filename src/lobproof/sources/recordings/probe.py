"""A first look at a recording: how it is stamped, when it begins, whose it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lobproof.documents import QUOTED
from lobproof.errors import InputError, UsageError, shown
from lobproof.instruments import NAME_HINT, is_name
from lobproof.sources.binance.decode import symbol_of
from lobproof.sources.recordings.reader import RecordingFile, Stamps, no_recording, stamps_of
from lobproof.sources.simulator.provenance import read_mark, simulation_of

_LOOK_BYTES = 1 << 24
_NAMED = 20


@dataclass(frozen=True, slots=True)
class Probe:
    """A recording's file before it is read.

    ``stamps`` is None where nothing is in it, ``symbol`` where its beginning names none;
    ``simulation`` is what says that it was simulated, None where nothing does.
    """

    path: Path
    stamps: Stamps | None
    symbol: str | None
    simulation: Mapping[str, Any] | None = None

    @property
    def first_ns(self) -> int:
        """Receive time of its first line; 0 without one."""
        return self.stamps.first_ns if self.stamps else 0


def probe(path: Path) -> Probe:
    """Look at the beginning of a file; InputError if it holds something else than a recording."""
    stamps: Stamps | None = None
    simulation = simulation_of(path)
    head = b""
    looked = 0
    file = RecordingFile(path)
    for data in file:
        if not head:
            head = data.lstrip()
            simulation = simulation or read_mark(head.partition(b"\n")[0])
        stamps = stamps or stamps_of(data)
        if stamps is None and head:
            if file.truncated_at is not None and b"\n" not in data:
                break  # it broke off within its first line
            raise no_recording(data, path)
        for line in data.splitlines():
            symbol = symbol_of(line)
            if symbol is not None and is_name(symbol):
                return Probe(path, stamps, symbol, simulation)
        looked += len(data)
        if looked > _LOOK_BYTES:
            break
    return Probe(path, stamps, None, simulation)


def few(names: Iterable[str]) -> str:
    """Names from a recording as a screen can bear them."""
    chosen = list(islice(names, _NAMED + 1))
    more = ", …" if len(chosen) > _NAMED else ""
    return ", ".join(shown(name, QUOTED) for name in chosen[:_NAMED]) + more


def symbols_in(path: Path) -> list[str]:
    """The symbols that the beginning of a file names, in order of appearance."""
    seen: dict[str, None] = {}
    looked = 0
    for data in RecordingFile(path):
        named = (symbol_of(line) for line in data.splitlines())
        seen.update((symbol, None) for symbol in named if symbol is not None)
        looked += len(data)
        if looked > _LOOK_BYTES:
            break
    return list(seen)


def probe_all(files: Sequence[Path], symbol: str | None) -> tuple[list[Probe], str]:
    """The files by their first stamps, and the symbol: the given one or the first named.

    Raises
    ------
    InputError
        When a file is no recording, all are empty, or none names a symbol.
    UsageError
        Without files.
    """
    if not files:
        raise UsageError("no files to import", hint="name the recording's files")
    probes = sorted((probe(Path(p)) for p in files), key=lambda p: (p.first_ns, p.path.name))
    listed = ", ".join(str(p.path) for p in probes)
    if not any(p.stamps for p in probes):
        raise InputError(f"{listed}: nothing but an empty file", hint="fetch the recording again")
    named = symbol.upper() if symbol else next((p.symbol for p in probes if p.symbol), None)
    if named is None:
        raise InputError(
            f"no market-data line in {listed}",
            hint="the messages are to be Binance's: depthUpdate, trade, aggTrade, bookTicker",
        )
    if not is_name(named):
        raise UsageError(f"'{shown(named, QUOTED)}' cannot name a symbol", hint=NAME_HINT)
    return probes, named
