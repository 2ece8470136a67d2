"""A bucket that is no friend: nothing is followed, believed without end, or lost with a bad one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fakes.lake import QUICK
from lobproof.acquire import plan as planning
from lobproof.acquire.manifest import Manifest
from lobproof.acquire.plan import absent_days, plan
from lobproof.acquire.transfer import download
from lobproof.acquire.zones import LakeFolder
from lobproof.errors import LimitError, RemoteError, UnavailableError, UsageError
from lobproof.parquet import MAX_FOOTER, TAIL
from lobproof.sources.cryptolake.bucket import catalogue as cataloguing
from lobproof.sources.cryptolake.bucket import limits
from lobproof.sources.cryptolake.bucket.catalogue import Inventory, RemoteObject, catalogue
from lobproof.sources.cryptolake.bucket.connection import Connection, connect
from lobproof.sources.cryptolake.bucket.listing import INDEX, read_index
from lobproof.sources.cryptolake.layout import LakeKey
from support.commands import Said, command
from support.hostile import (
    DATE,
    ETAG,
    HTTP_DATE,
    Answer,
    Asked,
    Hostile,
    Script,
    entry,
    hostile,
    page,
    refusal,
)

BUCKET = "qnt.data"
ROOT = "market-data/cryptofeed"
TOP = "trades/exchange=BINANCE/symbol=BTC-USDT"
TOKEN = "".join(chr(ord("A") + (k * 7 + k // 26) % 26) for k in range(900))
HASTY = replace(QUICK, attempts=2, read_seconds=0.5, total_seconds=20.0)
MIB = 1 << 20
MEMORY_MIB = 400
VAST = 20 << 30
SLOW = pytest.mark.slow

_PEAK = """
import json, re, sys
from pathlib import Path
from fakes.lake import QUICK
import pyarrow.parquet
from lobproof.errors import LobproofError
from lobproof.sources.cryptolake.bucket.catalogue import catalogue
from lobproof.sources.cryptolake.bucket.connection import connect

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

there = connect(
    endpoint=sys.argv[1], environ=dict(AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="b")
)
before = peak()
try:
    found = catalogue(there, tables=("trades",), policy=QUICK)
    said = " ".join([*found.notes, str(len(found.objects))])
except LobproofError as error:
    said = str(error)
print(json.dumps([peak() - before, said]))
"""


def day(number: int, name: str = "1.parquet") -> str:
    return f"{TOP}/dt=2026-01-{number:02}/{name}"


def key(path: str) -> LakeKey:
    found = LakeKey.parse(path)
    assert found is not None
    return found


def there(server: Hostile, token: str = "") -> Connection:
    return connect(
        endpoint=server.url,
        environ={
            "AWS_ACCESS_KEY_ID": "AKIATESTACCESSKEY",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-a-test",
            "AWS_SESSION_TOKEN": token,
        },
        dotenv=Path("none"),
    )


def lists(*entries: str, index: bytes | None = None, get: Script | None = None) -> Script:
    """One symbol's listing of these entries; an index, and objects, where they are given."""

    def script(asked: Asked) -> Answer:
        if asked.lists and "delimiter" in asked.query:
            prefix = asked.query["prefix"]
            if "trades" not in prefix:
                return Answer(body=page(folders=[f"{prefix}trades/"]))
            below = "symbol=BTC-USDT/" if "exchange=" in prefix else "exchange=BINANCE/"
            return Answer(body=page(folders=[f"{prefix}{below}"]))
        if asked.lists:
            return Answer(body=page(*entries))
        if asked.path.endswith(INDEX):
            return refusal("NoSuchKey") if index is None else Answer(body=index)
        return get(asked) if get is not None else refusal("NoSuchKey")

    return script


def listed(path: str, **said: str) -> str:
    return entry(f"{ROOT}/{path}", **said)


def ask(server: Hostile, **wanted: str) -> Inventory:
    return catalogue(there(server), tables=("trades",), policy=QUICK, **wanted)


