"""The report page of small stores: what it says, and what it says when there is little to say."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lobproof
from lobproof import pages
from lobproof.errors import PlaceError, UsageError
from lobproof.fidelity.exact.report import (
    Check,
    Class,
    Divergence,
    Verdict,
    VerifyReport,
    not_applicable,
)
from lobproof.pages import text
from lobproof.pages.axes import MAX_ROWS, PriceGrid, TimeGrid, runs
from lobproof.pages.figures.style import plain
from lobproof.pipeline.lake import lake_days, reconstruct_day
from lobproof.schema import EventBatch, Flag, Side
from lobproof.sources.simulator import simulate
from lobproof.store import open_store
from plain.messages import Message, ask, bid, to_batch
from support.batches import DAY_NS, START_NS, make_instrument
from support.report import (
    anchor,
    build_store,
    depth,
    mark,
    random_events,
    trade,
)

PICTURES = ("depth", "trust", "spread", "profile", "trades", "rates")
BIDS = [(1_000_000 - k, 1000 * (k + 1)) for k in range(30)]
ASKS = [(1_000_001 + k, 2000 * (k + 1)) for k in range(30)]


def page_of(store: Path, out: Path, **options: Any) -> str:
    return pages.report(open_store(store), out, **options).read_text(encoding="utf-8")


def store_of(root: Path, *messages: Message, **options: Any) -> Path:
    build_store(root, to_batch(messages), **options)
    return root


def pictures(page: str) -> dict[str, str]:
    """The SVG of every picture that is drawn."""
    found = re.findall(r'<figure class="card" id="s\d+-(\w+)">.*?</figure>', page, flags=re.DOTALL)
    bodies = re.findall(r'<figure class="card".*?</figure>', page, flags=re.DOTALL)
    drawn = {}
    for name, body in zip(found, bodies, strict=True):
        source = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', body)
        if source:
            drawn[name] = base64.b64decode(source[1]).decode()
    return drawn


def count(number: int) -> str:
    return text.count(number).replace(text.THIN, " ")


def words(page: str) -> str:
    """What a reader reads, with plain blanks."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report") / "store"
    build_store(root, random_events())
    return root


