"""The catalogue against a real S3 server: index, listing, their differences, and failures."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow.parquet as pq
import pytest

from fakes.lake import QUICK, connection_to, put_index
from fakes.s3 import FakeBucket, Fault, fake_lake
from lobproof.acquire.plan import plan
from lobproof.errors import (
    AccessDeniedError,
    CredentialsError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from lobproof.sources.cryptolake.bucket.catalogue import Inventory, catalogue
from lobproof.sources.cryptolake.bucket.connection import connect
from lobproof.sources.cryptolake.layout import TABLES
from lobproof.sources.simulator import simulate

BTC = "exchange=BINANCE/symbol=BTC-USDT"
KEYS = [
    f"trades/{BTC}/dt=2026-01-01/1.snappy.parquet",
    f"trades/{BTC}/dt=2026-01-02/1.snappy.parquet",
    f"trades/{BTC}/dt=2026-01-03/part-0.parquet",
    "trades/exchange=BINANCE/symbol=ETH-USDT/dt=2026-01-02/1.snappy.parquet",
    "trades/exchange=BINANCE_FUTURES/symbol=BTC-USDT-PERP/dt=2026-01-02/1.snappy.parquet",
    f"book/{BTC}/dt=2026-01-02/1.snappy.parquet",
]


@pytest.fixture(scope="module")
def server() -> Iterator[FakeBucket]:
    with fake_lake("catalogue") as bucket:
        for number, key in enumerate(KEYS):
            bucket.put(key, b"x" * (100 + number))
        yield bucket


@pytest.fixture
def bucket(server: FakeBucket) -> Iterator[FakeBucket]:
    yield server
    server.proxy.clear()
    for table in TABLES:
        server.delete(f"{table}/contents.json.gz")


def ask(bucket: FakeBucket, *tables: str, **wanted: str) -> Inventory:
    return catalogue(connection_to(bucket), tables=tables or TABLES, policy=QUICK, **wanted)


def paths(found: Inventory) -> list[str]:
    return [one.key.path for one in found.objects]


def test_index_and_listing_give_the_same(bucket: FakeBucket) -> None:
    listed = ask(bucket, "trades", "book")
    assert listed.source == "listing"
    assert any("no contents.json.gz" in note for note in listed.notes)
    put_index(bucket, KEYS, tables=("trades", "book"))
    indexed = ask(bucket, "trades", "book")
    assert (indexed.source, indexed.notes) == ("contents", ())
    assert indexed.objects == listed.objects
    assert paths(listed) == sorted(KEYS)
    assert {one.key.path: one.size for one in listed.objects} == {
        key: 100 + number for number, key in enumerate(KEYS)
    }
    assert all(len(one.etag) == 32 and one.last_modified.endswith("Z") for one in listed.objects)


def test_gzip_and_keys_without_the_prefix_are_read_too(bucket: FakeBucket) -> None:
    text = json.dumps({"objects": [key for key in KEYS if key.startswith("trades/")]})
    bucket.put("trades/contents.json.gz", gzip.compress(text.encode()))
    found = ask(bucket, "trades")
    assert (found.source, found.notes) == ("contents", ())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no zlib",
        gzip.compress(b'{"objects": "x"}', mtime=0),
        gzip.compress(b'{"objects": ["a"]}', mtime=0)[:-12],
    ],
    ids=["empty", "no zlib", "no list", "cut"],
)
def test_a_damaged_index_is_said_and_the_bucket_listed(bucket: FakeBucket, data: bytes) -> None:
    bucket.put("trades/contents.json.gz", data)
    found = ask(bucket, "trades")
    assert found.source == "listing"
    assert any("damaged" in note for note in found.notes)
    assert len(found.objects) == 5


def test_only_what_is_asked_for(bucket: FakeBucket) -> None:
    put_index(bucket, KEYS)
    wanted = {"start": "2026-01-02", "end": "2026-01-03"}
    assert len(ask(bucket, "trades", **wanted).objects) == 3
    one = catalogue(
        connection_to(bucket), tables=("trades",), symbols=["BTC-USDT"], policy=QUICK, **wanted
    )
    assert paths(one) == [KEYS[1]]
    assert paths(ask(bucket, "trades", exchange="BINANCE_FUTURES")) == [KEYS[4]]
    with pytest.raises(UsageError):
        catalogue(connection_to(bucket), tables=())


def test_the_listing_wins_over_the_index_and_the_difference_is_told(bucket: FakeBucket) -> None:
    gone = f"trades/{BTC}/dt=2025-12-31/1.snappy.parquet"
    put_index(bucket, [*KEYS[1:], gone], tables=("trades",))
    found = ask(bucket, "trades")
    assert (found.only_in_contents, found.only_in_listing) == ((gone,), (KEYS[0],))
    assert len(found.objects) == 5
    assert sum("such as" in note for note in found.notes) == 2


def test_what_a_lagging_listing_lacks_is_asked_for_key_by_key(bucket: FakeBucket) -> None:
    gone = f"trades/{BTC}/dt=2025-12-31/1.snappy.parquet"
    put_index(bucket, [*KEYS, gone], tables=("trades",))
    whole = ask(bucket, "trades").objects
    bucket.proxy.faults += [
        Fault("lag", where="list-type", hides="dt=2026-01-03"),
        Fault("status", where="dt=2026-01-03", times=2),
    ]
    found = ask(bucket, "trades")
    assert found.objects == whole
    assert found.only_in_contents == (gone,)
    assert [note for note in found.notes if "such as" in note] == [
        f"1 keys of contents.json.gz are not listed, but there when asked for each, "
        f"such as {KEYS[2]}",
        f"1 keys of contents.json.gz are not in the bucket, such as {gone}",
    ]
    assert bucket.proxy.faults[1].seen == 2


def test_a_key_that_is_not_listed_and_denied_is_told(bucket: FakeBucket) -> None:
    put_index(bucket, KEYS, tables=("trades",))
    bucket.proxy.faults += [
        Fault("lag", where="list-type", hides="dt=2026-01-03"),
        Fault("status", where="dt=2026-01-03", status=403),
    ]
    found = ask(bucket, "trades")
    assert (len(found.objects), found.only_in_contents) == (4, (KEYS[2],))
    assert any("asking for them is denied" in note and KEYS[2] in note for note in found.notes)


def test_an_index_of_what_may_not_be_read_is_no_empty_bucket(bucket: FakeBucket) -> None:
    put_index(bucket, KEYS, tables=("trades",))
    bucket.proxy.faults += [
        Fault("status", where="list-type", status=403),
        Fault("status", where="dt=", status=403),
    ]
    with pytest.raises(AccessDeniedError):
        ask(bucket, "trades")


def test_nothing_there_is_said_to_be_nothing(bucket: FakeBucket) -> None:
    found = ask(bucket, "book_delta_v2")
    assert found.objects == ()
    assert any("has nothing" in note for note in found.notes)


def test_keys_that_are_no_data_are_counted(bucket: FakeBucket) -> None:
    stray = f"trades/{BTC}/dt=2026-01-01/_SUCCESS"
    bucket.put(stray, b"")
    try:
        assert ask(bucket, "trades").other_keys == 1
    finally:
        bucket.delete(stray)


def test_a_listing_of_more_than_a_page_is_whole() -> None:
    days = [f"book/{BTC}/dt=2026-01-01/{number:04}.parquet" for number in range(1003)]
    with fake_lake("many-objects") as bucket:
        for key in days:
            bucket.put(key, b"x")
        assert paths(ask(bucket, "book", start="2026-01-01")) == days


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("status", where="list-type", status=503), UnavailableError),
        (Fault("truncate", where="list-type", after=40), UnavailableError),
        (Fault("status", where="list-type", status=403), AccessDeniedError),
        (Fault("status", status=400, code="ExpiredToken"), CredentialsError),
        (Fault("status", status=403, code="SignatureDoesNotMatch"), CredentialsError),
    ],
)
def test_a_failure_is_never_no_data(
    bucket: FakeBucket, fault: Fault, error: type[Exception]
) -> None:
    bucket.proxy.faults.append(fault)
    with pytest.raises(error):
        ask(bucket, "trades")


def test_a_passing_fault_is_asked_through(bucket: FakeBucket) -> None:
    bucket.proxy.faults += [
        Fault("status", where="list-type", times=3),
        Fault("truncate", where="list-type", after=40, times=1),
        Fault("reset", where="list-type", after=40, times=1),
    ]
    assert len(ask(bucket, "trades").objects) == 5
    assert all(fault.seen == fault.times for fault in bucket.proxy.faults)


def test_a_missing_bucket_is_an_error(bucket: FakeBucket) -> None:
    with pytest.raises(NotFoundError):
        catalogue(
            replace(connection_to(bucket), bucket="no-such-bucket"), tables=TABLES, policy=QUICK
        )


def test_nobody_listening_is_an_error() -> None:
    away = connect(
        endpoint="http://127.0.0.1:9",
        environ={"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
    )
    with pytest.raises(UnavailableError):
        catalogue(away, tables=TABLES, policy=QUICK)


def test_with_listing_denied_the_index_and_single_requests_do(bucket: FakeBucket) -> None:
    gone = f"trades/{BTC}/dt=2025-12-31/1.snappy.parquet"
    put_index(bucket, [*KEYS, gone], tables=("trades",))
    whole = ask(bucket, "trades").objects
    bucket.proxy.faults.append(Fault("status", where="list-type", status=403))
    found = ask(bucket, "trades")
    assert found.objects == whole
    assert found.only_in_contents == (gone,)
    assert any("listing is denied" in note for note in found.notes)


def test_an_anonymous_bucket_without_a_prefix(bucket: FakeBucket) -> None:
    with fake_lake("sample.crypto.lake", "") as sample:
        sample.put(KEYS[0], b"x")
        put_index(sample, KEYS[:1])
        connection = connect(sample=True, endpoint=sample.url, environ={})
        # other tests have put theirs into the bucket of that name
        found = catalogue(
            connection,
            tables=("trades",),
            symbols=("BTC-USDT",),
            start="2026-01-01",
            end="2026-01-02",
            policy=QUICK,
        )
        assert (paths(found), found.source) == (KEYS[:1], "contents")


def test_a_plan_counts_rows_cost_disk_and_absent_days(tmp_path: Path) -> None:
    lake = simulate(tmp_path / "sim", lake=True, recording=False, minutes=1, seed=5).lake
    assert lake is not None
    rows = {path: pq.read_metadata(path).num_rows for path in lake.rglob("*.parquet")}
    with fake_lake("planned") as bucket:
        keys = bucket.put_folder(lake)
        trades = next(path for path in rows if "trades" in path.parts)
        for day in range(10, 21):
            bucket.put(f"trades/{BTC}/dt=2026-01-{day}/1.snappy.parquet", trades.read_bytes())
        connection = connection_to(bucket)
        wanted = {"start": "2026-01-04", "end": "2026-01-07"}
        found = catalogue(connection, tables=TABLES, policy=QUICK, **wanted)
        made = plan(
            connection,
            found,
            folder=tmp_path / "new" / "lake",
            tables=TABLES,
            price_per_gb=2.0,
            policy=QUICK,
            start=wanted["start"],
            end=wanted["end"],
        )
        assert [one.key.path for one in made.fetch] == sorted(keys)
        assert (made.rows, made.rows_exact) == (sum(rows.values()), True)
        assert made.size == found.size == sum(path.stat().st_size for path in rows)
        assert made.cost == pytest.approx(made.size / 1e9 * 2)
        assert made.disk_free is not None
        assert len(made.absent) == 6
        assert all("2026-01-05" not in day for day in made.absent)
        made.require_room()
        with pytest.raises(UsageError, match="disk is too small"):
            replace(made, disk_free=made.disk_need - 1).require_room()

        many = catalogue(connection, tables=("trades",), symbols=["BTC-USDT"], policy=QUICK)
        guessed = plan(connection, many, symbols=["BTC-USDT"], end="2026-01-23", policy=QUICK)
        assert (guessed.rows, guessed.rows_exact) == (11 * rows[trades], False)
        assert [line[-10:] for line in guessed.absent] == ["2026-01-21", "2026-01-22"]


def test_what_answers_everything_is_no_store() -> None:
    """A log-in page before the network answers a listing too."""

    class Portal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html><body>Please log in</body></html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Portal) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        there = connect(
            sample=True,
            endpoint=f"http://127.0.0.1:{server.server_address[1]}",
            environ={},
            dotenv=Path("none"),
        )
        with pytest.raises(UnavailableError, match="that is no S3 store"):
            catalogue(there, tables=TABLES, policy=QUICK)
        server.shutdown()
