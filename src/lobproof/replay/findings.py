"""From the replay's findings to rows of ``quality``."""

from __future__ import annotations

import numpy as np

from lobproof.schema import Finding, Severity
from lobproof.schema.records import Records

QUALITY_SEVERITY = {
    Finding.UNSEEDED: Severity.DOUBT,
    Finding.GAP: Severity.DOUBT,
    Finding.TRADE_GAP: Severity.WARNING,
    Finding.CROSSED: Severity.DOUBT,
    Finding.DRIFT: Severity.DOUBT,
    Finding.TOUCH_BEYOND_RANGE: Severity.DOUBT,
    Finding.DUPLICATE: Severity.WARNING,
    Finding.OUT_OF_ORDER: Severity.WARNING,
    Finding.BAD_TS: Severity.WARNING,
    Finding.OFF_TICK: Severity.INFO,
    Finding.OFF_LOT: Severity.INFO,
    Finding.INVALID_INPUT: Severity.WARNING,
    Finding.TRUNCATED_INPUT: Severity.WARNING,
    Finding.TRADE_UNCONFIRMED: Severity.INFO,
    Finding.SEQUENCE_RESET: Severity.DOUBT,
    Finding.SILENCE: Severity.DOUBT,
    Finding.GHOST_LEVELS: Severity.DOUBT,
    Finding.STALE_BOOK: Severity.DOUBT,
    Finding.VENDOR_ROW_UNUSED: Severity.WARNING,
    Finding.REFUTED: Severity.DOUBT,
    Finding.UNREADABLE: Severity.DOUBT,
    Finding.TRADES_ABSENT: Severity.WARNING,
    Finding.CLOCK: Severity.WARNING,
    Finding.VENDOR_ROW_STALE: Severity.DOUBT,
    Finding.TABLE_APART: Severity.DOUBT,
    Finding.ANCHOR_UNPROVEN: Severity.DOUBT,
}
"""How each finding bears on the rows that it covers."""

DOUBTFUL_CODES = frozenset(
    c for c, severity in QUALITY_SEVERITY.items() if severity == Severity.DOUBT
)

EARLIER = -(2**62)
"""In place of a finding's first number: what an attempt found that was given up."""
BRIDGE_NS = 10_000_000_000
"""Contradictions this near to each other are one: what agreed in between proves nothing."""
_CONTRADICTIONS = (Finding.DRIFT, Finding.GHOST_LEVELS, Finding.CROSSED)
CLOCK_NAMES = ("trades", "book", "book_delta_v2", "depth")
"""Whose clock a finding CLOCK speaks of: tables of Crypto Lake, streams of a recording."""
_NO_TRADES = (
    "no trade while the book moved through its touch {count} times",
    "there are no trades in the files",
    "{count} trades have no id: a loss of others would not show",
    "of the trades' ids, which follow one another, {count} are missing",
    "REST had been asked for {count} lost trades, and its answer is not in the recording",
)
AWAITED = 4
"""First number of a finding TRADES_ABSENT that says so: its place among these."""

_DETAIL = {
    Finding.UNSEEDED: "no snapshot yet",
    Finding.GAP: "update ids {first}-{last} are missing",
    Finding.TRADE_GAP: "trade ids {first}-{last} are missing",
    Finding.CROSSED: "best bid at or above best ask",
    Finding.DRIFT: "a snapshot differs from the book in {count} levels",
    Finding.TOUCH_BEYOND_RANGE: "the touch left the range that snapshots cover",
    Finding.DUPLICATE: "ids {first}-{last} came again; not applied",
    Finding.OUT_OF_ORDER: "ids {first}-{last} came late",
    Finding.BAD_TS: "exchange time missing or out of range",
    Finding.OFF_TICK: "prices off the tick",
    Finding.OFF_LOT: "sizes off the lot",
    Finding.INVALID_INPUT: "input that is no message of the stream",
    Finding.TRUNCATED_INPUT: "the input breaks off here",
    Finding.TRADE_UNCONFIRMED: "trades whose level no depth message names in time",
    Finding.SEQUENCE_RESET: "update ids went back from {first} to {last}",
    Finding.SILENCE: "no book message for longer than the feed's cadence explains",
    Finding.GHOST_LEVELS: "a wider snapshot denies {count} levels held beyond the trusted range",
    Finding.STALE_BOOK: "{count} prints far from the touch, half of the minute's or more",
    Finding.UNREADABLE: "{count} line(s) that may be depth messages cannot be read",
    Finding.VENDOR_ROW_UNUSED: "rows of `book` that cannot be a book, or are not of their time",
    Finding.REFUTED: "a snapshot differs in {count} levels from a book whose chain is whole",
    Finding.ANCHOR_UNPROVEN: "no depth message follows the snapshot that anchors the book",
    Finding.VENDOR_ROW_STALE: "`book` stands still while deltas or trades say that it moved",
}


