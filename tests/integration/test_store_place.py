"""Documents of a store by compare-and-swap, leases, and what a bucket has to honour for both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from fakes.s3 import FakeBucket, Fault, fake_lake
from lobproof.errors import (
    AccessDeniedError,
    LobproofError,
    NotFoundError,
    PlaceError,
    StoreError,
    UnavailableError,
    UsageError,
)
from lobproof.store import lease as leases
from lobproof.store.layout import Partition
from lobproof.store.lease import Holder, Lease, LostLeaseError, lease_name, read_lease
from lobproof.store.place import BucketPlace, ConflictError, LocalPlace, Place, place_at
from lobproof.store.probe import probe

SECRET = "S3CRET/of-this+test"
DAY = Partition("BINANCE", "BTC-USDT", "2026-01-05")


@pytest.fixture(scope="module")
def bucket() -> Iterator[FakeBucket]:
    with fake_lake("places", "") as fake:
        yield fake


def at(bucket: FakeBucket, prefix: str, **more: str) -> BucketPlace:
    options = {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_ENDPOINT_URL": bucket.url,
        **more,
    }
    place = place_at(f"s3://{bucket.bucket}/{prefix}", options)
    assert isinstance(place, BucketPlace)
    return place


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, bucket: FakeBucket) -> Iterator[Place]:
    bucket.proxy.clear()
    if request.param == "folder":
        yield LocalPlace(tmp_path)
    else:
        yield at(bucket, tmp_path.name)
    bucket.proxy.clear()


def test_documents_change_by_compare_and_swap(place: Place) -> None:
    assert place.read("units/a/unit.json") is None
    first = place.write("units/a/unit.json", b"1", old=None)
    assert place.read("units/a/unit.json") == (b"1", first)
    with pytest.raises(ConflictError):
        place.write("units/a/unit.json", b"2", old=None)
    second = place.write("units/a/unit.json", b"2", old=first)
    with pytest.raises(ConflictError):
        place.write("units/a/unit.json", b"3", old=first)
    place.write("units/b/unit.json", b"x", old=None)
    assert list(place.names("units")) == ["units/a/unit.json", "units/b/unit.json"]
    place.delete("units/a/unit.json")
    place.delete("units/a/unit.json")
    with pytest.raises(ConflictError):
        place.write("units/a/unit.json", b"3", old=second)


def test_of_many_writers_one_wins_each_time(place: Place) -> None:
    def count(_: int) -> int:
        won = 0
        while won < 5:
            found = place.read("counter")
            value = 0 if found is None else int(found[0].split()[0])
            own = f"{value + 1} {threading.get_ident()} {won}".encode()
            try:
                place.write("counter", own, old=None if found is None else found[1])
            except ConflictError:
                continue
            won += 1
        return won

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(count, range(4))) == 20
    found = place.read("counter")
    assert found is not None
    assert int(found[0].split()[0]) == 20


@pytest.mark.parametrize("name", ["../up", "/etc/x", "a/../../b"])
def test_no_name_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises((PlaceError, StoreError)):
        LocalPlace(tmp_path).write(name, b"x", old=None)


@pytest.mark.parametrize("url", ["s3://", "s3://b/../c", "s3://b?x=1", "s3://-b/c"])
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError):
        place_at(url, {})


@pytest.mark.parametrize("where", ["options", "environment"])
def test_unsafe_renames_are_refused(
    bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    name = "AWS_S3_ALLOW_UNSAFE_RENAME"
    more = {name: "true"} if where == "options" else {}
    if where == "environment":
        monkeypatch.setenv(name, "true")
    with pytest.raises(UsageError, match=name):
        at(bucket, "x", **more)


def test_a_bucket_that_honours_all_is_taken_and_left_as_it_was(bucket: FakeBucket) -> None:
    bucket.proxy.clear()
    place = at(bucket, "probed")
    probe(place)
    assert place.sizes("") == {}


@pytest.mark.parametrize(
    ("headers", "said"),
    [(("If-None-Match",), "If-None-Match"), (("If-Match",), "If-Match")],
)
def test_a_bucket_that_ignores_conditions_is_refused(
    bucket: FakeBucket, headers: tuple[str, ...], said: str
) -> None:
    bucket.proxy.clear()
    bucket.proxy.faults.append(Fault("strip", "PUT", headers=headers))
    place = at(bucket, "ignores")
    with pytest.raises(StoreError, match=said):
        probe(place)
    bucket.proxy.clear()
    assert place.sizes("") == {}


def test_what_a_bucket_refuses_is_said_without_secrets(bucket: FakeBucket) -> None:
    bucket.proxy.clear()
    place = at(bucket, "refused", AWS_SESSION_TOKEN="T0KEN-of-this-test")
    for status, kind in ((403, AccessDeniedError), (503, UnavailableError)):
        bucket.proxy.clear()
        bucket.proxy.faults.append(Fault("status", "GET", status=status))
        with pytest.raises(kind) as refused:
            place.read("x")
        told = [str(refused.value), repr(refused.value.__cause__), repr(place)]
        assert not any(secret in text for text in told for secret in (SECRET, "T0KEN"))
    bucket.proxy.clear()
    with pytest.raises(NotFoundError):
        place_at("s3://there-is-none/x", place.options).write("y", b"", old=None)


def test_a_lost_answer_is_no_conflict(bucket: FakeBucket) -> None:
    """The bucket took the write, and said so to nobody: the client asks again."""
    bucket.proxy.clear()
    place = at(bucket, "lost")
    bucket.proxy.faults.append(Fault("deaf", "PUT .*unit", times=1))
    version = place.write("unit", b"mine", old=None)
    assert place.read("unit") == (b"mine", version)
    assert len([one for one in bucket.proxy.sent if one.request.method == "PUT"]) == 2


def test_a_lease_is_one_holders(place: Place) -> None:
    with Lease.take(place, DAY) or pytest.fail("it is free") as lease:
        assert lease.epoch == 1
        lease.check()
        assert Lease.take(place, DAY) is None
    with Lease.take(place, DAY) or pytest.fail("it was given back") as again:
        assert again.epoch == 2
    with Lease.take(place, DAY, above=9) or pytest.fail("it is free") as last:
        assert last.epoch == 10


def test_a_holder_that_is_gone_is_replaced_at_once_on_its_own_machine(place: Place) -> None:
    lease = Lease.take(place, DAY)
    assert lease is not None
    seen = read_lease(place, DAY)
    assert seen is not None
    assert seen.document.holder is not None
    here = seen.document.holder
    for holder, free in (
        (here, False),
        (msgspec.structs.replace(here, started=here.started + 1), True),
        (msgspec.structs.replace(here, namespace="pid:[1]", started=1), False),
        (msgspec.structs.replace(here, host="elsewhere", started=1), False),
    ):
        dead = msgspec.structs.replace(seen.document, holder=holder, token=str(holder.started))
        found = place.read(lease_name(DAY))
        assert found is not None
        place.write(lease_name(DAY), msgspec.json.encode(dead), old=found[1])
        taken = Lease.take(place, DAY)
        assert (taken is not None) is free, holder
        if taken is not None:
            taken.release()


def test_who_saw_no_beat_for_long_takes_over_and_the_sleeper_notices(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 3600.0)
    sleeper = Lease.take(place, DAY)
    assert sleeper is not None
    seen = read_lease(place, DAY)
    assert seen is not None
    assert Lease.take(place, DAY, unchanged="another version") is None
    monkeypatch.setattr(leases, "BEAT_S", 0.01)
    second = Lease.take(place, DAY, unchanged=seen.version)
    assert second is not None
    assert second.epoch == sleeper.epoch + 1
    # the sleeper wakes, and finds that it is not its own any more
    sleeper._beat()
    with pytest.raises(LostLeaseError, match="taken it over"):
        sleeper.check()
    sleeper.release()
    second.check()
    second.release()


def test_a_store_that_is_away_for_long_ends_a_lease(
    bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.proxy.clear()
    place = at(bucket, "away")
    monkeypatch.setattr(leases, "_LATE_S", 0.0)
    lease = Lease.take(place, DAY)
    assert lease is not None
    with lease, pytest.raises(LostLeaseError, match="could not be reached"):
        lease.check()


def test_a_damaged_lease_is_nobodys(place: Place) -> None:
    place.write(lease_name(DAY), b"{", old=None)
    with Lease.take(place, DAY, above=4) or pytest.fail("it is nobody's") as lease:
        assert lease.epoch == 5


def test_a_lease_tells_how_far_the_work_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "BEAT_S", 0.01)
    with Lease.take(place, DAY) or pytest.fail("it is free") as lease:
        lease.tell("make", 7, 9)
        for _ in range(500):
            seen = read_lease(place, DAY)
            if seen is not None and seen.document.rows == 7:
                break
            threading.Event().wait(0.01)
        assert seen is not None
        assert (seen.document.stage, seen.document.rows, seen.document.of_rows) == ("make", 7, 9)


def test_holders_elsewhere_are_never_taken_for_gone() -> None:
    assert not Holder("there", "b", "n", 1, 1).is_gone
    assert not issubclass(LostLeaseError, ConflictError)
    assert issubclass(LostLeaseError, LobproofError)
