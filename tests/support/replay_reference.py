"""The replay in plain Python: dicts, lists and sorts. It says what the kernels must give."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lobproof.instruments import Instrument
from lobproof.schema import EVERYTHING, LEVELS, RANGE, UNTRUSTED, Flag, Kind, Side
from lobproof.schema import Finding as Q
from support.book_reference import ReferenceBook
from support.plain_coverage import Heard
from support.stream_reference import Message, Row

MINUTE_NS = 60 * 10**9
SIDES = (Side.BID, Side.ASK)
SPECIAL = Flag.GAP | Flag.DUPLICATE | Flag.OUT_OF_ORDER | Flag.INVALID | Flag.RECONNECT
DOUBTS = Flag.DRIFT | Flag.SILENCE

Difference = tuple[int, int, int, int]
"""A level that differs: side, price, size in the book and in the snapshot."""
Before = tuple[dict[Side, dict[int, int]], dict[Side, tuple[int, int]], dict[Side, bool]]
"""Levels, trust and what is stale, before a snapshot."""
Episode = tuple[int, int, int, int, int, int, int, int]
"""Code, first and last event, first and last time, count, first and last id."""


@dataclass
class Minute:
    minute: int
    first: int
    last: int
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    trusted: list[int] = field(default_factory=list)
    reach: tuple[float, float] = (math.nan, math.nan)
    spreads: list[int] = field(default_factory=list)
    rank_errors: list[float] = field(default_factory=list)
    size_errors: list[float] = field(default_factory=list)
    tallies: dict[int, list[tuple[int, int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )


@dataclass
class Waiting:
    """A trade whose level no message has named yet."""

    level: tuple[int, int]
    size: int
    ts: int
    messages: int = 0


class ReferenceReplay:
    """Twin of ``Replayer`` for one day; fed message by message."""

    chainless = False

    def __init__(self, instrument: Instrument, state_every: int = 0) -> None:
        self.instrument = instrument
        self.state_every = state_every
        self.chainless = False
        self.book = ReferenceBook()
        self.sequence = -1
        self.states: list[tuple[object, ...]] = []
        self.episodes: list[Episode] = []
        self.minutes: list[Minute] = []
        self.doubts: dict[int, tuple[int, int]] = {Q.UNSEEDED: (0, 0)}
        self.lost = int(Q.UNSEEDED)
        self.gap = (0, 0)
        self.agreed = (0, 0)
        self.unfollowed = False  # no depth message has come since the snapshot that anchored
        self.chained = (0, 0)  # the last depth message, or the snapshot that anchored
        self.unread = 0  # lines since then that cannot be read
        self.book_ts = self.print_ts = self.life_ts = self.cadence = 0
        self.next_state = 0
        self.suspects: dict[tuple[int, int], Difference] = {}
        self.suspect = self.doubted = (0, 0)
        self.undoable: Before | None = None
        self.agrees: dict[Side, float] = {}
        self.vouched = dict.fromkeys(SIDES, -math.inf)
        self.image: dict[Side, dict[int, int]] = {side: {} for side in SIDES}
        self.image_end = dict.fromkeys(SIDES, -math.inf)
        self.remembered: set[Difference] = set()
        self.probe = False
        self.probed = self.differing = self.shared = 0
        self.covered = dict.fromkeys(SIDES, (UNTRUSTED, 0))
        self.stale = dict.fromkeys(SIDES, False)
        self.pending: list[Waiting] = []
        self.event_id = 0
        self.heard = Heard()
        self.touch = (0, 0)  # behind the last message

    def begin_day(self, ts: int) -> None:
        self.event_id = 0
        self.agreed = self.suspect = self.doubted = self.chained = (0, ts)
        self.next_state = 0
        self.doubts = dict.fromkeys(self.doubts, (0, ts))

    def end_day(self, ts: int) -> None:
        if self._silent(ts):
            self.doubts.setdefault(Q.SILENCE, self.last_known)
        if self.unread:
            self.doubts.setdefault(Q.UNREADABLE, self.last_known)
        self._close_minute()
        last = self.event_id - 1
        for found_code, since, count in (
            (Q.DRIFT, self.agreed, self.unexplained),
            (Q.ANCHOR_UNPROVEN, self.chained, int(self.unfollowed and not self.lost)),
            (Q.REFUTED, self.doubted, len(self.suspects) if self.undoable else 0),
            (Q.DRIFT, self.agreed, self.probed if self.probe and self.probed >= 16 else 0),
        ):
            if count:
                self.episodes.append((int(found_code), since[0], last, since[1], ts, count, 0, 0))
        for code in sorted(self.doubts):
            self.episodes.append(self._doubt(code, self.event_id - 1, ts))

    @property
    def unexplained(self) -> int:
        """Levels in which a vendor's row differs that still waits for a depth message."""
        return 0

    def coverage(self) -> dict[str, Any]:
        """When each stream of the day was heard, behind its end."""
        return self.heard.coverage(self._quiet_limit(), self.life_ts, self.episodes)

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
        elif head.kind == Kind.MARK and head.flags & (SPECIAL | DOUBTS):
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
                        now.tallies[code].append((first + number, ts, 1))
        timeless = head.kind in (Kind.SNAPSHOT, Kind.CLEAR) or head.flags & Flag.INVALID
        if head.flags & Flag.BAD_TS and not timeless:
            now.tallies[Q.BAD_TS].append((last, ts, 1))
        self.event_id = last + 1

    # what a message does ---------------------------------------------------------------------

    def _trade(self, row: Row) -> None:
        now = self.minutes[-1].counts
        now["trades"] += 1
        now["buy_volume" if row.side == Side.BUY else "sell_volume"] += row.size
        if row.flags & Flag.OUT_OF_ORDER and not self.chainless:
            self._one(Q.OUT_OF_ORDER, row.ts_order, 1, row.sequence, row.sequence)
            return
        if row.flags & Flag.OUT_OF_ORDER:
            self.minutes[-1].tallies[Q.OUT_OF_ORDER].append((self.event_id, row.ts_order, 1))
        bid, ask = self.book.best_bid[0], self.book.best_ask[0]
        outside = max(bid - row.price, row.price - ask)
        seeded = self.lost != Q.UNSEEDED and bid and ask
        first = self.life_ts > self.print_ts or row.ts_order - self.print_ts >= 10**9
        self.print_ts = row.ts_order if first else self.print_ts
        now["prints"] += first
        now["far_prints"] += bool(first and seeded and outside > bid * 30 // 10_000 + ask - bid)
        maker = Side.ASK if row.side == Side.BUY else Side.BID
        self.pending.append(Waiting((maker, row.price), row.size, row.ts_order))

    def _mark(self, row: Row) -> None:
        ts, seq, prev = row.ts_order, row.sequence, row.prev_sequence
        if row.flags & Flag.TRADES:
            if row.flags & Flag.GAP:
                self._one(Q.TRADE_GAP, ts, seq - prev, prev + 1, seq)
            if row.flags & Flag.DUPLICATE:
                self._one(Q.DUPLICATE, ts, 1, seq, seq)
            if row.flags & Flag.INVALID:
                self.minutes[-1].tallies[Q.INVALID_INPUT].append((self.event_id, ts, 1))
            return
        if row.flags & Flag.GAP:
            self.minutes[-1].counts["gaps"] += 1
            if self.unread:
                self.doubts[Q.UNREADABLE] = self.last_known
                self._close(Q.UNREADABLE, self.event_id, ts)
            if row.flags & Flag.RESYNC:
                since, since_ts = self.last_known
                found = (since, self.event_id, since_ts, ts, seq - prev, prev + 1, seq)
                self.episodes.append((int(Q.GAP), *found))
                self._trust_snapshot_alone()
                if self.suspects:
                    self.suspects, self.agreed = {}, self.suspect
                self._rest_on_it()
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
            self.minutes[-1].tallies[Q.INVALID_INPUT].append((self.event_id, ts, 1))
            self.unread += seq < 0
        if row.flags & Flag.RECONNECT:
            self._one(Q.TRUNCATED_INPUT, ts, 1, 0, 0)

    def _snapshot(self, message: Message) -> Flag:
        head, last = message[0], self.event_id + len(message) - 1
        self.minutes[-1].counts["snapshots"] += 1
        listed = {
            side: [row for row in message if row.kind == Kind.SNAPSHOT and row.side == side]
            for side in SIDES
        }
        whole = {s: any(row.flags & Flag.COMPLETE for row in rows) for s, rows in listed.items()}
        add = Flag(0)
        later = head.kind == Kind.SNAPSHOT and not self.lost and not self.chainless
        believed = head.kind == Kind.SNAPSHOT and self.chainless and bool(self.suspects)
        if head.kind == Kind.CLEAR:
            self.book.clear()
            self.suspects, self.undoable = {}, None
            self.stale = dict.fromkeys(SIDES, False)
        elif later:
            if self.undoable:
                self._undo()
            earlier = dict(self.suspects)
            agrees = {side: self._common(side, listed[side], whole[side]) for side in SIDES}
            alike = self.minutes[-1].counts["drift_equal"]
            for side in SIDES:
                self._compare(side, listed[side], whole[side])
                self._compare_beyond(side, listed[side], whole[side])
            self.shared = self.minutes[-1].counts["drift_equal"] - alike
            self.doubted = self.doubted if earlier else (last, head.ts_order)
            if self.suspects and head.sequence == self.sequence:
                verdict = self._weigh()
                if verdict != "believed":
                    return self._disbelieve(verdict, last, head.ts_order)
                believed = True
            elif self.suspects:
                self.undoable = self._before()
                add = Flag.AWAITS
        if believed:
            add = Flag.DRIFT
            self._drift(last - 1, head.ts_order)
            for side in SIDES:
                self.book.set_trust(side, UNTRUSTED)
                self.stale[side] = True
        if self.lost:
            own = head.kind == Kind.CLEAR and self.chainless
            self.unfollowed = not own and head.sequence != self.sequence
            self.chained = (last, head.ts_order)
        self.lost = 0
        self.life_ts = head.ts_order
        if self.suspects:
            self.suspect = (last, head.ts_order)
        else:
            self.agreed = (last, head.ts_order)
        for side, rows in listed.items():
            kind = (EVERYTHING if whole[side] else RANGE) if rows else UNTRUSTED
            self.covered[side] = (kind, rows[-1].price if rows else 0)
            self.stale[side] = self.stale[side] and not whole[side]
            levels = [(row.price, row.size) for row in rows]
            self.book.snapshot(side, levels, complete=whole[side])
        if self.chainless:
            return add
        if believed or not later:
            self._rest_on_it()
        elif self.undoable:
            self.agrees = agrees
        else:
            self._vouch(agrees)
        return add

    def _depth(self, message: Message) -> Flag:
        head, now = message[0], self.minutes[-1].counts
        add = Flag(0)
        if head.kind == Kind.DELTA:
            now["delta_rows"] += len(message)
            for row in message:
                level = (row.side, row.price)
                before = self.book.apply(row.side, row.price, row.size)
                volume = sum(one.size for one in self.pending if one.level == level)
                self.pending = [one for one in self.pending if one.level != level]
                known = before > 0 or self._inside(row.side, row.price)
                if volume and not self.lost and known:
                    self._reconcile(volume, before, row.size)
                self.suspects.pop(level, None)
                if self.probe and self._listed(row.side, row.price):
                    self.probe = before == 0
                    self.probed += before == 0
        if self.undoable:
            add |= self._judge_waiting(message)
        if self.probe and self.probed >= 256:
            now["contradictions"] += 1
            self.lose_to_drift()
            add |= Flag.REFUTED | Flag.DRIFT
        if head.flags & Flag.OUT_OF_ORDER:
            ids = (head.prev_sequence + 1, head.sequence)
            self._one(Q.OUT_OF_ORDER, head.ts_order, 1, *ids, rows=len(message))
        for one in self.pending:
            one.messages += 1
        expired = [
            one for one in self.pending if one.messages >= 2 and head.ts_order - one.ts >= 2 * 10**8
        ]
        self.pending = [one for one in self.pending if one not in expired]
        if expired:
            now["unnamed_volume"] += sum(one.size for one in expired)
            now["unnamed_trades"] += len(expired)
            found = (self.event_id + len(message) - 1, head.ts_order, len(expired))
            self.minutes[-1].tallies[Q.TRADE_UNCONFIRMED].append(found)
        self.sequence = head.sequence
        self.chained = (self.event_id + len(message) - 1, head.ts_order)
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
                self.cadence += (usual - self.cadence) // 64 if self.cadence else usual
        self.book_ts = self.life_ts = ts

    def _quiet_limit(self) -> int:
        return max(5 * 10**9, 50 * self.cadence)

    def _silent(self, ts: int) -> bool:
        judged = self.life_ts > 0 and self.lost in (0, Q.UNSEEDED)
        return judged and ts - self.life_ts > self._quiet_limit()

    def _settle(self, head: Row, last: int, ahead: bool) -> int:
        ts, now = head.ts_order, self.minutes[-1]
        crossed = self.book.crossed
        if crossed and not self.lost:
            self._lose(Q.CROSSED)
            self.doubts.setdefault(Q.CROSSED, self.agreed)
        if not crossed:
            for side in SIDES:
                self._grow(side)
        slots = {side: self.book.trusted_slots(side, LEVELS) for side in SIDES}
        if ahead:
            slots = {side: min(n, self._covered_slots(side)) for side, n in slots.items()}
        wanted = {self.lost} - {0}
        if not wanted and not all(slots.values()):
            wanted = {int(Q.TOUCH_BEYOND_RANGE)}
        if crossed:
            wanted |= {int(Q.CROSSED)}
        for code in sorted(set(self.doubts) - wanted):
            self._close(code, last - 1, ts)
        for code in sorted(wanted - set(self.doubts)):
            self.doubts[code] = (last, ts)
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
            key = (last, ts, head.ts_event, head.sequence)
            told = int(flags | head.flags & Flag.BAD_TS)
            self.states.append((*key, levels, slots[Side.BID], slots[Side.ASK], told))
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
        kind, end = self.book.trust(side)
        return kind == EVERYTHING or (kind == RANGE and _away(side, price) <= _away(side, end))

    def _grow(self, side: int) -> None:
        kind, end = self.book.trust(side)
        if kind != RANGE:
            return
        opposite = (self.book.best_ask if side == Side.BID else self.book.best_bid)[0]
        if opposite and _away(side, opposite) > _away(side, end):
            end = opposite
        step = 1 if side == Side.ASK else -1
        while not self.stale[Side(side)] and self.book.size_at(side, end + step):
            end += step
        self.book.set_trust(side, RANGE, end)

    def _covered_slots(self, side: Side) -> int:
        kind, end = self.covered[side]
        if kind != RANGE:
            return LEVELS if kind == EVERYTHING else 0
        levels = self.book.levels(side)[:LEVELS]
        return sum(_away(side, price) <= _away(side, end) for price, _ in levels)

    def _lose(self, code: int) -> None:
        self.lost, self.suspects = int(code), {}
        self.undoable, self.probe = None, False
        for side in SIDES:
            self.book.set_trust(side, UNTRUSTED)
            self.stale[side] = True

    @property
    def last_known(self) -> tuple[int, int]:
        """Event and time after which the book was last known to be right, before a loss."""
        return self.chained

    def _lose_track(self, code: int, ts: int) -> None:
        """A loss shows with the current message."""
        if self.lost:
            self._close(self.lost, self.event_id - 1, ts)
        self._lose(code)
        self.doubts.setdefault(int(code), self.last_known)

    def _trust_snapshot_alone(self) -> None:
        for side in SIDES:
            self.book.set_trust(side, *self.covered[side])
            self.stale[side] = self.covered[side][0] != EVERYTHING

    def _compare(self, side: Side, rows: Message, whole: bool) -> None:
        kind, end = self.book.trust(side)
        if kind == UNTRUSTED or not rows:
            return
        limits = ([] if whole else [rows[-1].price]) + ([end] if kind == RANGE else [])
        limit = min((_away(side, price) for price in limits), default=2**63)
        theirs = {r.price: r.size for r in rows if _away(side, r.price) <= limit}
        ours = {p: s for p, s in self.book.levels(side) if _away(side, p) <= limit}
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
            self._suspect(side, price, ours.get(price, 0), theirs.get(price, 0))

    def _compare_beyond(self, side: Side, rows: Message, whole: bool) -> None:
        """Beyond what is trusted the book may lack levels; those that it holds are right."""
        kind, end = self.book.trust(side)
        if rows and kind == RANGE and not self.stale[side]:
            far = math.inf if whole else _away(side, rows[-1].price)
            beyond = {r.price: r.size for r in rows}
            for price, size in self.book.levels(side):
                if _away(side, end) < _away(side, price) <= far and beyond.get(price, 0) != size:
                    self._suspect(side, price, size, beyond.get(price, 0))

    # a snapshot as evidence ------------------------------------------------------------------

    def _suspect(self, side: Side, price: int, held: int, listed: int) -> None:
        known = self.suspects.get((side, price))
        held = known[2] if known else held
        self.suspects[side, price] = (int(side), price, held, listed)

    def _common(self, side: Side, rows: Message, whole: bool) -> float:
        """How far away both the book and a snapshot know a side."""
        kind, end = self.book.trust(side)
        if kind == UNTRUSTED or not rows:
            return -math.inf
        known = math.inf if whole else _away(side, rows[-1].price)
        return known if kind == EVERYTHING else min(known, _away(side, end))

    def _listed(self, side: int, price: int) -> bool:
        return _away(side, price) <= self._listed_to(Side(side))

    def _listed_to(self, side: Side) -> float:
        kind, end = self.covered[side]
        if kind == RANGE:
            return _away(side, end)
        return math.inf if kind == EVERYTHING else -math.inf

    def _take_image(self) -> None:
        for side in SIDES:
            self.image_end[side] = self._listed_to(side)
            levels = dict(self.book.levels(side))
            self.image[side] = {p: s for p, s in levels.items() if self._listed(side, p)}

    def _rest_on_it(self) -> None:
        self._take_image()
        self.vouched = dict.fromkeys(SIDES, -math.inf)
        self.remembered, self.undoable = set(), None
        self.probe, self.probed = True, 0

    def _vouch(self, agrees: dict[Side, float]) -> None:
        self.vouched = {side: max(self.vouched[side], agrees[side]) for side in SIDES}
        self._take_image()
        self.remembered, self.probe = set(), False

    def _before(self) -> Before:
        levels = {side: dict(self.book.levels(side)) for side in SIDES}
        return levels, {side: self.book.trust(side) for side in SIDES}, dict(self.stale)

    def _undo(self) -> None:
        """The book as it was; a depth message applied since is applied again by the caller."""
        assert self.undoable
        levels, trust, self.stale = self.undoable
        for side in SIDES:
            for price, _ in list(self.book.levels(side)):
                self.book.apply(side, price, 0)
            for price, size in levels[side].items():
                self.book.apply(side, price, size)
            self.book.set_trust(side, *trust[side])
        self.undoable = None

    def _weigh(self) -> str:
        against = set()
        for difference in self.suspects.values():
            side, price, held, _ = difference
            at, image = Side(side), self.image[Side(side)]
            away = _away(side, price)
            if away <= self.vouched[at]:
                against.add(difference)
            elif price in image:
                if image[price] != held:
                    against.add(difference)
            elif held or away > self.image_end[at]:
                against.add(difference)
        if not against:
            return "undecided"
        if against <= self.remembered and self.shared >= len(self.suspects):
            return "believed"
        self.remembered = set(self.suspects.values())
        return "disbelieved"

    def _judge_waiting(self, message: Message) -> Flag:
        if not self.suspects:
            self.agreed, self.undoable = self.suspect, None
            self._vouch(self.agrees)
            return Flag(0)
        verdict = self._weigh()
        if verdict == "believed":
            self._drift(self.suspect[0] - 1, self.suspect[1])
            self._trust_snapshot_alone()
            self.agreed = self.suspect
            self._rest_on_it()
            return Flag.DRIFT
        self._undo()
        for row in message:
            if row.kind == Kind.DELTA:
                self.book.apply(row.side, row.price, row.size)
        return self._disbelieve(verdict, self.event_id - 1, message[0].ts_order)

    def _disbelieve(self, verdict: str, last: int, ts: int) -> Flag:
        self.minutes[-1].counts["contradictions"] += 1
        if verdict == "disbelieved":
            first, first_ts = self.doubted
            count = len(self.suspects)
            found = (int(Q.REFUTED), first, max(last, first), first_ts, ts, count, 0, 0)
            self.episodes.append(found)
            self.suspects = {}
            return Flag.REFUTED
        self.lose_to_drift()
        return Flag.REFUTED | Flag.DRIFT

    def lose_to_drift(self) -> None:
        self.differing = len(self.suspects) or self.probed
        self._lose(Q.DRIFT)
        self.doubts.setdefault(int(Q.DRIFT), self.agreed)

    # accounts --------------------------------------------------------------------------------

    def _reconcile(self, volume: int, before: int, after: int) -> None:
        now = self.minutes[-1].counts
        fall = before - after
        if before == after == 0:
            now["transient_volume"] += volume
        elif fall <= 0:
            now["grown_volume"] += volume
        else:
            now["explained_volume"] += min(fall, volume)
            now["refilled_volume"] += max(volume - fall, 0)

    def _one(self, code: Q, ts: int, count: int, low: int, high: int, *, rows: int = 1) -> None:
        """A finding of the current message."""
        last = self.event_id + rows - 1
        self.episodes.append((int(code), self.event_id, last, ts, ts, count, low, high))

    def _drift(self, last: int, ts: int) -> None:
        first, first_ts = self.agreed
        self.minutes[-1].counts["contradictions"] += 1
        found = len(self.suspects)
        self.episodes.append((int(Q.DRIFT), first, max(last, first), first_ts, ts, found, 0, 0))
        self.suspects = {}

    def _doubt(self, code: int, last: int, ts: int) -> Episode:
        first, first_ts = self.doubts[code]
        low, high = self.gap if code in (Q.GAP, Q.SEQUENCE_RESET) else (0, 0)
        counts = {Q.GAP: high - low + 1, Q.DRIFT: self.differing, Q.UNREADABLE: self.unread}
        count = counts.get(Q(code), 1)
        return (code, first, max(first, last), first_ts, ts, count, low, high)

    def _close(self, code: int, last: int, ts: int) -> None:
        self.episodes.append(self._doubt(code, last, ts))
        del self.doubts[code]

    def _enter_minute(self, ts: int, event_id: int) -> None:
        minute = ts // MINUTE_NS * MINUTE_NS
        if not self.minutes or self.minutes[-1].minute != minute:
            self._close_minute()
            self.minutes.append(Minute(minute, event_id, event_id - 1))

    def _close_minute(self) -> None:
        if self.minutes:
            now = self.minutes[-1]
            far = now.counts["far_prints"]
            if far >= 3 and 2 * far >= now.counts["prints"]:
                span = (now.first, now.last, now.minute, now.minute + MINUTE_NS - 1)
                self.episodes.append((int(Q.STALE_BOOK), *span, far, 0, 0))
            through = now.counts["through"]
            if through >= 20 and not now.counts["trades"]:
                span = (now.first, now.last, now.minute, now.minute + MINUTE_NS - 1)
                self.episodes.append((int(Q.TRADES_ABSENT), *span, through, 0, 0))
        for code, found in self.minutes[-1].tallies.items() if self.minutes else ():
            (first, first_ts, _), (last, last_ts, _) = found[0], found[-1]
            count = sum(n for _, _, n in found)
            self.episodes.append((int(code), first, last, first_ts, last_ts, count, 0, 0))

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


def _rms(errors: Sequence[float]) -> float:
    return math.sqrt(sum(e * e for e in errors) / len(errors)) if errors else math.nan


def _away(side: int, price: int) -> int:
    """Grows away from the touch."""
    return price if side == Side.ASK else -price