def paths(found: Inventory) -> list[str]:
    return [one.key.path for one in found.objects]


def endless(piece: bytes = b" " * MIB) -> Iterator[bytes]:
    while True:
        yield piece


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Somebody with a long session token, in a folder of their own."""

    def here(url: str) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTACCESSKEY")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-a-test")
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.chdir(tmp_path)

    return here


def acquire(name: str, *options: object) -> Said:
    return command("acquire", name, "--tables", "trades", *options)


# redirects ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int, user: Callable[[str], None], tmp_path: Path) -> None:
    """Not to a stranger, who would get the session token, nor to the same host."""
    with hostile(lambda _: Answer()) as stranger:

        def away(asked: Asked) -> Answer:
            return Answer(status, headers={"Location": f"{stranger.url}{asked.path}?seen"})

        with hostile(lists(listed(day(5)), get=away)) as one, hostile(away) as all_of_it:
            user(one.url)
            got = acquire("download", "--out", "lake", "--json")
            assert got.code == 1
            (failed,) = got.document["failed"]
            assert "points elsewhere" in failed["reason"]
            user(all_of_it.url)
            assert "points elsewhere" in acquire("download", "--out", "lake").err
            assert acquire("list-inventory").code == 3
            tried = command("acquire", "test-connection", "--json").document["steps"]
            assert all("points elsewhere" in step["detail"] for step in tried)
            assert len(one.asked) < 10 * len(tried)
        assert stranger.asked == []
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_file_in_the_folder_does_not_send_other_keys_away(
    user: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Keys of a profile, and an endpoint in ``.env``: the profile's own counts, and it is told."""
    with hostile(lambda _: Answer()) as stranger, hostile(lists(listed(day(5)))) as own:
        user(own.url)
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "ENDPOINT_URL"):
            monkeypatch.delenv(f"AWS_{name}")
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws" / "credentials").write_text(
            f"[default]\naws_access_key_id=AKIA\naws_secret_access_key=s\nendpoint_url={own.url}\n"
        )
        (tmp_path / ".env").write_text(f"AWS_ENDPOINT_URL={stranger.url}\nAWS_PROFILE=other\n")
        said = acquire("list-inventory")
        assert (said.code, stranger.asked) == (0, [])
        assert "the endpoint in .env does not count" in said.err
        assert own.asked


# secrets in what a store says ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [("acquire", "test-connection"), ("doctor",)], ids=["test-connection", "doctor"]
)
def test_a_dotenv_that_cannot_be_read_ends_in_words(
    arguments: tuple[str, ...], user: Callable[[str], None], tmp_path: Path
) -> None:
    user("")
    (tmp_path / ".env").write_bytes(b"A=\xff\n")
    said = command(*arguments, "--sample")
    assert said.code == 3
    assert said.err.startswith("error: .env is not read: it is not UTF-8\nHint: ")


def parts_of(secret: str, text: str) -> set[str]:
    """Parts of a secret, of eight characters, in a text."""
    parts = {secret[at : at + 8] for at in range(len(secret) - 7)}
    return {text[at : at + 8] for at in range(len(text) - 7)} & parts


