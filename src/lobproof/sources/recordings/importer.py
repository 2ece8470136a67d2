"""Line-stamped collector recordings to golden samples, and the document that describes one."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lobproof
from lobproof.errors import GridError, InputError, StrictError, UsageError
from lobproof.files import file_sha256
from lobproof.fixedpoint import MAX_EXPONENT
from lobproof.instruments import Instrument, Rule, canonical_symbol, from_exchange_info
from lobproof.options import check_text, check_whole
from lobproof.paths import AnyPath, as_path, as_paths, whole_folder
from lobproof.progress import Progress
from lobproof.sources.age import identities_of
from lobproof.sources.binance.scan_kernels import (
    AGGREGATE,
    DEPTH,
    EMPTY,
    FOREIGN,
    INVALID,
    OTHER,
    SNAPSHOT,
    TICKER,
    TRADE,
)
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.captured import captured_journals
from lobproof.sources.golden import (
    DOCUMENT,
    GOLDEN_FORMAT,
    GOLDEN_VERSION,
    JOURNAL_FOLDER,
    PROVENANCES,
    GoldenSample,
)
from lobproof.sources.recordings.audit import MAX_DIGITS
from lobproof.sources.recordings.backfilled import awaited, has_answers, judge_answers
from lobproof.sources.recordings.intake import MARKET_KINDS, Intake
from lobproof.sources.recordings.reader import BINANCES, Probe, few, no_lines_of, probe_all
from lobproof.sources.recordings.witness import compare_witness, has_witness

IRREGULAR = {
    "duplicates": "repeated message(s)",
    "late": "late message(s)",
    "overlaps": "message(s) that overlap what came before",
    "resets": "time(s) that the ids went back while time went on",
}
"""Counts of an audit of ids beside its gaps, in words."""

_STATES = {
    "running": "of a capture that is running",
    "killed": "of a capture that was killed",
    "ended": "of a capture that has ended",
    "failed": "of a capture that failed",
}
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
    time_field: str | None = None,
    identities: AnyPath | Sequence[AnyPath] = (),
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> GoldenSample:
    """Make a golden sample of recordings, in any of the shapes that recorders write.

    The messages of one symbol are kept byte for byte, in one pass and bounded memory; the same
    inputs give the same bytes. The folder appears whole or not at all.

    Parameters
    ----------
    files
        Recordings, plain or compressed, in any order; they must not overlap in time. Each message
        has its receive time, before it or in a field: in s, ms, µs or ns, or an ISO time. Or
        Binance's downloads of one symbol (trades, aggTrades, bookTicker, T_DEPTH), which may
        run beside each other: they are ``derived``, since messages are made of their rows. Or a
        symbol's folder of a capture. Or journals of one golden sample, whose document says what
        they do not: of a damaged one what is whole is kept, the rest is a finding.
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
    time_field
        The member that holds the receive time, where the lines are JSON; by default it is guessed.
        ``E``, the exchange's time, stands for it where nothing else does, and is noted.
    identities
        Files of age's identities, which decrypt the journals of an encrypted capture. What is made
        of them is plain.
    strict
        Turn every gap, late or unreadable line and broken file into an error.
    overwrite
        Replace a golden sample that is there.
    progress
        Called as reading goes on.
    tell
        Told before it, a line a file, what the file is taken for.

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
    ExtraError
        For identities without the extra ``encrypt``.
    """
    named_paths, out = as_paths(files), as_path(out)
    paths = [file for path in named_paths for file in captured_journals(path) or [path]]
    _check_options(exchange, symbol, provenance, snapshot_limit, time_field)
    keys = identities_of(as_paths(identities) if identities else [])
    probes, named = probe_all(paths, symbol, time_field, keys)
    for one in probes:
        if tell is not None:
            state = "" if one.session is None else f" ({_STATES[one.session.state]})"
            tell(f"reading {one.path.name}: {one.shape}{state}")
    sample = _sample_of(probes)
    provenance, known_limit = _origin(provenance, probes, sample)
    snapshot_limit = snapshot_limit or known_limit
    if sample is not None:
        exchange = exchange or sample.instrument.exchange
    sought = _Sought(
        exchange,
        named,
        provenance,
        _digest(exchange_info),
        snapshot_limit,
        snapshots_are_ours,
        [one.shape for one in probes],
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
            sample=sample,
        )
        document["notes"] += _notes_of_captures(probes)
        if has_answers(document):
            _place_answers(work, document)
        _note_awaited(work, document, probes, sample)
        if has_witness(document["streams"]):
            document["witness"] = compare_witness(
                [work / JOURNAL_FOLDER / one["name"] for one in document["journals"]],
                Instrument.from_dict(document["instrument"]),
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
    shapes: list[str]

    def fits(self, document: dict[str, Any]) -> bool:
        return (
            self.exchange in (None, document["exchange"])
            and self.venue_symbol == document["venue_symbol"]
            and self.provenance == document["provenance"]
            and self.exchange_info_sha256 == document["exchange_info_sha256"]
            and self.snapshot_limit == document["snapshot_limit"]
            and self.snapshots_are_ours == document["snapshots_are_ours"]
            and self.shapes == [entry.get("shape") for entry in document["inputs"]]
        )


def _check_options(
    exchange: str | None,
    symbol: str | None,
    provenance: str | None,
    limit: int | None,
    time_field: str | None,
) -> None:
    if time_field is not None:
        check_text("time_field", time_field, "name the member of the JSON that holds the time")
    if exchange is not None and exchange not in EXCHANGES:
        raise UsageError(f"no exchange {exchange!r}", hint=f"one of {', '.join(EXCHANGES)}")
    if symbol is not None:
        check_text("symbol", symbol, "name it as the venue writes it, or leave it out")
    if limit is not None:
        hint = "name how many levels a side were asked for"
        check_whole("snapshot_limit", limit, least=1, most=1 << 31, hint=hint)
    if provenance is not None and provenance not in PROVENANCES:
        raise UsageError(f"no provenance {provenance!r}", hint=f"one of {', '.join(PROVENANCES)}")


def _sample_of(probes: Sequence[Probe]) -> GoldenSample | None:
    """The golden sample whose journals these files are; None where they are recordings."""
    samples = {None if one.sample is None else one.sample.path: one.sample for one in probes}
    if len(samples) > 1:
        raise InputError(
            f"{', '.join(str(one.path) for one in probes[:4])}: not all journals of one sample",
            hint="import the journals of one golden sample alone",
        )
    return next(iter(samples.values()))


def _origin(
    provenance: str | None, probes: Sequence[Probe], sample: GoldenSample | None
) -> tuple[str, int | None]:
    """The provenance to note, and the limit of the snapshots where something knows it."""
    if sample is not None:
        if provenance == "real" and sample.provenance != "real":
            raise UsageError(
                f"{sample.path} is {sample.provenance}: it cannot be imported as real",
                hint="leave the provenance out",
            )
        return provenance or sample.provenance, sample.snapshot_limit
    limits = {one.snapshot_limit for one in probes}
    known = limits.pop() if len(limits) == 1 else None
    least = max(probes, key=lambda one: PROVENANCES.index(one.provenance))
    if provenance == "real" and least.provenance != "real":
        how = "was captured from a recording"
        if least.provenance == "synthetic":
            how = "was simulated"
        elif least.table is not None:
            how = "is a download, of whose rows messages are made"
        raise UsageError(
            f"{least.path} {how}: it cannot be imported as real",
            hint="leave the provenance out",
        )
    return provenance or least.provenance, known


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
        hint="choose another folder, or replace it: overwrite= (--overwrite)",
    )


def _are_downloads(probes: Sequence[Probe]) -> bool:
    """Whether these are Binance's downloads, which may run beside each other: all, or none."""
    filled = [one for one in probes if one.stamps is not None]
    made = {one.table is not None: one for one in filled}
    if len(made) > 1:
        raise InputError(
            f"{made[True].path} is a download of Binance's and {made[False].path} a recording",
            hint="import them apart: a download has no receive times",
        )
    markets = {one.table.futures: one for one in filled if one.table is not None}
    if len(markets) > 1:
        raise InputError(
            f"{markets[True].path} is of futures and {markets[False].path} of spot",
            hint="import the downloads of one market",
        )
    return bool(markets)


