"""Facts about how rows of ``book`` relate to the deltas: by number, and by what they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lobproof.acquire.facts.count_kernels import message_starts, to_counts
from lobproof.acquire.facts.fact import SLACK, Fact, share, verdict
from lobproof.acquire.facts.grid import Grid
from lobproof.acquire.facts.relation_kernels import (
    NEVER,
    RELATION,
    START,
    BookRows,
    Messages,
    relate,
)
from lobproof.acquire.rows import LEVELS_NAME, Columns, read_columns
from lobproof.acquire.stamp_kernels import MISSING
from lobproof.book.kernels import ensure_far_capacity
from lobproof.book.layout_kernels import new_book
from lobproof.book.state import WINDOW_TICKS
from lobproof.book.trust_kernels import new_trust, set_range
from lobproof.schema import EVERYTHING, LEVELS, Int8, Int64
from lobproof.schema.plain import ASK, BID
from lobproof.schema.records import zeroed

_DELTAS = ("sequence_number", "side_is_bid", "price", "size")
_BOOK = ("sequence_number", LEVELS_NAME)
_MOST_CROSSED = 0.001
_ANEW = 1_000_000
"""A number lower by more than this is a new beginning, no message out of place."""
_EPOCH = 1 << 52
SHIFTS = {"the message before": -1, "its message": 0, "the message after": 1}
"""After which message a row might be what the book was."""


class _Replay:
    """A book that messages are applied to, and which rows of ``book`` are held against."""

    def __init__(self, shift: int, tick: int) -> None:
        self.state = zeroed(RELATION)[0]
        self.state.shift = shift
        self.book = new_book(WINDOW_TICKS, tick)
        self.trust = new_trust()
        self._scratch = np.empty((2, LEVELS), np.int64)

    def begin(self, messages: Messages) -> None:
        """Stand before the first of these messages."""
        self.state.message = 2 + self.state.shift
        self.book = ensure_far_capacity(self.book, len(messages.side))

    def run(self, messages: Messages, rows: BookRows) -> bool:
        """Go on; False where further rows are needed."""
        self.book = ensure_far_capacity(self.book, len(messages.side) + rows.levels.size // 2)
        until = messages.number + min(int(self.state.shift), 0 if messages.last else 1)
        return relate(self.state, self.book, self.trust, messages, until, rows, *self._scratch)

    def dropped(self, rows: int) -> None:
        """The first rows are there no more."""
        self.state.row -= rows


def relation_facts(deltas: Sequence[Path], book: Sequence[Path], grid: Grid | None) -> list[Fact]:
    """Replay the deltas of a day, seeded from its ``book``, and hold each row against them.

    The same under three assumptions: that a row is the book after the message before its own,
    after its own, or after the one behind. Without a ``grid`` nothing is replayed.
    """
    tick = 1 if grid is None else grid.tick
    replays = {name: _Replay(shift, tick) for name, shift in SHIFTS.items()}
    cold = _Replay(0, tick)
    for side in (BID, ASK):  # as whoever replays without a seed believes
        set_range(cold.trust, side, EVERYTHING, 0)
    if grid is not None and deltas and book:
        _replay(list(replays.values()), cold, deltas, book, grid)
    return [_by_number(replays), _by_state(replays), _seeded(replays, cold)]


def _replay(
    replays: list[_Replay],
    cold: _Replay,
    deltas: Sequence[Path],
    book: Sequence[Path],
    grid: Grid,
) -> None:
    none = BookRows(np.empty(0, np.int64), np.empty((0, 4 * LEVELS), np.int64), True)
    source = _book_rows(book, grid)
    rows = none._replace(last=False)
    for messages in _messages(read_columns("book_delta_v2", deltas, _DELTAS), grid):
        cold.begin(messages)
        cold.run(messages, none)
        for replay in replays:
            replay.begin(messages)
        while True:
            finished = [replay.run(messages, rows) for replay in replays]
            if all(finished):
                break
            # behind the last message a replay may end before the others: it needs no row any more
            done = min(
                int(replay.state.row)
                for replay, over in zip(replays, finished, strict=True)
                if not (over and messages.last)
            )
            for replay in replays:
                replay.dropped(done)
            more = next(source)
            rows = BookRows(
                np.concatenate([rows.sequences[done:], more.sequences]),
                np.concatenate([rows.levels[done:], more.levels]),
                more.last,
            )


def _messages(batches: Iterable[Columns], grid: Grid) -> Iterator[Messages]:
    """Deltas by whole messages; the last three wait for what follows them."""
    before = [START] * 3  # messages of nothing: what lies before the first
    held, numbering = _nothing(), _Numbering()
    for rows in batches:
        held = _joined(held, _deltas(rows, grid, numbering))
        starts = _starts(held)
        count = len(before) + len(starts) - 3
        if count < max(2, len(before)):
            continue
        cut = count - len(before)
        messages = _whole(held, starts, before, count, last=False)
        yield messages
        before = [int(messages.sequences[count - 1])]
        held = held.only(slice(int(starts[cut]), None))
    starts = _starts(held)
    yield _whole(held, starts, before, len(before) + len(starts) - 1, last=True)


class _Numbering:
    """Makes sequence numbers go on where the venue began its numbers anew."""

    def __init__(self) -> None:
        self._last = 0
        self._epoch = 0

    def continued(self, sequence: Int64) -> Int64:
        """The numbers, each above all those before the last new beginning."""
        if not len(sequence):
            return sequence
        anew = np.diff(sequence, prepend=self._last) < -_ANEW
        epochs = self._epoch + np.cumsum(anew)
        self._last, self._epoch = int(sequence[-1]), int(epochs[-1])
        return sequence + epochs * _EPOCH


class _Deltas(NamedTuple):
    """Rows of deltas, in counts."""

    sequence: Int64
    side: Int8
    price: Int64
    size: Int64

    def only(self, rows: slice | NDArray[np.bool_]) -> _Deltas:
        """Some of the rows."""
        return _Deltas(self.sequence[rows], self.side[rows], self.price[rows], self.size[rows])


def _nothing() -> _Deltas:
    empty = np.empty(0, np.int64)
    return _Deltas(empty, np.empty(0, np.int8), empty, empty)


def _joined(first: _Deltas, second: _Deltas) -> _Deltas:
    return _Deltas(
        np.concatenate([first.sequence, second.sequence]),
        np.concatenate([first.side, second.side]),
        np.concatenate([first.price, second.price]),
        np.concatenate([first.size, second.size]),
    )


def _deltas(rows: Columns, grid: Grid, numbering: _Numbering) -> _Deltas:
    """The rows that have a sequence number."""
    numbered = rows["sequence_number"] != MISSING
    price, size = (np.empty(len(numbered), np.int64) for _ in range(2))
    to_counts(rows["price"], grid.price_exponent, price)
    to_counts(rows["size"], grid.size_exponent, size)
    deltas = _Deltas(rows["sequence_number"], rows["side_is_bid"], price, size)
    if not numbered.all():
        deltas = deltas.only(numbered)
    return deltas._replace(sequence=numbering.continued(deltas.sequence))


def _starts(deltas: _Deltas) -> Int64:
    starts = np.empty(len(deltas.sequence), np.int64)
    return starts[: message_starts(deltas.sequence, starts)]


def _whole(
    deltas: _Deltas, starts: Int64, before: list[int], count: int, *, last: bool
) -> Messages:
    return Messages(
        np.concatenate([before, deltas.sequence[starts], [NEVER, NEVER]]).astype(np.int64),
        np.concatenate([[0] * len(before), starts, [len(deltas.sequence)]]).astype(np.int64),
        count,
        last,
        deltas.side,
        deltas.price,
        deltas.size,
    )


def _book_rows(paths: Sequence[Path], grid: Grid) -> Iterator[BookRows]:
    """Rows of ``book`` in counts; the last are no rows."""
    numbering = _Numbering()
    for rows in read_columns("book", paths, _BOOK):
        numbered = rows["sequence_number"] != MISSING
        levels = rows[LEVELS_NAME][numbered]
        counts = np.empty((len(levels), 2, 2 * LEVELS), np.int64)
        flat = np.empty(levels.size // 2, np.int64)
        for field, exponent in enumerate((grid.price_exponent, grid.size_exponent)):
            to_counts(np.ascontiguousarray(levels[:, field::2]).reshape(-1), exponent, flat)
            counts[:, field] = flat.reshape(len(levels), 2 * LEVELS)
        paired = np.ascontiguousarray(counts.transpose(0, 2, 1)).reshape(len(levels), -1)
        sequences = numbering.continued(rows["sequence_number"][numbered])
        yield BookRows(sequences, paired, False)
    yield BookRows(np.empty(0, np.int64), np.empty((0, 4 * LEVELS), np.int64), True)


def _by_number(replays: dict[str, _Replay]) -> Fact:
    own = replays["its message"].state
    rows, same = int(own.rows), int(own.same)
    return Fact(
        "book-sequence",
        "A row of book has the sequence number of a message of book_delta_v2.",
        verdict(share(rows - same, rows) <= SLACK, rows=rows),
        {
            "rows with the number of a message": same,
            "rows between two messages": int(own.between),
            "rows before the first message": int(own.before),
        },
        rows,
    )


def _by_state(replays: dict[str, _Replay]) -> Fact:
    own = replays["its message"].state
    compared, agreed = int(own.compared), int(own.equal)
    equal = share(agreed, compared)
    shares = {
        f"equal to the book after {name}": share(
            int(replay.state.equal), int(replay.state.compared)
        )
        for name, replay in replays.items()
    }
    return Fact(
        "book-state",
        "A row of book is the replayed book after the message of its sequence number (or the last "
        "one before), level by level as far as that is known.",
        verdict(1 - equal <= SLACK, rows=compared),
        {
            **shares,
            "equal touch after its message": share(int(own.touch), compared),
            "rows that contradict it": compared - agreed,
            "rows from which the book was seeded": int(own.seeds),
            "rows unfit to seed from: crossed, or without bids": int(own.skipped),
            "levels compared a row": share(int(own.levels), compared),
        },
        compared,
    )


def _seeded(replays: dict[str, _Replay], cold: _Replay) -> Fact:
    own = replays["its message"].state
    messages = int(own.messages)
    crossed = share(int(own.crossed), messages)
    return Fact(
        "seeded-book",
        "Deltas replayed on a seed from book, re-seeded where a row contradicts, hardly ever make "
        "a crossed book (0.015 % of a day; from a cold start 67 %).",
        verdict(crossed <= _MOST_CROSSED, rows=messages),
        {
            "messages after which it is crossed": crossed,
            "the same from a cold start": share(int(cold.state.crossed), int(cold.state.messages)),
        },
        messages,
    )
