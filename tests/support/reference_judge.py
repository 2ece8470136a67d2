"""References in plain Python: where they belong, and what follows from them (SPEC, R16).

A reference is what a vendor lists of the book beside its messages. Here it is a message of one
``Listing``, a row of no kind, so that the plain clock and the plain merge take it as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lobproof.instruments import Instrument
from lobproof.replay import Policy
from lobproof.schema import EVERYTHING, LEVELS, RANGE, UNTRUSTED, Flag, Kind, ReferenceBatch, Side
from lobproof.schema import Finding as Q
from support.replay_reference import SIDES, ReferenceReplay, _away
from support.stream_reference import Message, Row

Levels = list[tuple[int, int]]
PLACE_TOLERANCE_NS = 10 * 10**9


@dataclass(slots=True)
class Listing(Row):
    """Twenty slots a side; an unused one is 0, 0."""

    kind: int = 0
    bids: tuple[tuple[int, int], ...] = ()
    asks: tuple[tuple[int, int], ...] = ()

    @property
    def slots(self) -> list[int]:
        """All 80 numbers, as in a ``ReferenceBatch``."""
        sides = [[*side, *[(0, 0)] * (LEVELS - len(side))] for side in (self.bids, self.asks)]
        return [number for side in sides for level in side for number in level]


def to_references(listings: Sequence[Message]) -> ReferenceBatch:
    rows = [row for (row,) in listings if isinstance(row, Listing)]
    batch = ReferenceBatch.empty(len(rows))
    for name in ("ts_order", "ts_event", "ts_recv", "sequence", "flags"):
        getattr(batch, name)[:] = [getattr(row, name) for row in rows]
    batch.levels[:] = np.array([row.slots for row in rows], np.int64).reshape(-1, 4 * LEVELS)
    return batch


def weave(messages: Iterable[Message], listings: Iterable[Message]) -> list[Message]:
    """Each reference behind the last message that it shows."""
    out: list[Message] = []
    rest = list(listings)
    for message in messages:
        while rest and _stands_before(rest[0][0], message[0]):
            out.append(rest.pop(0))
        out.append(message)
    return out + rest


def _stands_before(listing: Row, head: Row) -> bool:
    clocks = ((listing.ts_event, head.ts_event), (listing.ts_recv, head.ts_recv))
    told = [a - b for a, b in clocks if a > 0 and b > 0]
    # by the exchange's clock, unless only the recorder's can be right
    near = [time for time in told if abs(time) <= PLACE_TOLERANCE_NS]
    apart = near[0] if near else min(told, key=abs, default=None)
    if apart is not None and abs(apart) > PLACE_TOLERANCE_NS:
        return apart < 0
    if listing.sequence <= 0 or head.sequence < 0:
        return apart is None or apart < 0
    return listing.sequence < head.sequence


class ReferenceJudge(ReferenceReplay):
    """Twin of ``Replayer.pieces``; fed messages and references in their order."""

    def __init__(self, instrument: Instrument, policy: Policy, state_every: int = 0) -> None:
        super().__init__(instrument, state_every)
        self.policy = policy
        self.unchained = policy.unchained
        self.differing = 0  # levels that the doubt DRIFT, or a stranded snapshot, speaks of
        self.waiting: set[tuple[int, int]] = set()  # in which a reference differs
        self.waits_since = (0, 0)
        self.contradicted = False

    def feed(self, message: Message) -> list[Message]:
        """The events that come of a message or a reference."""
        head, out = message[0], []
        if isinstance(head, Listing):
            self._enter_minute(head.ts_order, self.event_id)
        if self.policy.unchained and self._silent(head.ts_order):
            out.append(self._doubt_mark(Flag.SILENCE, head.ts_order))
            self.process(out[-1])
        if isinstance(head, Listing):
            for stream in ("book", "all"):
                self.heard.hear(stream, head.ts_order)
            if head.flags & Flag.BAD_TS:
                after = max(self.event_id - 1, 0)
                self.minutes[-1].tallies[Q.BAD_TS].append((after, head.ts_order, 1))
            due = self.meet(head)
        else:
            self.process(message)
            out.append(message)
            due = [self._doubt_mark(Flag.DRIFT, head.ts_order)] if self.contradicted else []
        for inserted in due:
            self.process(inserted)
        self.contradicted = False
        return out + due

    @property
    def last_known(self) -> tuple[int, int]:
        return self.agreed if self.policy.unchained else self.chained

    # references --------------------------------------------------------------------------------

    def meet(self, row: Listing) -> list[Message]:
        """What is to be inserted because of a reference."""
        sides = {Side.BID: _listed(row.bids, -1), Side.ASK: _listed(row.asks, 1)}
        bids, asks = sides[Side.BID], sides[Side.ASK]
        now, after = self.minutes[-1], max(self.event_id - 1, 0)
        old = 0 < row.sequence < self.sequence
        if not bids or not asks or bids[0][0] >= asks[0][0] or old:
            now.tallies[Q.REFERENCE_UNUSED].append((after, row.ts_order, 1))
            return []
        now.counts["references"] += 1
        same = all(self._shows(side, levels) for side, levels in sides.items())
        lives = not self.book_ts or row.ts_order - self.book_ts <= self._quiet_limit()
        if self.lost:
            if not self._may_anchor(sides, same, lives):
                return []
            now.counts["contradictions"] += self.lost == Q.CROSSED and not same
            return self._anchor(row, sides)
        always, never = (self.policy.correct == word for word in ("always", "never"))
        further = any(self._further(side, levels) for side, levels in sides.items()) or always
        self.waiting = set()
        differ, strays, equal, errors = set[tuple[int, int]](), 0, 0, 0
        if same:
            for levels in sides.values():
                for name in ("drift_compared", "drift_equal"):
                    now.counts[name] += len(levels)
                now.rank_errors += [0.0] * len(levels)
                now.size_errors += [0.0] * len(levels)
        else:
            strays = sum(self._strays(side, levels) for side, levels in sides.items())
            equal = now.counts["drift_equal"]
            errors = len(now.size_errors)
            differ = self._differences(row, sides)
            equal = now.counts["drift_equal"] - equal
        if not differ and not strays:
            self.agreed, self.life_ts = (after, row.ts_order), row.ts_order
            return self._insert(row, sides) if further else []
        leads = row.sequence != self.sequence
        if lives and leads:  # the next message may explain it
            self.waiting, self.waits_since = differ, (after, row.ts_order)
            return []
        if differ and lives:
            wrong = now.size_errors[errors:]
            minor = len(wrong) - equal == len(differ) and _mean_square(wrong) <= self._least()
            if always or (not never and equal and not minor):
                self.suspects = {(side, price): (side, price, 0, 0) for side, price in differ}
                return self._insert(row, sides)
        now.counts["contradictions"] += 1
        self.differing = len(differ) or strays
        if differ or never or not lives:
            return [self._doubt_mark(Flag.DRIFT, row.ts_order)]
        return self._insert(row, sides, Flag.STRANDED)

    def _may_anchor(self, sides: dict[Side, Levels], same: bool, lives: bool) -> bool:
        if self.lost == Q.UNSEEDED:
            return True
        if not lives or same or self.policy.correct == "never":
            return lives and same
        if self.lost != Q.DRIFT or self.policy.correct == "always":
            return True
        errors = []
        for side, levels in sides.items():
            ours = self.book.levels(side)[: len(levels) + (len(levels) < LEVELS)]
            if [price for price, _ in ours] != [price for price, _ in levels]:
                return True
            errors += [(a - b) / b for (_, a), (_, b) in zip(ours, levels, strict=True)]
        return _mean_square(errors) > self._least()

    def _least(self) -> float:
        return self.policy.size_limit**2

    def _shows(self, side: Side, levels: Levels) -> bool:
        ours = self.book.levels(side)
        return ours[: len(levels)] == levels and (len(levels) == LEVELS or ours == levels)

    def _further(self, side: Side, levels: Levels) -> bool:
        kind, end = self.book.trust(side)
        if kind == RANGE and len(levels) == LEVELS:
            return _away(side, levels[-1][0]) > _away(side, end)
        return kind != EVERYTHING

    def _strays(self, side: Side, levels: Levels) -> int:
        """Levels beyond the trusted range, told by deltas, that the reference denies."""
        kind, end = self.book.trust(side)
        if self.stale[side] or kind != RANGE:
            return 0
        told = dict(levels)
        best = {price for price, _ in self.book.levels(side)[:LEVELS]} | set(told)
        span = range(_away(side, end) + 1, _away(side, levels[-1][0]) + 1)
        held = {p: self.book.size_at(side, p) for p in best if _away(side, p) in span}
        return sum(bool(size) and told.get(price) != size for price, size in held.items())

    def _differences(self, row: Listing, sides: dict[Side, Levels]) -> set[tuple[int, int]]:
        before, self.suspects = self.suspects, {}
        (message,) = self._snapshot_of(row, sides)
        for side in SIDES:
            rows = [one for one in message if one.side == side]
            self._compare(side, rows, len(rows) < LEVELS)
        found, self.suspects = set(self.suspects), before
        return found

    # what is inserted --------------------------------------------------------------------------

    def _doubt_mark(self, flag: Flag, ts: int) -> Message:
        mark = Row(ts, 0, 0, self.sequence, -1, int(Kind.MARK))
        mark.flags = int(flag | Flag.LAST)
        return [mark]

    def _anchor(self, row: Listing, sides: dict[Side, Levels]) -> list[Message]:
        return self._snapshot_of(row, sides, 0 if self.lost == Q.UNSEEDED else Flag.RESYNC)

    def _insert(self, row: Listing, sides: dict[Side, Levels], flags: int = 0) -> list[Message]:
        return self._snapshot_of(row, sides, flags)

    def _snapshot_of(
        self, row: Listing, sides: dict[Side, Levels], flags: int = 0
    ) -> list[Message]:
        head = (row.ts_order, row.ts_event, row.ts_recv, row.sequence, -1, int(Kind.SNAPSHOT))
        message = [
            Row(*head, int(side), *level, flags | row.flags | whole)
            for side, levels in sides.items()
            for whole in [Flag.COMPLETE if len(levels) < LEVELS else 0]
            for level in levels
        ]
        message[-1].flags |= Flag.LAST
        return [message]

    # messages ----------------------------------------------------------------------------------

    def _lose(self, code: int) -> None:
        super()._lose(code)
        self.waiting = set()

    def _mark(self, row: Row) -> None:
        if row.flags & Flag.GAP or not row.flags & (Flag.DRIFT | Flag.SILENCE):
            super()._mark(row)
            return
        self._lose_track(Q.DRIFT if row.flags & Flag.DRIFT else Q.SILENCE, row.ts_order)

    def _doubt(
        self, code: int, last: int, ts: int
    ) -> tuple[int, int, int, int, int, int, int, int]:
        found = super()._doubt(code, last, ts)
        return (*found[:5], self.differing, 0, 0) if code == Q.DRIFT else found

    def _depth(self, message: Message) -> Flag:
        add = super()._depth(message)
        if self.waiting:
            left = self.waiting - {(row.side, row.price) for row in message}
            self.waiting = set()
            self.contradicted = bool(left)
            if left:
                self.minutes[-1].counts["contradictions"] += 1
                self.differing = len(left)
            else:
                self.agreed = self.waits_since
        return add

    def _snapshot(self, message: Message) -> Flag:
        head = message[0]
        if head.kind == Kind.CLEAR and self.policy.unchained:
            self._message_at(head.ts_order)
        if self.policy.trades_wait_for == "snapshots":
            self._confirm(message)
        if head.flags & Flag.STRANDED:
            first, since = self.agreed
            last = max(self.event_id + len(message) - 2, first)
            span = (first, last, since, head.ts_order)
            self.episodes.append((int(Q.STRANDED), *span, self.differing, 0, 0))
            for side in SIDES:
                self.book.set_trust(side, UNTRUSTED)
                self.stale[side] = True
        return super()._snapshot(message)

    def _trade(self, row: Row) -> None:
        super()._trade(row)
        if self.policy.trades_wait_for == "nothing":
            self.pending = []

    def _confirm(self, message: Message) -> None:
        now = self.minutes[-1].counts
        for side, price in dict.fromkeys(one.level for one in self.pending):
            held = [one.size for one in self.pending if one.level == (side, price)]
            rows = [r for r in message if r.kind == Kind.SNAPSHOT and r.side == side]
            reach = max((_away(side, r.price) for r in rows), default=None)
            whole = any(r.flags & Flag.COMPLETE for r in rows)
            if reach is None or (_away(side, price) > reach and not whole):
                now["unnamed_volume"] += sum(held)
                now["unnamed_trades"] += len(held)
            elif not self.lost:
                after = sum(r.size for r in rows if r.price == price)
                self._reconcile(sum(held), self.book.size_at(side, price), after)
        self.pending = []


def _listed(slots: Sequence[tuple[int, int]], sign: int) -> Levels:
    """The levels of a side; none where no book can look like that."""
    used = [level for level in slots if level != (0, 0)]
    prices = [sign * price for price, _ in used]
    right = list(slots[: len(used)]) == used and prices == sorted(set(prices))
    return used if right and all(price > 0 < size for price, size in used) else []


def _mean_square(errors: Sequence[float]) -> float:
    return sum(error * error for error in errors) / len(errors) if errors else 0.0
