"""What each message does: to the book and its trust, and what is told of it.

``PlainReplay`` takes the messages of one day in their order and gives the flags that complete their
events, a state behind each message of the book, findings, minutes and the day's coverage.

The book is right as long as it stands on a snapshot and no depth message since is missing. A loss,
seen by the ids or by silence, costs all trust, until a snapshot restores it. A snapshot that
differs from a trusted book is evidence against one of the two: the next depth message, what an
earlier snapshot listed, and the snapshot after it decide which (``_weigh``).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lobproof.instruments import Instrument
from lobproof.schema import EVERYTHING, LEVELS, RANGE, UNTRUSTED, Flag, Kind, Side
from lobproof.schema import Finding as Q
from plain.book import PlainBook, away
from plain.chain import audit_book, audit_trades
from plain.coverage import Heard
from plain.messages import MINUTE, OFFSET, Event, Message
from plain.order import merge_messages, stamp

SIDES = (Side.BID, Side.ASK)
TELLING = Flag.GAP | Flag.DUPLICATE | Flag.OUT_OF_ORDER | Flag.INVALID | Flag.RECONNECT
TELLING |= Flag.DRIFT | Flag.SILENCE
"""Flags of marks that say something of the feed; one without them is an empty depth message."""
LOSSES = (Q.GAP, Q.SEQUENCE_RESET, Q.SILENCE)
"""Findings within which a silence of all streams is an outage."""

QUIET_NS = 5 * 10**9
QUIET_MESSAGES = 50
"""A book is silent after so many times the usual time between messages, and no sooner than that."""
CADENCE = 64
"""The usual time is a running mean over about so many."""
EXPIRES_MESSAGES, EXPIRES_NS = 2, 2 * 10**8
"""A trade is no longer waited for after so many depth messages, and no sooner than that."""
A_PRINT_NS = 10**9
"""Trades without a message of the book between them are one print, but a new one every second."""
FAR_BP, FAR_PRINTS = 30, 3
"""Prints so far outside the touch, in 1/10,000, and so many in a minute: the book is stale."""
MOVES_THROUGH = 20
"""The book moved through its touch so often in a minute without a trade: trades are absent."""
UNLISTED_AT_END, UNLISTED = 16, 256
"""Levels that an anchor lacks, until it is not believed: at the day's end, and before."""


class Moment(NamedTuple):
    """An event and its time."""

    event_id: int
    ts: int


@dataclass(frozen=True, order=True, slots=True)
class Found:
    """A finding as ``quality`` has it; the numbers are ids, or what its detail names."""

    code: int
    first_event_id: int
    last_event_id: int
    first_ts: int
    last_ts: int
    count: int
    first_number: int
    last_number: int


class State(NamedTuple):
    """The book behind a message as ``states`` has it; levels as 80 numbers."""

    event_id: int
    ts_order: int
    ts_event: int
    sequence: int
    levels: tuple[int, ...]
    bid_trusted: int
    ask_trusted: int
    flags: int


class Mismatch(NamedTuple):
    """A level that differs, its size in the book and in the snapshot."""

    side: int
    price: int
    held: int
    listed: int


class Before(NamedTuple):
    """What a snapshot changed, as it was, by side."""

    levels: dict[Side, dict[int, int]]
    trust: dict[Side, tuple[int, int]]
    stale: dict[Side, bool]


class Tallied(NamedTuple):
    """One of the findings that a minute counts, not each by itself."""

    event_id: int
    ts: int
    number: int


@dataclass
class Minute:
    """What is counted from one whole minute to the next, and lists of what is averaged."""

    minute: int
    first: int
    last: int
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    trusted: list[int] = field(default_factory=list)
    reach: tuple[float, float] = (math.nan, math.nan)
    spreads: list[int] = field(default_factory=list)
    rank_errors: list[float] = field(default_factory=list)
    size_errors: list[float] = field(default_factory=list)
    tallies: dict[int, list[Tallied]] = field(default_factory=lambda: defaultdict(list))
    invalid_rows: dict[str, int] = field(default_factory=dict)  # the first ones, counted from 1


@dataclass
class Waiting:
    """A trade whose level no message has named yet."""

    level: tuple[int, int]
    size: int
    ts: int
    messages: int = 0