def _read_all(intake: Intake, probes: Sequence[Probe], progress: Progress | None) -> None:
    total = sum(source.path.stat().st_size for source in probes)
    done: dict[Path, int] = {}

    def told(source: Probe, read: int) -> None:
        done[source.path] = read
        if progress is not None:
            progress(source.path.name, sum(done.values()), total)

    if _are_downloads(probes):
        intake.read_together(probes, told)
    else:
        for source in probes:
            intake.read(source, partial(told, source))
    shown = ", ".join(str(source.path) for source in probes)
    ours = (kind for kind in (*MARKET_KINDS, INVALID) if kind != SNAPSHOT)
    if not any(intake.counts[kind] for kind in ours):
        symbols = {source.symbol for source in probes if source.symbol}
        if intake.counts[SNAPSHOT] and intake.symbol in symbols:
            raise InputError(
                f"{shown}: nothing but snapshots of {intake.symbol}",
                hint="import the changes of its book together with them",
            )
        if intake.counts[OTHER] and intake.symbol in symbols:
            raise InputError(
                f"{shown}: of {intake.counts[OTHER]:,} messages of {intake.symbol} none is of its "
                "book or trades",
                hint=BINANCES,
            )
        hint = f"symbols seen: {few(sorted(symbols)) or 'none'}"
        raise no_lines_of(f"market-data line of {intake.symbol}", probes, hint)
    lost = intake.depth_unreadable if not intake.counts[DEPTH] else 0
    none = not any(intake.counts[kind] for kind in MARKET_KINDS)
    if lost or none:
        what = f"{lost:,} depth messages" if lost else f"{intake.counts[INVALID]:,} lines"
        first = intake.listed[0]
        raise InputError(
            f"not one of {what} in {shown} can be read; the first unreadable line is "
            f"{first['file']}, line {first['line']}: {first['reason']}: {first['detail']}",
            hint="the messages are to be Binance's, as its streams send them",
        )
    intake.refuse_partial_depth()


