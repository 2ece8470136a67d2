"""VendorRowsOf in plain Python: where they belong, and what follows from them (SPEC, R16).

A vendor row is what a vendor lists of the book beside its messages. Here it is a message of one
``Listing``, a row of no kind, so that the plain clock and the plain merge take it as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lobproof.instruments import Instrument
from lobproof.replay import Policy
from lobproof.schema import EVERYTHING, LEVELS, RANGE, UNTRUSTED, Flag, Kind, Side, VendorBatch
from lobproof.schema import Finding as Q
from support.replay_reference import SIDES, ReferenceReplay, _away
from support.stream_reference import Message, Row

Levels = list[tuple[int, int]]
PLACE_TOLERANCE_NS = 10 * 10**9
EVIDENCE_NS = 10**9


@dataclass(slots=True)
class Listing(Row):
    """Twenty slots a side; an unused one is 0, 0."""

    kind: int = 0
    bids: tuple[tuple[int, int], ...] = ()
    asks: tuple[tuple[int, int], ...] = ()
    ts_behind: int = 0

    @property
    def slots(self) -> list[int]:
        """All 80 numbers, as in a ``VendorBatch``."""
        sides = [[*side, *[(0, 0)] * (LEVELS - len(side))] for side in (self.bids, self.asks)]
        return [number for side in sides for level in side for number in level]


def to_vendor_rows(listings: Sequence[Message]) -> VendorBatch:
    rows = [row for (row,) in listings if isinstance(row, Listing)]
    batch = VendorBatch.empty(len(rows))
    for name in ("ts_order", "ts_event", "ts_recv", "sequence", "flags", "ts_behind"):
        getattr(batch, name)[:] = [getattr(row, name) for row in rows]
    batch.levels[:] = np.array([row.slots for row in rows], np.int64).reshape(-1, 4 * LEVELS)
    return batch


def placer(messages: Iterable[Message], listings: Iterable[Message]) -> list[Message]:
    """Each vendor row behind the last message that it shows."""
    out: list[Message] = []
    rest = list(listings)
    for message in messages:
        while rest:
            (listing,) = rest[0]
            assert isinstance(listing, Listing)
            if _of_another_time(listing, message[0]):
                listing.flags |= Flag.OUT_OF_ORDER
            if not _stands_before(listing, message[0]):
                break
            listing.ts_behind = message[0].ts_event
            out.append(rest.pop(0))
        out.append(message)
    return out + rest


def _apart(listing: Row, head: Row) -> int | None:
    clocks = ((listing.ts_event, head.ts_event), (listing.ts_recv, head.ts_recv))
    told = [a - b for a, b in clocks if a > 0 and b > 0]
    # by the exchange's clock, unless only the recorder's can be right
    near = [time for time in told if abs(time) <= PLACE_TOLERANCE_NS]
    return near[0] if near else min(told, key=abs, default=None)


def _of_another_time(listing: Row, head: Row) -> bool:
    apart = _apart(listing, head)
    if apart is None or listing.sequence <= 0 or head.sequence < 0:
        return False
    return apart > EVIDENCE_NS if listing.sequence < head.sequence else apart < -EVIDENCE_NS


def _stands_before(listing: Row, head: Row) -> bool:
    apart = _apart(listing, head)
    if apart is not None and abs(apart) > PLACE_TOLERANCE_NS:
        return apart < 0
    if listing.sequence <= 0 or head.sequence < 0:
        return apart is None or apart < 0
    return listing.sequence < head.sequence


class ReferenceJudge(ReferenceReplay):
    """Twin of ``Replayer.chunks``; fed messages and vendor rows in their order."""

    def __init__(self, instrument: Instrument, policy: Policy, state_every: int = 0) -> None:
        super().__init__(instrument, state_every)
        self.policy = policy
        self.chainless = policy.chainless
        self.differing = 0  # levels that the doubt DRIFT, or a stranded snapshot, speaks of
        self.waiting: set[tuple[int, int]] = set()  # in which a vendor row differs
        self.waits_since = (0, 0)
        self.contradicted = False
        self.listed: list[int] = [0] * 4 * LEVELS
        self.fresh = (0, 0)  # where the last row of `book` first was what it is
        self.still = False
        self.unproven: tuple[int, int] | None = None  # from where a row that corrected is alone
        self.prints = [0, 0, 0]

    def begin_day(self, ts: int) -> None:
        super().begin_day(ts)
        self.fresh = (0, ts)

    def feed(self, message: Message) -> list[Message]:
        """The events that come of a message or a vendor row."""
        head, out = message[0], []
        if isinstance(head, Listing):
            self._enter_minute(head.ts_order, self.event_id)
        if self.policy.chainless and self._silent(head.ts_order):
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
        return self.agreed if self.policy.chainless else self.chained

    def end_day(self, ts: int) -> None:
        self._moves_again(self.event_id - 1, ts)
        self._proven(self.event_id - 1, ts)
        super().end_day(ts)

    @property
    def unexplained(self) -> int:
        return len(self.waiting)

    def _proven(self, last: int, ts: int) -> None:
        if self.unproven:
            first, since = self.unproven
            span = (first, max(first, last), since, ts)
            self.episodes.append((int(Q.DRIFT), *span, self.differing, 0, 0))
        self.unproven = None

    def _moves_again(self, last: int, ts: int) -> None:
        first, since = self.fresh
        if self.still or (self.prints[2] >= 3 and ts - since >= 10**9):
            span = (first, max(first, last), since, ts)
            self.episodes.append((int(Q.VENDOR_ROW_STALE), *span, 1, 0, 0))
        self.still, self.prints = False, [0, 0, 0]

    # vendor rows --------------------------------------------------------------------------------

    def meet(self, row: Listing) -> list[Message]:
        """What is to be inserted because of a vendor row."""
        bids, asks = _listed(row.bids, -1), _listed(row.asks, 1)
        now, after = self.minutes[-1], max(self.event_id - 1, 0)
        old = row.sequence < 0 or 0 < row.sequence < self.sequence
        lives = not self.book_ts or row.ts_order - self.book_ts <= self._quiet_limit()
        none = bids is None or asks is None or not (bids or asks)
        crossed = bids and asks and bids[0][0] >= asks[0][0]
        useless = none or crossed or old or row.flags & Flag.OUT_OF_ORDER
        if useless or not bids or not asks:
            now.tallies[Q.VENDOR_ROW_UNUSED].append((after, row.ts_order, 1))
            if useless or self.lost or row.sequence != self.sequence or not lives:
                return []
            one = {Side.BID: bids} if bids else {Side.ASK: asks or []}
            return self._meet_one_side(row, one)
        sides = {Side.BID: bids, Side.ASK: asks}
        again = self.listed == row.slots
        if not again:
            self._moves_again(after, row.ts_order)
            self.listed, self.fresh = row.slots, (after, row.ts_order)
        now.counts["vendor_rows"] += 1
        same = all(self._shows(side, levels) for side, levels in sides.items())
        if self.lost:
            if not self._may_anchor(sides, same, lives):
                return []
            now.counts["contradictions"] += self.lost == Q.CROSSED and not same
            if not same and self.lost in (Q.CROSSED, Q.DRIFT):
                self.unproven = self.unproven or (after + 1, row.ts_order)
            return self._anchor(row, sides)
        always, never = (self.policy.correct == word for word in ("always", "never"))
        further = any(self._further(side, levels) for side, levels in sides.items()) or always
        self.waiting = set()
        if not same and again and row.sequence == self.sequence:
            self.still = True
            return []
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
            self._proven(after, row.ts_order)
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
                self.unproven = self.unproven or (after + 1, row.ts_order)
                self.differing = len(differ)
                return self._insert(row, sides)
        now.counts["contradictions"] += 1
        self.differing = len(differ) or strays
        if differ or never or not lives:
            return [self._doubt_mark(Flag.DRIFT, row.ts_order)]
        return self._insert(row, sides, Flag.GHOST_LEVELS)

    def _meet_one_side(self, row: Listing, side: dict[Side, Levels]) -> list[Message]:
        self.waiting = set()
        differ = self._differences(row, side)
        if not differ:
            return []
        self.minutes[-1].counts["contradictions"] += 1
        self.differing = len(differ)
        return [self._doubt_mark(Flag.DRIFT, row.ts_order)]

    def _may_anchor(self, sides: dict[Side, Levels], same: bool, lives: bool) -> bool:
        if self.lost == Q.UNSEEDED:
            return True
        if not lives or same or self.policy.correct == "never":
            return lives and same
        if self.lost != Q.DRIFT or self.policy.correct == "always":
            return True
        errors = []
        for side, levels in sides.items():
            ours = self.book.levels(side)[: len(levels)]
            if [price for price, _ in ours] != [price for price, _ in levels]:
                return True
            errors += [(a - b) / b for (_, a), (_, b) in zip(ours, levels, strict=True)]
        return _mean_square(errors) > self._least()

    def _least(self) -> float:
        return self.policy.size_limit**2

    def _shows(self, side: Side, levels: Levels) -> bool:
        return self.book.levels(side)[: len(levels)] == levels

    def _further(self, side: Side, levels: Levels) -> bool:
        kind, end = self.book.trust(side)
        if kind == RANGE:
            return _away(side, levels[-1][0]) > _away(side, end)
        return kind != EVERYTHING

    def _strays(self, side: Side, levels: Levels) -> int:
        """Levels beyond the trusted range, told by deltas, that the vendor row denies."""
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
            self._compare(side, rows, whole=False)
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
            Row(*head, int(side), *level, flags | row.flags)
            for side, levels in sides.items()
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
        if head.kind == Kind.CLEAR and self.policy.chainless:
            self._message_at(head.ts_order)
            shown = {(r.side, r.price, r.size) for r in message[1:]}
            if shown == {(s, *level) for s in SIDES for level in self.book.levels(s)}:
                new, seen, old = self.prints
                self.prints = [0, new, old + seen]
            else:
                self._moves_again(self.event_id - 1, head.ts_order)
                self.fresh = (self.event_id + len(message) - 1, head.ts_order)
        if self.policy.trades_wait_for == "snapshots":
            self._confirm(message)
        if head.flags & Flag.GHOST_LEVELS:
            first, since = self.agreed
            last = max(self.event_id + len(message) - 2, first)
            span = (first, last, since, head.ts_order)
            self.episodes.append((int(Q.GHOST_LEVELS), *span, self.differing, 0, 0))
            for side in SIDES:
                self.book.set_trust(side, UNTRUSTED)
                self.stale[side] = True
        return super()._snapshot(message)

    def _trade(self, row: Row) -> None:
        before = self.minutes[-1].counts["prints"]
        super()._trade(row)
        if self.minutes[-1].counts["prints"] > before:
            bid, ask = self.book.best_bid[0], self.book.best_ask[0]
            self.prints[0] += 3 if bid and ask and not bid <= row.price <= ask else 1
        if self.policy.trades_wait_for == "nothing":
            self.pending = []

    def _confirm(self, message: Message) -> None:
        now = self.minutes[-1].counts
        for side, price in dict.fromkeys(one.level for one in self.pending):
            held = [one.size for one in self.pending if one.level == (side, price)]
            rows = [r for r in message if r.kind == Kind.SNAPSHOT and r.side == side]
            reach = max((_away(side, r.price) for r in rows), default=None)
            if reach is None or _away(side, price) > reach:
                now["unnamed_volume"] += sum(held)
                now["unnamed_trades"] += len(held)
            elif not self.lost:
                after = sum(r.size for r in rows if r.price == price)
                self._reconcile(sum(held), self.book.size_at(side, price), after)
        self.pending = []


def _listed(slots: Sequence[tuple[int, int]], sign: int) -> Levels | None:
    """The levels of a side; None where no book can look like that."""
    used = [level for level in slots if level != (0, 0)]
    prices = [sign * price for price, _ in used]
    right = list(slots[: len(used)]) == used and prices == sorted(set(prices))
    return used if right and all(price > 0 < size for price, size in used) else None


def _mean_square(errors: Sequence[float]) -> float:
    return sum(error * error for error in errors) / len(errors) if errors else 0.0
