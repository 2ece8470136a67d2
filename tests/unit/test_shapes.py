"""Recordings in the shapes that recorders give them: the same messages, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.cli import run
from lobproof.errors import InputError
from lobproof.pipeline import reconstruct_sample
from lobproof.sources.binance import decode
from lobproof.sources.binance.journal import read_frames
from lobproof.sources.binance.scan_kernels import read_stamp
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings, shapes
from support.shapes import SHAPES, Line, Shape, lines_of
from support.wire import NS, T0, depth, snapshot, stamped, ticker, trade, wrapped

MESSAGES: list[dict[str, Any]] = [
    depth(1, 3, [("10.10", "1")], [("10.30", "2.5")], time=T0),
    snapshot(5, [("10.10", "1"), ("10.00", "7")], [("10.30", "2.5")]),
    depth(4, 6, [("10.20", "3.25")], [], time=T0 + 100),
    trade(100, "10.20", "0.25", time=T0 + 120, sold=True),
    trade(101, "10.20", "1", time=T0 + 121),
    depth(7, 7, [], [], time=T0 + 200),
    ticker(7, ("10.20", "1"), ("10.30", "2.5")),
    depth(8, 9, [("10.20", "0")], [("10.25", "0.5")], time=T0 + 300),
]
LINES = lines_of(stamped([wrapped(message) for message in MESSAGES]))
KINDS = ("depth", "trade", "aggTrade", "bookTicker", "snapshot", "level_changes")


def _messages(sample: GoldenSample) -> list[tuple[int, bytes]]:
    """Receive time and payload of every market-data message, as the journals have them."""
    found = []
    for path in sample.journals:
        for part in read_frames(path):
            assert isinstance(part, bytes)
            for line in part.splitlines():
                head, data, payload = line.partition(b',"conn":0,"data":')
                stream = json.loads(head + b"}")["stream"] if data else "control"
                if stream not in ("control", "other"):
                    found.append((json.loads(head + b"}")["capture_ns"], payload[:-1]))
    return found


def _take(folder: Path, data: bytes, **options: Any) -> tuple[GoldenSample, str]:
    file = folder / "recording"
    file.write_bytes(data)
    said: list[str] = []
    sample = import_recordings(
        [file], folder / "golden", overwrite=True, tell=said.append, **options
    )
    return sample, said[0]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> GoldenSample:
    return _take(tmp_path_factory.mktemp("plain"), SHAPES[0].write(LINES))[0]


def _content(sample: GoldenSample, store: Path) -> list[str]:
    """Hashes of the days that are made of a sample."""
    return [day.content_hash for day in reconstruct_sample(sample.path, store).days]


@pytest.fixture(scope="module")
def content(plain: GoldenSample, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return _content(plain, tmp_path_factory.mktemp("content") / "store")


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_every_shape_is_the_same_recording(
    shape: Shape, plain: GoldenSample, content: list[str], tmp_path: Path
) -> None:
    sample, said = _take(tmp_path, shape.write(LINES))
    assert said.startswith("reading recording: ")
    assert shape.said in said
    assert sample.inputs[0]["shape"] == said.removeprefix("reading recording: ")
    counts, known = sample.document["counts"], plain.document["counts"]
    assert {name: counts[name] for name in KINDS} == {name: known[name] for name in KINDS}
    assert counts["invalid"] == 0
    assert sample.findings() == sample.document["notes"] == []
    got, expected = _messages(sample), _messages(plain)
    assert [time for time, _ in got] == [time for time, _ in expected]
    if shape.name not in ("JSON lines with blanks", "JSON over several lines"):
        assert got == expected
    else:
        assert [json.loads(data) for _, data in got] == [json.loads(data) for _, data in expected]
    assert _content(sample, tmp_path / "store") == content


def test_a_plain_recording_needs_no_kernel_of_the_shapes(
    plain: GoldenSample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling one takes a newcomer seconds."""

    def refused(*_: object) -> None:
        raise AssertionError("a kernel was called")

    for module, name in (
        (shapes, "plain_lines"),
        (shapes, "split_elements"),
        (shapes, "read_moment"),
        (decode, "read_stamp"),
    ):
        monkeypatch.setattr(module, name, refused)
    for data in (
        SHAPES[0].write(LINES),
        SHAPES[0].write(LINES).replace(b"\n", b"\r\n"),
        SHAPES[0].write(LINES).replace(b"\n", b"\n\n"),
    ):
        sample, _ = _take(tmp_path, data)
        assert _messages(sample) == _messages(plain)


