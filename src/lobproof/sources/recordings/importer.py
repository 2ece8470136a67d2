"""Line-stamped collector recordings to golden samples."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lobproof.errors import InputError, StrictError, UsageError
from lobproof.paths import AnyPath, as_path, as_paths, whole_folder
from lobproof.sources.binance.message_kernels import DEPTH, INVALID, SNAPSHOT
from lobproof.sources.golden import (
    DOCUMENT,
    JOURNAL_FOLDER,
    PROVENANCES,
    GoldenSample,
    file_sha256,
)
from lobproof.sources.recordings.document import describe
from lobproof.sources.recordings.intake import MARKET_KINDS, Intake
from lobproof.sources.recordings.probe import Probe, few, probe_all

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes read so far of all files, and their sum."""

IRREGULAR = {
    "duplicates": "repeated message(s)",
    "late": "late message(s)",
    "overlaps": "message(s) that overlap what came before",
    "resets": "time(s) that the ids went back while time went on",
}
"""Counts of an audit of ids beside its gaps, in words."""

EXCHANGES = ("BINANCE", "BINANCE_FUTURES", "BINANCE_DELIVERY")
_COIN_MARGINED = re.compile(r"USD_(PERP|[0-9]+)$")


def import_recordings(
    files: AnyPath | Sequence[AnyPath],
    out: AnyPath,
    *,
    exchange: str | None = None,
    symbol: str | None = None,
    provenance: str | None = None,
    exchange_info: Mapping[str, Any] | None = None,
    snapshot_limit: int | None = None,
    snapshots_are_ours: bool = False,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> GoldenSample:
    """Make a golden sample of recordings whose lines are ``<receive time> <JSON>``.

    The messages of one symbol are kept byte for byte, in one pass and bounded memory; the same
    inputs give the same bytes. The folder appears whole or not at all.

    Parameters
    ----------
    files
        Plain or compressed, in any order; they must not overlap in time. Each line has its receive
        time: in s, ms, µs or ns, or an ISO time.
    out
        The folder to make. If it holds a sample of the same inputs, nothing is done and the
        result says ``reused``.
    exchange
        ``BINANCE``, ``BINANCE_FUTURES`` or ``BINANCE_DELIVERY``; by default the messages tell spot
        from futures.
    symbol
        As the venue writes it. By default the first that is named, and others are an error; given,
        others are counted and left out.
    provenance
        ``real``, ``derived`` or ``synthetic``; by default real, but synthetic where the first line
        of a file says so, or the simulator's side-car lists it. Neither ever passes for real.
    exchange_info
        The venue's document with tick and lot; by default they are inferred.
    snapshot_limit
        Levels a side that the recorder asked the venue for. Only where it is known does a side
        that lists fewer count as whole; otherwise the book is known to the last level listed.
        Simulated recordings know theirs.
    snapshots_are_ours
        Snapshots that name no symbol are of this one, in a recording of several symbols too.
    strict
        Turn every gap, late or unreadable line and broken file into an error.
    overwrite
        Replace a golden sample that is there.
    progress
        Called as reading goes on.

    Raises
    ------
    InputError
        For files that are missing, no recordings, of several symbols, overlapping or damaged; when
        no depth message can be read, or they are partial depth.
    GridError
        When no decimal grid holds all numbers.
    StrictError
        In strict mode, at the first finding.
    UsageError
        When ``out`` holds something else, or an option is none that exists.
    """
    paths, out = as_paths(files), as_path(out)
    _check_options(exchange, provenance, snapshot_limit)
    probes, named = probe_all(paths, symbol)
    provenance, simulated_limit = _origin(provenance, probes)
    snapshot_limit = snapshot_limit or simulated_limit
    sought = _Sought(
        exchange, named, provenance, _digest(exchange_info), snapshot_limit, snapshots_are_ours
    )
    if out.exists():
        there = _existing(out, probes, sought, overwrite=overwrite)
        if there is not None:
            if strict:
                _refuse_findings(there.document)
            return there
    with whole_folder(out, "importing") as work:
        begin = partial(
            Intake,
            work / JOURNAL_FOLDER,
            named,
            keep_only=symbol is not None,
            snapshot_limit=snapshot_limit,
            strict=strict,
        )
        intake = begin()
        _read_all(intake, probes, progress)
        most = intake.numbers.limits()
        if most is not None:  # a few numbers would leave the others without a grid: without those
            shutil.rmtree(work / JOURNAL_FOLDER)
            intake = begin(most=most)
            _read_all(intake, probes, progress)
        document = describe(
            intake,
            _exchange_of(intake, exchange, probes),
            provenance,
            exchange_info,
            sought.exchange_info_sha256,
            snapshots_are_ours=snapshots_are_ours,
        )
        if strict:
            _refuse_findings(document)
        text = json.dumps(document, ensure_ascii=False, indent=1)
        (work / DOCUMENT).write_text(f"{text}\n", encoding="utf-8")
    return GoldenSample.load(out)


@dataclass(frozen=True, slots=True)
class _Sought:
    """What tells whether a sample that is there is the one asked for."""

    exchange: str | None
    venue_symbol: str
    provenance: str
    exchange_info_sha256: str
    snapshot_limit: int | None
    snapshots_are_ours: bool

    def fits(self, document: dict[str, Any]) -> bool:
        return (
            self.exchange in (None, document["exchange"])
            and self.venue_symbol == document["venue_symbol"]
            and self.provenance == document["provenance"]
            and self.exchange_info_sha256 == document["exchange_info_sha256"]
            and self.snapshot_limit == document["snapshot_limit"]
            and self.snapshots_are_ours == document["snapshots_are_ours"]
        )


def _check_options(exchange: str | None, provenance: str | None, limit: int | None) -> None:
    if exchange is not None and exchange not in EXCHANGES:
        raise UsageError(f"no exchange {exchange!r}", hint=f"one of {', '.join(EXCHANGES)}")
    if limit is not None and limit < 1:
        raise UsageError(
            f"a snapshot limit of {limit}", hint="name how many levels a side were asked for"
        )
    if provenance is not None and provenance not in PROVENANCES:
        raise UsageError(f"no provenance {provenance!r}", hint=f"one of {', '.join(PROVENANCES)}")


def _origin(provenance: str | None, probes: Sequence[Probe]) -> tuple[str, int | None]:
    """The provenance to note, and the limit that the simulator knows of its snapshots."""
    simulated = next((one.path for one in probes if one.simulation is not None), None)
    limits = {(one.simulation or {}).get("snapshot_limit") for one in probes}
    known = limits.pop() if len(limits) == 1 else None
    if provenance == "real" and simulated is not None:
        raise UsageError(
            f"{simulated} was simulated: it cannot be imported as real",
            hint="leave the provenance out",
        )
    return provenance or ("real" if simulated is None else "synthetic"), known


def _digest(exchange_info: Mapping[str, Any] | None) -> str:
    if exchange_info is None:
        return ""
    return hashlib.sha256(json.dumps(exchange_info, sort_keys=True).encode()).hexdigest()


def _existing(
    out: Path, probes: Sequence[Probe], sought: _Sought, *, overwrite: bool
) -> GoldenSample | None:
    """The sample that is there, if it is the one sought; None if it may be replaced."""
    if out.is_dir() and not any(out.iterdir()):
        return None
    try:
        sample = GoldenSample.load(out, reused=True)
    except InputError as error:
        if overwrite and (out / DOCUMENT).is_file():
            return None
        raise UsageError(
            f"{out} is there and is no whole golden sample: {error.message}",
            hint="choose another folder, or remove this one",
        ) from error
    if overwrite:
        return None
    hashes = [file_sha256(source.path) for source in probes]
    if hashes == [entry["sha256"] for entry in sample.inputs] and sought.fits(sample.document):
        return sample
    raise UsageError(
        f"{out} holds a golden sample of other inputs or options",
        hint="choose another folder, or replace it with --overwrite",
    )


def _read_all(intake: Intake, probes: Sequence[Probe], progress: Progress | None) -> None:
    total = sum(source.path.stat().st_size for source in probes)
    done = 0
    for source in probes:

        def told(read: int, name: str = source.path.name, before: int = done) -> None:
            if progress is not None:
                progress(name, before + read, total)

        intake.read(source, told)
        done += source.path.stat().st_size
    shown = ", ".join(str(source.path) for source in probes)
    ours = (kind for kind in (*MARKET_KINDS, INVALID) if kind != SNAPSHOT)
    if not any(intake.counts[kind] for kind in ours):
        seen = few(sorted({source.symbol for source in probes if source.symbol}))
        raise InputError(
            f"no market-data line of {intake.symbol} in {shown}",
            hint=f"symbols seen: {seen or 'none'}",
        )
    if intake.depth_unreadable and not intake.counts[DEPTH]:
        first = intake.listed[0]
        raise InputError(
            f"not one of {intake.depth_unreadable:,} depth messages in {shown} can be read; the "
            f"first unreadable line is {first['file']}, line {first['line']}: {first['reason']}: "
            f"{first['detail']}",
            hint="the messages are to be Binance's, as its streams send them",
        )
    intake.refuse_partial_depth()


def _exchange_of(intake: Intake, exchange: str | None, probes: Sequence[Probe]) -> str:
    futures = bool(intake.futures)
    if exchange is None:
        if not futures:
            return "BINANCE"
        return "BINANCE_DELIVERY" if _COIN_MARGINED.search(intake.symbol) else "BINANCE_FUTURES"
    if futures != (exchange != "BINANCE"):
        raise InputError(
            f"{probes[0].path}: depth messages {'with' if futures else 'without'} pu are not of "
            f"{exchange}",
            hint="leave the exchange out, and the messages tell it",
        )
    return exchange


def _refuse_findings(document: dict[str, Any]) -> None:
    """StrictError for what the audits of ids and lines found."""
    for stream, audit in (("depth", document["chain"]), ("trades", document["trade_ids"])):
        if audit["gaps"]:
            gap = next(iter(audit["gaps_listed"]), {"after": "?", "next": "?"})
            raise StrictError(
                f"{stream}: {audit['gaps']} gap(s); the first between id {gap['after']} and "
                f"id {gap['next']}",
                hint="without --strict the gap is flagged, and trust ends there",
            )
        for what, text in IRREGULAR.items():
            if audit[what]:
                first = audit["first_irregular"]
                raise StrictError(
                    f"{stream}: {audit[what]:,} {text}; the first irregular id is {first}",
                    hint="without --strict such messages are kept and flagged",
                )
    findings = document["findings"]
    for entry in (*findings["invalid"]["listed"], *findings["truncated"]):
        raise StrictError(
            f"{entry['file']}, line {entry['line']}: {entry['detail']}",
            hint="without --strict such lines are kept, flagged and counted",
        )
