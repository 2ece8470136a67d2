"""``merge``: two streams into one, on a tie as the venue has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from lobproof.replay import Merge, Segment
from lobproof.schema import EventBatch, Flag, Kind
from plain.messages import BID, Message, bid, depth, messages_of, trade
from support.replays import batches


def books(times: Sequence[int]) -> list[Message]:
    return stamp([depth(n, n - 1, [bid(7, 1)] * (1 + n % 3)) for n in range(len(times))], times)


def trades(times: Sequence[int]) -> list[Message]:
    return stamp([trade(n, BID, 7) for n in range(len(times))], times)


def stamp(messages: list[Message], times: Sequence[int]) -> list[Message]:
    for message, time in zip(messages, times, strict=True):
        for row in message:
            row.ts_order = time
    return messages


def merged_events(
    book: Iterator[EventBatch], other: Iterator[EventBatch], *, trade_first: bool
) -> list[EventBatch]:
    """What merging gives, batch by batch."""
    merge = Merge(map(Segment.of, book), map(Segment.of, other), trade_first=trade_first)
    return [segment.events for segment in merge]


def merged(
    book: list[Message],
    other: list[Message],
    cuts: Sequence[Sequence[int]] = ((), ()),
    *,
    trade_first: bool = False,
) -> list[Message]:
    sides = batches(book, cuts[0]), batches(other, cuts[1])
    parts = merged_events(*sides, trade_first=trade_first)
    assert all(len(part) for part in parts)
    assert all(part.flags[-1] & Flag.LAST for part in parts), "a batch ends inside a message"
    return messages_of(EventBatch.concat(parts)) if parts else []


def kinds(messages: list[Message]) -> str:
    return "".join("t" if message[0].kind == Kind.TRADE else "b" for message in messages)


def test_the_book_goes_first_on_a_tie_and_each_stream_keeps_its_order() -> None:
    out = merged(books([1, 3, 3, 5]), trades([3, 3, 4, 5]))
    assert kinds(out) == "bbbtttbt"
    assert [message[0].sequence for message in out] == [0, 1, 2, 0, 1, 2, 3, 3]


def test_where_the_trade_goes_first_on_a_tie() -> None:
    for cuts in ((), ()), ((2,), (1, 2)):
        out = merged(books([1, 3, 3, 5]), trades([3, 3, 4, 5]), cuts, trade_first=True)
        assert kinds(out) == "bttbbttb"


@pytest.mark.parametrize("times", [[1, 2, 3], []])
def test_one_stream_alone(times: list[int]) -> None:
    assert merged(books(times), []) == books(times)
    assert merged([], trades(times)) == trades(times)


def test_a_tie_across_a_border_of_batches() -> None:
    """A trade waits while the book may still hold its time."""
    out = merged(books([1, 3, 3, 3, 4]), trades([1, 3, 3]), ((2, 3), (2,)))
    assert kinds(out) == "btbbbttb"


def test_no_more_than_a_batch_of_each_is_held() -> None:
    """The first events come out before the streams are read to their ends."""
    read = 0

    def counted(messages: list[Message]) -> list[EventBatch]:
        return list(batches(messages, range(len(messages))))

    def stream(parts: list[EventBatch]) -> Iterator[EventBatch]:
        nonlocal read
        for part in parts:
            read += 1
            yield part

    left, right = counted(books(range(50))), counted(trades(range(50)))
    out = iter(Merge(map(Segment.of, stream(left)), map(Segment.of, stream(right))))
    next(out)
    assert read <= 4
    assert sum(len(segment) for segment in out) > 100
