"""What a vendor row does: what follows from it, where the ids of the messages show no loss.

``PlainLakeReplay`` takes messages and vendor rows in their order. A row that agrees vouches for the
book. One that differs waits for the message that it may have been taken from; if that does not
explain it, the book is wrong, and the row corrects it or takes its trust. What follows is inserted
as events: a snapshot of the row, or a mark of doubt. Silence is a loss too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lobproof.instruments import Instrument
from lobproof.replay import Policy
from lobproof.schema import EVERYTHING, LEVELS, RANGE, UNTRUSTED, Flag, Kind, Side
from lobproof.schema import Finding as Q
from plain.book import Levels, away
from plain.chain import audit_book, audit_trades
from plain.messages import OFFSET, Event, Message, VendorRow
from plain.order import merge_messages, placed, stamp
from plain.replay import SIDES, Mismatch, Moment, PlainReplay


class PlainLakeReplay(PlainReplay):
    """Twin of ``Replayer.chunks``; fed messages and vendor rows in their order."""

    def __init__(self, instrument: Instrument, policy: Policy, state_every: int = 0) -> None:
        super().__init__(instrument, state_every)
        self.policy = policy
        self.chainless = policy.chainless
        self.waiting: set[tuple[int, int]] = set()  # levels that the next message may explain
        self.waits_since = Moment(0, 0)
        self.contradicted = False  # it did not
        self.row_levels: list[int] = [0] * 4 * LEVELS  # of the last row that could be a book
        self.fresh = Moment(0, 0)  # when it first listed that
        self.stands_still = False  # … although the deltas have moved the book
        # since the last row, by the row before, by those before that; three for a print outside
        self.prints_unshown = [0, 0, 0]
        self.unread_rows: list[int] = []  # of deltas, since trust was lost for them
        self.unproven: Moment | None = None  # a row corrected the book, and no other has agreed

    def begin_day(self, ts: int) -> None:
        super().begin_day(ts)
        self.fresh = Moment(0, ts)

    def feed(self, message: Message) -> list[Message]:
        """The events that come of a message or a vendor row."""
        head, out = message[0], []
        if isinstance(head, VendorRow):
            self._enter_minute(head.ts_order, self.event_id)
        if self.policy.chainless and self._silent(head.ts_order):
            out.append(self._doubt_mark(Flag.SILENCE, head.ts_order))
            self.process(out[-1])
        if isinstance(head, VendorRow):
            for stream in ("book", "all"):
                self.heard.hear(stream, head.ts_order)
            if head.flags & Flag.BAD_TS:
                after = max(self.event_id - 1, 0)
                self._tally(Q.BAD_TS, after, head.ts_order)
            due = self.meet(head)
        else:
            self.process(message)
            out.append(message)
            due = [self._doubt_mark(Flag.DRIFT, head.ts_order)] if self.contradicted else []
        for inserted in due:
            self.process(inserted)
        self.contradicted = False
        return out + due

    def end_day(self, ts: int) -> None:
        self._moves_again(self.event_id - 1, ts)
        self._proven(self.event_id - 1, ts)
        super().end_day(ts)

    @property
    def unexplained(self) -> int:
        return len(self.waiting)

    def _proven(self, last: int, ts: int) -> None:
        """Another row agrees with what one has corrected; until here that was in doubt."""
        if self.unproven:
            self._since(Q.DRIFT, self.unproven, last, ts, self.differing)
        self.unproven = None

    def _moves_again(self, last: int, ts: int) -> None:
        """The vendor's rows list something else; did they stand still while the market moved?"""
        if self.stands_still or (self.prints_unshown[2] >= 3 and ts - self.fresh.ts >= 10**9):
            self._since(Q.VENDOR_ROW_STALE, self.fresh, last, ts, 1)
        self.stands_still, self.prints_unshown = False, [0, 0, 0]

    # vendor rows --------------------------------------------------------------------------------

    def meet(self, row: VendorRow) -> list[Message]:
        """What is to be inserted because of a vendor row.

        It is used if it can be a book and is not older than the book. Where nothing is trusted it
        may be the anchor. One that agrees vouches, and may extend what is trusted. One that differs
        waits if its id is ahead; if not, it corrects the book, or takes its trust.
        """
        bids, asks = _listed(row.bids, -1), _listed(row.asks, 1)
        now, after = self.minutes[-1], max(self.event_id - 1, 0)
        here, next_ = Moment(after, row.ts_order), Moment(after + 1, row.ts_order)
        old = row.sequence < 0 or 0 < row.sequence < self.sequence
        lives = not self.book_ts or row.ts_order - self.book_ts <= self._quiet_limit()
        none = bids is None or asks is None or not (bids or asks)
        crossed = bids and asks and bids[0][0] >= asks[0][0]
        useless = none or crossed or old or row.flags & Flag.OUT_OF_ORDER
        if useless or not bids or not asks:
            self._tally(Q.VENDOR_ROW_UNUSED, after, row.ts_order)
            if useless or self.reason or row.sequence != self.sequence or not lives:
                return []
            one = {Side.BID: bids} if bids else {Side.ASK: asks or []}
            return self._meet_one_side(row, one)
        sides = {Side.BID: bids, Side.ASK: asks}
        again = self.row_levels == row.slots
        if not again:
            self._moves_again(after, row.ts_order)
            self.row_levels, self.fresh = row.slots, here
        now.counts["vendor_rows"] += 1
        same = all(self._shows(side, levels) for side, levels in sides.items())
        if self.reason:
            if not self._may_anchor(sides, same, lives):
                return []
            now.counts["contradictions"] += self.reason == Q.CROSSED and not same
            if not same and self.reason in (Q.CROSSED, Q.DRIFT):
                self.unproven = self.unproven or next_
            resync = 0 if self.reason == Q.UNSEEDED else Flag.RESYNC
            return self._snapshot_of(row, sides, resync)
        always, never = (self.policy.correct == word for word in ("always", "never"))
        further = any(self._further(side, levels) for side, levels in sides.items()) or always
        self.waiting = set()
        if not same and again and row.sequence == self.sequence:
            self.stands_still = True
            return []
        differ, ghosts, equal, errors = set[tuple[int, int]](), 0, 0, 0
        if same:
            for levels in sides.values():
                for name in ("drift_compared", "drift_equal"):
                    now.counts[name] += len(levels)
                now.rank_errors += [0.0] * len(levels)
                now.size_errors += [0.0] * len(levels)
        else:
            ghosts = sum(self._ghosts(side, levels) for side, levels in sides.items())
            equal = now.counts["drift_equal"]
            errors = len(now.size_errors)
            differ = self._differences(row, sides)
            equal = now.counts["drift_equal"] - equal
        if not differ and not ghosts:
            self.agreed, self.last_alive = here, row.ts_order
            self._proven(after, row.ts_order)
            return self._snapshot_of(row, sides) if further else []
        leads = row.sequence != self.sequence
        if lives and leads:  # the next message may explain it
            self.waiting, self.waits_since = differ, here
            return []
        if differ and lives:
            wrong = now.size_errors[errors:]
            minor = len(wrong) - equal == len(differ) and _mean_square(wrong) <= self._least()
            if always or (not never and equal and not minor):
                self.mismatches = {level: Mismatch(*level, 0, 0) for level in differ}
                self.unproven = self.unproven or next_
                self.differing = len(differ)
                return self._snapshot_of(row, sides)
        now.counts["contradictions"] += 1
        self.differing = len(differ) or ghosts
        if differ or never or not lives:
            return [self._doubt_mark(Flag.DRIFT, row.ts_order)]
        return self._snapshot_of(row, sides, Flag.GHOST_LEVELS)

    def _meet_one_side(self, row: VendorRow, side: dict[Side, Levels]) -> list[Message]:
        """A row with one side can only contradict."""
        self.waiting = set()
        differ = self._differences(row, side)
        if not differ:
            return []
        self.minutes[-1].counts["contradictions"] += 1
        self.differing = len(differ)
        return [self._doubt_mark(Flag.DRIFT, row.ts_order)]

    def _may_anchor(self, sides: dict[Side, Levels], same: bool, lives: bool) -> bool:
        """Whether a row ends the loss: a first one does; others where messages still come, unless
        they would correct sizes by too little, or may not correct.
        """
        if self.reason == Q.UNSEEDED:
            return True
        if not lives or same or self.policy.correct == "never":
            return lives and same
        if self.reason != Q.DRIFT or self.policy.correct == "always":
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
        """Whether the book's best levels are these."""
        return self.book.levels(side)[: len(levels)] == levels

    def _further(self, side: Side, levels: Levels) -> bool:
        """Whether they reach beyond what is trusted."""
        kind, end = self.book.trust(side)
        if kind == RANGE:
            return away(side, levels[-1][0]) > away(side, end)
        return kind != EVERYTHING

    def _ghosts(self, side: Side, levels: Levels) -> int:
        """Levels beyond the trusted range, told by deltas, that the vendor row denies."""
        kind, end = self.book.trust(side)
        if self.stale[side] or kind != RANGE:
            return 0
        told = dict(levels)
        best = {price for price, _ in self.book.levels(side)[:LEVELS]} | set(told)
        span = range(away(side, end) + 1, away(side, levels[-1][0]) + 1)
        held = {p: self.book.size_at(side, p) for p in best if away(side, p) in span}
        return sum(bool(size) and told.get(price) != size for price, size in held.items())

    def _differences(self, row: VendorRow, sides: dict[Side, Levels]) -> set[tuple[int, int]]:
        """Levels, as far as they are trusted, in which the row differs; they are counted."""
        before, self.mismatches = self.mismatches, {}
        (message,) = self._snapshot_of(row, sides)
        for side in SIDES:
            rows = [one for one in message if one.side == side]
            self._compare(side, rows, whole=False)
        found, self.mismatches = set(self.mismatches), before
        return found

    # what is inserted --------------------------------------------------------------------------

    def _doubt_mark(self, flag: Flag, ts: int) -> Message:
        """A mark: from here on the book is in doubt."""
        mark = Event(ts, 0, 0, self.sequence, -1, int(Kind.MARK))
        mark.flags = int(flag | Flag.LAST)
        return [mark]

    def _snapshot_of(
        self, row: VendorRow, sides: dict[Side, Levels], flags: int = 0
    ) -> list[Message]:
        head = (row.ts_order, row.ts_event, row.ts_recv, row.sequence, -1, int(Kind.SNAPSHOT))
        message = [
            Event(*head, int(side), *level, flags | row.flags)
            for side, levels in sides.items()
            for level in levels
        ]
        message[-1].flags |= Flag.LAST
        return [message]

    # messages ----------------------------------------------------------------------------------

    def _lose(self, code: int) -> None:
        super()._lose(code)
        self.waiting = set()

    def _mark(self, row: Event) -> None:
        if row.flags & Flag.INVALID and row.flags & Flag.GAP:
            self._unreadable(row)
            return
        if row.flags & Flag.GAP or not row.flags & (Flag.DRIFT | Flag.SILENCE):
            super()._mark(row)
            return
        self._lose_track(Q.DRIFT if row.flags & Flag.DRIFT else Q.SILENCE, row.ts_order)

    def _unreadable(self, row: Event) -> None:
        """A row of the table holds no level: from here on the book lacks a change."""
        now = self.minutes[-1]
        now.counts["gaps"] += 1
        self._tally(Q.INVALID_INPUT, self.event_id, row.ts_order)
        now.invalid_rows.setdefault("depth", row.prev_sequence + 1)
        if self.reason == Q.UNSEEDED:
            return
        if self.reason != Q.UNREADABLE:
            if self.reason:
                self._close(self.reason, self.event_id - 1, row.ts_order)
            self._lose(Q.UNREADABLE)
            self.doubts.setdefault(int(Q.UNREADABLE), Moment(self.event_id, row.ts_order))
            self.unread_rows = []
        self.unread_rows.append(row.prev_sequence)

    def _close(self, code: int, last: int, ts: int, *, stays: bool = False) -> None:
        if code != Q.UNREADABLE:
            super()._close(code, last, ts, stays=stays)
            return
        rows = self.unread_rows
        self._since(code, self.doubts[code], last, ts, len(rows), rows[0], rows[-1])
        if not stays:
            del self.doubts[code]

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
                new, seen, old = self.prints_unshown
                self.prints_unshown = [0, new, old + seen]
            else:
                self._moves_again(self.event_id - 1, head.ts_order)
                self.fresh = Moment(self.event_id + len(message) - 1, head.ts_order)
        if self.policy.trades_wait_for == "snapshots":
            self._confirm(message)
        if head.flags & Flag.GHOST_LEVELS:
            last = self.event_id + len(message) - 2
            self._since(Q.GHOST_LEVELS, self.agreed, last, head.ts_order, self.differing)
            for side in SIDES:
                self.book.set_trust(side, UNTRUSTED)
                self.stale[side] = True
        return super()._snapshot(message)

    def _trade(self, row: Event) -> None:
        before = self.minutes[-1].counts["prints"]
        super()._trade(row)
        if self.minutes[-1].counts["prints"] > before:
            bid, ask = self.book.best_bid[0], self.book.best_ask[0]
            self.prints_unshown[0] += 3 if bid and ask and not bid <= row.price <= ask else 1
        if self.policy.trades_wait_for == "nothing":
            self.pending = []

    def _confirm(self, message: Message) -> None:
        """Trades explained by the next snapshot, as far as it lists."""
        now = self.minutes[-1].counts
        for side, price in dict.fromkeys(one.level for one in self.pending):
            held = [one.size for one in self.pending if one.level == (side, price)]
            rows = [r for r in message if r.kind == Kind.SNAPSHOT and r.side == side]
            reach = max((away(side, r.price) for r in rows), default=None)
            if reach is None or away(side, price) > reach:
                now["unnamed_volume"] += sum(held)
                now["unnamed_trades"] += len(held)
            elif not self.reason:
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


@dataclass
class LakeStreams:
    """The streams of a day, each in its source's order; received ``OFFSET`` late."""

    book: list[Message] = field(default_factory=list)
    vendor_rows: list[Message] = field(default_factory=list)
    trades: list[Message] = field(default_factory=list)

    def ordered(self) -> list[Message]:
        """All of it judged and in order."""
        book = stamp(placed(audit_book(self.book), self.vendor_rows), OFFSET)
        return merge_messages(book, stamp(audit_trades(self.trades), OFFSET))

    def replayed(
        self, instrument: Instrument, policy: Policy, state_every: int = 0
    ) -> tuple[list[Message], PlainLakeReplay]:
        """Its events, and the replay that has seen them all."""
        replay = PlainLakeReplay(instrument, policy, state_every)
        messages = self.ordered()
        replay.begin_day(messages[0][0].ts_order)
        events = [event for message in messages for event in replay.feed(message)]
        replay.end_day(messages[-1][0].ts_order)
        return events, replay
