"""``Replayer``: ordered events in, flags, states, findings and minutes out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.book import load_book, save_book
from lobproof.book.kernels import (
    MAX_PRICE,
    ensure_far_capacity,
    new_book,
)
from lobproof.book.undo_kernels import LOGGED
from lobproof.errors import GridError
from lobproof.instruments import Instrument
from lobproof.replay.coverage import coverage_of
from lobproof.replay.evidence_kernels import no_image
from lobproof.replay.inserts import doubt_mark, snapshot_of
from lobproof.replay.integrity import message_bounds
from lobproof.replay.ledger_kernels import (
    ACTION,
    ACTION_TS,
    CLOSED,
    CODES,
    DOUBT,
    EPISODE,
    FOUND,
    LIFE_TS,
    LOST,
    MINUTE,
    REFERENCES,
    SEQUENCE,
    SNAPSHOT_TRUST,
    STALE,
    STATES,
    UNDO,
    new_run,
)
from lobproof.replay.mark_kernels import lose_trust
from lobproof.replay.merge import Array, Stretch, batch_of, columns_of
from lobproof.replay.minute_kernels import begin_day, doubt_the_end, end_day
from lobproof.replay.passing_kernels import pass_by
from lobproof.replay.pending_kernels import new_pending, reserve
from lobproof.replay.policy import Policy
from lobproof.replay.reference_kernels import DISTRUST, NOTHING, QUIET
from lobproof.replay.replay_kernels import replay_rows
from lobproof.replay.settle_kernels import FINDINGS_A_MESSAGE, STATE_COLUMNS
from lobproof.replay.step import (
    BookLevels,
    Piece,
    Step,
    joined,
    levels_of,
    minute_columns,
    states_of,
)
from lobproof.schema import UNTRUSTED, EventBatch, Finding, Int64, Kind, ReferenceBatch

STEP_ROWS = 1 << 16
"""Rows replayed at a time: bounds the memory of the outputs, and has no effect on the result."""
MOST_PARTS = 64
"""Most runs of events, and inserted messages between them, in a piece.

