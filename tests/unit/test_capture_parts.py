"""Frames, chains and copies of a capture, each alone."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.capture.chain import Chain, Fit, Link, Sequencer
from lobproof.capture.copies import ON_ITS_WAY_NS, Arrival, Copies
from lobproof.capture.frames import (
    Frame,
    depth_ids,
    identity,
    kind_of,
    split_frame,
    symbol_of_stream,
)
from lobproof.sources.recordings.audit import IdAudit

DEPTH = b'{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":157,"u":160,"b":[["0.1","2"]],"a":[]}'
FUTURES = b'{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":157,"u":160,"pu":149,"b":[],"a":[]}'
TRADE = b'{"e":"trade","E":1,"s":"BTCUSDT","t":12345,"p":"0.1","q":"1","T":1,"m":true,"M":true}'
TICKER = b'{"u":400900217,"s":"BNBUSDT","b":"25.3","B":"31.2","a":"25.4","A":"40.6"}'


def test_frames_in_the_words_of_the_venue() -> None:
    for name, payload in ((b"btcusdt@depth@100ms", DEPTH), (b"btcusdt@trade", TRADE)):
        assert split_frame(b'{"stream":"%b","data":%b}' % (name, payload)) == Frame(name, payload)


@given(
    st.text(max_size=12),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.booleans(),
    st.sampled_from(["", " "]),
)
def test_frames_in_any_words(stream: str, data: object, turned: bool, space: str) -> None:
    """Whatever stands where, the payload's bytes are those that came."""
    payload = json.dumps(data, ensure_ascii=False).encode()
    parts = [
        b'"stream":%b%b' % (space.encode(), json.dumps(stream).encode()),
        b'"data":%b%b' % (space.encode(), payload),
    ]
    text = b"{%b%b%b}" % (parts[turned], b"," + space.encode(), parts[not turned])
    assert split_frame(text) == Frame(stream.encode(), payload)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b'{"result":null,"id":1}', b'{"stream":"a@b","data":', b"\xff", DEPTH],
)
def test_frames_of_another_kind(text: bytes) -> None:
    assert split_frame(text) is None


def test_an_escaped_quote_does_not_end_a_name() -> None:
    text = rb'{"stream":"a\"","data":"x","more":1}'
    assert split_frame(text) == Frame(b'a"', b'"x"')


def test_names_and_ids() -> None:
    assert kind_of(b"btcusdt@depth@100ms") == b"depth"
    assert kind_of(b"!serverShutdown") == b""
    assert symbol_of_stream(b"btcusdt@trade") == b"btcusdt"
    assert symbol_of_stream(b"!serverShutdown") == b""
    assert depth_ids(DEPTH) == (156, 160)
    assert depth_ids(FUTURES) == (149, 160)
    assert depth_ids(TRADE) is None
    told = [identity(b"depth", DEPTH), identity(b"trade", TRADE), identity(b"bookTicker", TICKER)]
    assert told == [160, 12345, 400900217]
    assert identity(b"markPrice", b"{}") == identity(b"markPrice", b"{}") < 0
    assert identity(b"markPrice", b"{}") != identity(b"markPrice", b"[]")


def test_a_chain_tells_what_follows() -> None:
    chain = Chain()
    steps = [
        (9, 12, Link.FIRST),
        (12, 20, Link.FOLLOWS),
        (12, 20, Link.OLD),
        (25, 30, Link.GAP),
        (28, 33, Link.OVERLAPS),
        (33, 34, Link.FOLLOWS),
        (20, 24, Link.OLD),
    ]
    for previous, final, link in steps:
        assert chain.add(previous, final) is link
    assert (chain.begin, chain.last) == (25, 34)


def test_ids_that_go_back_while_time_goes_on_begin_anew() -> None:
    """By hand, and as an import of the same messages judges."""
    steps = [
        (900, 910, 10, Link.FIRST),
        (910, 920, 20, Link.FOLLOWS),
        (400, 405, 15, Link.OLD),  # one stray old message is none
        (400, 405, 20, Link.OLD),  # nor is one of the same instant
        (920, 930, 30, Link.FOLLOWS),
        (9, 12, 40, Link.RESET),
        (12, 20, 50, Link.FOLLOWS),
        (930, 940, 35, Link.GAP),  # a late one from before: its ids are beyond all that came since
        (20, 30, 60, Link.RESET),
        (30, 31, 0, Link.FOLLOWS),
        (10, 11, 70, Link.OLD),  # behind a message without a time nobody can say
    ]
    chain, audit = Chain(), IdAudit(may_reset=True)
    for previous, final, event, link in steps:
        assert chain.add(previous, final, event) is link, final
        ids = (np.array([value]) for value in (previous + 1, final, previous, event))
        audit.add(*ids)
    assert (chain.begin, chain.last) == (20, 31)
    told = audit.to_dict()
    links = [link for *_, link in steps]
    assert told["resets"] == links.count(Link.RESET) == 2
    assert told["gaps"] == links.count(Link.GAP)
    assert told["late"] + told["duplicates"] == links.count(Link.OLD)


def test_a_reset_does_not_wait_and_what_waits_is_of_before() -> None:
    """With a second socket a message that does not follow is held; a reset releases it first."""
    sequencer = Sequencer()
    sequencer.add(90, 100, 10, b"a", 0, 0, 50)
    assert sequencer.add(105, 110, 20, b"c", 0, 1, 50) == []
    released = sequencer.add(4, 8, 30, b"d", 0, 2, 50)
    assert [(one.line, one.link) for one in released] == [(b"c", Link.GAP), (b"d", Link.RESET)]
    assert sequencer.add(8, 9, 40, b"e", 0, 3, 50)[0].link is Link.FOLLOWS