@pytest.mark.parametrize("start", [0, 300])
@pytest.mark.parametrize(
    "length", [20, pytest.param(70, marks=SLOW), pytest.param(250, marks=SLOW), 600]
)
def test_no_part_of_a_token_that_is_echoed_is_shown(
    start: int, length: int, user: Callable[[str], None], tmp_path: Path
) -> None:
    """In codes, messages, headers, ETags, keys and bodies, of any length and place."""
    part = TOKEN[start : start + length]

    def refuses(asked: Asked) -> Answer:
        assert part in asked.headers["x-amz-security-token"]
        status = 503 if asked.path.endswith("5/1.parquet") else 403
        answer = refusal(part[:80], status, f"{part} {TOKEN}")
        return replace(answer, headers={"ETag": f'"{part}"', "Location": f"http://{part}/"})

    named = part[:200]
    entries = (
        listed(day(5)),
        listed(day(6)),
        listed(day(7), etag=f'"{part[:100]}"'),
        listed(day(8, f"{named}.parquet")),
        listed(f"trades/exchange=BINANCE/symbol={named}/dt=2026-01-01/1.parquet"),
    )
    outputs = []
    with hostile(lists(*entries, get=refuses)) as some, hostile(refuses) as none:
        for server in (some, none):
            user(server.url)
            for name, options in (
                ("download", ("--out", "lake", "--attempts", "2")),
                ("download", ("--out", "lake", "--attempts", "1", "--json")),
                ("list-inventory", ()),
                ("list-inventory", ("--json",)),
            ):
                said = acquire(name, *options)
                outputs += [said.out, said.err]
            said = command("acquire", "test-connection")
            outputs += [said.out, said.err]
    outputs += [p.read_text("latin-1") for p in (tmp_path / "lake").rglob("*") if p.is_file()]
    assert any("403" in text for text in outputs)
    assert any("3 keys cannot be taken" in text for text in outputs)
    for text in outputs:
        shown = re.sub(r"\s", "", text)
        assert not parts_of(TOKEN, shown), shown


# bytes --------------------------------------------------------------------------------------------


def body_of(asked: Asked, size: int = 100) -> Answer:
    return Answer(body=b"x" * size, headers={"ETag": f'"{ETAG}"', "Last-Modified": HTTP_DATE})


@pytest.mark.parametrize("announced", [VAST, -1], ids=["announced", "not announced"])
def test_a_body_longer_than_its_object_is_not_taken(tmp_path: Path, announced: int) -> None:
    def vast(asked: Asked) -> Answer:
        headers = {"ETag": f'"{ETAG}"', "Last-Modified": HTTP_DATE}
        return Answer(body=endless(), headers=headers, length=announced)

    with hostile(lists(listed(day(5)), get=vast)) as server:
        found = ask(server)
        lake = LakeFolder(tmp_path / "lake", create=True)
        result = download(there(server), lake, found.objects, policy=HASTY)
        (failure,) = result.failed
        assert failure.kind == "refused"
        assert server.sent < 64 * MIB
    assert not list(tmp_path.rglob("*.parquet"))
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.part")) <= 100


def test_more_than_an_object_has_is_cut_at_its_size(tmp_path: Path) -> None:
    """The announced size is right; the chunks bring more."""

    def more(asked: Asked) -> Answer:
        head = (
            f'Content-Range: bytes 0-99/100\r\nETag: "{ETAG}"\r\nTransfer-Encoding: chunked\r\n\r\n'
        ).encode()
        chunk = b"100000\r\n" + b"x" * MIB + b"\r\n"
        return Answer(206, raw=(piece for whole in ([head], endless(chunk)) for piece in whole))

    with hostile(lists(listed(day(5)), get=more)) as server:
        lake = LakeFolder(tmp_path / "lake", create=True)
        result = download(there(server), lake, ask(server).objects, policy=HASTY)
        assert [failure.kind for failure in result.failed] == ["not whole"]
        assert server.sent < 64 * MIB
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.part")) <= 100


def test_an_object_beyond_the_largest_is_left_out_and_told() -> None:
    entries = [
        listed(day(1), size=str(limits.OBJECT_BYTES)),
        listed(day(2), size=str(limits.OBJECT_BYTES + 1)),
        listed(day(3), size=str(VAST)),
        listed(day(4), size="9" * 40),
    ]
    with hostile(lists(*entries)) as server:
        found = ask(server)
        assert (paths(found), found.skipped_keys) == ([day(1)], 3)


