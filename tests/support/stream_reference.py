"""Rows, the chain audit and the order of events in plain Python: what the kernels must give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import groupby

import numpy as np

from lobproof.schema import EventBatch, Flag, Kind, Side

TOLERANCE_NS = 60 * 10**9
WINDOW = 1 << 14
DAY_NS = 86_400 * 10**9


@dataclass(slots=True)
class Row:
    """A row of events; the fields are those of ``EventBatch``."""

    ts_order: int = 0
    ts_event: int = 0
    ts_recv: int = 0
    sequence: int = 0
    prev_sequence: int = 0
    kind: int = Kind.MARK
    side: int = Side.NONE
    price: int = 0
    size: int = 0
    flags: int = 0


Message = list[Row]


def to_batch(messages: Iterable[Message]) -> EventBatch:
    rows = [row for message in messages for row in message]
    batch = EventBatch.empty(len(rows))
    for column in fields(EventBatch):
        getattr(batch, column.name)[:] = [getattr(row, column.name) for row in rows]
    return batch


def to_rows(batch: EventBatch) -> list[Row]:
    columns = [getattr(batch, column.name).tolist() for column in fields(EventBatch)]
    return [Row(*values) for values in zip(*columns, strict=True)]


def messages_of(batch: EventBatch) -> list[Message]:
    """The rows of a batch, message by message."""
    rows = to_rows(batch)
    if not rows:
        return []
    starts = np.cumsum([0, *(bool(row.flags & Flag.LAST) for row in rows[:-1])]).tolist()
    pairs = groupby(zip(starts, rows, strict=True), key=lambda pair: pair[0])
    return [[row for _, row in group] for _, group in pairs]


# the chain ---------------------------------------------------------------------------------------


def _mark(row: Row, flags: int, **changes: int) -> Row:
    plain = {"kind": int(Kind.MARK), "side": 0, "price": 0, "size": 0}
    return replace(row, **{**plain, "flags": flags | Flag.LAST, **changes})


def valid_snapshot(message: Message) -> bool:
    sides = [row.side for row in message]
    bids = [row.price for row in message if row.side == Side.BID]
    asks = [row.price for row in message if row.side == Side.ASK]
    return (
        sides == [Side.BID] * len(bids) + [Side.ASK] * len(asks)
        and all(row.size > 0 and row.price > 0 for row in message)
        and bids == sorted(set(bids), reverse=True)
        and asks == sorted(set(asks))
        and not (bids and asks and bids[0] >= asks[0])
    )


def _content(message: Message) -> tuple[int, tuple[tuple[int, int, int], ...]]:
    return message[0].sequence, tuple((row.side, row.price, row.size) for row in message)


def audit_book(messages: Iterable[Message]) -> list[Message]:
    out: list[Message] = []
    last = snapshot = -1
    time = 0
    seen: list[tuple[int, tuple[tuple[int, int, int], ...]]] = []
    anchored = seeded = False
    for message in messages:
        head = message[0]
        if head.kind in (Kind.SNAPSHOT, Kind.CLEAR):
            opens = head.kind == Kind.CLEAR
            if not valid_snapshot(message[opens:]):
                out.append([_mark(head, Flag.INVALID)])
            elif head.sequence < max(last, snapshot) and not (
                opens and last < 0 and head.ts_event > time > 0
            ):
                out.append([_mark(head, Flag.OUT_OF_ORDER)])
            else:
                flags = 0 if anchored or not seeded or opens else int(Flag.RESYNC)
                rows = [replace(row, flags=row.flags | flags) for row in message]
                if opens:
                    if head.sequence < snapshot:
                        out.append(
                            [_mark(head, Flag.GAP | Flag.OUT_OF_ORDER, prev_sequence=snapshot)]
                        )
                    time = head.ts_event
                elif not anchored or (last < 0 and head.sequence > snapshot):
                    clear = _mark(head, 0, kind=Kind.CLEAR)
                    rows.insert(0, replace(clear, flags=flags))
                out.append(rows)
                anchored = seeded = True
                snapshot = head.sequence
        elif head.kind == Kind.MARK and head.sequence < 0:
            out.append(message)
        elif head.kind == Kind.MARK and head.sequence == head.prev_sequence:
            out.append([_mark(head, Flag.INVALID)])
        elif head.sequence < 0:
            out.append([_mark(head, Flag.OUT_OF_ORDER | Flag.GAP)])
            anchored = False
        elif head.sequence < last and head.ts_event > time > 0:
            onward = head.prev_sequence if head.prev_sequence >= 0 else head.sequence - 1
            ids = {"sequence": onward, "prev_sequence": last}
            out.append([_mark(head, Flag.GAP | Flag.OUT_OF_ORDER, **ids)])
            out.append(message)
            last, snapshot, time, anchored = head.sequence, -1, head.ts_event, False
            seen.append(_content(message))
        elif head.sequence <= last:
            chainless = head.prev_sequence < 0
            same = _content(message) in seen[-1024:]
            again = same and (chainless or head.sequence == last)
            other = not same and head.sequence in {number for number, _ in seen[-1024:]}
            anchored = anchored and (again or not (chainless or other))
            late = Flag.OUT_OF_ORDER
            if chainless or other:
                late |= Flag.GAP if chainless else Flag.DRIFT
            out.append([_mark(head, Flag.DUPLICATE if again else late)])
        else:
            known = last if last >= 0 else snapshot
            if head.prev_sequence >= 0 and known >= 0 and head.prev_sequence > known:
                bridged = snapshot >= head.prev_sequence
                anchored = anchored and bridged
                flags = Flag.GAP | (Flag.RESYNC if bridged else 0)
                ids = {"sequence": head.prev_sequence, "prev_sequence": known}
                out.append([_mark(head, flags, **ids)])
                out.append(message)
            elif 0 <= head.prev_sequence < last:
                out.append([replace(r, flags=r.flags | Flag.OUT_OF_ORDER) for r in message])
            else:
                out.append(message)
            last, snapshot, time = head.sequence, -1, head.ts_event
            seen.append(_content(message))
    return out


def audit_trades(messages: Iterable[Message]) -> list[Message]:
    """Without the ring's limit: every hole is remembered."""
    out: list[Message] = []
    last = lowest = -1
    missing: set[int] = set()
    seen: list[tuple[int, tuple[tuple[int, int, int], ...]]] = []
    for (row,) in messages:
        content = _content([row])
        same = content in seen[-WINDOW:]
        other = not same and row.sequence in {number for number, _ in seen[-WINDOW:]}
        if row.sequence >= 0:
            seen.append(content)
        if row.sequence >= 0 > row.prev_sequence:
            late = row.sequence < last and not same
            kept = replace(row, flags=row.flags | (Flag.OUT_OF_ORDER if late else 0))
            out.append([_mark(row, Flag.DUPLICATE | Flag.TRADES) if same else kept])
            last = max(last, row.sequence if row.sequence < 2**62 and not same else last)
        elif row.sequence < 0 or row.sequence > last:
            if row.sequence >= 0 and last < 0:
                lowest = row.prev_sequence
            if last >= 0 and row.prev_sequence > last:
                ids = {"sequence": row.prev_sequence, "prev_sequence": last}
                out.append([_mark(row, Flag.GAP | Flag.TRADES, **ids)])
                missing |= set(range(last + 1, row.prev_sequence + 1))
            out.append([row])
            last = max(last, row.sequence)
        elif row.sequence <= lowest:
            missing |= set(range(row.sequence + 1, lowest + 1))
            lowest = row.prev_sequence
            out.append([replace(row, flags=row.flags | Flag.OUT_OF_ORDER)])
        elif other or row.sequence in missing:
            missing -= set(range(row.prev_sequence + 1, row.sequence + 1))
            out.append([replace(row, flags=row.flags | Flag.OUT_OF_ORDER)])
        else:
            out.append([_mark(row, Flag.DUPLICATE | Flag.TRADES)])
    return out