def _exchange_of(intake: Intake, exchange: str | None, probes: Sequence[Probe]) -> str:
    futures = bool(intake.futures)
    if exchange is None:
        if not futures:
            return "BINANCE"
        return "BINANCE_DELIVERY" if _COIN_MARGINED.search(intake.symbol) else "BINANCE_FUTURES"
    if intake.futures is not None and futures != (exchange != "BINANCE"):
        raise InputError(
            f"{probes[0].path}: depth messages {'with' if futures else 'without'} pu are not of "
            f"{exchange}",
            hint="leave the exchange out, and the messages tell it",
        )
    return exchange


def _refuse_findings(document: dict[str, Any]) -> None:
    """StrictError for what the audits of ids and lines found."""
    told = document.get("backfill", {"contradicting": 0, "unread": 0})
    if told["contradicting"]:
        raise StrictError(
            f"trades: REST contradicts {told['contradicting']:,} of them; first id "
            f"{told['first_contradicting'][0]}",
            hint="without strict (--strict) what was received stands, and golden.json lists ids",
        )
    if told["unread"]:
        raise StrictError(
            f"{told['unread']:,} answers of REST cannot be read; {told['first_unread']}",
            hint="without strict (--strict) they are kept and counted",
        )
    for stream, audit in (("depth", document["chain"]), ("trades", document["trade_ids"])):
        if audit["gaps"]:
            gap = next(iter(audit["gaps_listed"]), {"after": "?", "next": "?"})
            raise StrictError(
                f"{stream}: {audit['gaps']} gap(s); the first between id {gap['after']} and "
                f"id {gap['next']}",
                hint="without strict (--strict) the gap is flagged, and trust ends there",
            )
        for what, text in IRREGULAR.items():
            if audit[what]:
                first = audit["first_irregular"]
                raise StrictError(
                    f"{stream}: {audit[what]:,} {text}; the first irregular id is {first}",
                    hint="without strict (--strict) such messages are kept and flagged",
                )
    for stream, place in (("trades", "id"), ("depth", "final")):
        told = document.get("witness", {}).get(stream, {"differing": 0})
        if told["differing"]:
            raise StrictError(
                f"{stream}: SBE differs from JSON {told['differing']:,} times; first at id "
                f"{told['first_differing'][0][place]}",
                hint="without strict (--strict) both are kept, and golden.json lists the first",
            )
    findings = document["findings"]
    for entry in (*findings["invalid"]["listed"], *findings["truncated"]):
        raise StrictError(
            f"{entry['file']}, line {entry['line']}: {entry['detail']}",
            hint="without strict (--strict) such lines are kept, flagged and counted",
        )


_NAMES = {
    "depth": DEPTH,
    "trade": TRADE,
    "aggTrade": AGGREGATE,
    "bookTicker": TICKER,
    "snapshot": SNAPSHOT,
    "other": OTHER,
    "other_symbol": FOREIGN,
    "invalid": INVALID,
    "blank": EMPTY,
}