The outputs have room for so many messages more: at most every other part is inserted, and a mark
of silence lets the kernel enter the minute of one reference twice.
"""
WINDOW_TICKS = 1 << 18
"""Ticks a side near the touch that the book keeps in an array."""


class _Output(NamedTuple):
    """Preallocated outputs of one step."""

    found: Int64
    closed: Int64
    squares: NDArray[np.float64]
    states: Int64


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
        self._run = new_run()
        self._policy.set_on(self._run)
        self._open_squares = np.zeros(2)
        none = self._output(0)
        self._no_minutes = minute_columns(none.closed[:0], none.squares[:0], instrument)
        self._due: EventBatch | None = None

    def carry(self, book: BookLevels, ts: int) -> None:
        """Begin with a book that was rebuilt up to ``ts``, trusted as far as ``book`` says."""
        about = [self._tick, WINDOW_TICKS, book.bid_trust, book.bid_trusted_to]
        saved = {
            "bid_prices": book.bid_prices,
            "bid_sizes": book.bid_sizes,
            "ask_prices": book.ask_prices,
            "ask_sizes": book.ask_sizes,
            "about": np.array([*about, book.ask_trust, book.ask_trusted_to], np.int64),
        }
        self._book = load_book(saved)
        self._run[SEQUENCE] = book.sequence
        self._run[LIFE_TS] = ts
        no_image(self._run)
        if UNTRUSTED in (book.bid_trust, book.ask_trust) or book.awaits:
            lose_trust(self._book, self._run, int(Finding.UNSEEDED))
            return
        self._run[[STALE, STALE + 1]] = book.bid_stale, book.ask_stale
        listed = (book.bid_listed, book.bid_listed_to, book.ask_listed, book.ask_listed_to)
        self._run[SNAPSHOT_TRUST : SNAPSHOT_TRUST + 4] = listed
        self._run[[LOST, DOUBT]] = 0

    def pass_by(self, batch: EventBatch) -> None:
        """Leave whole messages out, but for when they came: their pace tells what silence is.

        Before `carry`, which begins behind them.
        """
        pass_by(self._run, batch.kind, batch.flags, batch.ts_order)

    @property
    def is_due(self) -> bool:
        """Whether events that a reference asked for are still to be inserted."""
        return self._due is not None

    def begin_day(self, ts: int) -> None:
        """Event ids start again at 0; ``ts`` is the ``ts_order`` of the day's first event."""
        begin_day(self._run, ts)

    def save(self) -> dict[str, Array]:
        """State as arrays; :meth:`load` of it continues exactly here."""
        book = {f"book.{name}": array for name, array in save_book(self._book).items()}
        return {
            **book,
            "pending": self._pending.copy(),
            "run": self._run.copy(),
            "squares": self._open_squares.copy(),
            **({} if self._due is None else columns_of(self._due.copy(), "due.")),
        }

    def load(self, saved: Mapping[str, Array]) -> None:
        """Continue from what :meth:`save` returned."""
        self._book = load_book(
            {name[5:]: array for name, array in saved.items() if name.startswith("book.")}
        )
        self._pending = saved["pending"].copy()
        self._run = saved["run"].copy()
        self._open_squares = saved["squares"].astype(np.float64)
        self._due = batch_of(EventBatch, saved, "due.") if "due.kind" in saved else None

    def process(self, batch: EventBatch, first_id: int) -> Step:
        """Replay ``batch`` (whole messages, at least one); completes its flags in place.

        Parameters
        ----------
        first_id
            Event id of the first row.
        """
        return joined([piece.step for piece in self.pieces(Stretch.of(batch), first_id)])

    def pieces(
        self, stretch: Stretch, first_id: int, room: Callable[[], int] = lambda: STEP_ROWS
    ) -> Iterator[Piece]:
        """Replay ``stretch`` piece by piece; what references ask for is inserted as events.

        Flags are completed in place. Between two pieces the replayer can be saved; what is left
        then is the piece's ``rest``.

        Parameters
        ----------
        first_id
            Event id of the next event.
        room
            Asked before each piece, which ends at the first message end at or after so many rows,
            or before.
        """
        events, ends = stretch.events, message_bounds(stretch.events)
        row, reference = 0, 0
        while self._due is not None or len(stretch) > row + reference:
            left = room()
            stop, until = self._limits(stretch, ends, row, reference, left)
            # what is inserted can only bring the end nearer: there is room for all that follows
            within = np.searchsorted(ends, [row, stop], side="right")
            messages = int(within[1] - within[0])
            out = self._prepared(stretch.slice(row, reference, stop, until), messages, first_id)
            parts: list[EventBatch] = []
            while len(parts) < MOST_PARTS:
                if self._due is not None:
                    parts.append(self._due)
                    self._due = None
                    self._check_prices(parts[-1], first_id)
                    whole = Stretch.of(parts[-1])
                    self._step(whole, 0, len(parts[-1]), 0, 0, first_id, out)
                else:
                    at = self._step(stretch, row, stop, reference, until, first_id, out)
                    parts.append(events.slice(row, at))
                    row, reference = at, int(self._run[REFERENCES])
                    self._due = self._asked_for(stretch.references, reference)
                first_id, left = first_id + len(parts[-1]), left - len(parts[-1])
                if left <= 0 or (self._due is None and (row, reference) == (stop, until)):
                    break
                if left < stop - row:  # what was inserted has taken of the room
                    stop, until = self._limits(stretch, ends, row, reference, left)
            parts = [part for part in parts if len(part)] or [events.slice(row, row)]
            yield Piece(parts, self._taken(out), stretch.after(row, reference))

    def _limits(
        self, stretch: Stretch, ends: Int64, row: int, reference: int, room: int
    ) -> tuple[int, int]:
        """Row and reference before which a piece from ``row`` and ``reference`` on stops."""
        events, references = stretch.events, stretch.references
        if row + reference == len(stretch):
            return row, reference
        stop = len(events)
        if row < stop:
            # the last end within a step, at least one message; the first one that fills the room
            at = int(np.searchsorted(ends, row + STEP_ROWS, side="right")) - 1
            at = max(at, int(np.searchsorted(ends, row, side="right")))
            full = int(np.searchsorted(ends, row + max(room, 1)))
            stop = int(ends[min(at, full, len(ends) - 1)])
        until = int(np.searchsorted(stretch.places, stop, side="right"))
        # a change of tick or lot cuts, whatever the batches
        first = min(
            int(part.ts_order[at])
            for part, at in ((events, row), (references, reference))
            if at < len(part)
        )
        for rule in self._instrument.rules[1:]:
            if rule.since_ns > first:
                stop = min(stop, int(np.searchsorted(events.ts_order, rule.since_ns)))
                until = min(until, int(np.searchsorted(references.ts_order, rule.since_ns)))
                break
        return stop, until

    def _asked_for(self, references: ReferenceBatch, met: int) -> EventBatch | None:
        """The events that the replay stopped for, behind so many references."""
        action = int(self._run[ACTION])
        if action == NOTHING:
            return None
        if action in (DISTRUST, QUIET):
            return doubt_mark(action, int(self._run[ACTION_TS]), int(self._run[SEQUENCE]))
        restores = int(self._run[LOST]) not in (0, int(Finding.UNSEEDED))
        return snapshot_of(references.slice(met - 1, met), action, restores=restores)

    def end_day(self, last_id: int, ts: int) -> Step:
        """Close the minute; doubts still open become findings, and go on into the next day."""
        out = self._output(1)
        doubt_the_end(self._run, out.found, last_id, ts)
        end_day(self._run, out.found, out.closed, out.squares, last_id, ts)
        return self._taken(out)

    def open_findings(self, last_id: int, ts: int) -> Int64:
        """What holds after event ``last_id``, and the open minute's tallies, as they are so far."""
        run, out = self._run.copy(), self._output(0)
        run[[FOUND, CLOSED]] = 0
        end_day(run, out.found, out.closed, out.squares, last_id, ts)
        return out.found[: int(run[FOUND])]

    def levels(self) -> BookLevels:
        """The whole book as it stands."""
        return levels_of(self._book, self._run)

    def coverage(self, episodes: Int64) -> dict[str, Any]:
        """When each stream of the day was heard, given all its findings; see `coverage_of`."""
        return coverage_of(self._run, episodes)

    def _prepared(self, part: Stretch, messages: int, first_id: int) -> _Output:
        """Room for all that so many messages, and what is inserted among them, can give."""
        batch = part.events
        self._check_prices(batch, first_id)
        trades = int(np.count_nonzero(batch.kind == int(Kind.TRADE)))
        self._pending = reserve(self._pending, self._run, trades)
        return self._output(messages + MOST_PARTS, len(part.references))

    def _check_prices(self, batch: EventBatch, first_id: int) -> None:
        if len(batch) and int(batch.price.max()) > MAX_PRICE:
            raise GridError(
                f"{self._instrument.symbol}: event {first_id + int(batch.price.argmax())} has a "
                "price beyond what a book can index",
                hint="choose a smaller price exponent for the import",
            )

    def _step(
        self,
        stretch: Stretch,
        row: int,
        stop: int,
        reference: int,
        until: int,
        first_id: int,
        out: _Output,
    ) -> int:
        """Replay rows and references up to where something is to be inserted; the row there."""
        batch, references = stretch.events, stretch.references
        # beside the rows' levels those may come back that a waiting snapshot has taken away
        self._book = ensure_far_capacity(self._book, stop - row + int(self._run[UNDO + LOGGED]))
        self._run[REFERENCES] = reference
        first = min(
            int(each.ts_order[at])
            for each, at, end in ((batch, row, stop), (references, reference, until))
            if at < end
        )
        rule = self._instrument.rule_at(first)
        return int(
            replay_rows(
                self._book,
                self._pending,
                self._run,
                out.found,
                out.closed,
                out.squares,
                out.states,
                first_id - row,
                rule.tick,
                rule.lot,
                self._state_every,
                self._policy.size_limit,
                row,
                stop,
                until,
                stretch.places,
                references.ts_order,
                references.flags,
                references.sequence,
                references.levels,
                batch.ts_order,
                batch.ts_event,
                batch.sequence,
                batch.prev_sequence,
                batch.kind,
                batch.side,
                batch.price,
                batch.size,
                batch.flags,
            )
        )

    def _output(self, messages: int, references: int = 0) -> _Output:
        """Room for what so many messages and references can give."""
        met = messages + references
        out = _Output(
            np.empty((met * FINDINGS_A_MESSAGE + CODES, EPISODE), np.int64),
            np.empty((met + 1, MINUTE), np.int64),
            np.empty((met + 2, 2), np.float64),
            np.empty((messages, STATE_COLUMNS), np.int64),
        )
        out.squares[0] = self._open_squares
        self._run[[FOUND, CLOSED, STATES]] = 0
        return out

    def _taken(self, out: _Output) -> Step:
        found, closed, states = self._run[[FOUND, CLOSED, STATES]].tolist()
        self._open_squares = out.squares[closed].copy()
        return Step(
            states_of(out.states[:states]),
            out.found[:found].copy(),
            minute_columns(out.closed[:closed], out.squares[:closed], self._instrument)
            if closed
            else self._no_minutes,
        )