@given(
    st.from_regex(r"[0-9]{17,21}", fullmatch=True)
    | st.sampled_from(["1700000000", "1700000000000", "2024-01-01T00:00:00Z"]),
    st.text(' \t,;|.0{["', max_size=3),
    st.sampled_from(["{}", "[]", "", "x"]),
)
def test_a_time_is_split_off_as_the_kernel_does(time: str, between: str, body: str) -> None:
    line = f"{time}{between}{body}".encode()
    value, behind = read_stamp(np.frombuffer(line, np.uint8), 0, len(line))
    assert decode.split_stamp(line) == (None if value < 0 else (value, line[behind:]))


def _in_field(line: Line, field: str = "ts") -> str:
    return f'{{"{field}":{line.time // 10**6},{line.text[1:]}'


def test_shapes_that_are_mixed_in_one_file(plain: GoldenSample, tmp_path: Path) -> None:
    written = []
    for number, line in enumerate(LINES):
        in_field = f'{{"ts":{line.time},"msg":{json.dumps(line.text)}}}'
        written.append((_in_field(line), f"{line.time} {line.text}", in_field)[number % 3])
    sample, said = _take(tmp_path, "\r\n".join(written).encode())
    assert "JSON lines, time in field `ts` (ms, guessed)" in said
    assert _messages(sample) == _messages(plain)
    assert sample.findings() == []


def test_times_whose_unit_changes(plain: GoldenSample, tmp_path: Path) -> None:
    units = (10**6, 10**3, 1)
    data = "\n".join(
        f'{{"time":{line.time // units[number % 3]},"data":{line.text}}}'
        for number, line in enumerate(LINES)
    )
    sample, said = _take(tmp_path, data.encode())
    assert "time in field `time` (ms, guessed)" in said
    assert _messages(sample) == _messages(plain)


@pytest.mark.parametrize("shape", ["JSON lines, time beside the envelope", "a JSON array"])
def test_a_file_that_is_cut_in_the_middle(shape: str, plain: GoldenSample, tmp_path: Path) -> None:
    (write,) = (one.write for one in SHAPES if one.name == shape)
    data = write(LINES)
    stop = data.index(b'"depthUpdate"', len(data) // 2)
    sample, _ = _take(tmp_path, data[:stop])
    got = _messages(sample)
    assert 0 < len(got) < len(LINES)
    assert got == _messages(plain)[: len(got)]
    (finding,) = sample.document["findings"]["invalid"]["listed"]
    assert (finding["reason"], finding["line"]) == ("stamp", len(got) + 1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"[]", "the file is empty|nothing but blank"),
        (b"[\n\n]\n", "the file is empty|nothing but blank"),
        (b"\xff\xfe", "the file is empty"),
        (b"{}\n{}\n", "JSON lines|not a recording"),
        (b'{"a":1,"b":"x"}\n', "JSON lines without a time; their fields are a, b"),
        (b'{"lastUpdateId":1700000000000,"bids":[],"asks":[]}', "without a time"),
        (b"[" * 100_000, "not a recording"),
        (b"[[[[[[1700000000000, 1]]]]]]", "not a recording|no market-data"),
        (b'[[1700000000000, {"x": 1}]]', "no market-data line"),
        (b'{"ts":1700000000000,"data":[[[[]]]]}', "no market-data line"),
    ],
)
def test_nothing_of_a_market(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words) as caught:
        _take(tmp_path, data)
    assert caught.value.hint


def test_a_line_of_ten_megabytes(plain: GoldenSample, tmp_path: Path) -> None:
    long = json.dumps({"ts": LINES[0].time, "msg": {"e": "news", "text": "x" * 10_000_000}})
    written = [long, *(_in_field(line) for line in LINES), long]
    sample, _ = _take(tmp_path, "\n".join(written).encode())
    assert sample.document["counts"]["other"] == 2
    assert _messages(sample) == _messages(plain)