def quality_rows(findings: Records) -> dict[str, list[object]]:
    """Columns of ``quality``, in the order of their first event."""
    order = np.lexsort((findings["code"], findings["last_event_id"], findings["first_event_id"]))
    rows = findings[order]
    names = ("first_event_id", "last_event_id", "first_ts", "last_ts", "code")
    columns: dict[str, list[object]] = {name: rows[name].tolist() for name in names}
    codes = [Finding(code) for code in rows["code"].tolist()]
    columns["severity"] = [int(QUALITY_SEVERITY[code]) for code in codes]
    columns["count"] = rows["count"].tolist()
    told = (rows[name].tolist() for name in ("first_number", "last_number", "count"))
    columns["detail"] = [_detail(code, *one) for code, *one in zip(codes, *told, strict=True)]
    return columns


def _detail(code: Finding, first: int, last: int, count: int) -> str:
    if first == EARLIER:
        return f"found {count} times when the day was replayed in full, which was given up"
    if code == Finding.TRADES_ABSENT:
        return _NO_TRADES[first].format(count=count)
    if code in (Finding.CLOCK, Finding.TABLE_APART):
        table = CLOCK_NAMES[first]
        if code == Finding.TABLE_APART:
            return f"the times of {table} are {abs(last)} s from the other tables', by both clocks"
        if last == 0:
            return f"some of the times of {table} are not of the day"
        return f"the times of {table} are {abs(last)} s {'ahead' if last > 0 else 'behind'}"
    if code == Finding.INVALID_INPUT and (first or last):
        rows = [
            f"row {number - 1:,} of {table}"
            for number, table in ((first, "book_delta_v2"), (last, "trades"))
            if number
        ]
        return f"{count:,} row(s) that cannot be read, from {' and '.join(rows)} on"
    if code == Finding.UNREADABLE and (first or last):
        return (
            f"{count:,} row(s) of book_delta_v2 cannot be read: the first is row {first:,}, the "
            f"last row {last:,}"
        )
    if code == Finding.OUT_OF_ORDER and first == last == 0:
        return f"{count} trades came late, by their ids or times"
    return _DETAIL[code].format(first=first, last=last, count=count)


def bridged(findings: Records) -> Records:
    """Findings of a feed without a chain, contradictions near to each other without a gap.

    Two sources contradict each other: where they agree shortly in between, one may have been
    corrected by what is wrong in the other.
    """
    out = findings.copy()
    rows = np.flatnonzero(np.isin(out["code"], [int(code) for code in _CONTRADICTIONS]))
    rows = rows[np.argsort(out["first_ts"][rows], kind="stable")]
    ends = np.maximum.accumulate(out["last_ts"][rows])[:-1]
    last = np.maximum.accumulate(out["last_event_id"][rows])[:-1]
    since = out["first_ts"][rows[1:]] - ends
    near = (since > 0) & (since <= BRIDGE_NS)
    bridged_rows = rows[1:][near]
    out["first_ts"][bridged_rows] = ends[near]
    out["first_event_id"][bridged_rows] = np.minimum(
        out["first_event_id"][bridged_rows], last[near]
    )
    return out


def doubtful_time(findings: Records) -> int:
    """Time, ns, covered by at least one finding of severity DOUBT."""
    doubts = findings[np.isin(findings["code"], [int(code) for code in DOUBTFUL_CODES])]
    if len(doubts) == 0:
        return 0
    order = np.argsort(doubts["first_ts"], kind="stable")
    first = doubts["first_ts"][order]
    last = np.maximum.accumulate(doubts["last_ts"][order])
    before = np.concatenate([first[:1], last[:-1]])
    return int(np.maximum(last - np.maximum(first, before), 0).sum())