class PlainReplay:
    """Twin of ``Replayer`` for one day; fed message by message."""

    def __init__(self, instrument: Instrument, state_every: int = 0) -> None:
        self.instrument = instrument
        self.state_every = state_every  # ns between states, 0: behind every message, -1: none
        self.chainless = False  # the ids show no loss
        # what it gives
        self.states: list[State] = []
        self.findings: list[Found] = []
        self.minutes: list[Minute] = []
        self.heard = Heard()
        self.event_id = 0
        self.next_state = 0
        # the book, and why nothing of it is trusted, 0 where something is
        self.book = PlainBook()
        self.sequence = -1
        self.touch = (0, 0)  # behind the last message
        self.reason = int(Q.UNSEEDED)
        self.doubts: dict[int, Moment] = {Q.UNSEEDED: Moment(0, 0)}
        self.stale = dict.fromkeys(SIDES, False)  # beyond its range, levels from before a loss
        self.gap = (0, 0)
        self.unread = 0  # lines since `chained` that cannot be read
        self.agreed = Moment(0, 0)  # a snapshot last vouched for the book
        self.chained = Moment(0, 0)  # the last depth message, or the snapshot that anchored
        self.unfollowed = False  # no depth message has come since the snapshot that anchored
        # pace
        self.book_ts = self.print_ts = self.last_alive = self.cadence = 0
        # the last snapshot, and in what it differs from the book
        self.listed = dict.fromkeys(SIDES, (UNTRUSTED, 0))
        self.mismatches: dict[tuple[int, int], Mismatch] = {}
        self.compared = Moment(0, 0)
        self.first_doubted = Moment(0, 0)  # the first of several snapshots that wait
        self.undo: Before | None = None  # it waits for the next depth message, which may refute it
        self.agrees_to: dict[Side, float] = {}  # how far it and the book both know
        self.differing = self.shared = 0
        # what vouches for the snapshot that anchored
        self.vouched_to = dict.fromkeys(SIDES, -math.inf)  # how far a second one agreed
        self.image: dict[Side, dict[int, int]] = {side: {} for side in SIDES}
        self.image_to = dict.fromkeys(SIDES, -math.inf)
        self.remembered: set[Mismatch] = set()  # of the last snapshot that was refuted
        self.on_probation = False  # no depth message has named a level that it lists
        self.unlisted = 0  # levels within its range that they named, and that it lacks
        # trades
        self.pending: list[Waiting] = []

    def begin_day(self, ts: int) -> None:
        """Doubts go on; event ids begin at 0."""
        self.event_id = 0
        self.agreed = self.compared = self.first_doubted = self.chained = Moment(0, ts)
        self.next_state = 0
        self.doubts = dict.fromkeys(self.doubts, Moment(0, ts))

    def end_day(self, ts: int) -> None:
        """What is open at the end becomes findings; the doubts stay for the next day."""
        if self._silent(ts):
            self.doubts.setdefault(Q.SILENCE, self.last_known)
        if self.unread:
            self.doubts.setdefault(Q.UNREADABLE, self.last_known)
        self._close_minute()
        last = self.event_id - 1
        if self.unexplained:
            self._since(Q.DRIFT, self.agreed, last, ts, self.unexplained)
        if self.unfollowed and not self.reason:
            self._since(Q.ANCHOR_UNPROVEN, self.chained, last, ts, 1)
        if self.undo and self.mismatches:
            self._since(Q.REFUTED, self.first_doubted, last, ts, len(self.mismatches))
        if self.on_probation and self.unlisted >= UNLISTED_AT_END:
            self._since(Q.DRIFT, self.agreed, last, ts, self.unlisted)
        for code in sorted(self.doubts):
            self._close(code, last, ts, stays=True)

    @property
    def unexplained(self) -> int:
        """Levels in which a vendor's row differs that still waits for a depth message."""
        return 0

    def coverage(self) -> dict[str, Any]:
        """When each stream of the day was heard, behind its end."""
        losses = [(one.first_ts, one.last_ts) for one in self.findings if one.code in LOSSES]
        return self.heard.coverage(self._quiet_limit(), self.last_alive, losses)

    def process(self, message: Message) -> None:
        """Replay a message and complete its flags."""
        head, ts, first = message[0], message[0].ts_order, self.event_id
        last = first + len(message) - 1
        self._enter_minute(ts, first)
        now = self.minutes[-1]
        now.last = last
        self.heard.hear("all", ts)
        add = 0
        if head.kind == Kind.TRADE:
            self.heard.hear("trades", ts)
            self._trade(head)
        elif head.kind == Kind.MARK and head.flags & TELLING:
            self._mark(head)
        else:
            listed = head.kind in (Kind.SNAPSHOT, Kind.CLEAR)
            self.heard.hear("snapshots" if listed else "depth", ts)
            add |= self._snapshot(message) if listed else self._depth(message)
            add |= self._settle(head, last, listed and head.sequence != self.sequence)
        add |= Flag.DOUBTFUL if self.doubts else 0
        rule = self.instrument.rule_at(ts)
        for number, row in enumerate(message):
            row.flags |= add
            if row.kind in (Kind.TRADE, Kind.DELTA, Kind.SNAPSHOT):
                off = ((row.price % rule.tick, Q.OFF_TICK), (row.size % rule.lot, Q.OFF_LOT))
                for rest, code in off:
                    if rest:
                        row.flags |= Flag[code.name]
                        self._tally(code, first + number, ts)
        timeless = head.kind in (Kind.SNAPSHOT, Kind.CLEAR) or head.flags & Flag.INVALID
        if head.flags & Flag.BAD_TS and not timeless:
            self._tally(Q.BAD_TS, last, ts)
        self.event_id = last + 1

    # what a message does ---------------------------------------------------------------------

    def _trade(self, row: Event) -> None:
        """A trade waits until a depth message names its level; prints far from the book count."""
        now = self.minutes[-1].counts
        now["trades"] += 1
        now["buy_volume" if row.side == Side.BUY else "sell_volume"] += row.size
        if row.flags & Flag.OUT_OF_ORDER and not self.chainless:
            self._one(Q.OUT_OF_ORDER, row.ts_order, 1, row.sequence, row.sequence)
            return
        if row.flags & Flag.OUT_OF_ORDER:
            self._tally(Q.OUT_OF_ORDER, self.event_id, row.ts_order)
        bid, ask = self.book.best_bid[0], self.book.best_ask[0]
        outside = max(bid - row.price, row.price - ask)
        seeded = self.reason != Q.UNSEEDED and bid and ask
        first = self.last_alive > self.print_ts or row.ts_order - self.print_ts >= A_PRINT_NS
        self.print_ts = row.ts_order if first else self.print_ts
        now["prints"] += first
        now["far_prints"] += bool(first and seeded and outside > bid * FAR_BP // 10_000 + ask - bid)
        maker = Side.ASK if row.side == Side.BUY else Side.BID
        self.pending.append(Waiting((maker, row.price), row.size, row.ts_order))

    def _mark(self, row: Event) -> None:
        """What the ids, or the source, say of the feed."""
        ts, seq, prev = row.ts_order, row.sequence, row.prev_sequence
        if row.flags & Flag.TRADES:
            if row.flags & Flag.GAP:
                self._one(Q.TRADE_GAP, ts, seq - prev, prev + 1, seq)
            if row.flags & Flag.DUPLICATE:
                self._one(Q.DUPLICATE, ts, 1, seq, seq)
            if row.flags & Flag.INVALID:
                self._tally(Q.INVALID_INPUT, self.event_id, ts)
                self.minutes[-1].invalid_rows.setdefault("trades", prev + 1)
            return
        if row.flags & Flag.GAP:
            self.minutes[-1].counts["gaps"] += 1
            if self.unread:
                self.doubts[Q.UNREADABLE] = self.last_known
                self._close(Q.UNREADABLE, self.event_id, ts)
            if row.flags & Flag.RESYNC:
                # the last snapshot reaches over the loss: what it lists is known, and nothing else
                numbers = (prev + 1, seq)
                self._since(Q.GAP, self.last_known, self.event_id, ts, seq - prev, *numbers)
                self._trust_snapshot_alone()
                if self.mismatches:
                    self.mismatches, self.agreed = {}, self.compared
                self._rest_on_snapshot()
            else:
                reset = row.flags & Flag.OUT_OF_ORDER
                self._lose_track(Q.SEQUENCE_RESET if reset else Q.GAP, ts)
                before = prev if prev >= 0 else self.sequence
                self.gap = (before, seq) if reset else (prev + 1, seq)
            return
        low = prev + 1 if 0 <= prev < seq else seq
        if row.flags & Flag.DUPLICATE:
            self._one(Q.DUPLICATE, ts, 1, low, seq)
        if row.flags & Flag.OUT_OF_ORDER:
            self._one(Q.OUT_OF_ORDER, ts, 1, low, seq)
        if row.flags & Flag.INVALID:
            self._tally(Q.INVALID_INPUT, self.event_id, ts)
            self.unread += seq < 0 and not self.chainless
        if row.flags & Flag.RECONNECT:
            self._one(Q.TRUNCATED_INPUT, ts, 1, 0, 0)

    def _snapshot(self, message: Message) -> Flag:
        """A snapshot replaces what it lists; one that differs from a trusted book is weighed."""
        head, last = message[0], self.event_id + len(message) - 1
        here = Moment(last, head.ts_order)
        self.minutes[-1].counts["snapshots"] += 1
        listed = {
            side: [row for row in message if row.kind == Kind.SNAPSHOT and row.side == side]
            for side in SIDES
        }
        whole = {s: any(row.flags & Flag.COMPLETE for row in rows) for s, rows in listed.items()}
        add = Flag(0)
        later = head.kind == Kind.SNAPSHOT and not self.reason and not self.chainless
        believed = head.kind == Kind.SNAPSHOT and self.chainless and bool(self.mismatches)
        if head.kind == Kind.CLEAR:
            self.book.clear()
            self.mismatches, self.undo = {}, None
            self.stale = dict.fromkeys(SIDES, False)
        elif later:
            # compared with the book that the chain gives, without a snapshot that still waits
            if self.undo:
                self._take_back()
            earlier = dict(self.mismatches)
            agrees = {side: self._common(side, listed[side], whole[side]) for side in SIDES}
            alike = self.minutes[-1].counts["drift_equal"]
            for side in SIDES:
                self._compare(side, listed[side], whole[side])
                self._compare_beyond(side, listed[side], whole[side])
            self.shared = self.minutes[-1].counts["drift_equal"] - alike
            self.first_doubted = self.first_doubted if earlier else here
            if self.mismatches and head.sequence == self.sequence:
                # of the id of the last message: no message to come can explain it
                verdict = self._weigh()
                if verdict != "believed":
                    return self._disbelieve(verdict, last, head.ts_order)
                believed = True
            elif self.mismatches:
                self.undo = self._before()
                add = Flag.AWAITS
        if believed:
            # the book was wrong: what the snapshot does not list is unknown
            add = Flag.DRIFT
            self._drift(last - 1, head.ts_order)
            for side in SIDES:
                self.book.set_trust(side, UNTRUSTED)
                self.stale[side] = True
        if self.reason:
            own = head.kind == Kind.CLEAR and self.chainless
            self.unfollowed = not own and head.sequence != self.sequence
            self.chained = here
        self.reason = 0
        self.last_alive = head.ts_order
        if self.mismatches:
            self.compared = here
        else:
            self.agreed = here
        for side, rows in listed.items():
            kind = (EVERYTHING if whole[side] else RANGE) if rows else UNTRUSTED
            self.listed[side] = (kind, rows[-1].price if rows else 0)
            self.stale[side] = self.stale[side] and not whole[side]
            levels = [(row.price, row.size) for row in rows]
            self.book.snapshot(side, levels, complete=whole[side])
        if self.chainless:
            return add
        if believed or not later:
            self._rest_on_snapshot()
        elif self.undo:
            self.agrees_to = agrees
        else:
            self._vouch(agrees)
        return add

    def _depth(self, message: Message) -> Flag:
        """Set the levels; confirm trades; judge a snapshot that waits."""
        head, now = message[0], self.minutes[-1].counts
        here = Moment(self.event_id + len(message) - 1, head.ts_order)
        add = Flag(0)
        if head.kind == Kind.DELTA:
            now["delta_rows"] += len(message)
            for row in message:
                level = (row.side, row.price)
                before = self.book.apply(row.side, row.price, row.size)
                volume = sum(one.size for one in self.pending if one.level == level)
                self.pending = [one for one in self.pending if one.level != level]
                known = before > 0 or self._inside(row.side, row.price)
                if volume and not self.reason and known:
                    self._reconcile(volume, before, row.size)
                self.mismatches.pop(level, None)  # explained: the snapshot was ahead
                if self.on_probation and away(row.side, row.price) <= self.image_to[Side(row.side)]:
                    self.on_probation = before == 0
                    self.unlisted += before == 0
        if self.undo:
            add |= self._judge_waiting(message)
        if self.on_probation and self.unlisted >= UNLISTED:
            now["contradictions"] += 1
            self._lose_to_drift()
            add |= Flag.REFUTED | Flag.DRIFT
        if head.flags & Flag.OUT_OF_ORDER:
            ids = (head.prev_sequence + 1, head.sequence)
            self._one(Q.OUT_OF_ORDER, head.ts_order, 1, *ids, rows=len(message))
        for one in self.pending:
            one.messages += 1
        expired = [
            one
            for one in self.pending
            if one.messages >= EXPIRES_MESSAGES and head.ts_order - one.ts >= EXPIRES_NS
        ]
        self.pending = [one for one in self.pending if one not in expired]
        if expired:
            now["unnamed_volume"] += sum(one.size for one in expired)
            now["unnamed_trades"] += len(expired)
            self._tally(Q.TRADE_UNCONFIRMED, here.event_id, here.ts, len(expired))
        self.sequence = head.sequence
        self.chained = here
        self.unfollowed = False
        self.unread = 0
        self._message_at(head.ts_order)
        return add

    def _message_at(self, ts: int) -> None:
        """A message of the book has come."""
        now = self.minutes[-1].counts
        if self.book_ts:
            silence = ts - self.book_ts
            now["longest_silence"] = max(now["longest_silence"], silence)
            if silence:
                usual = min(silence, self._quiet_limit())
                self.cadence += (usual - self.cadence) // CADENCE if self.cadence else usual
        self.book_ts = self.last_alive = ts

    def _quiet_limit(self) -> int:
        """How long nothing may come of the book."""
        return max(QUIET_NS, QUIET_MESSAGES * self.cadence)

    def _silent(self, ts: int) -> bool:
        """Whether nothing has come for too long, of a book that is not in doubt already."""
        judged = self.last_alive > 0 and self.reason in (0, Q.UNSEEDED)
        return judged and ts - self.last_alive > self._quiet_limit()

    def _settle(self, head: Event, last: int, ahead: bool) -> int:
        """The book behind a message: what of it is trusted, doubts, counts, and its state.

        ``ahead``: it is a snapshot of an id that no message has reached, and alone says what the
        book is.
        """
        ts, now = head.ts_order, self.minutes[-1]
        crossed = self.book.crossed
        if crossed and not self.reason:
            self._lose(Q.CROSSED)
            self.doubts.setdefault(Q.CROSSED, self.agreed)
        if not crossed:
            for side in SIDES:
                self._grow(side)
        slots = {side: self.book.trusted_slots(side, LEVELS) for side in SIDES}
        if ahead:
            slots = {side: min(n, self._listed_slots(side)) for side, n in slots.items()}
        wanted = {self.reason} - {0}
        if not wanted and not all(slots.values()):
            wanted = {int(Q.TOUCH_BEYOND_RANGE)}
        if crossed:
            wanted |= {int(Q.CROSSED)}
        for code in sorted(set(self.doubts) - wanted):
            self._close(code, last - 1, ts)
        for code in sorted(wanted - set(self.doubts)):
            self.doubts[code] = Moment(last, ts)
        flags = Flag.CROSSED if crossed else Flag(0)
        bid, ask = self.book.best_bid[0], self.book.best_ask[0]
        if not wanted:
            rose, fell = bid >= self.touch[1] > 0, 0 < ask <= self.touch[0]
            now.counts["through"] += rose or fell
        self.touch = (bid, ask)
        now.counts["book_messages"] += 1
        now.counts["crossed_messages"] += crossed
        bids, asks = self.book.bids(LEVELS), self.book.asks(LEVELS)
        if wanted:
            flags |= Flag.DOUBTFUL
            now.counts["doubtful_messages"] += 1
        else:
            if bids and asks:
                now.spreads.append(asks[0][0] - bids[0][0])
        now.trusted.append(min(slots.values()))
        now.reach = (self._reach(Side.BID), self._reach(Side.ASK))
        if self.state_every >= 0 and ts >= self.next_state:
            if self.state_every:
                self.next_state = ts // self.state_every * self.state_every + self.state_every
            padded = [side + [(0, 0)] * (LEVELS - len(side)) for side in (bids, asks)]
            levels = tuple(number for side in padded for level in side for number in level)
            told = int(flags | head.flags & Flag.BAD_TS)
            trusted = (slots[Side.BID], slots[Side.ASK])
            self.states.append(
                State(last, ts, head.ts_event, head.sequence, levels, *trusted, told)
            )
        return int(flags)

    # trust -----------------------------------------------------------------------------------

    def _reach(self, side: int) -> float:
        """Counts from the touch to the far end of what is trusted."""
        kind, end = self.book.trust(side)
        levels = self.book.bids(1) if side == Side.BID else self.book.asks(1)
        if kind == EVERYTHING:
            return math.inf
        if not levels or not self._inside(side, levels[0][0]):
            return math.nan
        return abs(end - levels[0][0])

    def _inside(self, side: int, price: int) -> bool:
        """Whether a price lies within what is trusted."""
        kind, end = self.book.trust(side)
        return kind == EVERYTHING or (kind == RANGE and away(side, price) <= away(side, end))

    def _grow(self, side: int) -> None:
        """A range reaches as far as the book proves: to the opposite touch, for nothing rests at it
        or through it; and over levels that it holds right behind its end, unless they are stale.
        """
        kind, end = self.book.trust(side)
        if kind != RANGE:
            return
        opposite = (self.book.best_ask if side == Side.BID else self.book.best_bid)[0]
        if opposite and away(side, opposite) > away(side, end):
            end = opposite
        step = 1 if side == Side.ASK else -1
        while not self.stale[Side(side)] and self.book.size_at(side, end + step):
            end += step
        self.book.set_trust(side, RANGE, end)

    def _listed_slots(self, side: Side) -> int:
        """Leading slots that the last snapshot itself lists."""
        kind, end = self.listed[side]
        if kind != RANGE:
            return LEVELS if kind == EVERYTHING else 0
        levels = self.book.levels(side)[:LEVELS]
        return sum(away(side, price) <= away(side, end) for price, _ in levels)

    def _lose(self, code: int) -> None:
        """Trust is gone because of ``code``; all levels are stale."""
        self.reason, self.mismatches = int(code), {}
        self.undo, self.on_probation = None, False
        for side in SIDES:
            self.book.set_trust(side, UNTRUSTED)
            self.stale[side] = True

    @property
    def last_known(self) -> Moment:
        """After which the book was last known to be right, before a loss that shows now."""
        return self.agreed if self.chainless else self.chained

    def _lose_track(self, code: int, ts: int) -> None:
        """A loss shows with the current message."""
        if self.reason:
            self._close(self.reason, self.event_id - 1, ts)
        self._lose(code)
        self.doubts.setdefault(int(code), self.last_known)

    def _trust_snapshot_alone(self) -> None:
        """Of what was known before the last snapshot nothing holds."""
        for side in SIDES:
            self.book.set_trust(side, *self.listed[side])
            self.stale[side] = self.listed[side][0] != EVERYTHING

    def _compare(self, side: Side, rows: Message, whole: bool) -> None:
        """A snapshot's side against the book's as far as both are known: counts and mismatches."""
        kind, end = self.book.trust(side)
        if kind == UNTRUSTED or not rows:
            return
        limits = ([] if whole else [rows[-1].price]) + ([end] if kind == RANGE else [])
        limit = min((away(side, price) for price in limits), default=2**63)
        theirs = {r.price: r.size for r in rows if away(side, r.price) <= limit}
        ours = {p: s for p, s in self.book.levels(side) if away(side, p) <= limit}
        now = self.minutes[-1]
        now.counts["drift_compared"] += len(theirs | ours)
        now.counts["drift_ghosts"] += len(set(ours) - set(theirs))
        now.counts["drift_missing"] += len(set(theirs) - set(ours))
        now.counts["drift_equal"] += len(set(theirs.items()) & set(ours.items()))
        both = [price for price in theirs if price in ours]
        now.size_errors += [(ours[p] - theirs[p]) / theirs[p] for p in both]
        tick = self.instrument.rule_at(rows[0].ts_order).tick
        now.rank_errors += [(a - b) / tick for a, b in zip(ours, theirs, strict=False)]
        for price in sorted(p for p, _ in set(theirs.items()) ^ set(ours.items())):
            self._note_mismatch(side, price, ours.get(price, 0), theirs.get(price, 0))

    def _compare_beyond(self, side: Side, rows: Message, whole: bool) -> None:
        """Beyond what is trusted the book may lack levels; those that it holds are right."""
        kind, end = self.book.trust(side)
        if rows and kind == RANGE and not self.stale[side]:
            far = math.inf if whole else away(side, rows[-1].price)
            beyond = {r.price: r.size for r in rows}
            for price, size in self.book.levels(side):
                if away(side, end) < away(side, price) <= far and beyond.get(price, 0) != size:
                    self._note_mismatch(side, price, size, beyond.get(price, 0))

    # a snapshot as evidence ------------------------------------------------------------------

    def _note_mismatch(self, side: Side, price: int, held: int, listed: int) -> None:
        """A level differs; of one that differed before, what was held then is kept."""
        known = self.mismatches.get((side, price))
        held = known.held if known else held
        self.mismatches[side, price] = Mismatch(int(side), price, held, listed)

    def _common(self, side: Side, rows: Message, whole: bool) -> float:
        """How far away both the book and a snapshot know a side."""
        kind, end = self.book.trust(side)
        if kind == UNTRUSTED or not rows:
            return -math.inf
        known = math.inf if whole else away(side, rows[-1].price)
        return known if kind == EVERYTHING else min(known, away(side, end))

    def _listed(self, side: int, price: int) -> bool:
        """Whether the last snapshot says what rests at a price."""
        return away(side, price) <= self._listed_to(Side(side))

    def _listed_to(self, side: Side) -> float:
        """How far away the last snapshot lists a side."""
        kind, end = self.listed[side]
        if kind == RANGE:
            return away(side, end)
        return math.inf if kind == EVERYTHING else -math.inf

    def _take_image(self) -> None:
        """The levels that the last snapshot lists, to be held against later ones."""
        for side in SIDES:
            self.image_to[side] = self._listed_to(side)
            levels = dict(self.book.levels(side))
            self.image[side] = {p: s for p, s in levels.items() if self._listed(side, p)}

    def _rest_on_snapshot(self) -> None:
        """The book stands on the last snapshot alone, for which nothing vouches yet."""
        self._take_image()
        self.vouched_to = dict.fromkeys(SIDES, -math.inf)
        self.remembered, self.undo = set(), None
        self.on_probation, self.unlisted = True, 0

    def _vouch(self, agrees: dict[Side, float]) -> None:
        """A later snapshot agrees, so far."""
        self.vouched_to = {side: max(self.vouched_to[side], agrees[side]) for side in SIDES}
        self._take_image()
        self.remembered, self.on_probation = set(), False

    def _before(self) -> Before:
        levels = {side: dict(self.book.levels(side)) for side in SIDES}
        trust = {side: self.book.trust(side) for side in SIDES}
        return Before(levels, trust, dict(self.stale))

    def _take_back(self) -> None:
        """The book as it was; a depth message applied since is applied again by the caller."""
        assert self.undo
        levels, trust, self.stale = self.undo
        for side in SIDES:
            for price, _ in list(self.book.levels(side)):
                self.book.apply(side, price, 0)
            for price, size in levels[side].items():
                self.book.apply(side, price, size)
            self.book.set_trust(side, *trust[side])
        self.undo = None

    def _weigh(self) -> str:
        """Whether a snapshot that differs is believed, or the book.

        Against the snapshot speaks a mismatch at a level that two snapshots have agreed on; at one
        that a depth message has set since the anchor; and beyond the anchor's image. Without any it
        cannot be decided. Believed is a second snapshot: what speaks against it are mismatches of
        the one that was not believed before it, and it has at least as many levels in common with
        the book as it has mismatches.
        """
        against = set()
        for difference in self.mismatches.values():
            side, price, held, _ = difference
            at, image = Side(side), self.image[Side(side)]
            distance = away(side, price)
            if distance <= self.vouched_to[at]:
                against.add(difference)
            elif price in image:
                if image[price] != held:
                    against.add(difference)
            elif held or distance > self.image_to[at]:
                against.add(difference)
        if not against:
            return "undecided"
        if against <= self.remembered and self.shared >= len(self.mismatches):
            return "believed"
        self.remembered = set(self.mismatches.values())
        return "disbelieved"

    def _judge_waiting(self, message: Message) -> Flag:
        """The depth message behind a snapshot that differs; it is applied to the book already."""
        if not self.mismatches:
            self.agreed, self.undo = self.compared, None
            self._vouch(self.agrees_to)
            return Flag(0)
        verdict = self._weigh()
        if verdict == "believed":
            self._drift(self.compared[0] - 1, self.compared[1])
            self._trust_snapshot_alone()
            self.agreed = self.compared
            self._rest_on_snapshot()
            return Flag.DRIFT
        self._take_back()
        for row in message:
            if row.kind == Kind.DELTA:
                self.book.apply(row.side, row.price, row.size)
        return self._disbelieve(verdict, self.event_id - 1, message[0].ts_order)

    def _disbelieve(self, verdict: str, last: int, ts: int) -> Flag:
        """The snapshot is refuted; or, where it cannot be decided, the book is lost too."""
        self.minutes[-1].counts["contradictions"] += 1
        if verdict == "disbelieved":
            self._since(Q.REFUTED, self.first_doubted, last, ts, len(self.mismatches))
            self.mismatches = {}
            return Flag.REFUTED
        self._lose_to_drift()
        return Flag.REFUTED | Flag.DRIFT

    def _lose_to_drift(self) -> None:
        """The book is not believed any more."""
        self.differing = len(self.mismatches) or self.unlisted
        self._lose(Q.DRIFT)
        self.doubts.setdefault(int(Q.DRIFT), self.agreed)

    # accounts --------------------------------------------------------------------------------

    def _reconcile(self, volume: int, before: int, after: int) -> None:
        """How a level's change explains the volume that trades took there."""
        now = self.minutes[-1].counts
        fall = before - after
        if before == after == 0:
            now["transient_volume"] += volume
        elif fall <= 0:
            now["grown_volume"] += volume
        else:
            now["explained_volume"] += min(fall, volume)
            now["refilled_volume"] += max(volume - fall, 0)

    def _since(
        self, code: int, since: Moment, last: int, ts: int, count: int, *numbers: int
    ) -> None:
        """A finding from a moment to the event ``last``, at ``ts``."""
        first, first_ts = since
        low, high = numbers or (0, 0)
        self.findings.append(
            Found(int(code), first, max(first, last), first_ts, ts, count, low, high)
        )

    def _one(self, code: Q, ts: int, count: int, low: int, high: int, *, rows: int = 1) -> None:
        """A finding of the current message."""
        self._since(code, Moment(self.event_id, ts), self.event_id + rows - 1, ts, count, low, high)

    def _tally(self, code: Q, event_id: int, ts: int, number: int = 1) -> None:
        self.minutes[-1].tallies[code].append(Tallied(event_id, ts, number))

    def _drift(self, last: int, ts: int) -> None:
        self.minutes[-1].counts["contradictions"] += 1
        self._since(Q.DRIFT, self.agreed, last, ts, len(self.mismatches))
        self.mismatches = {}

    def _close(self, code: int, last: int, ts: int, *, stays: bool = False) -> None:
        """A doubt ends after the event ``last``; or the day does, and it ``stays``."""
        numbers = self.gap if code in (Q.GAP, Q.SEQUENCE_RESET) else (0, 0)
        counts = {
            Q.GAP: numbers[1] - numbers[0] + 1,
            Q.DRIFT: self.differing,
            Q.UNREADABLE: self.unread,
        }
        self._since(code, self.doubts[code], last, ts, counts.get(Q(code), 1), *numbers)
        if not stays:
            del self.doubts[code]

    def _enter_minute(self, ts: int, event_id: int) -> None:
        minute = ts // MINUTE * MINUTE
        if not self.minutes or self.minutes[-1].minute != minute:
            self._close_minute()
            self.minutes.append(Minute(minute, event_id, event_id - 1))

    def _close_minute(self) -> None:
        if not self.minutes:
            return
        now = self.minutes[-1]
        begin, end = Moment(now.first, now.minute), now.minute + MINUTE - 1
        far = now.counts["far_prints"]
        if far >= FAR_PRINTS and 2 * far >= now.counts["prints"]:
            self._since(Q.STALE_BOOK, begin, now.last, end, far)
        through = now.counts["through"]
        if through >= MOVES_THROUGH and not now.counts["trades"]:
            self._since(Q.TRADES_ABSENT, begin, now.last, end, through)
        for code, tallied in now.tallies.items():
            first, last = tallied[0], tallied[-1]
            count = sum(one.number for one in tallied)
            rows = (0, 0)
            if code == Q.INVALID_INPUT:
                rows = now.invalid_rows.get("depth", 0), now.invalid_rows.get("trades", 0)
            begin = Moment(first.event_id, first.ts)
            self._since(code, begin, last.event_id, last.ts, count, *rows)

    def minute_row(self, minute: Minute) -> dict[str, float]:
        """What ``minutes`` says of it; counts that are absent are 0."""
        tick = self.instrument.rule_at(minute.minute).tick
        spreads = [spread / tick for spread in minute.spreads]
        return {
            **minute.counts,
            "minute": minute.minute,
            "first_event_id": minute.first,
            "last_event_id": minute.last,
            "spread_ticks_mean": sum(spreads) / len(spreads) if spreads else math.nan,
            "spread_ticks_max": max(minute.spreads, default=0) // tick,
            "trusted_levels_min": min(minute.trusted, default=0),
            "bid_trusted_ticks": minute.reach[0] / tick,
            "ask_trusted_ticks": minute.reach[1] / tick,
            "price_rmse_ticks": _rms(minute.rank_errors),
            "size_rmse_rel": _rms(minute.size_errors),
        }


def replay_plainly(
    book: Sequence[Message], trades: Sequence[Message], instrument: Instrument, state_every: int
) -> tuple[list[Message], PlainReplay]:
    """Judge, order and replay a feed of one day, received ``OFFSET`` late."""
    messages = merge_messages(stamp(audit_book(book), OFFSET), stamp(audit_trades(trades), OFFSET))
    replay = PlainReplay(instrument, state_every)
    replay.begin_day(messages[0][0].ts_order)
    for message in messages:
        replay.process(message)
    replay.end_day(messages[-1][0].ts_order)
    return messages, replay


def _rms(errors: Sequence[float]) -> float:
    return math.sqrt(sum(e * e for e in errors) / len(errors)) if errors else math.nan
