"""Stores in a bucket: days published whole or not at all, and read from there as from disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable

from fakes.s3 import FakeBucket, Fault, fake_lake
from lobproof.cli import run
from lobproof.errors import AccessDeniedError, LobproofError, StoreError, UnavailableError
from lobproof.fidelity.reports import keep, kept_reports
from lobproof.pipeline.golden import reconstruct_sample
from lobproof.pipeline.prove import prove
from lobproof.schema.tables import CONTENT_TABLES, DAYS, TABLES, Table
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import simulate
from lobproof.store import ALL, Partition, Scope, Store, open_store
from lobproof.store import lease as leases
from lobproof.store.delta import FencedError, commit_exactly, epoch_of
from lobproof.store.layout import MARKER
from lobproof.store.lease import Lease, read_lease
from lobproof.store.place import BucketPlace, place_at
from lobproof.store.publish import (
    BucketTables,
    ensure_bucket_store,
    publish,
    publish_documents,
    take_day,
)
from support.batches import DT, make_day, store_day

SECRET = "S3CRET/of-this+test"
DAY = Partition("BINANCE", "BTC-USDT", DT)
COMMITS = len(TABLES) + 1
"""Of a day: unsealed, five tables, sealed."""
COMMIT = "lobproof.store.publish.commit_exactly"


@pytest.fixture(scope="module")
def bucket() -> Iterator[FakeBucket]:
    with fake_lake("stores", "") as fake:
        yield fake


@pytest.fixture
def place(
    bucket: FakeBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[BucketPlace]:
    monkeypatch.setenv("LOBPROOF_CACHE_DIR", str(tmp_path / "cache"))
    bucket.proxy.clear()
    given = {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": bucket.url,
    }
    place = place_at(f"s3://{bucket.bucket}/{tmp_path.name}", given)
    assert isinstance(place, BucketPlace)
    ensure_bucket_store(place)
    yield place
    bucket.proxy.clear()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store_day(tmp_path / "store", make_day(messages=40))
    return tmp_path / "store"


def taken(place: BucketPlace, *, unchanged: str = "") -> Lease:
    lease = take_day(place, DAY, unchanged=unchanged)
    assert lease is not None
    return lease


def over(place: BucketPlace) -> Lease:
    """The lease, taken from a holder that does not move any more."""
    seen = read_lease(place, DAY)
    assert seen is not None
    return taken(place, unchanged=seen.version)


def done(root: Path, place: BucketPlace) -> bool:
    with taken(place) as lease:
        return publish(root, place, lease)


def read(place: BucketPlace, scope: Scope = ALL) -> Store:
    return open_store(place.url, scope, place.options)


def content(store: Store) -> dict[str, pl.DataFrame]:
    return {table.name: store.stored(table.name, DT).collect() for table in CONTENT_TABLES}


def same(one: Store, other: Store) -> bool:
    found = content(other)
    return all(rows.equals(found[name]) for name, rows in content(one).items())


def adds(place: BucketPlace, table: Table) -> int:
    """How often files were added to a table."""
    names = [name for name in place.names(f"{table.name}/_delta_log") if name.endswith(".json")]
    logs = [found[0].splitlines() for name in names if (found := place.read(name)) is not None]
    return sum("add" in json.loads(line) for log in logs for line in log)


def test_what_is_published_is_what_is_read(place: BucketPlace, root: Path) -> None:
    assert done(root, place)
    assert not done(root, place)
    assert adds(place, DAYS) == 1
    store = read(place)
    assert store.url == place.url
    assert place.url in repr(store)
    assert same(store, open_store(root))
    assert store.audit(content=True).clean
    assert not store.glance()
    assert store.days().equals(open_store(root).days())
    # any reader of Delta tables sees the same
    table = DeltaTable(f"{place.url}/events", storage_options=place.delta_options)
    assert table.to_pyarrow_table().num_rows == store.days()["events"][0]


def test_a_reader_fetches_what_it_reads(place: BucketPlace, root: Path, bucket: FakeBucket) -> None:
    done(root, place)
    bucket.proxy.clear()
    store = read(place)
    store.stored("minutes", DT).collect()
    store.stored("minutes", DT).collect()
    got = [one.request.path for one in bucket.proxy.gets()]
    assert len([path for path in got if "/minutes/" in path]) == 1
    assert not [path for path in got if "/events/" in path]
    bucket.proxy.clear()
    read(place).stored("minutes", DT).collect()
    assert not [one for one in bucket.proxy.gets() if "_delta_log" not in one.request.path]


def test_a_day_that_is_replaced_is_read_anew(place: BucketPlace, root: Path) -> None:
    done(root, place)
    before = read(place)
    store_day(root, make_day(seed=2, messages=60))
    assert done(root, place)
    after = read(place)
    assert same(after, open_store(root))
    assert not same(after, before)
    assert after.audit(content=True).clean


def test_only_days_of_the_scope_are_looked_at(
    place: BucketPlace, root: Path, bucket: FakeBucket
) -> None:
    done(root, place)
    other = make_day(messages=10, dt="2024-08-09", start_ns=1_723_161_600 * 10**9)
    store_day(root, other)
    lease = take_day(place, Partition("BINANCE", "BTC-USDT", "2024-08-09"))
    assert lease is not None
    with lease:
        publish(root, place, lease)
    bucket.proxy.clear()
    store = read(place, Scope.of(DAY))
    assert store.days()["dt"].to_list() == [DT]
    assert len([one for one in bucket.proxy.gets() if "/days/" in one.request.path]) == 1


def some(count: int) -> list[object]:
    """All of them, of which those between the first two and the last two are slow."""
    return [
        pytest.param(n, marks=[pytest.mark.slow] if 2 <= n < count - 2 else [])
        for n in range(count)
    ]


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("nth", some(COMMITS + 1))
def test_a_publisher_that_is_killed_leaves_nothing_to_see(
    place: BucketPlace, root: Path, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before its n-th commit; the last is behind all. Whoever comes next finishes it."""
    done(root, place)
    before = content(read(place))
    store_day(root, make_day(seed=2, messages=60))
    with monkeypatch.context() as patch:
        patch.setattr(COMMIT, at(nth, commit_exactly, killed))
        lease = taken(place)
        if nth < COMMITS:
            with pytest.raises(KilledError):
                publish(root, place, lease)
        else:
            publish(root, place, lease)
    lease._over.set()
    now = read(place)
    if nth == 0:
        assert all(rows.equals(content(now)[name]) for name, rows in before.items())
    elif nth < COMMITS:
        assert now.days().is_empty()
    with over(place) as mine:
        assert publish(root, place, mine) == (nth < COMMITS)
    assert same(read(place), open_store(root))
    assert read(place).audit(content=True).clean