def test_the_exchange_s_time_stands_for_the_receive_time_and_says_so(tmp_path: Path) -> None:
    written = [wrapped(message) for message in MESSAGES]
    sample, said = _take(tmp_path, "\n".join(written).encode())
    assert "no receive time, the exchange's in field `E` (ms, guessed) stands for it" in said
    (note,) = sample.document["notes"]
    assert "has no receive time" in note
    assert "2 lines without one" in note
    times = [message.get("E") for message in MESSAGES]
    times[1], times[6] = times[0], times[5]
    assert [time // NS for time, _ in _messages(sample)] == times


def test_the_field_of_the_time(tmp_path: Path) -> None:
    data = "\n".join(
        f'{{"sent":{line.time - NS},"received":{line.time},"n":1700000000,"msg":{line.text}}}'
        for line in LINES
    ).encode()
    sample, said = _take(tmp_path, data)
    assert "field `received` (ns, guessed)" in said
    assert sample.document["span"]["first_recv_ns"] == LINES[0].time
    sample, said = _take(tmp_path, data, time_field="sent")
    assert "field `sent` (ns)" in said
    assert sample.document["span"]["first_recv_ns"] == LINES[0].time - NS
    with pytest.raises(InputError, match="their fields are sent, received, n, msg") as caught:
        _take(tmp_path, data, time_field="recv")
    assert "--time-field" in caught.value.hint


def test_a_wrapping_that_is_none(tmp_path: Path) -> None:
    """What is no recorder's wrapping is unreadable, not guessed at."""
    line = LINES[0]
    odd = [
        f'{{"ts":{line.time},"ts":{line.time},"msg":{line.text}}}',
        f'{{"ts":{line.time},"one":{{}},"other":{line.text}}}',
        f'{{"ts":{line.time},"msg":{line.text}}} and more',
        f'{{"ts":"soon","msg":{line.text}}}',
        f'{{"msg":{line.text}}}',
        f'{{"ts":{line.time} "msg":{line.text}}}',
    ]
    good = [f'{{"ts":{line.time},"msg":{line.text}}}' for line in LINES]
    sample, _ = _take(tmp_path, "\n".join([*good, *odd]).encode())
    assert sample.document["findings"]["invalid"]["by_reason"] == {"stamp": len(odd)}
    listed = sample.document["findings"]["invalid"]["listed"]
    assert [one["line"] for one in listed] == list(range(len(good) + 1, len(good) + len(odd) + 1))


def test_each_of_several_symbols(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], plain: GoldenSample
) -> None:
    """As cryptofeed dumps them: the reply to a request is of the symbol that its address names."""
    written = ['configuration: {"BINANCE": {"l2_book": ["BTC-USDT", "ETH-USDT"]}}']
    for line in LINES:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            text = line.text.replace("BTCUSDT", symbol).replace("btcusdt", symbol.lower())
            address = f"https://api.binance.com/api/v3/depth?symbol={symbol}&limit=1000 -> "
            asked = address if "lastUpdateId" in text else ""
            written.append(f"{asked}{round(line.time / 1e9, 6)}: {text}")
    file = tmp_path / "dump.0"
    file.write_text("\n".join(written))
    assert run(["import", str(file), "--out", str(tmp_path / "golden"), "--json"]) == 0
    printed = capsys.readouterr()
    assert "cryptofeed's raw dump" in printed.err
    assert "several symbols: BTCUSDT, ETHUSDT" in printed.err
    made = json.loads(printed.out)["samples"]
    assert [one["venue_symbol"] for one in made] == ["BTCUSDT", "ETHUSDT"]
    for one in made:
        sample = GoldenSample.load(one["path"])
        assert sample.findings() == []
        assert one["snapshots"][0]["named"]
        name = one["venue_symbol"].encode()
        expected = [(t, data.replace(b"BTCUSDT", name)) for t, data in _messages(plain)]
        assert _messages(sample) == expected
