"""A collection in figures: hours of each symbol by regime, losses, what is imported, what lacks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lobproof.sources.collection.found import IMPORTED, Found, FoundSession, Unreadable
from lobproof.sources.golden import JOURNAL_FOLDER, GoldenSample
from lobproof.timespan import covered_ns

UNNAMED = "unnamed"
"""The regime of what nobody gave a name."""
_EXCHANGES = {"spot": "BINANCE", "usdm": "BINANCE_FUTURES", "coinm": "BINANCE_DELIVERY"}


@dataclass(frozen=True, slots=True)
class Part:
    """A symbol of a capture, or a golden sample.

    ``state`` is ``running``, ``killed``, ``ended``, ``failed``, ``purged`` or ``imported`` (a
    golden sample). ``imported`` is how many of ``files`` journals a golden sample
    of the collection was made of. None: nobody knows.
    """

    folder: Path
    kind: str
    exchange: str
    symbol: str
    provenance: str
    regime: str
    detected: str
    state: str
    start_ns: int
    end_ns: int
    gaps: int | None
    lost: int | None
    files: int
    imported: int
    counted: bool
    """Whether its hours count: not where the capture that it was made of is there too."""

    @property
    def length_ns(self) -> int:
        """From its beginning to its end."""
        return max(self.end_ns - self.start_ns, 0)


@dataclass(slots=True)
class Holding:
    """What there is of a symbol, and how long of each regime, ns.

    Time that several captures cover counts once; ``overlap`` is how long that is, of each regime
    told.
    """

    exchange: str
    symbol: str
    provenance: str
    told: dict[str, int] = field(default_factory=dict)
    overlap: dict[str, int] = field(default_factory=dict)
    detected: dict[str, int] = field(default_factory=dict)
    lacking: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """A collection: its parts, what there is by symbol, and what cannot be read."""

    parts: list[Part]
    holdings: list[Holding]
    unreadable: list[Unreadable]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "parts": [asdict(one) | {"folder": str(one.folder)} for one in self.parts],
            "symbols": [asdict(one) for one in self.holdings],
            "unreadable": [asdict(one) | {"folder": str(one.folder)} for one in self.unreadable],
        }


def listing(found: Iterable[Found], need_ns: int) -> Listing:
    """What a collection holds, and which regimes of which symbols lack how much of ``need_ns``.

    Every symbol is held against every regime that somebody gave a name. A golden sample whose
    journals are a capture's of the collection has that one's regime, and is not counted again.
    """
    sessions: list[FoundSession] = []
    samples: list[GoldenSample] = []
    unreadable: list[Unreadable] = []
    for one in found:
        if isinstance(one, FoundSession):
            sessions.append(one)
        elif isinstance(one, GoldenSample):
            samples.append(one)
        else:
            unreadable.append(one)
    inputs = {_known(entry) for sample in samples for entry in sample.inputs}
    inputs |= {(name, size, "") for name, size, _ in inputs}
    parts: list[Part] = []
    regimes: dict[tuple[str, int, str], Part] = {}
    for session in sessions:
        for symbol in session.document.symbols:
            files = _files(session, f"{symbol}/{JOURNAL_FOLDER}")
            part = _captured(session, symbol, len(files), len(files & inputs))
            parts.append(part)
            regimes |= dict.fromkeys(files, part)
    for sample in samples:
        made_of = [
            regimes.get(_known(entry)) or regimes.get((entry["name"], entry["bytes"], ""))
            for entry in sample.inputs
        ]
        parts.append(_sample(sample, [one for one in made_of if one is not None]))
    return Listing(parts, _holdings(parts, need_ns), unreadable)


def _known(entry: dict[str, Any]) -> tuple[str, int, str]:
    return entry["name"], entry["bytes"], entry["sha256"]


def _files(session: FoundSession, name: str) -> set[tuple[str, int, str]]:
    """Name, size and SHA-256 of a journal's files; without that where the session has not ended."""
    if session.figures is not None:
        listed = session.figures.journals.get(name, [])
        return {(one.name, one.bytes, one.sha256) for one in listed}
    return {(path.name, path.stat().st_size, "") for path in session.journals(name)}


def _captured(session: FoundSession, symbol: str, files: int, imported: int) -> Part:
    document, figures = session.document, session.figures
    journals = session.journals(f"{symbol}/{JOURNAL_FOLDER}")
    last_ns = max((path.stat().st_mtime_ns for path in journals), default=document.started_ns)
    of = None if figures is None else figures.symbols.get(symbol)
    lost = None if figures is None else figures.lost.get(f"{symbol}/{JOURNAL_FOLDER}")
    return Part(
        folder=session.folder,
        kind="capture",
        exchange=_EXCHANGES[document.market],
        symbol=symbol,
        provenance=document.provenance,
        regime=document.regime or UNNAMED,
        detected="unknown" if of is None else of.regime.detected,
        state=session.state,
        start_ns=document.started_ns,
        end_ns=document.ended_ns or last_ns,
        gaps=None if of is None else sum(of.gaps.values()),
        lost=None if figures is None else lost.lines if lost is not None else 0,
        files=files,
        imported=imported,
        counted=not document.purged_ns,
    )


def _sample(sample: GoldenSample, made_of: list[Part]) -> Part:
    document = sample.document
    first = made_of[0] if made_of else None
    return Part(
        folder=sample.path,
        kind="golden sample",
        exchange=sample.instrument.exchange,
        symbol=sample.instrument.venue_symbol,
        provenance=sample.provenance,
        regime=UNNAMED if first is None else first.regime,
        detected="unknown" if first is None else first.detected,
        state=IMPORTED,
        start_ns=document["span"]["first_recv_ns"],
        end_ns=document["span"]["last_recv_ns"],
        gaps=document["chain"]["gaps"] + document["trade_ids"]["gaps"],
        lost=None,
        files=len(sample.inputs),
        imported=len(sample.inputs),
        counted=not any(one.counted for one in made_of),
    )


def _holdings(parts: list[Part], need_ns: int) -> list[Holding]:
    held: dict[tuple[str, str, str], list[Part]] = {}
    for part in parts:
        held.setdefault((part.exchange, part.symbol, part.provenance), []).append(part)
    regimes = sorted({part.regime for part in parts} - {UNNAMED}) or [UNNAMED]
    holdings = []
    for key in sorted(held):
        one = Holding(*key)
        counted = [part for part in held[key] if part.counted]
        for regime in dict.fromkeys(part.regime for part in counted):
            one.told[regime], several = _covered(part for part in counted if part.regime == regime)
            if several:
                one.overlap[regime] = several
        for word in dict.fromkeys(part.detected for part in counted):
            one.detected[word], _ = _covered(part for part in counted if part.detected == word)
        lacking = {regime: need_ns - one.told.get(regime, 0) for regime in regimes}
        one.lacking = {regime: short for regime, short in lacking.items() if short > 0}
        holdings.append(one)
    return holdings


def _covered(parts: Iterable[Part]) -> tuple[int, int]:
    """How long parts last together: any of them, and more than one at once."""
    return covered_ns((part.start_ns, part.end_ns) for part in parts)
