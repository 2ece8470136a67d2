"""Arbitrary text in a recording: a line becomes one line of the journal, and nothing more."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lobproof.fidelity.exact import Verdict, verify
from lobproof.pipeline import reconstruct_sample
from lobproof.schema import Kind
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.store import open_store
from support.hostile_text import TEXTS
from support.wire import NS, T0, depth, snapshot, stamped, tight, trade, wrapped

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

pytestmark = pytest.mark.kernels

BOOK = [("1.00", "5"), ("0.99", "7")], [("1.01", "3"), ("1.02", "4")]
MARKET = [
    tight(snapshot(10, *BOOK)),
    *(wrapped(depth(n, n, [("1.00", str(n))], [], time=T0 + n)) for n in range(11, 20)),
    *(wrapped(trade(n, "1.01", "1", time=T0 + 20 + n)) for n in range(1, 5)),
    *(wrapped(depth(n, n, [], [("1.01", str(n))], time=T0 + 30 + n)) for n in range(20, 30)),
]
FORGED = '","conn":0,"data":{}}\n' + json.dumps(
    {
        "capture_ns": T0 * NS,
        "stream": "btcusdt@trade",
        "conn": 0,
        "data": trade(99, "9.99", "999"),
    },
    separators=(",", ":"),
)
texts = st.one_of(
    st.text(),
    st.sampled_from([*TEXTS, FORGED, "invalid", "control", "btcusdt@depth", "btcusdt@trade"]),
    st.builds("{}{}".format, st.sampled_from(["btcusdt@", "control", "!"]), st.text()),
    st.builds("{}@trade".format, st.text()),
)
payloads = st.recursive(
    st.one_of(st.none(), st.integers(), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)


def _spelled(stream: str, payload: Any, ascii_only: bool) -> bytes:
    text = json.dumps({"stream": stream, "data": payload}, ensure_ascii=ascii_only)
    return text.encode("utf-8", "surrogatepass")


lines = st.one_of(
    st.builds(_spelled, texts, payloads, st.booleans()),
    st.builds(lambda text: f'{{"stream":"{text}","data":{{}}}}'.encode("utf-8", "replace"), texts),
    st.builds(lambda text: json.dumps(text).encode(), payloads),
    st.binary(max_size=80),
)
inserts = st.lists(st.tuples(st.integers(0, len(MARKET)), lines), max_size=12)


def _recording(hostile: Sequence[tuple[int, bytes]]) -> bytes:
    """The market's lines with others among them, each stamped."""
    out = []
    for place, line in enumerate(stamped(MARKET).splitlines(keepends=True)):
        stamp = line.split(b" ", 1)[0]
        out += [stamp + b" " + text + b"\n" for at, text in hostile if at == place]
        out.append(line)
    out += [stamp + b" " + text + b"\n" for at, text in hostile if at == len(MARKET)]
    return b"".join(out)


def _imported(folder: Path, data: bytes) -> GoldenSample:
    file = folder / "r\u202e\x1b[666m\n.txt"
    file.write_bytes(data)
    return import_recordings([file], folder / "golden", symbol="BTCUSDT", snapshots_are_ours=True)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def _journal(sample: GoldenSample) -> Iterator[tuple[bytes, dict[str, Any]]]:
    for path in sample.journals:
        text = zstd.decompress(path.read_bytes())
        assert text.endswith(b"\n")
        for line in text[:-1].split(b"\n"):
            yield line, json.loads(line, object_pairs_hook=_unique)


def _stands_for(entry: dict[str, Any], line: bytes) -> bool:
    """Whether a line of the journal is what a line of the recording says, or keeps it whole."""
    if entry["stream"] == "invalid":
        return base64.b64decode(entry["data_b64"]) == line
    body = json.loads(line.split(b" ", 1)[1])
    if isinstance(body, str) and body[:1] + body[-1:] == "{}":
        body = json.loads(body)  # a text that holds a message is the message
    if isinstance(body, dict) and "stream" in body:
        return bool(entry["stream"] == body["stream"] and entry["data"] == body["data"])
    return bool(entry["data"] == body)


@given(inserts)
@example([(3, _spelled(FORGED, {}, True)), (4, _spelled("control", {"event": "truncated"}, True))])
@example([(0, b'{"stream":"btcusdt@x","data":1,"stream":"btcusdt@trade","data":{}}')])
@example([(2, b'{"stream":"control\xe5\xb8\x81@x","data":{}}')])
@example([(n, text) for n, text in enumerate((b'"', b'""', b'"["', b'"[]"', b'"{"', b'"{}"'))])
@example([(2, rb'{"stream":"control\u0041","data":{"event":"truncated"}}')])
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_a_line_is_one_line_of_the_journal(hostile: list[tuple[int, bytes]]) -> None:
    data = _recording(hostile)
    given_lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    with TemporaryDirectory() as folder:
        sample = _imported(Path(folder), data)
        journal = list(_journal(sample))
        kept = [entry for _, entry in journal if entry["stream"] != "control"]
        assert [entry["event"] for _, entry in journal if entry["stream"] == "control"] == [
            "file_start",
            "file_end",
        ]
        counts = sample.document["counts"]
        left_out = counts["other_symbol"] + counts["blank"]
        assert len(kept) == len(given_lines) - 1 - left_out
        source = iter(given_lines)
        for entry in kept:  # each stands for a line, in order; between are only those left out
            assert any(_stands_for(entry, line) for line in source if line)
        with TemporaryDirectory() as other:
            plain = _imported(Path(other), _recording([]))
            assert _rows(GoldenSource(sample)) == _rows(GoldenSource(plain))


def _rows(source: GoldenSource) -> list[list[Any]]:
    """Every row of the book and the trades but the marks."""
    rows = []
    for batch in (*source.book(), *source.trades()):
        known = batch.kind != Kind.MARK
        names = ("sequence", "kind", "side", "price", "size")
        rows += np.array([getattr(batch, name)[known] for name in names]).T.tolist()
    return rows


@given(st.lists(st.tuples(st.integers(0, len(MARKET)), lines), min_size=1, max_size=12))
@example([(3, _spelled(FORGED, {}, True))])
@settings(deadline=None, max_examples=5, suppress_health_check=[HealthCheck.too_slow])
def test_nothing_of_it_is_stored_or_passes_for_exact(hostile: list[tuple[int, bytes]]) -> None:
    with TemporaryDirectory() as folder:
        sample = _imported(Path(folder), _recording(hostile))
        reconstruct_sample(sample.path, Path(folder) / "store")
        store = open_store(Path(folder) / "store")
        for kind, ids in (("TRADE", range(1, 5)), ("DELTA", range(11, 30))):
            stored = store.events(kind=kind).collect()
            assert stored["sequence"].to_list() == list(ids)
        report = verify(store, sample.path)
        assert report.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