# the order ---------------------------------------------------------------------------------------


def stamp(
    messages: Iterable[Message], offset: int, *, receive_days: Sequence[int] = (), lag: int = 0
) -> list[Message]:
    """Set ``ts_order``; a row of no kind stands for what a vendor lists beside the messages."""
    copies = [[replace(row) for row in message] for message in messages]
    clock, substitute = 0, False
    leading: list[Row] = []
    for message in copies:
        for row in message:
            corrected = row.ts_recv - offset if row.ts_recv > 0 else 0
            stands_in = Flag.INVALID | Flag.DUPLICATE | Flag.OUT_OF_ORDER
            timeless = row.kind != 0 and (
                (row.kind in (Kind.SNAPSHOT, Kind.CLEAR) and row.ts_event <= 0)
                or (row.kind == Kind.MARK and row.sequence < 0)
                or (row.kind == Kind.MARK and row.flags & stands_in and row.ts_event <= 0)
            )
            if timeless:
                listed = row.kind in (Kind.SNAPSHOT, Kind.CLEAR)
                row.flags |= Flag.BAD_TS if clock == 0 or (listed and substitute) else 0
                continue
            far = corrected > 0 and abs(row.ts_event - corrected) > TOLERANCE_NS
            near = clock > 0 and abs(row.ts_event - clock) <= TOLERANCE_NS
            fits = near and abs(corrected - clock) > TOLERANCE_NS
            bad = row.ts_event <= 0 or (far and not fits)
            row.flags |= Flag.BAD_TS if bad else 0
            use_receive = bad or (corrected > 0 and corrected // DAY_NS in receive_days)
            time = corrected if use_receive else row.ts_event
            if bad and clock > 0 and corrected - clock > DAY_NS:
                time = clock
            behind = getattr(row, "ts_behind", 0)
            time = min(time, behind) if behind > 0 else time
            time = max(time - lag, time // DAY_NS * DAY_NS if lag else time)
            substitute = bad if time >= clock else substitute
            clock = max(clock, time)
        leading += message
        for row in leading:
            row.ts_order = clock
        leading = [] if clock else leading
    known = [row.ts_recv - offset if row.ts_recv > 0 else 0 for row in leading]
    for number, row in enumerate(leading):
        first = next((time for time in known if time > 0), 0)
        row.ts_order = max([*known[: number + 1]]) or first
    return copies


def merge_messages(
    book: Iterable[Message], trades: Iterable[Message], *, trade_first: bool = False
) -> list[Message]:
    """A stable sort of what stands first, and the other."""
    both = [*trades, *book] if trade_first else [*book, *trades]
    return sorted(both, key=lambda message: message[0].ts_order)
