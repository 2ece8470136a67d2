"""``Replayer``: ordered events in, flags, states, findings and minutes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.book.kernels import (
    MAX_PRICE,
    dump_side,
    ensure_far_capacity,
    new_book,
    side_count,
    trust,
    trusted_to,
)
from lobproof.errors import GridError
from lobproof.instruments import Instrument
from lobproof.replay.integrity import message_bounds
from lobproof.replay.ledger_kernels import (
    CLOSED,
    CODES,
    EPISODE,
    FOUND,
    M_DRIFT_COMPARED,
    M_MINUTE,
    M_RANKS,
    M_SIZES,
    M_SPREAD_COUNT,
    M_SPREAD_MAX,
    M_SPREAD_SUM,
    M_TRUSTED_MIN,
    MINUTE,
    PRICE_SQUARES,
    SEQUENCE,
    SIZE_SQUARES,
    STATES,
    begin_day,
    end_day,
    new_run,
)
from lobproof.replay.pending_kernels import new_pending, reserve
from lobproof.replay.replay_kernels import replay_rows
from lobproof.replay.settle_kernels import (
    FINDINGS_A_MESSAGE,
    S_ASK_TRUSTED,
    S_BID_TRUSTED,
    S_FLAGS,
    S_ID,
    S_LEVELS,
    S_SEQUENCE,
    S_TS,
    S_TS_EVENT,
    STATE_COLUMNS,
)
from lobproof.schema import EventBatch, Int64, Kind, Side, StateBatch
from lobproof.schema.tables import MINUTES

STEP_ROWS = 1 << 16
"""Rows replayed at a time: bounds the memory of the outputs, and has no effect on the result."""
WINDOW_TICKS = 1 << 18
"""Ticks a side near the touch that the book keeps in an array."""

# the int64 columns of `minutes`, in the order in which the kernel counts them
_COUNTED = [
    name
    for name in MINUTES.schema.names
    if name
    not in (
        "spread_ticks_mean",
        "price_rmse_ticks",
        "size_rmse_rel",
        "spread_ticks_max",
        "trusted_levels_min",
        "drift_compared",
        "drift_equal",
        "drift_ghosts",
        "drift_missing",
    )
]


@dataclass(frozen=True, slots=True)
class Step:
    """What a stretch of events gave: states, findings as episodes, closed minutes."""

    states: StateBatch
    episodes: Int64
    minutes: dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class BookLevels:
    """The whole book, best first, counts on the grid, with the trusted range of each side."""

    sequence: int
    bid_prices: Int64
    bid_sizes: Int64
    ask_prices: Int64
    ask_sizes: Int64
    bid_trust: int
    bid_trusted_to: int
    ask_trust: int
    ask_trusted_to: int


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
    """

    def __init__(self, instrument: Instrument, *, state_every: int = 0) -> None:
        self._instrument = instrument
        self._state_every = state_every
        self._tick = int(np.gcd.reduce([rule.tick for rule in instrument.rules]))
        self._book = new_book(WINDOW_TICKS, self._tick)
        self._pending = new_pending()
        self._run = new_run()
        self._open_squares = np.zeros(2)

    def begin_day(self, ts: int) -> None:
        """Event ids start again at 0; ``ts`` is the ``ts_order`` of the day's first event."""
        begin_day(self._run, ts)

    def process(self, batch: EventBatch, first_id: int) -> Step:
        """Replay ``batch`` (whole messages, at least one); completes its flags in place.

        Parameters
        ----------
        first_id
            Event id of the first row.
        """
        ends = message_bounds(batch)
        # a change of tick or lot cuts the batch
        since = [rule.since_ns for rule in self._instrument.rules[1:]]
        rule_cuts = [*np.searchsorted(batch.ts_order, since).tolist(), len(batch)]
        steps = []
        start = 0
        while start < len(batch):
            limit = min(start + STEP_ROWS, next(cut for cut in rule_cuts if cut > start))
            at = max(
                int(np.searchsorted(ends, limit, side="right")) - 1,
                int(np.searchsorted(ends, start, side="right")),
            )
            stop = int(ends[at])
            steps.append(self._step(batch.slice(start, stop), first_id + start))
            start = stop
        return _joined(steps)

    def end_day(self, last_id: int, ts: int) -> Step:
        """Close the minute; doubts still open become findings, and go on into the next day."""
        out = self._output(1)
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
        sides = []
        for side in (int(Side.BID), int(Side.ASK)):
            count = side_count(self._book, side)
            prices, sizes = np.empty(count, np.int64), np.empty(count, np.int64)
            dump_side(self._book, side, prices, sizes)
            sides.append((prices, sizes, trust(self._book, side), trusted_to(self._book, side)))
        (bids, bid_sizes, bid_trust, bid_to), (asks, ask_sizes, ask_trust, ask_to) = sides
        return BookLevels(
            int(self._run[SEQUENCE]),
            bids,
            bid_sizes,
            asks,
            ask_sizes,
            int(bid_trust),
            int(bid_to),
            int(ask_trust),
            int(ask_to),
        )

    def _step(self, batch: EventBatch, first_id: int) -> Step:
        if int(batch.price.max()) > MAX_PRICE:
            raise GridError(
                f"{self._instrument.symbol}: event {first_id + int(batch.price.argmax())} has a "
                "price beyond what a book can index",
                hint="choose a smaller price exponent for the import",
            )
        trades = int(np.count_nonzero(batch.kind == int(Kind.TRADE)))
        messages = len(message_bounds(batch))
        self._book = ensure_far_capacity(self._book, len(batch))
        self._pending = reserve(self._pending, self._run, trades)
        out = self._output(messages)
        rule = self._instrument.rule_at(int(batch.ts_order[0]))
        replay_rows(
            self._book,
            self._pending,
            self._run,
            out.found,
            out.closed,
            out.squares,
            out.states,
            first_id,
            rule.tick,
            rule.lot,
            self._state_every,
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
        return self._taken(out)

    def _output(self, messages: int) -> _Output:
        """Room for what ``messages`` messages can give."""
        out = _Output(
            np.empty((messages * FINDINGS_A_MESSAGE + CODES, EPISODE), np.int64),
            np.empty((messages + 1, MINUTE), np.int64),
            np.empty((messages + 2, 2), np.float64),
            np.empty((messages, STATE_COLUMNS), np.int64),
        )
        out.squares[0] = self._open_squares
        self._run[[FOUND, CLOSED, STATES]] = 0
        return out

    def _taken(self, out: _Output) -> Step:
        found, closed, states = self._run[[FOUND, CLOSED, STATES]].tolist()
        self._open_squares = out.squares[closed].copy()
        rows = out.states[:states]
        return Step(
            StateBatch(
                rows[:, S_ID].copy(),
                rows[:, S_TS].copy(),
                rows[:, S_TS_EVENT].copy(),
                rows[:, S_SEQUENCE].copy(),
                rows[:, S_LEVELS:],
                rows[:, S_BID_TRUSTED].astype(np.int8),
                rows[:, S_ASK_TRUSTED].astype(np.int8),
                rows[:, S_FLAGS].astype(np.int32),
            ),
            out.found[:found].copy(),
            _minute_columns(out.closed[:closed], out.squares[:closed], self._instrument),
        )


def _minute_columns(
    counts: Int64, squares: NDArray[np.float64], instrument: Instrument
) -> dict[str, NDArray[np.generic]]:
    tick = np.array([instrument.rule_at(ts).tick for ts in counts[:, M_MINUTE].tolist()], np.int64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_spread = counts[:, M_SPREAD_SUM] / counts[:, M_SPREAD_COUNT] / tick
        price_rmse = np.sqrt(squares[:, PRICE_SQUARES] / counts[:, M_RANKS])
        size_rmse = np.sqrt(squares[:, SIZE_SQUARES] / counts[:, M_SIZES])
    drift = ("drift_compared", "drift_equal", "drift_ghosts", "drift_missing")
    columns: dict[str, NDArray[np.generic]] = {
        **{name: counts[:, at].copy() for at, name in enumerate(_COUNTED)},
        "spread_ticks_mean": mean_spread,
        "spread_ticks_max": counts[:, M_SPREAD_MAX] // tick,
        "trusted_levels_min": np.maximum(counts[:, M_TRUSTED_MIN], 0),
        **{name: counts[:, M_DRIFT_COMPARED + at].copy() for at, name in enumerate(drift)},
        "price_rmse_ticks": price_rmse,
        "size_rmse_rel": size_rmse,
    }
    return {name: columns[name] for name in MINUTES.schema.names}


def _joined(steps: list[Step]) -> Step:
    if len(steps) == 1:
        return steps[0]
    return Step(
        StateBatch.concat([step.states for step in steps]),
        np.concatenate([step.episodes for step in steps]),
        {
            name: np.concatenate([step.minutes[name] for step in steps])
            for name in MINUTES.schema.names
        },
    )
