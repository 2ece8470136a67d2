"""Which loss, repeat or reset the ids of a stream show: the messages, with marks and flags for it.

A depth message says after which id it comes (``prev_sequence``, -1 where the feed does not say) and
up to which it goes (``sequence``); a trade says its id and the one before. What cannot be applied
gives way to a mark with its ids; a loss is told by a mark before the message that shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lobproof.schema import Flag, Kind, Side
from plain.messages import Event, Message

KNOWN_DEPTHS = 1 << 10
"""So many of the last depth messages are remembered, to tell one that comes again."""
KNOWN_TRADES = 1 << 14
"""So many trades are."""

Content = tuple[int, tuple[tuple[int, int, int], ...]]
"""A message's id and levels."""


def audit_book(messages: Iterable[Message]) -> list[Message]:
    """Depth messages, snapshots and the source's marks, judged by their ids."""
    out: list[Message] = []
    last = -1  # id up to which depth messages have come
    snapshot = -1  # … the snapshot since then, if there was one
    time = 0  # of the last depth message
    seen: list[Content] = []
    seeded = False  # a snapshot has ever come
    anchored = False  # … and since then no id was lost
    for message in messages:
        head = message[0]
        if head.kind in (Kind.SNAPSHOT, Kind.CLEAR):
            opens = head.kind == Kind.CLEAR  # it is the feed itself: the book begins anew with it
            restarts = opens and last < 0 and head.ts_event > time > 0
            if not valid_snapshot(message[opens:]):
                out.append([_mark(head, Flag.INVALID)])
                continue
            if head.sequence < max(last, snapshot) and not restarts:
                out.append([_mark(head, Flag.OUT_OF_ORDER)])
                continue
            flags = 0 if anchored or not seeded or opens else int(Flag.RESYNC)
            rows = [replace(row, flags=row.flags | flags) for row in message]
            if opens:
                if head.sequence < snapshot:
                    reset = Flag.GAP | Flag.OUT_OF_ORDER
                    out.append([_mark(head, reset, prev_sequence=snapshot)])
                time = head.ts_event
            elif not anchored or (last < 0 and head.sequence > snapshot):
                # what the book held before is not known to be right: the snapshot is an anchor
                rows.insert(0, replace(_mark(head, 0, kind=Kind.CLEAR), flags=flags))
            out.append(rows)
            anchored = seeded = True
            snapshot = head.sequence
        elif head.kind == Kind.MARK and head.flags & ~Flag.LAST:
            out.append(message)  # the source's own
        elif head.kind == Kind.MARK and head.sequence == head.prev_sequence:
            out.append([_mark(head, Flag.INVALID)])  # a snapshot without levels
        elif head.sequence < 0:
            out.append([_mark(head, Flag.OUT_OF_ORDER | Flag.GAP)])
            anchored = False
        elif head.sequence < last and head.ts_event > time > 0:
            # the ids went back and the time on: the venue counts anew
            onward = head.prev_sequence if head.prev_sequence >= 0 else head.sequence - 1
            ids = {"sequence": onward, "prev_sequence": last}
            out.append([_mark(head, Flag.GAP | Flag.OUT_OF_ORDER, **ids)])
            out.append(message)
            last, snapshot, time, anchored = head.sequence, -1, head.ts_event, False
            seen.append(_content(message))
        elif head.sequence <= last:
            # again or late, not applied; whether that is a loss depends on what it would change
            chainless = head.prev_sequence < 0
            same = _content(message) in seen[-KNOWN_DEPTHS:]
            again = same and (chainless or head.sequence == last)
            other = not same and _is_known(head.sequence, seen[-KNOWN_DEPTHS:])
            anchored = anchored and (again or not (chainless or other))
            late = Flag.OUT_OF_ORDER
            if chainless or other:
                late |= Flag.GAP if chainless else Flag.DRIFT
            out.append([_mark(head, Flag.DUPLICATE if again else late)])
        else:
            known = last if last >= 0 else snapshot
            if head.prev_sequence >= 0 and known >= 0 and head.prev_sequence > known:
                # ids are missing; a snapshot since may have made up for them
                bridged = snapshot >= head.prev_sequence
                anchored = anchored and bridged
                flags = Flag.GAP | (Flag.RESYNC if bridged else 0)
                ids = {"sequence": head.prev_sequence, "prev_sequence": known}
                out.append([_mark(head, flags, **ids)])
                out.append(message)
            elif 0 <= head.prev_sequence < last:
                # it overlaps what was applied: levels have the size that it says
                out.append([replace(r, flags=r.flags | Flag.OUT_OF_ORDER) for r in message])
            else:
                out.append(message)
            last, snapshot, time = head.sequence, -1, head.ts_event
            seen.append(_content(message))
    return out


def audit_trades(messages: Iterable[Message]) -> list[Message]:
    """Trades judged by their ids; every hole is remembered, so that a late one is told from one
    that comes again."""
    out: list[Message] = []
    last = lowest = -1
    missing: set[int] = set()
    seen: list[Content] = []
    for (row,) in messages:
        if row.kind == Kind.MARK:
            out.append([row])  # the source's own
            continue
        content = _content([row])
        same = content in seen[-KNOWN_TRADES:]
        other = not same and _is_known(row.sequence, seen[-KNOWN_TRADES:])
        again = [_mark(row, Flag.DUPLICATE | Flag.TRADES)]
        late = [replace(row, flags=row.flags | Flag.OUT_OF_ORDER)]
        if row.sequence >= 0:
            seen.append(content)
        if row.sequence >= 0 > row.prev_sequence:
            # ids that do not follow each other show no loss
            out.append(again if same else late if row.sequence < last else [row])
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
            out.append(late)
        elif other or row.sequence in missing:
            missing -= set(range(row.prev_sequence + 1, row.sequence + 1))
            out.append(late)
        else:
            out.append(again)
    return out


def valid_snapshot(message: Message) -> bool:
    """Whether a book can look like that: bids then asks, best first, each once, not crossed."""
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


def _mark(event: Event, flags: int, **changes: int) -> Event:
    """The event's times and ids without a level."""
    plain = {"kind": int(Kind.MARK), "side": 0, "price": 0, "size": 0}
    return replace(event, **{**plain, "flags": flags | Flag.LAST, **changes})


def _content(message: Message) -> Content:
    return message[0].sequence, tuple((row.side, row.price, row.size) for row in message)


def _is_known(sequence: int, seen: Sequence[Content]) -> bool:
    return any(number == sequence for number, _ in seen)