@pytest.mark.parametrize(
    ("path", "what"), [(INDEX, "limit"), ("dt=", "403"), ("list-type", "longer than 8 MiB")]
)
@pytest.mark.parametrize("announced", [VAST, -1], ids=["announced", "not announced"])
def test_no_other_answer_has_more_bytes_than_it_may(
    path: str, what: str, announced: int, tmp_path: Path
) -> None:
    """An index, the reasons of a refusal, a page of a listing."""
    good = lists(listed(day(5)))

    def vast(asked: Asked) -> Answer:
        if path in f"{asked.path} {asked.query}":
            return Answer(403 if path == "dt=" else 200, endless(), length=announced)
        return good(asked)

    with hostile(vast) as server:
        try:
            found = ask(server)
            result = download(
                there(server), LakeFolder(tmp_path / "lake", create=True), found.objects
            )
            said = " ".join([*found.notes, *(failure.reason for failure in result.failed)])
        except LimitError as error:
            said = str(error)
        assert what in said
        # what is announced to be too long is not begun: a socket's buffers hold no more
        assert server.sent < (8 * MIB if announced > 0 else 2 * limits.INDEX_BYTES)


def padded(size: int, *entries: str) -> bytes:
    made = page(*entries)
    return made.replace(b"</ListBucketResult>", b" " * (size - len(made)) + b"</ListBucketResult>")


def test_a_page_may_have_so_many_bytes_and_no_more() -> None:
    good = lists()
    for more in (0, 1):
        body = padded(limits.PAGE_BYTES + more, listed(day(5)))

        def script(asked: Asked, body: bytes = body) -> Answer:
            lists_days = asked.lists and "delimiter" not in asked.query
            return Answer(body=body) if lists_days else good(asked)

        with hostile(script) as server:
            if not more:
                assert paths(ask(server)) == [day(5)]
                continue
            with pytest.raises(LimitError, match="longer than 8 MiB") as caught:
                ask(server)
            assert "8 MiB" in caught.value.hint


def index_of(size: int) -> bytes:
    text = f'{{"objects": ["{ROOT}/{day(5)}"]}}'.encode()
    packer = zlib.compressobj(1)
    made = [packer.compress(text)]
    left = size - len(text)
    while left:
        step = min(left, MIB)
        made.append(packer.compress(b" " * step))
        left -= step
    return b"".join([*made, packer.flush()])


def test_an_index_may_inflate_to_so_much_and_no_more() -> None:
    assert read_index(index_of(limits.INFLATED_BYTES), ROOT) == [day(5)]
    with pytest.raises(LimitError, match="more than 128 MiB") as caught:
        read_index(index_of(limits.INFLATED_BYTES + 1), ROOT)
    assert "128 MiB" in caught.value.hint


def test_an_index_may_have_so_many_keys_and_no_more() -> None:
    for more in (0, 1):
        names = ",".join(f'"{number:x}"' for number in range(limits.INDEX_KEYS + more))
        data = zlib.compress(f'{{"objects":[{names}]}}'.encode(), 1)
        if not more:
            assert len(read_index(data, "") or ()) == limits.INDEX_KEYS
            continue
        with pytest.raises(LimitError, match="more than 1,000,000 keys"):
            read_index(data, "")


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"objects":' + b"[" * 200_000])
def test_a_deep_index_is_damaged(data: bytes) -> None:
    assert read_index(zlib.compress(data), "") is None


MOST = MAX_FOOTER + TAIL


def test_a_footer_that_claims_too_much_is_not_asked_for() -> None:
    size = 2 * MOST
    for need in (MOST, MOST + 1):

        def tail(asked: Asked, need: int = need) -> Answer:
            if "range" not in asked.headers:
                return refusal("NoSuchKey")
            start, stop = map(int, re.findall(r"\d+", asked.headers["range"]))
            said = (need - 8).to_bytes(4, "little") + b"PAR1"
            body = b"\0" * (stop + 1 - start - 8) + said
            return Answer(206, body, {"Content-Range": f"bytes {start}-{stop}/{size}"})

        with hostile(lists(listed(day(5), size=str(size)), get=tail)) as server:
            made = plan(there(server), ask(server), policy=QUICK)
            ranges = [one.headers["range"] for one in server.asked if "range" in one.headers]
            assert made.rows is None
            assert len(ranges) == (2 if need == MOST else 1)


