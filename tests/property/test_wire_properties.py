"""Random messages in random spellings, and random damage."""

from __future__ import annotations

import json
import random
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lobproof.fixedpoint import decimal_to_count, decimals_in
from lobproof.instruments import infer_step
from lobproof.sources.binance.decode import Problem, decode_journal, decode_recording
from lobproof.sources.binance.scan_kernels import EMPTY, INVALID, IRREGULAR
from lobproof.sources.binance.scanner import Scanner
from lobproof.sources.recordings.audit import NumberAudit
from support.wire import (
    ALL,
    T0,
    aggregate,
    decoded_values,
    depth,
    futures_ticker,
    futures_trade,
    row_values,
    scanned,
    snapshot,
    stamped,
    ticker,
    tight,
    trade,
    wrapped,
)

pytestmark = pytest.mark.kernels

digits = st.text("0123456789", min_size=1, max_size=9)
sizes = st.one_of(digits, st.builds("{}.{}".format, digits, digits))
prices = sizes.filter(lambda text: text.strip("0.") != "")
pairs = st.tuples(prices, sizes)
sides = st.lists(pairs, max_size=4)
ids = st.integers(1, 10**15)
steps = st.integers(0, 1000)
times = st.one_of(st.integers(T0, T0 + 10**9), st.integers(T0 * 1000, T0 * 1000 + 10**9))

messages = st.one_of(
    st.builds(lambda u, n, b, a, t: depth(u, u + n, b, a, time=t), ids, steps, sides, sides, times),
    st.builds(lambda u, n, b, a: depth(u, u + n, b, a, pu=max(u - 5, 0)), ids, steps, sides, sides),
    st.builds(lambda t, p, m: trade(t, p, p, sold=m), ids, prices, st.booleans()),
    st.builds(lambda t, p: futures_trade(t, p, p), ids, prices),
    st.builds(lambda f, n, p: aggregate(f, f + n, p, p), ids, steps, prices),
    st.builds(ticker, ids, pairs, pairs),
    st.builds(futures_ticker, ids, pairs, pairs),
    st.builds(snapshot, ids, sides, sides),
)


def _spelled(value: Any, choose: random.Random) -> str:
    """JSON of the same meaning: fields in any order, blanks, escapes, further fields."""
    gap = choose.choice(["", "", " ", "\t"])
    if isinstance(value, dict):
        items = list(value.items())
        choose.shuffle(items)
        inner = f"{gap},{gap}".join(
            f"{json.dumps(key)}{gap}:{_spelled(item, choose)}" for key, item in items
        )
        if choose.random() < 0.3:
            inner += ',"zz":[{"deep":null},"\u20ac",1.5]'
        return f"{{{gap}{inner}{gap}}}"
    if isinstance(value, list):
        return f"[{gap}{f'{gap},'.join(_spelled(item, choose) for item in value)}{gap}]"
    if isinstance(value, str) and value and choose.random() < 0.2:
        return f'"\\u{ord(value[0]):04x}{value[1:]}"'
    return json.dumps(value)


@given(messages)
def test_both_decoders_give_the_same_values(message: dict[str, Any]) -> None:
    for text in (wrapped(message), tight(message)):
        line = stamped([text])
        expected = decoded_values(decode_recording(line.rstrip(b"\n"), "BTCUSDT"))
        assert row_values(scanned(line), 0) == expected


@given(messages, st.randoms(use_true_random=False))
def test_any_spelling_means_the_same(message: dict[str, Any], choose: random.Random) -> None:
    document = json.loads(wrapped(message))
    strict = row_values(scanned(stamped([wrapped(message)])), 0)
    block = scanned(stamped([_spelled(document, choose)]))
    assert not block.problems, block.problems
    other = row_values(block, 0)
    del strict["data"], other["data"]
    assert other == strict


@given(messages, st.integers(0, 400), st.binary(max_size=3))
@example(depth(1, 2), 19, b"\n\n")
def test_damage_never_raises_and_both_decoders_agree_on_it(
    message: dict[str, Any], at: int, noise: bytes
) -> None:
    line = bytearray(stamped([wrapped(message)]))
    at %= len(line)
    line[at : at + len(noise) or at + 1] = noise
    block = Scanner("BTCUSDT", ALL, recorded=True, doubt_foreign=True).scan(bytes(line), "file", 1)
    for row in range(len(block.messages)):
        kind = int(block.messages[row].kind)
        assert kind != IRREGULAR
        if kind != EMPTY:
            assert kind == _slow_kind(block.line(row))


def _slow_kind(line: bytes) -> int:
    try:
        return decode_recording(line, "BTCUSDT").kind
    except Problem:
        return INVALID


@given(st.binary(max_size=200))
@example(b'{"capture_ns":1,"stream":"invalid","data_b64":"\xff"}')
@example(b"\xff\xfe 1 {}")
def test_noise_never_raises(noise: bytes) -> None:
    for recorded in (False, True):
        block = Scanner("BTCUSDT", ALL, recorded=recorded).scan(noise, "noise", 1)
        assert IRREGULAR not in block.messages["kind"]
    with suppress(Problem):
        decode_journal(noise, "BTCUSDT")
    with suppress(Problem):
        decode_recording(noise, "BTCUSDT")


@given(
    st.lists(st.tuples(st.integers(1, 10**7), st.integers(0, 4)), min_size=1, max_size=30),
)
def test_the_digits_are_all_that_inference_needs(numbers: list[tuple[int, int]]) -> None:
    texts = [(f"{value}.{'0' * zeros}5" if zeros else f"{value}") for value, zeros in numbers]
    block = scanned(stamped([wrapped(depth(1, 2, [(text, "1") for text in texts]))]))
    audit = NumberAudit()
    audit.add(block, 0)
    exponent = audit.exponent(0)
    counts = [decimal_to_count(text, exponent) for text in texts]
    assert exponent == max(decimals_in(text) for text in texts)
    assert audit.step(0, exponent) == infer_step(np.array(counts))
    assert audit.digits(0) == max(len(str(value)) for value, _ in numbers)
