"""Lines of the book that cannot be read: what they cost, from the import to the reader."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from lobproof.errors import InputError
from lobproof.pipeline import reconstruct_sample
from lobproof.schema import Finding
from lobproof.sources.recordings import import_recordings
from lobproof.store import Store, open_store
from support.wire import NS, T0, depth, snapshot, tight, trade, wrapped

HEAD = [
    wrapped(depth(1, 3, [("10.10", "1")], [("10.30", "2")], time=T0)),
    tight(snapshot(3, [("10.10", "1"), ("10.00", "7")], [("10.30", "2"), ("10.40", "5")])),
]
COUNT = 40


def message(number: int) -> str:
    """The depth message ``number``, 100 ms after the one before; its ids are the two behind 3."""
    bids = [("10.10", f"{1 + number % 5}")]
    return wrapped(depth(2 * number + 2, 2 * number + 3, bids, [], time=T0 + 100 * number))


def lines(bodies: list[tuple[int, str]]) -> bytes:
    """Lines received at so many ms."""
    return b"".join(f"{(T0 + at) * NS} {body}\n".encode() for at, body in bodies)


def whole() -> list[tuple[int, str]]:
    bodies = [(0, HEAD[0]), (5, HEAD[1])]
    for number in range(1, COUNT):
        bodies.append((100 * number, message(number)))
        bodies.append(
            (100 * number + 50, wrapped(trade(number, "10.10", "0.5", time=T0 + 100 * number + 50)))
        )
    return bodies


def cut(body: str) -> str:
    return body[:-9]


def store_of(folder: Path, data: bytes) -> Store:
    (folder / "lines.txt").write_bytes(data)
    golden = import_recordings([folder / "lines.txt"], folder / "golden")
    reconstruct_sample(golden.path, folder / "store")
    return open_store(folder / "store")


def doubts(store: Store) -> list[tuple[str, int]]:
    """Name and count of the findings of doubt behind the seed."""
    rows = store.quality(raw=True).filter((pl.col("severity") == 3) & (pl.col("code") > 1))
    found = rows.select("code", "count").collect()
    return [(Finding(code).name, count) for code, count in found.iter_rows()]


def trusted_ids(store: Store) -> list[int]:
    return store.trusted(raw=True).select("sequence").collect()["sequence"].to_list()


@pytest.mark.kernels
def test_depth_lines_unreadable_from_some_point_on_end_trust_there(tmp_path: Path) -> None:
    bodies = whole()
    broken = [(at, cut(body) if "@depth" in body and at > 2000 else body) for at, body in bodies]
    store = store_of(tmp_path, lines(broken))
    assert doubts(store) == [("UNREADABLE", 19)]
    # the message 20, after which nothing could be read, may be the last that is right
    assert trusted_ids(store)[-1] == 2 * 19 + 3
    for ms, doubtful in ((1950, False), (2050, True), (3900, True)):
        view = store.book_at((T0 + ms) * NS)
        assert view.doubtful is doubtful
        assert bool(view.bids["trusted"].any()) is not doubtful


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "garbage",
        '{"stream":"btcusdt@dep',
        '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","hello":1}}',
        '{"U":5,"u":6,"b":[],"a":[]}',
        cut(message(21)),
    ],
)
def test_a_line_beside_a_whole_chain_costs_no_trust(tmp_path: Path, junk: str) -> None:
    bodies = whole()
    at = next(k for k, (ms, _) in enumerate(bodies) if ms > 2000)
    clean = store_of(tmp_path, lines(bodies))
    (tmp_path / "beside").mkdir()
    bodies.insert(at, (2010, junk or " "))
    store = store_of(tmp_path / "beside", lines(bodies))
    assert doubts(store) == doubts(clean) == []
    assert trusted_ids(store) == trusted_ids(clean)
    codes = store.quality(raw=True).collect()["code"].to_list()
    assert int(Finding.INVALID_INPUT) in codes


def test_unreadable_lines_and_a_broken_chain(tmp_path: Path) -> None:
    bodies = [
        (at, cut(body) if "@depth" in body and 2000 < at < 3000 else body) for at, body in whole()
    ]
    store = store_of(tmp_path, lines(bodies))
    assert doubts(store) == [("UNREADABLE", 9), ("GAP", 18)]
    assert trusted_ids(store)[-1] == 2 * 19 + 3
    quality = store.quality(raw=True).filter(pl.col("code") == int(Finding.UNREADABLE)).collect()
    # from the last message that was read to the one that shows the loss
    assert quality["first_ts"][0] == (T0 + 2000) * NS
    assert quality["last_ts"][0] == (T0 + 3000) * NS


def test_lines_that_are_no_depth_messages_cost_nothing(tmp_path: Path) -> None:
    ticker = '{"stream":"btcusdt@bookTicker","data":{"u":5,"s":"BTCUSDT","b":"1'
    bare = '{"e":"trade","E":1,"s":"BTCUSDT","t":5,"p":"1'
    bodies = [*whole(), (3960, ticker), (3970, bare)]
    assert doubts(store_of(tmp_path, lines(bodies))) == []


def test_an_import_where_no_depth_message_can_be_read_is_refused(tmp_path: Path) -> None:
    bodies = [(at, body.replace('"U":', '"V":')) for at, body in whole()]
    (tmp_path / "lines.txt").write_bytes(lines(bodies))
    with pytest.raises(InputError, match=r"not one of 40 depth messages .* line 1: shape") as told:
        import_recordings([tmp_path / "lines.txt"], tmp_path / "golden")
    assert told.value.hint
    assert not (tmp_path / "golden").exists()
