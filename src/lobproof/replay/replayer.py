"""``Replayer``: ordered events in, flags, states, findings and minutes out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple

import numpy as np

from lobproof.book import BookImage
from lobproof.book.kernels import MAX_PRICE, ensure_far_capacity, new_book
from lobproof.errors import GridError
from lobproof.instruments import Instrument
from lobproof.replay.anchor_kernels import no_image
from lobproof.replay.coverage import coverage_of
from lobproof.replay.integrity import message_bounds
from lobproof.replay.loss_kernels import lose_trust
from lobproof.replay.merge import Array, Segment, batch_of, columns_of
from lobproof.replay.output import (
    Chunk,
    ReplayOutput,
    joined,
    minute_columns,
    states_of,
)
from lobproof.replay.policy import Policy
from lobproof.replay.replay_kernels import Rules, replay_rows
from lobproof.replay.settle_kernels import FINDINGS_A_MESSAGE, begin_day, doubt_the_end, end_day
from lobproof.replay.silence_kernels import pass_by
from lobproof.replay.state_kernels import (
    CODES,
    REPLAY_STATE,
    Outputs,
    new_outputs,
    new_state,
)
from lobproof.replay.trade_kernels import PENDING_ROW, new_pending, reserve
from lobproof.replay.vendor_kernels import DISTRUST, NOTHING, QUIET, STRAND
from lobproof.schema import (
    LEVELS,
    UNTRUSTED,
    EventBatch,
    Flag,
    Int64,
    Kind,
    Rows,
    Side,
    VendorBatch,
    VendorRows,
)
from lobproof.schema.plain import Q_UNSEEDED
from lobproof.schema.records import Record, Records, numbers, records

CHUNK_ROWS = 1 << 16
"""Rows replayed at a time: bounds the memory of the outputs, and has no effect on the result."""
MOST_PARTS = 64
"""Most runs of events, and inserted messages between them, in a chunk.