# keys, pages --------------------------------------------------------------------------------------


def paged(pages: Callable[[int], tuple[list[str], str]]) -> Script:
    """A listing in pages, by number; tokens are given by the test."""
    good, asked_before = lists(), iter(range(10**9))

    def script(asked: Asked) -> Answer:
        if not asked.lists or "delimiter" in asked.query:
            return good(asked)
        entries, token = pages(next(asked_before))
        return Answer(body=page(*entries, token=token))

    return script


@pytest.mark.parametrize("cycle", [1, 2, 5])
def test_a_listing_that_begins_anew_ends(cycle: int) -> None:
    script = paged(lambda n: ([listed(day(1 + n % cycle))], f"token {n % cycle}"))
    with hostile(script) as server:
        with pytest.raises(LimitError, match="begins its listing anew") as caught:
            ask(server)
        assert caught.value.hint
        assert len([one for one in server.asked if "delimiter" not in one.query]) < cycle + 5


def test_a_listing_may_have_so_many_pages_and_no_more() -> None:
    policy = replace(QUICK, rate=1e6)
    for more in (0, 1):
        last = limits.PAGES - 1 + more

        def pages(number: int, last: int = last) -> tuple[list[str], str]:
            name = listed(day(1, f"{number}.parquet"))
            return [name], f"{number}" if number < last else ""

        with hostile(paged(pages)) as server:
            if not more:
                found = catalogue(there(server), tables=("trades",), policy=policy)
                assert len(found.objects) == limits.PAGES
                continue
            with pytest.raises(LimitError, match="more than 1,000 pages") as caught:
                catalogue(there(server), tables=("trades",), policy=policy)
            assert "1,000 pages" in caught.value.hint


def test_a_page_may_have_so_many_keys_and_no_more() -> None:
    entries = [listed(day(1, f"{number}.parquet")) for number in range(limits.PAGE_KEYS + 1)]
    with hostile(lists(*entries[:-1])) as server:
        assert len(ask(server).objects) == limits.PAGE_KEYS
    refused = pytest.raises(UnavailableError, match="more than the 1,000 keys asked for")
    with hostile(lists(*entries)) as server, refused:
        ask(server)


