"""How streams are ordered: the time of each event, where a vendor row belongs, and the merge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lobproof.schema import Flag, Kind
from plain.messages import DAY_NS, Event, Message, VendorRow

CLOCKS_APART_NS = 60 * 10**9
"""Further apart, one of exchange time and corrected receive time is wrong."""
PLACED_BY_ID_NS = 10 * 10**9
"""Further than that from a message, a vendor row is placed by its time, not by its id."""
OTHER_TIME_NS = 10**9
"""Further than that from where its id puts it, a vendor row is noted to be of another time."""

STANDS_IN = Flag.INVALID | Flag.DUPLICATE | Flag.OUT_OF_ORDER
"""Flags of a mark in place of a message that is not applied."""


# vendor rows ------------------------------------------------------------------------------------


def placed(messages: Iterable[Message], vendor_rows: Iterable[Message]) -> list[Message]:
    """Each vendor row behind the last message that it shows, its exchange time noted in it."""
    out: list[Message] = []
    rest = list(vendor_rows)
    for message in messages:
        while rest:
            (row,) = rest[0]
            assert isinstance(row, VendorRow)
            if _of_another_time(row, message[0]):
                row.flags |= Flag.OUT_OF_ORDER
            if not _stands_before(row, message[0]):
                break
            row.ts_behind = message[0].ts_event
            out.append(rest.pop(0))
        out.append(message)
    return out + rest


def _stands_before(row: Event, head: Event) -> bool:
    """Whether a vendor row does not show this message."""
    apart = _apart(row, head)
    if apart is not None and abs(apart) > PLACED_BY_ID_NS:
        return apart < 0
    if row.sequence <= 0 or head.sequence < 0:
        return apart is None or apart < 0
    return row.sequence < head.sequence


def _of_another_time(row: Event, head: Event) -> bool:
    """Whether its id puts the vendor row where its time does not."""
    apart = _apart(row, head)
    if apart is None or row.sequence <= 0 or head.sequence < 0:
        return False
    return apart > OTHER_TIME_NS if row.sequence < head.sequence else apart < -OTHER_TIME_NS


def _apart(row: Event, head: Event) -> int | None:
    """Time from the message to the vendor row; None where no clock tells."""
    clocks = ((row.ts_event, head.ts_event), (row.ts_recv, head.ts_recv))
    told = [a - b for a, b in clocks if a > 0 and b > 0]
    # by the exchange's clock, unless only the recorder's can be right
    near = [time for time in told if abs(time) <= PLACED_BY_ID_NS]
    return near[0] if near else min(told, key=abs, default=None)


# time -------------------------------------------------------------------------------------------


def stamp(
    messages: Iterable[Message], offset: int, *, receive_days: Sequence[int] = (), lag: int = 0
) -> list[Message]:
    """Copies with ``ts_order``: the exchange time, never backwards; BAD_TS where it is no time.

    ``offset``: what a receive time is late by. On ``receive_days`` the receive time counts, as
    corrected by it. ``lag``: what this stream's exchange times are late by.
    """
    copies = [[replace(row) for row in message] for message in messages]
    clock = 0
    substitute = False  # the clock stands at a time that a receive time stood in for
    leading: list[Event] = []  # before the first time that is known
    for message in copies:
        for row in message:
            if _has_no_time_of_its_own(row):
                listed = row.kind in (Kind.SNAPSHOT, Kind.CLEAR)
                row.flags |= Flag.BAD_TS if clock == 0 or (listed and substitute) else 0
                continue
            received = _corrected(row, offset)
            far = received > 0 and abs(row.ts_event - received) > CLOCKS_APART_NS
            near_clock = clock > 0 and abs(row.ts_event - clock) <= CLOCKS_APART_NS
            # of two clocks that disagree, that one is wrong which leaves the stream
            fits = near_clock and abs(received - clock) > CLOCKS_APART_NS
            bad = row.ts_event <= 0 or (far and not fits)
            row.flags |= Flag.BAD_TS if bad else 0
            use_receive = bad or (received > 0 and received // DAY_NS in receive_days)
            time = received if use_receive else row.ts_event
            if bad and clock > 0 and received - clock > DAY_NS:
                time = clock  # neither can be right
            behind = getattr(row, "ts_behind", 0)
            time = min(time, behind) if behind > 0 else time  # no later than what it shows
            time = max(time - lag, time // DAY_NS * DAY_NS if lag else time)
            substitute = bad if time >= clock else substitute
            clock = max(clock, time)
        leading += message
        for row in leading:
            row.ts_order = clock
        leading = [] if clock else leading
    # no exchange time at all: receive times, as far as there are any
    known = [_corrected(row, offset) for row in leading]
    for number, row in enumerate(leading):
        first = next((time for time in known if time > 0), 0)
        row.ts_order = max(known[: number + 1]) or first
    return copies


def _corrected(row: Event, offset: int) -> int:
    """Receive time on the exchange's clock; 0 where there is none."""
    return row.ts_recv - offset if row.ts_recv > 0 else 0


def _has_no_time_of_its_own(row: Event) -> bool:
    """A snapshot, a mark of the source, or one in place of a message that says no time."""
    if row.kind in (Kind.SNAPSHOT, Kind.CLEAR):
        return row.ts_event <= 0
    if row.kind != Kind.MARK:
        return False
    return row.sequence < 0 or bool(row.flags & STANDS_IN and row.ts_event <= 0)


# the merge --------------------------------------------------------------------------------------


def merge_messages(
    book: Iterable[Message], trades: Iterable[Message], *, trade_first: bool = False
) -> list[Message]:
    """Both streams by time; of one time the book's messages first, or the trades."""
    both = [*trades, *book] if trade_first else [*book, *trades]
    return sorted(both, key=lambda message: message[0].ts_order)