def test_copies_behind_a_reset_are_copies() -> None:
    copies = Copies(2)
    for lane in (0, 1):
        copies.take(lane, b"a@depth", 7, b"before", 0)
    assert copies.take(0, b"a@depth", 7, b"behind", 5) is Arrival.DIFFERS
    assert copies.take(1, b"a@depth", 7, b"behind", 9) is Arrival.COPY


def test_a_snapshot_fits_by_the_documented_rule() -> None:
    """Of spot: ``U <= lastUpdateId + 1 <= u`` of some message kept, or nothing has come beyond."""
    chain = Chain()
    assert chain.judge(5) is Fit.AHEAD
    ranges = [(10, 12), (13, 13), (14, 20)]
    for first, final in ranges:
        chain.add(first - 1, final)
    for snapshot in range(30):
        documented = any(first <= snapshot + 1 <= final for first, final in ranges)
        if documented or snapshot == 20:
            assert chain.judge(snapshot) is Fit.FITS
        else:
            assert chain.judge(snapshot) is (Fit.STALE if snapshot < 9 else Fit.AHEAD)
    chain.add(25, 30)
    assert chain.judge(20) is Fit.STALE  # what lies between is missing
    assert chain.judge(25) is Fit.FITS


def test_copies_against_a_plain_account() -> None:
    """Two lanes that drop, repeat and delay at random; every figure is counted apart."""
    rng = random.Random(3)
    copies = Copies(2, remembered=64)
    copies.opened(0)
    copies.opened(1)
    arrivals = []
    for ident in range(4_000):
        for lane in (0, 1):
            if rng.random() < 0.9:
                arrivals.append((ident * 10 + rng.randrange(40), lane, ident))
    arrivals.sort()
    first: dict[int, int] = {}
    expected = {lane: [0, 0, 0] for lane in (0, 1)}
    got = []
    for at, lane, ident in arrivals:
        kind = copies.take(lane, b"a@trade", ident, b"%d" % ident, at)
        got.append(kind)
        assert kind is (Arrival.COPY if ident in first else Arrival.FIRST)
        expected[lane][ident in first] += 1
        first.setdefault(ident, lane)
    copies.settle()
    for lane in (0, 1):
        brought = {ident for _, who, ident in arrivals if who == lane}
        expected[lane][2] = len(set(first) - brought)
        figures = copies.lanes[lane]
        assert [figures.first, figures.copies, figures.missed] == expected[lane]
        assert sum(figures.delays) == figures.copies
        assert 0 < figures.delay_ns(0.5) <= figures.delay_ns(0.99) <= 64


def test_other_bytes_under_one_id_are_told() -> None:
    copies = Copies(2)
    assert copies.take(0, b"a@trade", 7, b"one", 0) is Arrival.FIRST
    assert copies.take(1, b"a@trade", 7, b"two", 5) is Arrival.DIFFERS
    assert copies.take(1, b"b@trade", 7, b"two", 5) is Arrival.FIRST
    assert (copies.lanes[0].differing, copies.lanes[1].differing) == (0, 1)


def test_a_lane_that_is_closed_misses_nothing() -> None:
    copies = Copies(2)
    copies.opened(0)
    copies.opened(1)
    copies.take(0, b"a@trade", 1, b"1", 0)
    copies.closed(1, ON_ITS_WAY_NS)  # what was on its way when it closed is not held against it
    copies.take(0, b"a@trade", 2, b"2", 0)
    copies.opened(1)
    copies.take(0, b"a@trade", 3, b"3", 0)
    copies.settle()
    assert [lane.missed for lane in copies.lanes] == [0, 1]
    copies.take(0, b"a@trade", 4, b"4", 0)
    copies.closed(1, ON_ITS_WAY_NS + 1)
    copies.settle()
    assert [lane.missed for lane in copies.lanes] == [0, 2]


def test_the_short_way_of_a_sequencer_is_the_long_one() -> None:
    """Losses, late and repeated messages, resets: what is written is the same, in one order."""
    for seed in range(200):
        chance = random.Random(seed)
        short, long = Sequencer(), Sequencer()
        written: tuple[list[tuple[bytes, Link]], list[tuple[bytes, Link]]] = ([], [])
        number = 100
        for step in range(60):
            number += chance.choice((1, 1, 1, 1, 1, 1, 0, 2, -1, -60 if step == 40 else 1))
            message = (number - 1, number, 1_000 + step, b"%d %d" % (step, number), step, step)
            settle = chance.choice((0, 3))
            if short.follows(*message[:3]):
                written[0].append((message[3], Link.FOLLOWS))
            else:
                written[0].extend((one.line, one.link) for one in short.add(*message, settle))
            written[1].extend((one.line, one.link) for one in long.add(*message, settle))
            for of, sequencer in zip(written, (short, long), strict=True):
                of.extend((one.line, one.link) for one in sequencer.due(step, 3))
            assert short.chain == long.chain
        assert written[0] == written[1]


def test_what_waits_comes_first_when_nobody_else_is_left() -> None:
    """The second socket is closed while a message waits for one that only it could bring."""
    sequencer = Sequencer()
    sequencer.add(0, 1, 0, b"1", 1, 1, 0)
    assert sequencer.add(4, 5, 0, b"5", 2, 2, 300) == []
    released = sequencer.add(6, 7, 0, b"7", 3, 3, 0)
    assert [(one.line, one.link) for one in released] == [(b"5", Link.GAP), (b"7", Link.GAP)]