@pytest.fixture(scope="module")
def page(store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return page_of(store, tmp_path_factory.mktemp("page") / "deep" / "report.html")


def test_a_feed_without_a_chain_is_not_called_whole(tmp_path: Path) -> None:
    made = simulate(tmp_path / "made", preset="btc", minutes=1.0, recording=False, lake=True)
    assert made.lake is not None
    reconstruct_day(lake_days(made.lake)[0], tmp_path / "store")
    said = words(page_of(tmp_path / "store", tmp_path / "report.html"))
    assert "this feed's ids show no losses" in said
    assert "the chain is whole" not in said
    assert "compared with the vendor's files" in said
    assert said.count("lobproof verify STORE --lake LAKE") >= 2
    assert "No minute has a difference." in said


def test_the_page_holds_all_pictures_and_counts(store: Path, page: str) -> None:
    seal = open_store(store).days().row(0, named=True)
    said = words(page)
    assert set(pictures(page)) == set(PICTURES)
    for name in ("events", "trades", "book_messages"):
        assert count(seal[name]) in said
    assert seal["content_hash"] in page
    assert "2024-08-08 00:00:00" in said
    assert lobproof.__version__ in said
    assert said.count("Not verified") >= 1
    assert "lobproof verify STORE --against GOLDEN" in said
    assert "the chain is whole" in said or "breaks of the chain" in said
    assert len(page) < 1_500_000


def test_the_page_needs_nothing_else(page: str) -> None:
    assert "http" not in page.replace("http-equiv", "")
    assert "//" not in re.sub(r'base64,[^"]*', "", page)
    assert not re.search(r"<script|<link [^>]*href=\"(?!data:)|@import|url\(", page)
    for svg in pictures(page).values():
        outside = re.findall(r'(?:href|src)="(?!#|data:)([^"]*)"', svg)
        assert outside == []
        assert "<metadata" not in svg


def test_the_same_store_gives_the_same_bytes(store: Path, page: str, tmp_path: Path) -> None:
    assert page_of(store, tmp_path / "again.html") == page


def test_a_demonstration_says_so_and_nothing_is_called_certified(page: str) -> None:
    assert "DEMO · synthetic data" in words(page)
    assert "<title>DEMO BTC-USDT" in page
    assert "says nothing about any market" in words(page)
    assert "certified" not in page.lower()


@pytest.mark.parametrize(
    ("provenance", "badge"), [("derived", "DEMO · derived data"), ("real", "Recorded")]
)
def test_the_provenance_is_shown(tmp_path: Path, provenance: str, badge: str) -> None:
    messages = [anchor(0, 5, BIDS, ASKS), depth(9, 6, bid(1_000_000, 500))]
    said = words(
        page_of(
            store_of(tmp_path / "s", *messages, provenance=provenance), tmp_path / "report.html"
        )
    )
    assert badge in said
    assert ("DEMO" in said) == (provenance == "derived")


def verification(symbol: str = "BTC-USDT") -> VerifyReport:
    first = Divergence(
        "level_changes", Class.MISSING, 77, START_NS, "level <9> is gone", "2024-08-08", 4
    )
    checks = (
        Check("chain", Verdict.EXACT, 1200, 1200, 1200),
        Check("book_ticker_last", Verdict.PASS, 5000, 5000, 4999, 0.0009, 0.001, "1 in a burst"),
        Check("level_changes", Verdict.FAIL, 10, 10, 9, 0.4, first=first),
        not_applicable("snapshots", "no later snapshot"),
    )
    return VerifyReport("BINANCE", symbol, "synthetic", checks, {"days": ["2024-08-08"]})


@pytest.mark.parametrize("plain", [False, True])
def test_the_verdict_and_its_checks_are_shown(store: Path, tmp_path: Path, plain: bool) -> None:
    report = verification()
    page = page_of(store, tmp_path / "r.html", verification=report.to_dict() if plain else report)
    said = words(page)
    assert "Verified: FAIL" in said
    assert "2 of 3 checks passed; 1 had nothing to compare" in said
    assert "book ticker last B pass 5 000 5 000 4 999 0.09 % 0.1 % 1 in a burst" in said
    assert "First divergence (level changes, missing)" in said
    assert "level &lt;9&gt; is gone" in page
    assert "Not verified" not in said


def test_several_verifications_are_shown_one_by_one_and_the_worst_heads(
    store: Path, tmp_path: Path
) -> None:
    good = VerifyReport(
        "BINANCE",
        "BTC-USDT",
        "synthetic",
        (Check("chain", Verdict.EXACT, 7, 7, 7),),
        {"days": ["2024-08-08"]},
        "Crypto Lake files",
    )
    said = words(page_of(store, tmp_path / "r.html", verification=[good, verification()]))
    assert "Verified: FAIL" in said
    assert "Held against 2 sources, each by itself: 3 of 4 checks passed" in said
    assert "1 of 2: Checks against Crypto Lake files, 2024-08-08" in said
    assert "2 of 2: Checks against the recording, 2024-08-08" in said
    assert "chain A exact 7 7 7" in said
    assert "book ticker last B pass 5 000" in said
    with pytest.raises(UsageError, match="ETH-USDT, which is not shown"):
        page_of(store, tmp_path / "r.html", verification=[good, verification("ETH-USDT")])
    said = words(page_of(store, tmp_path / "r.html", verification=[]))
    assert "Not verified" in said


def test_a_verification_of_something_else_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ETH-USDT, which is not shown"):
        page_of(store, tmp_path / "r.html", verification=verification("ETH-USDT"))


def test_a_verification_of_other_days_is_refused(store: Path, tmp_path: Path) -> None:
    checks = verification().checks
    for coverage, match in (
        ({"days": ["2024-08-07"]}, "of 2024-08-07 of BINANCE BTC-USDT, the page of 2024-08-08"),
        ({}, "of no day of"),
        (
            {"days": ["2024-08-08"], "content_hashes": {"2024-08-08": "0" * 64}},
            "2024-08-08 of BINANCE BTC-USDT is not what was verified",
        ),
    ):
        other = VerifyReport("BINANCE", "BTC-USDT", "synthetic", checks, coverage)
        with pytest.raises(UsageError, match=match) as refused:
            page_of(store, tmp_path / "r.html", verification=other)
        assert refused.value.hint
    assert not (tmp_path / "r.html").exists()


def test_days_that_were_not_verified_are_named(tmp_path: Path) -> None:
    root = tmp_path / "s"
    build_store(root, random_events())
    later = random_events()
    later.ts_order += DAY_NS
    build_store(root, later, dt="2024-08-09")
    passed = [check for check in verification().checks if check.verdict is not Verdict.FAIL]
    days = ["2024-08-08"]
    proof = VerifyReport("BINANCE", "BTC-USDT", "synthetic", tuple(passed), {"days": days})
    said = words(page_of(root, tmp_path / "r.html", verification=proof))
    assert "Verified in part: pass" in said
    assert "Not verified: 2024-08-09." in said
    whole = words(page_of(root, tmp_path / "w.html", verification=proof, end="2024-08-09"))
    assert "Verified: pass" in whole
    assert "Not verified" not in whole


def test_where_no_page_can_be_written(store: Path) -> None:
    with pytest.raises(PlaceError, match=r"x\.html"):
        page_of(store, Path("/proc/x.html"))


def test_an_unknown_symbol_is_refused(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sealed day of ETH-USDT"):
        page_of(store, tmp_path / "r.html", symbol="ETH-USDT")
    assert not (tmp_path / "r.html").exists()


def test_odd_names_are_escaped(tmp_path: Path) -> None:
    odd = make_instrument("$A&B-U$D", "X&Y")
    messages = [anchor(0, 5, BIDS, ASKS), trade(3, 1, Side.BUY, 1_000_001, 700)]
    page = page_of(
        store_of(tmp_path / "s", *messages, instrument=odd, config={"<i>": "</style>&"}),
        tmp_path / "r.html",
    )
    assert "$A&amp;B-U$D" in page
    assert "<i>" not in re.sub(r"<i class", "", page)
    assert "&lt;/style&gt;&amp;" in page
    assert "price, U$D" in pictures(page)["depth"]


def test_without_trades_the_page_says_so(tmp_path: Path) -> None:
    messages = [anchor(0, 5, BIDS, ASKS), depth(30, 6, ask(1_000_001, 0)), mark(60, 7)]
    page = page_of(store_of(tmp_path / "s", *messages), tmp_path / "r.html")
    assert set(pictures(page)) == {*PICTURES} - {"trades"}
    assert "the store holds no trade in this span" in words(page)
    assert "No trade was recorded in this span" in words(page)


def test_without_a_snapshot_nothing_is_claimed(tmp_path: Path) -> None:
    messages = [
        depth(at, 5 + at, bid(1_000_000 - at, 900), ask(1_000_001 + at, 800)) for at in range(20)
    ]
    said_trade = trade(20, 1, Side.SELL, 1_000_000, 100)
    page = page_of(store_of(tmp_path / "s", *messages, said_trade), tmp_path / "r.html")
    assert set(pictures(page)) == {"depth", "trust", "rates"}
    said = words(page)
    assert said.count("at no time of this span") == 2
    assert "Nothing here is known to be complete" in said
    assert "nowhere trusted when trades took place" in said
    assert "UNSEEDED" in said
    assert (
        "best bid"
        not in re.sub(r"figcaption.*?/figcaption", "", page, flags=re.DOTALL).split(
            "Quality and trust"
        )[0]
    )


@pytest.mark.parametrize(
    "message",
    [
        anchor(0, 5, BIDS, ASKS),
        mark(0, 5),
        depth(0, 5, bid(1, 1)),
        trade(0, 1, Side.BUY, 1_000_000, 5),
        anchor(0, 5, BIDS, []),
    ],
    ids=["snapshot", "mark", "depth", "trade", "one-side"],
)
def test_one_message_is_enough_for_a_page(tmp_path: Path, message: Message) -> None:
    said = words(page_of(store_of(tmp_path / "s", message), tmp_path / "r.html"))
    assert "book messages" in said
    assert not re.search(r"\bnan\b", said.lower())


def test_a_side_that_was_never_seen_leaves_the_touch_in_doubt(tmp_path: Path) -> None:
    messages = [anchor(0, 5, BIDS, []), depth(30, 6, bid(1_000_000, 5)), mark(60, 7)]
    page = page_of(store_of(tmp_path / "s", *messages), tmp_path / "r.html")
    assert set(pictures(page)) == {"depth", "trust", "rates"}
    assert "touch in doubt 1 min 100 % of the time" in words(page)


def test_warm_up_is_named_beside_the_doubt(tmp_path: Path) -> None:
    early, late = depth(0, 4, bid(1_000_000, 5)), depth(60, 6, bid(1_000_000, 5))
    page = page_of(store_of(tmp_path / "s", early, anchor(30, 5, BIDS, ASKS), late), tmp_path / "r")
    assert "touch in doubt 30 s 50 % of the time, 30 s of it warm-up" in words(page)


def test_a_side_that_emptied_is_empty_not_in_doubt(tmp_path: Path) -> None:
    gone = [ask(price, 0) for price, _ in ASKS[:2]]
    messages = [anchor(0, 5, BIDS, ASKS[:2]), depth(30, 6, *gone), mark(60, 7)]
    page = page_of(store_of(tmp_path / "s", *messages), tmp_path / "r.html")
    assert {"depth", "profile", "spread"} <= set(pictures(page))
    assert "touch in doubt 0 s 0 % of the time" in words(page)


def test_a_store_without_states_has_the_same_pictures(tmp_path: Path) -> None:
    pages = []
    for states in (True, False):
        root = tmp_path / str(states)
        build_store(root, random_events(), states=states)
        pages.append(page_of(root, tmp_path / f"{states}.html"))
    assert pictures(pages[0]) == pictures(pages[1])
    assert "keeps no states for 2024-08-08" in words(pages[1])
    assert "keeps no states" not in words(pages[0])


def test_thousands_of_findings_are_counted_and_the_gravest_listed(tmp_path: Path) -> None:
    messages = [anchor(0, 5, BIDS, ASKS)]
    messages += [mark(1 + at, 4, int(Flag.DUPLICATE)) for at in range(3000)]
    messages.append(mark(3001, 9, int(Flag.GAP), before=5))
    messages.append(depth(3100, 10, bid(1_000_000, 5)))
    page = page_of(store_of(tmp_path / "s", *messages), tmp_path / "r.html")
    said = words(page)
    assert f"The gravest 25 of {count(3003)} findings" in said
    listed = page.split("The gravest 25")[1].split("</table>")[0]
    assert listed.count("<tr") == 26
    assert listed.index("GAP") < listed.index("DUPLICATE")
    assert "gaps 1 breaks of the chain of messages" in said
    assert "update ids 6-9 are missing" in said
    assert len(page) < 1_000_000


def test_ids_that_began_anew_are_a_break_of_the_chain(tmp_path: Path) -> None:
    messages = [anchor(0, 5, BIDS, ASKS)]
    messages.append(mark(30, 2, int(Flag.GAP | Flag.OUT_OF_ORDER), before=5))
    messages.append(depth(30, 3, bid(1_000_000, 5)))
    said = words(page_of(store_of(tmp_path / "s", *messages), tmp_path / "r.html"))
    assert "gaps 1 breaks of the chain of messages" in said
    assert "SEQUENCE_RESET" in said
    assert "update ids went back from 5 to 2" in said


def test_findings_are_explained_where_there_are_none(tmp_path: Path) -> None:
    messages = [anchor(0, 5, BIDS, ASKS), depth(30, 6, bid(1_000_000, 1000))]
    page = page_of(store_of(tmp_path / "s", *messages), tmp_path / "r.html", start=START_NS + 1)
    assert "Nothing was found in this span" in words(page)


def test_a_span_is_cut_out_of_the_day(store: Path, tmp_path: Path) -> None:
    days = open_store(store).days().row(0, named=True)
    middle = (days["first_ts"] + days["last_ts"]) // 2
    page = page_of(store, tmp_path / "r.html", start=middle, end="2024-08-09")
    said = words(page)
    events = open_store(store).events(start=middle).collect().height
    assert f"events {count(events)} over" in said
    assert "part of what the store holds" in said
    assert set(pictures(page)) == set(PICTURES)


def test_the_page_says_when_each_stream_was_heard(tmp_path: Path) -> None:
    messages = [anchor(0, 5, BIDS, ASKS), depth(30, 6, bid(1_000_000, 1000))]
    messages += [trade(31, 1, Side.BUY, 1_000_001, 40), mark(630, 7), mark(631, 8)]
    said = words(page_of(store_of(tmp_path / "s", *messages), tmp_path / "r.html"))
    assert "When each stream was heard" in said
    assert "depth 00:00:30.000 – 00:10:31.000 3 1 10 min 10 min" in said
    assert "Of it warm-up" in said


def test_a_span_in_which_nothing_was_heard_says_so(store: Path, tmp_path: Path) -> None:
    early = {"start": "2024-08-07", "end": "2024-08-08"}
    for span in ({"start": "2024-08-08T20:00", "end": "2024-08-08T21:00"}, early):
        with pytest.raises(UsageError, match="BTC-USDT heard nothing in the range"):
            page_of(store, tmp_path / "r.html", **span)
    root = tmp_path / "two"
    later = to_batch([anchor(20 * 3_600, 5, BIDS, ASKS), mark(20 * 3_600 + 120, 6)])
    build_store(root, later)
    build_store(root, to_batch([mark(120, 6)]), instrument=make_instrument("ETH-USDT"))
    page = page_of(root, tmp_path / "r.html", start="2024-08-08T20:00", end="2024-08-08T21:00")
    assert "no event of it from 2024-08-08T20:00:00Z before 2024-08-08T21:00:00Z" in words(page)


def two_days(root: Path, gap_days: int, *, carried: bool) -> Path:
    first = [anchor(0, 5, BIDS, ASKS), trade(100, 1, Side.BUY, 1_000_001, 40), mark(120, 6)]
    hashed = build_store(root, to_batch(first))
    second = to_batch(first)
    for times in (second.ts_order, second.ts_event, second.ts_recv):
        times += gap_days * DAY_NS
    dt = f"2024-08-{8 + gap_days:02}"
    build_store(root, second, dt=dt, carried_from=hashed if carried else "")
    return root


@pytest.mark.parametrize("carried", [False, True])
def test_days_that_are_not_there_are_left_blank(tmp_path: Path, carried: bool) -> None:
    page = page_of(two_days(tmp_path / "s", 3, carried=carried), tmp_path / "r.html")
    assert ("no sealed data" in pictures(page)["depth"]) == (not carried)
    said = words(page)
    assert "2024-08-08 00:00:00.000 – 2024-08-11 00:02:00.000 UTC" in said
    assert ("the book that the day before closed with" in said) == carried


def test_every_symbol_has_a_section(tmp_path: Path) -> None:
    root = tmp_path / "s"
    for symbol in ("BTC-USDT", "ETH-USDT"):
        build_store(root, random_events(), instrument=make_instrument(symbol))
    seen: list[tuple[int, int]] = []
    page = page_of(
        root,
        tmp_path / "r.html",
        verification=verification("ETH-USDT"),
        progress=lambda _, done, total: seen.append((done, total)),
    )
    assert page.count("<h1>") == 2
    assert 'href="#s1"' in page
    assert words(page).count("Verified: FAIL") == 1
    assert words(page).count("Nothing was compared") == 1
    assert seen[-1][0] == seen[-1][1] > 0
    one = page_of(root, tmp_path / "one.html", symbol="ETHUSDT")
    assert one.count("<h1>") == 1
    assert "BTC-USDT" not in one


def test_a_wide_spread_is_shown_on_a_logarithmic_scale(tmp_path: Path) -> None:
    messages = [anchor(0, 5, BIDS, ASKS)]
    gone = [ask(price, 0) for price, _ in ASKS[:29]]
    messages += [depth(30, 6, *gone), depth(33, 7, ask(ASKS[0][0], 10)), mark(60, 8)]
    page = page_of(store_of(tmp_path / "s", *messages), tmp_path / "r.html")
    assert "share of trusted time, % (log scale)" in pictures(page)["spread"]
    assert "One tick 95 % of the time, 2.45 ticks on average, 30 at most" in words(page)


def test_what_lies_beyond_the_known_range_is_told(tmp_path: Path) -> None:
    events = to_batch([anchor(0, 5, BIDS[:5], ASKS[:5]), mark(30, 6)])
    events.flags &= ~int(Flag.COMPLETE)
    build_store(tmp_path / "s", events)
    page = page_of(tmp_path / "s", tmp_path / "r.html")
    assert "Beyond the dashed lines the book is not known to be complete" in words(page)
    assert "end of what is known" in words(page)


@pytest.mark.parametrize("odd", [1, 2])
def test_trades_far_from_the_rest_do_not_flatten_the_picture(tmp_path: Path, odd: int) -> None:
    messages = [anchor(0, 5, BIDS, ASKS)]
    messages += [trade(at, at, Side.BUY, 1_000_001, 400) for at in range(1, 3001)]
    messages += [trade(3001 + at, 3001 + at, Side.BUY, 9_000_000, 1) for at in range(odd)]
    page = page_of(store_of(tmp_path / "s", *messages), tmp_path / "r.html")
    lie = "1 trade lies" if odd == 1 else "2 trades lie"
    assert f"{lie} outside the prices shown" in words(page)


def test_a_verification_without_a_divergence_passes(store: Path, tmp_path: Path) -> None:
    checks = (Check("chain", Verdict.EXACT, 9, 9, 9), Check("trades", Verdict.EXACT, 5, 5, 5))
    proof = VerifyReport("BINANCE", "BTC-USDT", "synthetic", checks, {"days": ["2024-08-08"]})
    said = words(page_of(store, tmp_path / "r.html", verification=proof))
    assert "Verified: pass" in said
    assert "First divergence" not in said


def test_drift_is_shown_where_a_snapshot_was_compared(tmp_path: Path) -> None:
    events = to_batch(
        [anchor(0, 5, BIDS, ASKS), depth(5, 6, bid(1_000_000, 9)), anchor(90, 6, BIDS, ASKS)]
    )
    keep = np.flatnonzero((events.kind != 4) | (events.ts_order == START_NS))
    events = events.take(keep)
    later = events.ts_order > START_NS
    events.flags[later] &= ~int(Flag.RESYNC)
    root = tmp_path / "s"
    build_store(root, EventBatch.concat([events]))
    said = words(page_of(root, tmp_path / "r.html"))
    assert "Book against later snapshots" in said
    assert "In 1 minute a later snapshot" in said


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (text.count(1234567), "1 234 567"),
        (text.count(999), "999"),
        (text.short(0), "0"),
        (text.short(1234.5678), "1 235"),
        (text.short(0.000123456), "0.000123"),
        (text.short(2.50), "2.5"),
        (text.short(1.5e12), "1.5e+12"),
        (text.share(0, 5), "0 %"),
        (text.share(5, 5), "100 %"),
        (text.share(1, 10**9), "< 0.01 %"),
        (text.share(10**9 - 1, 10**9), "> 99.99 %"),
        (text.share(1, 0), "–"),
        (text.share(1, 3), "33.33 %"),
        (text.moment(0), "–"),
        (text.moment(START_NS + 1_999_999), "2024-08-08 00:00:00.001"),
        (text.moment(START_NS, digits=0), "2024-08-08 00:00:00"),
        (text.duration(0), "0 s"),
        (text.duration(7), "7 ns"),
        (text.duration(1500), "1.5 µs"),
        (text.duration(250_000_000), "250 ms"),
        (text.duration(59 * 10**9), "59 s"),
        (text.duration(61 * 10**9), "1 min 1 s"),
        (text.duration(3600 * 10**9), "1 h"),
        (text.duration(24 * 3600 * 10**9 + 1200 * 10**9), "24 h 20 min"),
        (text.duration(50 * 3600 * 10**9), "2 d 2 h"),
        (plain(12_500), "12.5 k"),
        (plain(2_500_000), "2.5 M"),
        (plain(-3), "−3"),
        (text.size_of(12), "12 B"),
        (text.size_of(1_234_567), "1.23 MB"),
        (" ".join(text.currencies("BTC-USDT-PERP")), "BTC USDT"),
        (" ".join(text.currencies("XBT")), "size units price units"),
    ],
)
def test_numbers_are_written_for_people(value: str, shown: str) -> None:
    assert value.replace(text.THIN, " ") == shown