def describe(
    intake: Intake,
    exchange: str,
    provenance: str,
    exchange_info: Mapping[str, Any] | None,
    exchange_info_sha256: str,
    *,
    snapshots_are_ours: bool,
    sample: GoldenSample | None = None,
) -> dict[str, Any]:
    """The document of a finished intake, of a ``sample``'s journals or not; closes its own.

    Raises
    ------
    GridError
        When no grid holds all numbers, naming the lines of the finest and the largest.
    InputError
        When ``exchange_info`` does not fit.
    """
    instrument = _instrument(intake, exchange, exchange_info)
    trades = TRADE if intake.counts[TRADE] or not intake.counts[AGGREGATE] else AGGREGATE
    journals = [asdict(file) for file in intake.journal.close()]
    snapshots = _snapshots(intake, snapshots_are_ours)
    if sample is not None:  # whose journals name all of them
        nobodys = set() if snapshots_are_ours else sample.snapshots_of_nobody
        for one in snapshots:
            one["ours"] = (one["last_update_id"], one["capture_ns"]) not in nobodys
    return {
        "format": GOLDEN_FORMAT,
        "format_version": GOLDEN_VERSION,
        "lobproof_version": lobproof.__version__,
        "exchange": exchange,
        "symbol": instrument.symbol,
        "venue_symbol": intake.symbol,
        "market": "spot" if exchange == "BINANCE" else "futures",
        "provenance": provenance,
        "price_exponent": instrument.price_exponent,
        "size_exponent": instrument.size_exponent,
        "instrument": instrument.to_dict(),
        "rules_from": "exchangeInfo" if exchange_info else "inferred",
        "span": {
            "first_recv_ns": intake.recv_span[0],
            "last_recv_ns": intake.recv_span[1],
            "first_event_ns": intake.event_span[0],
            "last_event_ns": intake.event_span[1],
        },
        "counts": {
            **{name: intake.counts[kind] for name, kind in _NAMES.items()},
            "level_changes": intake.level_changes,
            "without_execution": intake.without_execution,
        },
        "streams": intake.streams,
        "trade_stream": "trade" if trades == TRADE else "aggTrade",
        "chain": intake.chain.to_dict(),
        "trade_ids": intake.trades[trades].to_dict(),
        "snapshots": snapshots,
        "snapshot_limit": intake.snapshot_limit,
        "snapshots_are_ours": snapshots_are_ours,
        "clock": intake.clock.to_dict(),
        "inputs": intake.inputs,
        "journals": journals,
        "content_sha256": intake.journal.content_sha256,
        "findings": {
            "invalid": {"by_reason": dict(sorted(intake.reasons.items())), "listed": intake.listed},
            "truncated": intake.truncated,
        },
        "notes": [*_notes(intake, snapshots), *_notes_of(sample, intake, exchange_info)],
        "exchange_info_sha256": exchange_info_sha256,
    }


def _instrument(
    intake: Intake, exchange: str, exchange_info: Mapping[str, Any] | None
) -> Instrument:
    numbers = intake.numbers
    price_exponent, size_exponent = numbers.exponent(0), numbers.exponent(1)
    given: Instrument | None = None
    if exchange_info is not None:
        given = from_exchange_info(
            exchange_info,
            intake.symbol,
            exchange,
            price_exponent=min(price_exponent, MAX_EXPONENT),
            size_exponent=min(size_exponent, MAX_EXPONENT),
        )
        price_exponent = max(price_exponent, given.price_exponent)
        size_exponent = max(size_exponent, given.size_exponent)
    for which, (what, exponent) in enumerate((("price", price_exponent), ("size", size_exponent))):
        if exponent > MAX_EXPONENT or exponent + numbers.digits(which) > MAX_DIGITS:
            finest, largest = (intake.place(number) for number in numbers.at(which))
            raise GridError(
                f"no grid holds every {what}: {exponent} digits after the point at {finest}, "
                f"{numbers.digits(which)} before it at {largest}",
                hint=f"a grid has {MAX_DIGITS} digits in all; are these lines of one symbol?",
            )
    if given is not None:
        return given
    rule = Rule(0, numbers.step(0, price_exponent), numbers.step(1, size_exponent))
    symbol = canonical_symbol(intake.symbol, exchange != "BINANCE")
    return Instrument(exchange, symbol, intake.symbol, price_exponent, size_exponent, (rule,))


