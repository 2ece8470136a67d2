"""Gate A, ``states``: each state that is looked at is the book that the stored events make.

The events are applied to the book that opens the day. They are what gate B holds against the
recording: what is right of them is so of the states, down to the twentieth level.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import polars as pl

from lobproof.book import OrderBook
from lobproof.errors import GridError
from lobproof.fidelity.exact.report import Check, Class, Divergence, Verdict, not_applicable
from lobproof.fidelity.exact.window import Window
from lobproof.fixedpoint import from_decimal128
from lobproof.schema import LEVELS, EventBatch, Flag, Int64, Side
from lobproof.schema.tables import STATE_LEVEL_COLUMNS
from lobproof.store import Keyframe
from lobproof.store.columns import Grid
from lobproof.store.playback import to_batch

NAME = "states"
LOOKED_AT = 1 << 13
"""Of a day with more states so many are looked at, evenly spaced: each costs some 30 µs."""

_WINDOW_TICKS = 1 << 16
_SHARED = ("ts_order", "ts_event", "sequence")
_OPENING = ("price", "size", "trusted_to", "listed_to")
"""Decimals of ``keyframes``."""


class StatesCheck:
    """Days in their order, and each day's states before its events.

    Not compared are states of a day whose decimals are off the grid, which the check ``grid`` says,
    and of one that begins with a book that waits for a judgement: ``left_out`` says which and why.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._every = {
            row["dt"]: max(-(-row["states"] // LOOKED_AT), 1)
            for row in window.seals().iter_rows(named=True)
        }
        self._passed = Counter[str]()  # states of each day
        self._waiting: defaultdict[str, list[pl.DataFrame]] = defaultdict(list)
        self._left_out: dict[str, str] = {}
        self._compared = 0
        self._wrong = 0
        self._first: Divergence | None = None
        # of the day whose events come
        self._dt = ""
        self._book: OrderBook | None = None
        self._states = pl.DataFrame()
        self._levels = _no_levels(0)
        self._events = 0  # applied
        self._done = 0  # states

    def add_states(self, dt: str, states: pl.DataFrame) -> None:
        """A frame of a day's states."""
        every = self._every[dt]
        skipped = -self._passed[dt] % every
        self._passed[dt] += states.height
        self._waiting[dt].append(states.slice(skipped).gather_every(every))

    def add_events(self, dt: str, rows: pl.DataFrame) -> None:
        """A frame of a day's events, whole messages."""
        if dt != self._dt:
            self._finish()
            self._begin(dt)
        if self._book is None:
            return
        try:
            batch = to_batch(rows, Grid.of(self._window.instruments[dt]))
        except GridError:
            self._leave_out("events are off the grid")
            return
        self._compare(self._book, batch)
        self._events += rows.height

    def result(self) -> Check:
        """The check, once every event has been added."""
        self._finish()
        for states in (frame for frames in self._waiting.values() for frame in frames):
            self._behind(states)  # of days without an event
        total = sum(self._passed.values())
        if not total:
            return not_applicable(NAME, "the store has no states")
        details = {"left_out": self._left_out} if self._left_out else {}
        if not self._compared:
            return not_applicable(NAME, "the events of no day can be applied", **details)
        sampled = not self._wrong and self._compared < total
        return Check(
            NAME,
            Verdict.FAIL if self._wrong else Verdict.EXACT,
            total,
            self._compared,
            self._compared - self._wrong,
            bound=min(3.0 / self._compared, 1.0) if sampled else None,
            reason=self._first.detail if self._first else "",
            details=details,
            first=self._first,
        )

    def _begin(self, dt: str) -> None:
        """Take a day's states, and the book that opens it."""
        self._dt, self._events, self._done = dt, 0, 0
        frames = self._waiting.pop(dt, [])
        if not frames:
            return
        instrument = self._window.instruments[dt]
        grid = Grid.of(instrument)
        opening = self._window.only(dt).table("keyframes").filter(pl.col("event_id") < 0).collect()
        if not opening.height or opening["awaits"][0]:
            self._leave_out("no book opens the day, or one that waits for a judgement")
            return
        states = pl.concat(frames)
        levels = _no_levels(states.height)
        try:
            for at, name in enumerate(STATE_LEVEL_COLUMNS):
                levels[:, at] = _counts(states, name, grid)
            known = opening.with_columns(
                pl.Series(name, _counts(opening, name, grid)) for name in _OPENING
            )
        except GridError:
            self._leave_out("states, or the book that opens the day, are off the grid")
            return
        self._states, self._levels = states, levels
        tick = math.gcd(*(rule.tick for rule in instrument.rules))
        self._book = OrderBook.of(Keyframe.of(known).book, tick, window_ticks=_WINDOW_TICKS)

    def _leave_out(self, why: str) -> None:
        """What is left of the day's states is not compared."""
        self._left_out[self._dt] = why
        self._book = None

    def _finish(self) -> None:
        """States of the day that no event was met for."""
        if self._book is not None:
            self._behind(self._states.slice(self._done))
        self._book = None

    def _behind(self, states: pl.DataFrame) -> None:
        self._compared += states.height
        for state in states.iter_rows(named=True):
            self._differs(state, "stands behind the last event")

    def _compare(self, book: OrderBook, batch: EventBatch) -> None:
        """Apply the next events, and hold the states among them against the book."""
        states = self._states.slice(self._done)
        states = states.head(int((states["event_id"] < self._events + len(batch)).sum()))
        places = (states["event_id"] - self._events).to_list()
        told = states.select(_SHARED).rows()
        made = np.empty((2, LEVELS, 2), np.int64)
        done = 0
        for row, place in enumerate(places):
            levels = self._levels[self._done + row]
            here = max(done - 1, 0) <= place < len(batch)
            if not here or not batch.flags[place] & Flag.LAST:
                self._differs(
                    states.row(row, named=True), "is not at the end of a message, in turn"
                )
                continue
            book.apply_events(batch, done, place + 1)
            done = place + 1
            for side, (prices, sizes) in zip(
                (Side.BID, Side.ASK), made.transpose(0, 2, 1), strict=True
            ):
                book.top(side, prices, sizes)
            if told[row] != tuple(int(getattr(batch, name)[place]) for name in _SHARED):
                self._differs(states.row(row, named=True), "has other times or ids than its event")
            elif not np.array_equal(levels, made.reshape(-1)):
                at = int(np.flatnonzero(levels != made.reshape(-1))[0])
                name = STATE_LEVEL_COLUMNS[at]
                self._differs(
                    states.row(row, named=True),
                    f"is not the book that the events make, from {name} on",
                    expected={name: int(made.reshape(-1)[at])},
                    found={name: int(levels[at])},
                )
        book.apply_events(batch, done)
        self._compared += states.height
        self._done += states.height

    def _differs(self, state: dict[str, Any], what: str, **more: Any) -> None:
        self._wrong += 1
        if self._first is None:
            detail = f"the state after event {state['event_id']} {what}"
            self._first = Divergence.at(NAME, Class.CHANGED, state, detail, **more)


def _no_levels(rows: int) -> Int64:
    return np.zeros((rows, 4 * LEVELS), np.int64)


def _counts(frame: pl.DataFrame, name: str, grid: Grid) -> Int64:
    return from_decimal128(frame[name].to_arrow(), grid.exponent(name))