@pytest.mark.parametrize("span", [0, 1, 10**6, 650 * 10**9, DAY_NS, 400 * DAY_NS, 9000 * DAY_NS])
def test_columns_of_time_cover_any_span(span: int) -> None:
    grid = TimeGrid.over(START_NS + 17, START_NS + 17 + span)
    assert grid.columns <= 1200
    assert grid.origin <= START_NS + 17
    assert grid.origin + grid.width * grid.columns > START_NS + 17 + span
    assert grid.origin % grid.width == 0
    assert len(grid.edges) == grid.columns + 1


@pytest.mark.parametrize("ticks", [1, 5, MAX_ROWS, MAX_ROWS + 1, 10 * MAX_ROWS + 1, 10**9])
@pytest.mark.parametrize("tick", [1, 25])
def test_rows_of_price_cover_any_range(ticks: int, tick: int) -> None:
    grid = PriceGrid.over(1003 * tick, (1003 + ticks - 1) * tick, tick)
    assert grid.rows <= MAX_ROWS + 1
    assert grid.low <= 1003 * tick
    assert grid.low + grid.step * grid.rows > (1003 + ticks - 1) * tick
    assert grid.step % tick == 0


def test_runs_are_the_stretches_of_a_mask() -> None:
    assert runs(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert runs(np.zeros(0, np.bool_)) == []