def _place_answers(folder: Path, document: dict[str, Any]) -> None:
    """Set ``backfill`` of a document, and its trade ids with what REST brought of their gaps."""
    if document["trade_stream"] != "trade":
        document["notes"].append(
            "REST brought trades of gaps, which are not placed: the trades are aggregates"
        )
        return
    document["backfill"], document["trade_ids"] = judge_answers(_source(folder, document))


def _note_awaited(
    folder: Path, document: dict[str, Any], probes: Sequence[Probe], sample: GoldenSample | None
) -> None:
    """Set ``awaited`` of a document where REST's answer to a gap that is left is not in it."""
    if document["trade_stream"] != "trade" or not document["trade_ids"]["gaps"]:
        return
    read = {entry["name"]: entry["bytes"] for entry in document["inputs"]}
    journals = [
        (one.path, read[one.path.name], one.identities)
        for one in probes
        if one.session is not None and one.path.name in read
    ]
    if sample is not None:  # whose journals hold no gaps
        told = sample.document.get("awaited", {"trades": 0})
    else:
        told = awaited(_source(folder, document), journals)
    if told["trades"]:
        document["awaited"] = told
        document["notes"].append(
            f"REST had been asked for {told['trades']:,} lost trades, and its answer is not in "
            "these journals: import them again together with the journals that came later"
        )


def _source(folder: Path, document: dict[str, Any]) -> GoldenSource:
    """The sample that is being made."""
    instrument = Instrument.from_dict(document["instrument"])
    origin = str(document["market"]), str(document["provenance"])
    return GoldenSource(GoldenSample(folder, instrument, *origin, document))


def _snapshots(intake: Intake, are_ours: bool) -> list[dict[str, Any]]:
    """Each with whether it is of this symbol.

    A REST snapshot names no symbol, and update ids of futures are one counter for the whole venue:
    where the recording holds other symbols' messages too, one that is not named is nobody's.
    """
    alone = are_ours or not intake.counts[FOREIGN]
    return [{**snapshot, "ours": alone or snapshot["named"]} for snapshot in intake.snapshots]


def _notes(intake: Intake, snapshots: list[dict[str, Any]]) -> list[str]:
    notes: list[str] = []
    if not intake.counts[DEPTH]:
        notes.append("no depth message: there is no book in it")
    elif not any(snapshot["ours"] for snapshot in snapshots):
        notes.append("no snapshot of this symbol: the book will be untrusted from first to last")
    if intake.counts[TRADE] and intake.counts[AGGREGATE]:
        notes.append("both trade and aggTrade were recorded: trade is used")
    if intake.without_execution:
        notes.append(
            f"{intake.without_execution:,} trade messages of price 0 and size 0 are no executions"
        )
    tables = [shape.table.name for _, shape, _ in intake.without_time if shape.table is not None]
    if tables:
        notes.append(
            f"made of {len(tables):,} of Binance's downloads ({few(dict.fromkeys(tables))}): "
            "messages are made of their rows, and a row's one time stands for all times of its "
            "message, which tells nothing of delays"
        )
    for name, shape, untimed in intake.without_time:
        if shape.table is not None:
            continue
        notes.append(
            f"{name} has no receive time: the exchange's in field {shape.field} stands for it, "
            f"which tells nothing of delays ({untimed:,} lines without one have that of the line "
            "before)"
        )
    if intake.counts[FOREIGN]:
        notes.append(f"{intake.counts[FOREIGN]:,} lines of other symbols were left out")
    return notes


def _notes_of_captures(probes: Sequence[Probe]) -> list[str]:
    """What is to be known of captures that had not ended, or not as they should."""
    states = {one.session.state for one in probes if one.session is not None}
    notes = []
    if "running" in states:
        notes.append("the capture had not ended when it was imported: there is more")
    if "killed" in states:
        notes.append("the capture was killed: its last lines may be missing")
    if "failed" in states:
        notes.append("the capture ended with an error: session.json says why")
    return notes


def _notes_of(
    sample: GoldenSample | None, intake: Intake, exchange_info: Mapping[str, Any] | None
) -> list[str]:
    """What is to be known of a sample that was made of another one's journals."""
    if sample is None:
        return []
    notes = ["made of the journals of another golden sample"]
    read = {entry["name"] for entry in intake.inputs}
    absent = [path.name for path in sample.journals if path.name not in read]
    if absent:
        notes.append(f"that one has more journals: {few(absent)}")
    if sample.document["rules_from"] == "exchangeInfo" and exchange_info is None:
        notes.append(
            "its rules came from exchangeInfo, and are inferred here (exchange_info=, "
            "--exchange-info)"
        )
    return notes
