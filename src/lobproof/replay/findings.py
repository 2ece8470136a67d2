"""From the replay's episodes to rows of ``quality``."""

from __future__ import annotations

import numpy as np

from lobproof.replay.ledger_kernels import (
    E_CODE,
    E_COUNT,
    E_FIRST,
    E_FIRST_TS,
    E_FROM,
    E_LAST,
    E_LAST_TS,
    E_TO,
)
from lobproof.schema import Finding, Int64, Severity

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
    Finding.STRANDED: Severity.DOUBT,
    Finding.FROZEN: Severity.DOUBT,
    Finding.REFERENCE_UNUSED: Severity.WARNING,
    Finding.REFUTED: Severity.DOUBT,
    Finding.UNREADABLE: Severity.DOUBT,
}
"""How each finding bears on the rows that it covers."""

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
    Finding.STRANDED: "a wider snapshot denies {count} levels held beyond the trusted range",
    Finding.FROZEN: "{count} prints far from the touch, half of the minute's or more",
    Finding.UNREADABLE: "{count} line(s) that may be depth messages cannot be read",
    Finding.REFERENCE_UNUSED: "rows of `book` that cannot be a book, or are older than its deltas",
    Finding.REFUTED: "a snapshot differs in {count} levels from a book whose chain is whole",
}


def quality_rows(episodes: Int64) -> dict[str, list[object]]:
    """Columns of ``quality`` for ``episodes`` (rows, 8), in the order of their first event."""
    order = np.lexsort((episodes[:, E_CODE], episodes[:, E_LAST], episodes[:, E_FIRST]))
    names = ("first_event_id", "last_event_id", "first_ts", "last_ts", "code", "severity")
    columns: dict[str, list[object]] = {name: [] for name in (*names, "count", "detail")}
    for row in episodes[order].tolist():
        code = Finding(row[E_CODE])
        columns["first_event_id"].append(row[E_FIRST])
        columns["last_event_id"].append(row[E_LAST])
        columns["first_ts"].append(row[E_FIRST_TS])
        columns["last_ts"].append(row[E_LAST_TS])
        columns["code"].append(int(code))
        columns["severity"].append(int(QUALITY_SEVERITY[code]))
        columns["count"].append(row[E_COUNT])
        columns["detail"].append(
            _DETAIL[code].format(first=row[E_FROM], last=row[E_TO], count=row[E_COUNT])
        )
    return columns


def doubtful_time(episodes: Int64) -> int:
    """Time, ns, covered by at least one episode of severity DOUBT."""
    codes = [int(code) for code, severity in QUALITY_SEVERITY.items() if severity == Severity.DOUBT]
    doubts = episodes[np.isin(episodes[:, E_CODE], codes)]
    if len(doubts) == 0:
        return 0
    order = np.argsort(doubts[:, E_FIRST_TS], kind="stable")
    first = doubts[order, E_FIRST_TS]
    last = np.maximum.accumulate(doubts[order, E_LAST_TS])
    before = np.concatenate([first[:1], last[:-1]])
    return int(np.maximum(last - np.maximum(first, before), 0).sum())