The outputs have room for so many messages more: at most every other part is inserted, and a mark
of silence lets the kernel enter the minute of one vendor row twice.
"""
WINDOW_TICKS = 1 << 18
"""Ticks a side near the touch that the book keeps in an array."""


class _Given(NamedTuple):
    """The columns of a segment; no vendor rows for feeds that have none."""

    rows: Rows
    vendor: VendorRows | None


class Replayer:
    """Book, trust and accounts of one symbol; venue-neutral.

    Parameters
    ----------
    instrument
        Gives the tick that indexes the book and the dated rules for flags.
    state_every
        Spacing of states in ns: 0 for each book message end, -1 for none; otherwise the first
        message end in each interval.
    policy
        How the feed is judged beside its ids.
    """

    def __init__(
        self, instrument: Instrument, *, state_every: int = 0, policy: Policy | None = None
    ) -> None:
        self._instrument = instrument
        self._state_every = state_every
        self._policy = policy or Policy()
        self._tick = int(np.gcd.reduce([rule.tick for rule in instrument.rules]))
        self._book = new_book(WINDOW_TICKS, self._tick)
        self._pending = new_pending()
        self._set_states(new_state())
        self._policy.set_on(self._state)
        self._no_minutes = minute_columns(new_outputs(0, 0, 0).minutes, instrument)
        self._due: EventBatch | None = None

    def _set_states(self, states: Records) -> None:
        """Keep the state as kernels take it, and columns of what is asked often."""
        self._states = states
        self._state: Record = states[0]
        self._logged = states["trust"]["undo"]["logged"]
        self._next_row, self._action = states["next_row"], states["action"]
        self._action_ts, self._sequence = states["action_ts"], states["sequence"]
        self._reason = states["trust"]["reason"]
        self._written = [states[name] for name in ("findings", "minutes", "states")]

    def carry(self, image: BookImage, ts: int) -> None:
        """Begin with a book that was rebuilt up to ``ts``, trusted as far as ``image`` says."""
        self._book = image.book(self._tick, WINDOW_TICKS)
        state = self._state
        state.sequence = image.sequence
        state.last_alive = ts
        no_image(state)
        if UNTRUSTED in (image.bid_trust, image.ask_trust) or image.awaits:
            lose_trust(state, Q_UNSEEDED)
            return
        image.trusted(state.trust)
        state.trust.reason = state.doubts = 0

    def pass_by(self, batch: EventBatch) -> None:
        """Leave whole messages out, but for when they came: their pace tells what silence is.

        Before `carry`, which begins behind them.
        """
        pass_by(self._state, batch.kind, batch.flags, batch.ts_order)

    @property
    def is_due(self) -> bool:
        """Whether events that a vendor row asked for are still to be inserted."""
        return self._due is not None

    def begin_day(self, ts: int) -> None:
        """Event ids start again at 0; ``ts`` is the ``ts_order`` of the day's first event."""
        begin_day(self._state, ts)

    def save(self) -> dict[str, Array]:
        """State as arrays; :meth:`load` of it continues exactly here."""
        book = {f"book.{name}": array for name, array in self.levels().to_arrays().items()}
        return {
            **book,
            "pending": numbers(self._pending),
            "state": numbers(self._states),
            **({} if self._due is None else columns_of(self._due.copy(), "due.")),
        }

    def load(self, saved: Mapping[str, Array]) -> None:
        """Continue from what :meth:`save` returned."""
        image = BookImage.from_arrays(
            {name[5:]: array for name, array in saved.items() if name.startswith("book.")}
        )
        self._book = image.book(self._tick, WINDOW_TICKS)
        self._pending = records(PENDING_ROW, saved["pending"])
        self._set_states(records(REPLAY_STATE, saved["state"]))
        self._due = batch_of(EventBatch, saved, "due.") if "due.kind" in saved else None

    def process(self, batch: EventBatch, first_id: int) -> ReplayOutput:
        """Replay ``batch`` (whole messages, at least one); completes its flags in place.

        Parameters
        ----------
        first_id
            Event id of the first row.
        """
        return joined([chunk.output for chunk in self.chunks(Segment.of(batch), first_id)])

    def chunks(
        self, segment: Segment, first_id: int, room: Callable[[], int] = lambda: CHUNK_ROWS
    ) -> Generator[Chunk]:
        """Replay ``segment`` chunk by chunk; what vendor rows ask for is inserted as events.

        Flags are completed in place. Between two chunks the replayer can be saved; what is left
        then is the chunk's ``rest``.

        Parameters
        ----------
        first_id
            Event id of the next event.
        room
            Asked before each chunk, which ends at the first message end at or after so many rows,
            or before.
        """
        events, ends = segment.events, message_bounds(segment.events)
        given = self._given(segment)
        row, vendor_row = 0, 0
        while self._due is not None or len(segment) > row + vendor_row:
            left = room()
            stop, until = self._limits(segment, ends, row, vendor_row, left)
            # what is inserted can only bring the end nearer: there is room for all that follows
            within = np.searchsorted(ends, [row, stop], side="right")
            messages = int(within[1] - within[0])
            out = self._prepared(segment.slice(row, vendor_row, stop, until), messages, first_id)
            parts: list[EventBatch] = []
            while len(parts) < MOST_PARTS:
                if self._due is not None:
                    parts.append(self._due)
                    self._due = None
                    self._check_prices(parts[-1], first_id)
                    asked_for = self._given(Segment.of(parts[-1]))
                    self._step(asked_for, 0, len(parts[-1]), 0, 0, first_id, out)
                else:
                    at = self._step(given, row, stop, vendor_row, until, first_id, out)
                    parts.append(events.slice(row, at))
                    row, vendor_row = at, int(self._next_row[0])
                    self._due = self._asked_for(segment.vendor_rows, vendor_row)
                first_id, left = first_id + len(parts[-1]), left - len(parts[-1])
                if left <= 0 or (self._due is None and (row, vendor_row) == (stop, until)):
                    break
                if left < stop - row:  # what was inserted has taken of the room
                    stop, until = self._limits(segment, ends, row, vendor_row, left)
            parts = [part for part in parts if len(part)] or [events.slice(row, row)]
            yield Chunk(parts, self._taken(out), segment.after(row, vendor_row))

    def _limits(
        self, segment: Segment, ends: Int64, row: int, vendor_row: int, room: int
    ) -> tuple[int, int]:
        """Row and vendor row before which a chunk from ``row`` and ``vendor_row`` on stops."""
        events, vendor_rows = segment.events, segment.vendor_rows
        if row + vendor_row == len(segment):
            return row, vendor_row
        stop = len(events)
        if row < stop:
            # the last end within a chunk, at least one message; the first one that fills the room
            at = int(np.searchsorted(ends, row + CHUNK_ROWS, side="right")) - 1
            at = max(at, int(np.searchsorted(ends, row, side="right")))
            full = int(np.searchsorted(ends, row + max(room, 1)))
            stop = int(ends[min(at, full, len(ends) - 1)])
        until = int(np.searchsorted(segment.places, stop, side="right"))
        # a change of tick or lot cuts, whatever the batches
        first = min(
            int(part.ts_order[at])
            for part, at in ((events, row), (vendor_rows, vendor_row))
            if at < len(part)
        )
        for rule in self._instrument.rules[1:]:
            if rule.since_ns > first:
                stop = min(stop, int(np.searchsorted(events.ts_order, rule.since_ns)))
                until = min(until, int(np.searchsorted(vendor_rows.ts_order, rule.since_ns)))
                break
        return stop, until

    def _asked_for(self, vendor_rows: VendorBatch, met: int) -> EventBatch | None:
        """The events that the replay stopped for, behind so many vendor rows."""
        action = int(self._action[0])
        if action == NOTHING:
            return None
        if action in (DISTRUST, QUIET):
            return doubt_mark(action, int(self._action_ts[0]), int(self._sequence[0]))
        restores = int(self._reason[0]) not in (0, Q_UNSEEDED)
        return snapshot_of(vendor_rows.slice(met - 1, met), action, restores=restores)

    def end_day(self, last_id: int, ts: int) -> ReplayOutput:
        """Close the minute; doubts still open become findings, and go on into the next day."""
        out = self._output(1)
        doubt_the_end(self._state, out, last_id, ts)
        end_day(self._state, out, last_id, ts)
        return self._taken(out)

    def open_findings(self, last_id: int, ts: int) -> Records:
        """What holds after event ``last_id``, and the open minute's tallies, as they are so far."""
        out = self._output(0)
        states = self._states.copy()
        end_day(states[0], out, last_id, ts)
        return out.findings[: int(states[0].findings)]

    def levels(self) -> BookImage:
        """The whole book as it stands."""
        return BookImage.of(self._book, self._state.trust, self._state.sequence)

    def coverage(self, findings: Records) -> dict[str, Any]:
        """When each stream of the day was heard, given all its findings; see `coverage_of`."""
        return coverage_of(self._state, findings)

    def _prepared(self, part: Segment, messages: int, first_id: int) -> Outputs:
        """Room for all that so many messages, and what is inserted among them, can give."""
        batch = part.events
        self._check_prices(batch, first_id)
        trades = int(np.count_nonzero(batch.kind == int(Kind.TRADE)))
        self._pending = reserve(self._pending, self._state, trades)
        return self._output(messages + MOST_PARTS, len(part.vendor_rows))

    def _check_prices(self, batch: EventBatch, first_id: int) -> None:
        if len(batch) and int(batch.price.max()) > MAX_PRICE:
            raise GridError(
                f"{self._instrument.symbol}: event {first_id + int(batch.price.argmax())} has a "
                "price beyond what a book can index",
                hint="choose a smaller price exponent for the import",
            )

    def _given(self, segment: Segment) -> _Given:
        """A segment as the kernel takes it."""
        vendor_rows = segment.vendor_rows
        has_rows = self._policy.chainless or len(vendor_rows) > 0
        vendor = vendor_rows.rows(segment.places) if has_rows else None
        return _Given(segment.events.rows, vendor)

    def _step(
        self,
        given: _Given,
        row: int,
        stop: int,
        vendor_row: int,
        until: int,
        first_id: int,
        out: Outputs,
    ) -> int:
        """Replay rows and vendor's rows up to where something is to be inserted; the row there."""
        # beside the rows' levels those may come back that a waiting snapshot has taken away
        self._book = ensure_far_capacity(self._book, stop - row + int(self._logged[0]))
        self._next_row[0] = vendor_row
        begins = [given.rows.ts_order[row]] if row < stop else []
        if given.vendor is not None and vendor_row < until:
            begins.append(given.vendor.ts_order[vendor_row])
        rule = self._instrument.rule_at(int(min(begins)))
        return int(
            replay_rows(
                self._book,
                self._states,
                self._pending,
                out,
                given.rows,
                given.vendor,
                Rules(rule.tick, rule.lot, self._state_every, self._policy.size_limit),
                first_id - row,
                row,
                stop,
                until,
            )
        )

    def _output(self, messages: int, vendor_rows: int = 0) -> Outputs:
        """Room for what so many messages and vendor's rows can give; nothing is written yet."""
        met = messages + vendor_rows
        for written in self._written:
            written[0] = 0
        # of states one more than are written: settling needs room
        return new_outputs(met * FINDINGS_A_MESSAGE + CODES, met + 1, messages + 1)

    def _taken(self, out: Outputs) -> ReplayOutput:
        findings, closed, states = (int(written[0]) for written in self._written)
        minutes = out.minutes[:closed]
        return ReplayOutput(
            states_of(out.states[:states]),
            out.findings[:findings].copy(),
            minute_columns(minutes, self._instrument) if len(minutes) else self._no_minutes,
        )


