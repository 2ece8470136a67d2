"""``Together``: each stream is the one that a pass of its own gives, however they are taken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.schema import EventBatch
from lobproof.sources.batches import Together, behind

COUNTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


def numbered(start: int, rows: int) -> EventBatch:
    """A batch whose rows have the numbers from ``start`` on as their sequence."""
    batch = EventBatch.empty(rows)
    batch.sequence[:] = range(start, start + rows)
    return batch


class Passes:
    """Two streams of numbered rows, and how often each was begun by itself."""

    def __init__(self, counts: list[tuple[int, int]]) -> None:
        self.counts = counts
        self.rows = tuple(sum(part[which] for part in counts) for which in (0, 1))
        self.begun = [0, 0]

    def parts(self) -> Iterator[tuple[EventBatch, EventBatch]]:
        at = [0, 0]
        for part in self.counts:
            yield numbered(at[0], part[0]), numbered(at[1], part[1])
            at = [at[0] + part[0], at[1] + part[1]]

    def alone(self, which: int) -> Iterator[EventBatch]:
        self.begun[which] += 1
        return (part[which] for part in self.parts())

    def together(self, skipped: tuple[int, int] = (0, 0), held_rows: int = 10**6) -> Together:
        alone = (lambda: self.alone(0), lambda: self.alone(1))
        return Together(self.parts(), alone, skipped, held_rows=held_rows)


@given(
    counts=COUNTS,
    skipped=st.tuples(st.integers(0, 30), st.integers(0, 30)),
    held_rows=st.integers(0, 30),
    turns=st.lists(st.integers(0, 1), max_size=60),
)
def test_each_stream_is_the_same_in_any_order_of_turns(
    counts: list[tuple[int, int]], skipped: tuple[int, int], held_rows: int, turns: list[int]
) -> None:
    passes = Passes(counts)
    streams = passes.together(skipped, held_rows).streams
    seen: list[list[int]] = [[], []]
    for which in [*turns, *[0] * 20, *[1] * 20]:
        batch = next(streams[which], None)
        if batch is not None:
            assert len(batch)
            seen[which] += batch.sequence.tolist()
    for which in (0, 1):
        assert seen[which] == list(range(skipped[which], passes.rows[which]))


def test_what_is_held_is_bounded() -> None:
    """A stream without rows goes on alone before the other fills the memory."""
    passes = Passes([(100, 0)] * 50 + [(0, 1)])
    book, trades = passes.together(held_rows=1000).streams
    assert [len(batch) for batch in trades] == [1]
    assert passes.begun == [0, 1]
    assert sum(len(batch) for batch in book) == 5000
    assert passes.begun == [0, 1]


def test_streams_of_one_pace_need_one_pass() -> None:
    passes = Passes([(100, 10)] * 50)
    for book, trades in zip(*passes.together(held_rows=1000).streams, strict=True):
        assert (len(book), len(trades)) == (100, 10)
    assert passes.begun == [0, 0]


def test_a_pass_that_breaks_off_ends_no_stream() -> None:
    def parts() -> Iterator[tuple[EventBatch, EventBatch]]:
        yield numbered(0, 2), numbered(0, 2)
        raise OSError("the disk is gone")

    alone = (lambda: iter(()), lambda: iter(()))
    book, trades = Together(parts(), alone, (0, 0)).streams
    assert len(next(book)) == len(next(trades)) == 2
    for stream in (book, trades):
        with pytest.raises(OSError, match="gone"):
            next(stream)


def test_rows_behind_others() -> None:
    batches = [numbered(0, 3), numbered(3, 0), numbered(3, 4)]
    for rows in range(9):
        left = [row for batch in behind(iter(batches), rows) for row in batch.sequence.tolist()]
        assert left == list(range(rows, 7))