def killed() -> None:
    raise KilledError


def at(nth: int, given: Callable[..., bool], happens: Callable[[], None]) -> Callable[..., bool]:
    """A function before whose n-th call something happens."""
    calls = count()

    def told(*arguments: object, **named: object) -> bool:
        if next(calls) == nth:
            happens()
        return given(*arguments, **named)

    return told


@pytest.mark.parametrize("nth", some(COMMITS))
def test_a_publisher_that_was_overtaken_commits_nothing_more(
    place: BucketPlace,
    root: Path,
    tmp_path: Path,
    nth: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It sleeps before its n-th commit, and does not see that its lease is lost."""
    store_day(tmp_path / "other", make_day(seed=2, messages=60))
    sleeper = taken(place)

    def overtaken() -> None:
        with monkeypatch.context() as inner:
            inner.setattr(COMMIT, commit_exactly)
            with over(place) as lease:
                assert publish(tmp_path / "other", place, lease)

    monkeypatch.setattr(COMMIT, at(nth, commit_exactly, overtaken))
    monkeypatch.setattr(Lease, "check", lambda _: None)
    with pytest.raises(FencedError):
        publish(root, place, sleeper)
    sleeper._over.set()
    assert same(read(place), open_store(tmp_path / "other"))
    assert read(place).audit(content=True).clean


def test_two_at_once_publish_once(place: BucketPlace, root: Path, tmp_path: Path) -> None:
    store_day(tmp_path / "twin", make_day(messages=40))
    committed: list[bool] = []
    barrier = threading.Barrier(2)

    def one(store: Path) -> None:
        barrier.wait()
        while True:
            lease = take_day(place, DAY)
            if lease is not None:
                with lease:
                    committed.append(publish(store, place, lease))
                return

    threads = [threading.Thread(target=one, args=(at,)) for at in (root, tmp_path / "twin")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(committed) == [False, True]
    assert [adds(place, table) for table in TABLES] == [1] * len(TABLES)


def test_days_that_are_published_side_by_side(place: BucketPlace, tmp_path: Path) -> None:
    """All commit to the same six tables."""
    dts = [f"2024-08-{n:02}" for n in range(10, 16)]
    failed: list[BaseException] = []

    def one(dt: str) -> None:
        try:
            store_day(tmp_path / dt, make_day(messages=10, dt=dt))
            lease = take_day(place, Partition("BINANCE", "BTC-USDT", dt))
            assert lease is not None
            with lease:
                assert publish(tmp_path / dt, place, lease)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(dt,)) for dt in dts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert read(place).days()["dt"].to_list() == dts
    assert adds(place, DAYS) == len(dts)


def test_an_epoch_is_above_all_that_were(place: BucketPlace, root: Path, tmp_path: Path) -> None:
    tables = BucketTables(place, root)
    assert epoch_of(tables, DAY) == 0
    done(root, place)
    assert epoch_of(tables, DAY) == 1
    place.delete(leases.lease_name(DAY))  # somebody tidied up
    store_day(root, make_day(seed=2, messages=60))
    done(root, place)
    assert epoch_of(tables, DAY) == 2


@pytest.mark.parametrize("change", ["gone", "other size", "other bytes"])
def test_objects_that_were_changed_are_told(place: BucketPlace, root: Path, change: str) -> None:
    done(root, place)
    read(place).stored("events", DT).collect()  # what is here is no evidence of what is there
    (name,) = (n for n in place.names(f"events/{DAY.folder}"))
    found = place.store.get(name).bytes().to_bytes()
    if change == "gone":
        place.delete(name)
    else:
        end = b"xx" if change == "other size" else b""
        place.store.put(name, found[:100] + bytes([found[100] ^ 1]) + found[101:] + end)
    store = read(place)
    audit = store.audit(content=False)
    assert [one.table for one in audit.damage] == ["events"]
    assert bool(store.glance()) == (change != "other bytes")
    with pytest.raises(StoreError, match=r"does not exist|other bytes"):
        read(place).stored("events", DT).collect()


def test_whoever_deletes_a_seal_unseals_the_day(place: BucketPlace, root: Path) -> None:
    done(root, place)
    assert read(place).days().height == 1
    (name,) = place.names(f"days/{DAY.folder}")
    place.delete(name)
    store = read(place)
    assert store.days().is_empty()
    assert [str(one.partition) for one in store.unsealed()] == [str(DAY)]


def test_a_store_that_was_made_anew_is_another_one(
    place: BucketPlace, root: Path, tmp_path: Path
) -> None:
    done(root, place)
    read(place).stored("events", DT).collect()
    for name in list(place.sizes("")):
        place.delete(name)
    with pytest.raises(StoreError, match="no store"):
        read(place)
    ensure_bucket_store(place)
    assert read(place).days().is_empty()
    store_day(tmp_path / "other", make_day(seed=3, messages=30))
    done(tmp_path / "other", place)
    assert same(read(place), open_store(tmp_path / "other"))


def test_a_prefix_with_other_things_is_no_store(bucket: FakeBucket, place: BucketPlace) -> None:
    other = place_at(f"s3://{bucket.bucket}/full", place.options)
    assert isinstance(other, BucketPlace)
    other.write("notes.txt", b"mine", old=None)
    with pytest.raises(StoreError, match=r"notes\.txt"):
        ensure_bucket_store(other)
    place.store.put(MARKER, b'{"format_version": 999}')
    with pytest.raises(StoreError, match="999"):
        ensure_bucket_store(place)
    place.store.put(MARKER, b"[]")
    with pytest.raises(StoreError, match="damaged"):
        ensure_bucket_store(place)


@pytest.mark.parametrize(("status", "error"), [(403, AccessDeniedError), (503, UnavailableError)])
def test_what_a_bucket_refuses_is_told_without_secrets(
    place: BucketPlace, root: Path, bucket: FakeBucket, status: int, error: type[LobproofError]
) -> None:
    done(root, place)
    bucket.proxy.faults.append(Fault("status", "", status=status))
    for work in (lambda: read(place), lambda: take_day(place, DAY)):
        with pytest.raises((error, UnavailableError)) as caught:
            work()
        assert SECRET not in str(caught.value)
        assert caught.value.hint


def test_a_bucket_that_hiccups_is_asked_again(
    place: BucketPlace, root: Path, bucket: FakeBucket
) -> None:
    bucket.proxy.faults += [Fault("status", "PUT", times=2), Fault("deaf", "PUT", times=2)]
    assert done(root, place)
    bucket.proxy.faults.append(Fault("reset", "GET", times=3, after=10))
    assert same(read(place), open_store(root))


def test_reports_go_with_the_store(place: BucketPlace, tmp_path: Path) -> None:
    """A store in a bucket is proved like one on disk, and keeps the reports."""
    made = simulate(tmp_path / "sim", recording=True, minutes=0.3, seed=3)
    golden = import_recordings(list(made.recordings), tmp_path / "golden").path
    reconstruct_sample(golden, tmp_path / "local")
    days = open_store(tmp_path / "local").days()
    day = Partition(*days.select("exchange", "symbol", "dt").row(0))
    lease = take_day(place, day)
    assert lease is not None
    with lease:
        publish(tmp_path / "local", place, lease)
    publish_documents(tmp_path / "local", place, [f"metrics/{day.folder}"])
    store = read(place)
    report = prove(store, golden)
    assert report.verdict == prove(tmp_path / "local", golden).verdict
    (path,) = keep(store.path, report)
    assert path.relative_to(store.path).as_posix() in place.sizes("fidelity")
    again = kept_reports(read(place).path)
    assert [one.verdict for one in again.reports] == [report.verdict]
    assert not again.damaged
    place.delete(path.relative_to(store.path).as_posix())
    assert not kept_reports(read(place).path).reports


def test_commands_take_a_bucket_where_a_store_can_stand(
    place: BucketPlace,
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done(root, place)
    for name, value in place.options.items():
        monkeypatch.setenv(name, value)
    assert run(["inspect", place.url, "--json"]) == 0
    assert DT in capsys.readouterr().out
    assert run(["inspect", f"{place.url}/nothing"]) != 0
    assert f"no store at {place.url}/nothing" in capsys.readouterr().err