def test_an_inventory_may_have_so_many_keys_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the exchange and that of the symbol are counted too."""
    monkeypatch.setattr(cataloguing, "INVENTORY_KEYS", 5)
    for count in (3, 4):
        with hostile(lists(*(listed(day(n + 1)) for n in range(count)))) as server:
            if count == 3:
                assert len(ask(server).objects) == 3
                continue
            with pytest.raises(LimitError, match="more than 5 keys") as caught:
                ask(server)
            assert "ask for" in caught.value.hint


def test_days_that_lack_without_end_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(last: str) -> int:
        keys = (f"{TOP}/dt=0001-01-01/1.parquet", f"{TOP}/dt={last}/1.parquet")
        objects = tuple(RemoteObject(key(path), 1, ETAG, DATE) for path in keys)
        return len(absent_days(Inventory(objects, "listing")))

    with pytest.raises(UsageError, match="more than 1,000,000 of the days"):
        lacking("9999-12-31")
    monkeypatch.setattr(planning, "ABSENT_DAYS", 10)
    assert lacking("0001-01-12") == 10
    with pytest.raises(UsageError, match="more than 10 of the days") as caught:
        lacking("0001-01-13")
    assert "ask for" in caught.value.hint


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>please log in</html>",
        b"<ListBucketResult/>",
        page().replace(b"false", b"true"),
        page().replace(b"false", b"maybe"),
        page(token="x" * 5000),
        page(*["<a/>"] * 40_000),
        page()[:-5],
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>' + page(),
        page().replace(b"<IsTruncated>", b"<x>&b;</x><IsTruncated>"),
    ],
    ids=["empty", "page", "bare", "no token", "maybe", "long", "wide", "cut", "doctype", "entity"],
)
def test_what_is_no_listing_is_never_an_empty_one(body: bytes) -> None:
    with hostile(lambda asked: Answer(body=body) if asked.lists else refusal("NoSuchKey")) as one:
        with pytest.raises(UnavailableError, match="that is no S3 store") as caught:
            ask(one)
        assert caught.value.hint


# one bad key --------------------------------------------------------------------------------------

ODD_NAMES = [
    "\x01", "\x1b[31m", "\x7f", "\x85", "\x9b", "\u202e", "\u200b", "\u2028", "\ufeff", "\udcff",
    "\ufffd", "\\", "x" * 260, "é" * 130, "a//b", "../b", "./b",
]  # fmt: skip
ODD_ENTRIES = {
    **{f"key {name!a}"[:24]: listed(day(6, f"{name}.parquet")) for name in ODD_NAMES},
    "symbol": listed("trades/exchange=BINANCE/symbol=\x1b]0;x\x07/dt=2026-01-06/1.parquet"),
    "reference": listed(day(6, "CHAR.parquet")).replace("CHAR", "a&#x1;b&#27;c&#xD800;&#x110000;"),
    "long reference": listed(day(6, "CHAR.parquet")).replace("CHAR", f"&#{'9' * 5000};"),
    **{
        f"day {dt}": listed(f"{TOP}/dt={dt}/1.parquet")
        for dt in ("0001-01-01", "2008-12-31", "2101-01-01", "9999-12-31")
    },
    "elsewhere": entry(f"another/{day(6)}"),
    "no key": listed(day(6)).replace("<Key>", "<Kex>").replace("</Key>", "</Kex>"),
    **{
        f"etag {etag!a}"[:24]: listed(day(6), etag=etag)
        for etag in ('"\x1b[31m"', '"a\r\nX: y"', '"a"b"', "x" * 129, '"é"', '"a b"')
    },
    **{
        f"size {size!a}": listed(day(6), size=size)
        for size in ("-1", "", "1e3", "NaN", "٣", "1 0", "0x10")
    },
    **{
        f"date {date!a}": listed(day(6), date=date)
        for date in ("", "yesterday", "0000-00-00", "9999-99-99T00:00:00Z", "\x1b")
    },
}


@pytest.mark.parametrize("odd", ODD_ENTRIES.values(), ids=ODD_ENTRIES)
def test_one_that_cannot_be_taken_is_told_and_the_rest_goes_on(
    odd: str, user: Callable[[str], None]
) -> None:
    rest = listed(day(6, "2.parquet"))  # so that no day lacks
    with hostile(lists(listed(day(5)), odd, rest, get=body_of)) as server:
        user(server.url)
        seen = acquire("list-inventory")
        got = acquire("download", "--out", "lake", "--no-check-md5")
        told = acquire("download", "--out", "lake", "--no-check-md5", "--json")
    for said in (seen, got, told):
        assert said.code == 2, said
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said.out + said.err)
    for said in (seen, got):
        assert "1 keys cannot be taken and are left out" in said.err
    assert told.document["skipped_keys"] == 1
    lake = LakeFolder(Path("lake"))
    assert [path.parent.name for path in sorted(lake.root.rglob("*.parquet"))] == [
        "dt=2026-01-05",
        "dt=2026-01-06",
    ]


def test_an_odd_folder_and_an_odd_key_of_the_index_are_told() -> None:
    names = [f"{ROOT}/{day(5)}", f"{ROOT}/{day(6, chr(27) + '.parquet')}"]
    text = str({"objects": names}).replace("'", '"').replace("\\x1b", "\\u001b")
    good = lists(listed(day(5)), index=zlib.compress(text.encode()))

    def script(asked: Asked) -> Answer:
        if "delimiter" in asked.query and "exchange=" not in asked.query["prefix"]:
            prefix = asked.query["prefix"]
            return Answer(body=page(folders=[f"{prefix}exchange=BINANCE/", f"{prefix}\x9b/"]))
        return good(asked)

    with hostile(script) as server:
        found = ask(server)
    assert (paths(found), found.source, found.skipped_keys) == ([day(5)], "contents", 2)
    assert "\x9b" not in " ".join(found.notes)
    assert "\x1b" not in " ".join(found.notes)


def test_an_odd_answer_about_one_that_only_the_index_names_is_told() -> None:
    text = f'{{"objects": ["{ROOT}/{day(5)}", "{ROOT}/{day(6)}"]}}'

    def head(asked: Asked) -> Answer:
        if "dt=" not in asked.path:
            return refusal("NoSuchKey")
        odd = asked.path.endswith(day(6))
        return replace(
            body_of(asked), headers={"ETag": '"a b"' if odd else ETAG, "Last-Modified": HTTP_DATE}
        )

    with hostile(lists(index=zlib.compress(text.encode()), get=head)) as server:
        found = ask(server)
    assert (paths(found), found.skipped_keys) == ([day(5)], 1)


def test_a_weak_etag_is_as_good_as_none(tmp_path: Path) -> None:
    def weak(asked: Asked) -> Answer:
        assert "if-match" not in asked.headers
        return Answer(body=b"x" * 100, headers={"ETag": f'W/"{ETAG}"'})

    with hostile(lists(listed(day(5), etag=f'W/"{ETAG}"'), get=weak)) as server:
        found = ask(server)
        assert [one.etag for one in found.objects] == [""]
        lake = LakeFolder(tmp_path / "lake", create=True)
        assert download(there(server), lake, found.objects, policy=HASTY).ok


def test_a_connection_is_tried_without_end_nowhere(user: Callable[[str], None]) -> None:
    """Folders in folders, and an index of keys that no screen can show."""
    text = f'{{"objects": ["{ROOT}/{day(6)[:-8]}\\u001b[31m.parquet"]}}'

    def nests(asked: Asked) -> Answer:
        if asked.path.endswith(INDEX):
            return Answer(body=zlib.compress(text.encode()))
        prefix = asked.query.get("prefix", "")
        return Answer(body=page(folders=[f"{prefix}{'trades' if prefix == ROOT else 'a=b'}/"]))

    with hostile(nests) as server:
        user(server.url)
        said = command("acquire", "test-connection")
        assert said.code == 1
        assert "\x1b" not in said.out + said.err
        assert len(server.asked) < 10


# time ---------------------------------------------------------------------------------------------


def slow_head(server: Hostile) -> Iterator[bytes]:
    yield from server.dripping(endless(b"X-Slow: y\r\n"), 0.1)


def slow_body(server: Hostile) -> Iterator[bytes]:
    yield b"Content-Length: 1000000\r\n\r\n"
    yield from server.dripping(endless(b" "), 0.1)


@pytest.mark.parametrize(
    "kind",
    [
        "status",
        pytest.param("head", marks=SLOW),
        "body",
        pytest.param("continue", marks=SLOW),
        pytest.param("chunks", marks=SLOW),
    ],
)
def test_a_line_that_drips_is_given_up(kind: str) -> None:
    with hostile(lambda _: Answer()) as server:

        def script(asked: Asked) -> Answer:
            if kind == "status":
                server.closing.wait(30)
                return Answer()
            if kind == "continue":
                again = b"\r\nHTTP/1.1 100 Continue\r\n"
                return Answer(100, raw=server.dripping(endless(again), 0.05))
            if kind == "chunks":
                head = b"Transfer-Encoding: chunked\r\n\r\n"
                drips = server.dripping(endless(b"1\r\n \r\n"), 0.1)
                return Answer(raw=(piece for part in ([head], drips) for piece in part))
            return Answer(raw=slow_head(server) if kind == "head" else slow_body(server))

        server.script = script
        began = time.monotonic()
        with pytest.raises(UnavailableError) as caught:
            catalogue(there(server), tables=("trades",), policy=HASTY)
        assert time.monotonic() - began < 15
        assert caught.value.hint


def test_an_inventory_has_so_much_time_and_no_more() -> None:
    """Pages that come whole and quickly enough, and never end."""
    with hostile(lambda _: Answer()) as server:
        server.script = paged(
            lambda n: ([listed(day(1, f"{n}.parquet"))], f"{server.closing.wait(0.1)}{n}")
        )
        policy = replace(QUICK, total_seconds=1.5)
        began = time.monotonic()
        with pytest.raises(UnavailableError, match=r"within 1\.5 s"):
            catalogue(there(server), tables=("trades",), policy=policy)
        assert 1.4 < time.monotonic() - began < 10


@pytest.mark.parametrize(
    "raw",
    [b"\xff" * 100_000, b"X: " + b"y" * 100_000, b"X: y\r\n" * 1000 + b"\r\n", b"\0\r\n\r\n", b""],
    ids=["no head", "long line", "many lines", "nul", "nothing"],
)
def test_what_is_no_http_is_an_error_with_a_hint(raw: bytes) -> None:
    with hostile(lambda _: Answer(raw=[raw])) as server, pytest.raises(RemoteError) as caught:
        catalogue(there(server), tables=("trades",), policy=HASTY)
    assert caught.value.hint


# memory -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("index of 1 GB", "could not be read (limit)"),
        ("index without end", "could not be read (limit)"),
        ("page without end", "longer than 8 MiB"),
        ("keys", "60000 keys are no data files"),
        ("odd folders", "79 keys cannot be taken"),
    ],
)
def test_memory_stays_bounded(what: str, said: str) -> None:
    good = lists(listed(day(5)), index=index_of(1 << 30) if what == "index of 1 GB" else None)
    stray = [listed(f"{TOP}/{number:0200}.txt") for number in range(limits.PAGE_KEYS)]
    many = paged(lambda n: (stray, str(n) if n < 59 else ""))

    vast = "\x9b" * 3_500_000  # of two bytes each

    def script(asked: Asked) -> Answer:
        if "delimiter" in asked.query and what == "odd folders":
            number = int(asked.query.get("continuation-token", "0"))
            if number < 79 and asked.query["prefix"].endswith("trades/"):
                return Answer(body=page(folders=[f"{ROOT}/trades/{vast}"], token=f"{number + 1}"))
        if asked.lists and what == "page without end":
            return Answer(body=endless(), length=-1)
        if asked.path.endswith(INDEX) and what == "index without end":
            return Answer(body=endless(), length=-1)
        return many(asked) if what == "keys" else good(asked)

    with hostile(script) as server:
        done = subprocess.run(
            [sys.executable, "-c", _PEAK, server.url],
            env={"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": ""},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    above, words = json.loads(done.stdout)
    assert said in words
    assert above < MEMORY_MIB


def test_a_file_whose_columns_have_vast_names_is_recorded_without_them(tmp_path: Path) -> None:
    """Its record would be a line of megabytes."""
    made = pa.table({f"{n}{'x' * 2_000}": [1] for n in range(1_000)})
    path = tmp_path / "1.parquet"
    pq.write_table(made.replace_schema_metadata({"book_clock": "T" * 2_000_000}), path)
    data = path.read_bytes()

    def whole(asked: Asked) -> Answer:
        return Answer(body=data, headers={"ETag": f'"{ETAG}"', "Last-Modified": HTTP_DATE})

    with hostile(lists(listed(day(5), size=str(len(data))), get=whole)) as server:
        lake = LakeFolder(tmp_path / "lake", create=True)
        result = download(there(server), lake, ask(server).objects, policy=HASTY, check_md5=False)
    assert not result.failed
    (record,) = Manifest(lake).records()
    assert (record["rows"], record["schema"]) == (1, None)
    assert len(json.dumps(record)) < 2_000
