"""Binance's own downloads: rows of CSV files as a golden sample."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lobproof.errors import InputError, UsageError
from lobproof.pipeline import reconstruct_sample
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings, reader
from lobproof.sources.recordings.downloads import Download, table_of
from lobproof.store import open_store
from support.downloads import AGGREGATES, FILES, SNAPSHOT, T0, TRADES, UPDATES


def _text(rows: list[str], end: str = "\n") -> bytes:
    return "".join(f"{row}{end}" for row in rows).encode()


def _write(folder: Path, *names: str, zipped: bool = False) -> list[Path]:
    paths = []
    for name in names:
        data = _text(FILES[name].rows)
        path = folder / f"{FILES[name].name}.csv"
        if zipped:
            buffer = io.BytesIO()
            with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
                archive.writestr(path.name, data)
            data, path = buffer.getvalue(), path.with_suffix(".zip")
        path.write_bytes(data)
        paths.append(path)
    return paths


def _content(sample: GoldenSample, store: Path) -> list[str]:
    return [day.content_hash for day in reconstruct_sample(sample.path, store).days]


@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "zip"])
@pytest.mark.parametrize("name", [name for name in FILES if name != "snapshots"])
def test_a_download_alone(name: str, zipped: bool, tmp_path: Path) -> None:
    file = FILES[name]
    (path,) = _write(tmp_path, name, zipped=zipped)
    said: list[str] = []
    sample = import_recordings([path], tmp_path / "golden", tell=said.append)
    document = sample.document
    assert said[0].startswith(f"reading {path.name}: Binance's ")
    assert "no receive time, the exchange's in column `" in said[0]
    assert f"({'µs' if '2025' in file.name else 'ms'}) stands for it" in said[0]
    counts = {one: count for one, count in document["counts"].items() if count}
    market = {one: counts.pop(one) for one in file.counted}
    assert market == file.counted
    assert set(counts) <= {"blank", "level_changes"}
    assert document["inputs"][0]["lines"] == len(file.rows)
    assert sample.provenance == "derived"
    assert document["market"] == ("futures" if file.futures else "spot")
    assert document["exchange"] == ("BINANCE_FUTURES" if file.futures else "BINANCE")
    assert any("messages are made of their rows" in note for note in document["notes"])
    assert document["clock"]["offset_ns"] in range(100_000)
    for audit in (document["chain"], document["trade_ids"]):
        assert (audit["gaps"], audit["duplicates"], audit["late"], audit["overlaps"]) == (0,) * 4


def test_the_times_of_spot_in_microseconds_are_kept(tmp_path: Path) -> None:
    (path,) = _write(tmp_path, "spot trades")
    span = import_recordings([path], tmp_path / "golden").document["span"]
    assert span["first_recv_ns"] == span["first_event_ns"] == ((T0 + 7) * 1000 + 1) * 1000


def _as_streams_tell_it() -> bytes:
    """The messages of UPDATES, SNAPSHOT and AGGREGATES as a recording, by Python."""
    lines: list[tuple[int, str]] = []
    levels = [row.split(",") for row in UPDATES[1:] + SNAPSHOT[1:]]
    for (_, time, first, last, kind, pu), rows in groupby(
        levels, lambda r: (r[0], r[1], r[2], r[3], r[5], r[8])
    ):
        sides: dict[str, list[str]] = {"b": [], "a": []}
        for row in rows:
            sides[row[4]].append(f'["{row[6]}","{row[7]}"]')
        bids, asks = (f"[{','.join(one)}]" for one in sides.values())
        if kind == "snap":
            data = f'"lastUpdateId":{last},"E":{time},"T":{time},"bids":{bids},"asks":{asks}'
            lines.append((int(time), f'{{"stream":"btcusdt@snapshot","data":{{{data}}}}}'))
            continue
        data = (
            f'"e":"depthUpdate","E":{time},"T":{time},"s":"BTCUSDT","U":{first},"u":{last},'
            f'"pu":{pu},"b":{bids},"a":{asks}'
        )
        lines.append((int(time), f'{{"stream":"btcusdt@depth","data":{{{data}}}}}'))
    for one in AGGREGATES[1:]:
        number, price, size, first, last, time, maker = one.split(",")
        data = (
            f'"e":"aggTrade","E":{time},"s":"BTCUSDT","a":{number},"p":"{price}","q":"{size}",'
            f'"f":{first},"l":{last},"T":{time},"m":{maker}'
        )
        lines.append((int(time), f'{{"stream":"btcusdt@aggTrade","data":{{{data}}}}}'))
    return "".join(f"{time * 10**6} {text}\n" for time, text in sorted(lines)).encode()


@pytest.mark.parametrize("block", [64, 300, 1 << 20])
def test_downloads_beside_each_other_are_the_recording_that_they_come_from(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = tmp_path / "recording"
    recording.write_bytes(_as_streams_tell_it())
    known = import_recordings([recording], tmp_path / "known")
    expected = _content(known, tmp_path / "expected")
    monkeypatch.setattr(reader, "BLOCK_BYTES", block)
    paths = _write(tmp_path, "aggTrades", "T_DEPTH", "snapshots")
    sample = import_recordings(paths, tmp_path / "golden")
    assert _content(sample, tmp_path / "store") == expected
    kinds = ("depth", "aggTrade", "snapshot", "level_changes", "invalid")
    for kind in kinds:
        assert sample.document["counts"][kind] == known.document["counts"][kind]
    lines = {entry["name"]: entry["lines"] for entry in sample.inputs}
    assert lines == {
        f"{FILES[name].name}.csv": len(FILES[name].rows)
        for name in ("aggTrades", "T_DEPTH", "snapshots")
    }
    assert open_store(tmp_path / "store").trusted().collect().height > 30
    again = import_recordings(list(reversed(paths)), tmp_path / "golden")
    assert again.reused


@given(st.permutations(SNAPSHOT[1:]))
def test_a_snapshot_lists_the_best_first_whatever_the_order_of_its_rows(rows: list[str]) -> None:
    table = table_of(SNAPSHOT[0].encode())
    assert table is not None
    made = [
        Download(table, Path("snap.csv"))(_text(one) + b"\n" + _text(UPDATES[1:5]), last=True)
        for one in (SNAPSHOT[1:], rows)
    ]
    assert made[0] == made[1]
    assert (
        b'"bids":[["100.4","7.0"],["99.8","7.0"]],"asks":[["101.6","7.0"],["102.0","7.0"]]'
        in made[0]
    )


@pytest.mark.parametrize("name", FILES)
@given(st.data())
def test_rows_in_pieces_are_the_rows(name: str, data: st.DataObject) -> None:
    file = FILES[name]
    table = table_of(file.rows[0].encode())
    assert table is not None
    path = Path(f"{file.name}.csv")
    cuts = sorted(data.draw(st.sets(st.integers(0, len(file.rows)), max_size=8)))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\n\n"]))

    def made(cuts: list[int]) -> Iterator[bytes]:
        download = Download(table, path)
        for start, stop in zip([0, *cuts], [*cuts, len(file.rows)], strict=True):
            yield download(_text(file.rows[start:stop], end))
        yield download(b"", last=True)

    whole, pieces = b"".join(made([])), b"".join(made(cuts))
    assert pieces == whole
    assert whole.count(b"\n") == len(file.rows) * len(end.replace("\r", ""))


@pytest.mark.parametrize(
    ("name", "row", "bad"),
    [
        ("trades", 7, "7,100.1,0.25"),
        ("trades", 7, "7,100.1,0.25,25.0,17000000000,true"),
        ("aggTrades", 5, "5,-100.1,0.25,1,2,1700000000000,true"),
        ("T_DEPTH", 9, "BTCUSDT,1700000000000,1,2,c,set,1,1,0"),
        ("T_DEPTH", 9, "BTCUSDT,1700000000000,1,2,a,delete,1,1,0"),
        ("spot trades", 59, "59,100.1,0.2"),
    ],
)
def test_a_row_that_is_none(name: str, row: int, bad: str, tmp_path: Path) -> None:
    (path,) = _write(tmp_path, name)
    rows = list(FILES[name].rows)
    rows[row - 1] = bad
    path.write_bytes(_text(rows))
    with pytest.raises(InputError, match=f"row {row}: no row of Binance's ") as caught:
        import_recordings([path], tmp_path / "golden")
    assert str(path) in caught.value.message
    assert "CHECKSUM" in caught.value.hint


def test_what_is_refused(tmp_path: Path) -> None:
    (trades,) = _write(tmp_path, "trades")
    (spot,) = _write(tmp_path, "spot trades")
    recording = tmp_path / "recording"
    recording.write_bytes(_as_streams_tell_it())
    (snapshots,) = _write(tmp_path, "snapshots")
    with pytest.raises(InputError, match="nothing but snapshots of BTCUSDT"):
        import_recordings([snapshots], tmp_path / "golden")
    nameless = tmp_path / "mine.csv"
    nameless.write_bytes(_text(TRADES))
    with pytest.raises(InputError, match=r"is of futures and .* of spot"):
        import_recordings([trades, spot], tmp_path / "golden")
    with pytest.raises(InputError, match=r"is a download of Binance's and .* a recording"):
        import_recordings([trades, recording], tmp_path / "golden")
    headed = tmp_path / "BTCUSDT-trades-2024-01-02.csv"
    headed.write_bytes(_text(["id,price,qty,quote_qty,time,is_buyer_maker"]))
    with pytest.raises(InputError, match="it has a header and no row"):
        import_recordings([headed], tmp_path / "golden")
    with pytest.raises(InputError, match="the file's name has none") as caught:
        import_recordings([nameless], tmp_path / "golden")
    assert "BTCUSDT-trades-2024-01-01.zip" in caught.value.hint
    with pytest.raises(UsageError, match="of whose rows messages are made: it cannot be imported"):
        import_recordings([trades], tmp_path / "golden", provenance="real")


def test_a_lost_row_is_a_gap(tmp_path: Path) -> None:
    (path,) = _write(tmp_path, "T_DEPTH")
    rows = [row for row in UPDATES if ",50,59," not in row]
    assert len(rows) == len(UPDATES) - 3
    path.write_bytes(_text(rows))
    chain = import_recordings([path], tmp_path / "golden").document["chain"]
    assert (chain["gaps"], chain["gaps_listed"]) == (1, [{"after": 49, "next": 60}])