# --- events that follow from a vendor row ------------------------------------------------------


def doubt_mark(action: int, ts: int, sequence: int) -> EventBatch:
    """The mark of :data:`DISTRUST` or :data:`QUIET`, at ``ts``, behind the message ``sequence``."""
    flags = {DISTRUST: Flag.DRIFT, QUIET: Flag.SILENCE}[action]
    batch = EventBatch.empty(1)
    batch.ts_order[:] = ts
    batch.sequence[:] = sequence
    batch.prev_sequence[:] = -1
    batch.kind[:] = Kind.MARK
    batch.flags[:] = flags | Flag.LAST
    return batch


def snapshot_of(vendor_row: VendorBatch, action: int, *, restores: bool) -> EventBatch:
    """The one row of ``vendor_row`` as a snapshot: bids, then asks, best first.

    ``restores``: the book was in doubt until here.
    """
    levels = vendor_row.levels[0].reshape(2, LEVELS, 2)
    sides, places = np.nonzero(levels[:, :, 0])
    batch = EventBatch.empty(len(sides))
    for name in ("ts_order", "ts_event", "ts_recv", "sequence"):
        getattr(batch, name)[:] = getattr(vendor_row, name)[0]
    batch.prev_sequence[:] = -1
    batch.kind[:] = Kind.SNAPSHOT
    batch.side[:] = sides + int(Side.BID)
    batch.price[:] = levels[sides, places, 0]
    batch.size[:] = levels[sides, places, 1]
    # fewer than twenty may be all that the vendor kept: a count says nothing of a side's end
    batch.flags[:] = vendor_row.flags[0]
    if restores:
        batch.flags |= int(Flag.RESYNC)
    if action == STRAND:
        batch.flags |= int(Flag.GHOST_LEVELS)
    batch.flags[-1] |= int(Flag.LAST)
    return batch
