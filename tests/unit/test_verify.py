"""Gates A and B on a tiny market: what is changed is found, named and located."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from lobproof.errors import InputError, UsageError
from lobproof.fidelity.exact import Check, Verdict, VerifyReport, verify, window
from lobproof.fidelity.exact.integrity import OrderCheck
from lobproof.fidelity.exact.report import GATE_A, GATE_B, not_applicable
from lobproof.fidelity.render import render_report
from lobproof.instruments import Instrument
from lobproof.schema import Finding, Flag, Kind, Order, Side
from lobproof.store import open_store
from plain.messages import Event, ask, bid
from support.market import MIDNIGHT, MS, Market, Spoil, day_of, make_market

CLASSES = {"seed", "missing", "extra", "changed", "order", "rounding"}


def prove(
    market: Market, folder: Path, change: Spoil | None = None, **options: Any
) -> VerifyReport:
    """The golden sample as it is, the store after ``change``."""
    golden = market.write_golden(folder / "golden")
    if change:
        change(market)
    store = market.write_store(folder / "store")
    return verify(open_store(store), golden, **options)


def failing(report: VerifyReport) -> set[str]:
    return {check.name for check in report.checks if check.verdict is Verdict.FAIL}


def delta(market: Market, nth: int = 30) -> Event:
    return market.rows[market.find(Kind.DELTA, nth)]


def test_a_perfect_store_is_exact(tmp_path: Path) -> None:
    report = prove(make_market(), tmp_path, audit=True)
    assert report.verdict is Verdict.PASS
    assert report.first_divergence is None
    assert [check.name for check in report.checks] == [*GATE_A, *GATE_B]
    of_lake = ("vendor_book", "vendor_trades")
    assert {check.verdict for check in report.checks if check.name not in of_lake} == {
        Verdict.EXACT
    }
    assert {report.check(name).verdict for name in of_lake} == {Verdict.NOT_APPLICABLE}
    for check in report.checks:
        assert check.comparable >= check.compared == check.equal
    document = json.loads(json.dumps(report.to_dict()))
    assert document["verdict"] == "pass"
    assert document["first_divergence"] is None
    assert set(document["checks"][0]) >= {"name", "verdict", "comparable", "compared", "equal"}
    assert document["coverage"]["days"] == ["2024-08-08", "2024-08-09"]
    assert document["coverage"]["golden"]["empty_depth_messages"] == 4


@pytest.mark.parametrize("options", [{"futures": True}, {"limit": 10}, {"seed": 7}])
def test_other_markets_are_exact_too(tmp_path: Path, options: dict[str, Any]) -> None:
    report = prove(make_market(**options), tmp_path)
    assert report.verdict is Verdict.PASS, [c.reason for c in report.checks]
    assert report.check("snapshots").verdict is Verdict.EXACT


def test_batches_of_the_store_make_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = make_market()
    whole = prove(market, tmp_path).to_dict()
    for rows in (4, 37):
        monkeypatch.setattr(window, "BATCH_ROWS", rows)
        report = verify(open_store(tmp_path / "store"), tmp_path / "golden")
        assert report.to_dict() == whole


# what level_changes and trades find ---------------------------------------------------------


def drop_row(market: Market) -> None:
    market.rows.remove(delta(market))


def one_step(market: Market) -> None:
    delta(market).size += 1


def other_size(market: Market) -> None:
    delta(market).size += 1000


def flip_side(market: Market) -> None:
    row = delta(market)
    row.side = 3 - row.side


def invent_row(market: Market) -> None:
    row = delta(market)
    at = market.rows.index(row)
    market.rows.insert(at, replace(row, price=row.price + 500, flags=0))


def swap_rows(market: Market) -> None:
    rows = next(
        rows
        for i in range(20, 40)
        if len(rows := market.message(market.find(Kind.DELTA, i))) > 2
        and rows[0].side == rows[1].side
    )
    one, other = rows[:2]
    one.price, one.size, other.price, other.size = other.price, other.size, one.price, one.size


def shift_time(market: Market) -> None:
    for row in market.message(market.find(Kind.DELTA, 30)):
        row.ts_event += MS


def shift_receipt(market: Market) -> None:
    for row in market.message(market.find(Kind.DELTA, 30)):
        row.ts_recv += 1


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (drop_row, "missing"),
        (one_step, "rounding"),
        (other_size, "changed"),
        (flip_side, "missing"),
        (invent_row, "extra"),
        (swap_rows, "order"),
        (shift_time, "order"),
        (shift_receipt, "order"),
    ],
)
def test_a_changed_level_is_located(tmp_path: Path, change: Spoil, kind: str) -> None:
    market = make_market()
    rows = {id(row): replace(row) for row in market.rows}
    report = prove(market, tmp_path, change)
    touched = (
        next(row for row in market.rows if id(row) not in rows or rows[id(row)] != row)
        if change is not drop_row
        else next(row for key, row in rows.items() if key not in {id(r) for r in market.rows})
    )
    assert report.verdict is Verdict.FAIL
    check = report.check("level_changes")
    assert check.verdict is Verdict.FAIL
    assert check.first is not None
    assert check.first.id == touched.sequence
    assert check.first.kind == kind
    assert check.first.time_ns // MS == touched.ts_order // MS
    assert check.details["differing_messages"] == check.details["episodes"] == 1
    episode = check.first.episode
    assert episode is not None
    assert episode.first_id == episode.last_id == touched.sequence
    first = report.first_divergence
    assert first is not None
    assert first.to_dict()["class"] in CLASSES
    assert failing(report) >= {"level_changes"}


def test_exact_figures_of_a_dropped_row(tmp_path: Path) -> None:
    report = prove(make_market(), tmp_path, drop_row)
    check = report.check("level_changes")
    assert (check.comparable - check.compared, check.compared - check.equal) == (1, 0)
    assert check.details["missing"] == 1
    assert check.details["extra"] == check.details["different"] == 0
    assert check.first is not None
    assert check.first.expected is not None
    assert check.first.found is None


def test_neighbouring_messages_make_one_episode(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        done = set()
        for row in market.rows:
            if row.kind == Kind.DELTA and MIDNIGHT - 600 * MS <= row.ts_event < MIDNIGHT:
                row.size += 7
                done.add(row.sequence)
        assert len(done) > 3

    report = prove(make_market(), tmp_path, change)
    check = report.check("level_changes")
    assert check.first is not None
    assert check.first.episode is not None
    assert check.details["episodes"] in (1, 2)  # an empty message may lie between
    assert check.first.episode.messages > 2
    assert str(check.first.episode.largest_size_difference).rstrip("0") == "0.00007"


def test_a_missing_message_breaks_the_chain(tmp_path: Path) -> None:
    market = make_market()
    gone = market.message(market.find(Kind.DELTA, 30))
    report = prove(market, tmp_path, lambda m: m.drop(gone))
    assert failing(report) >= {"chain", "level_changes"}
    chain = report.check("chain")
    assert chain.first is not None
    assert chain.first.missing_ids == (gone[0].prev_sequence + 1, gone[0].sequence)
    assert "no GAP mark" in chain.first.detail
    assert chain.details["gaps"][0]["marked"] is False
    assert chain.compared - chain.equal == 1
    first = report.first_divergence
    assert first is not None
    assert first.id == gone[0].sequence
    assert first.check == "level_changes"


def gap(like: Event, **changes: int) -> Event:
    """A mark of a gap with the times of an event."""
    mark = replace(like, kind=int(Kind.MARK), side=0, price=0, size=0)
    return replace(mark, flags=int(Flag.GAP | Flag.LAST), **changes)


def gap_mark(market: Market, gone: list[Event]) -> None:
    at = market.rows.index(gone[-1])
    ids = {"sequence": gone[0].sequence, "prev_sequence": gone[0].prev_sequence}
    mark = gap(gone[-1], ts_order=market.rows[at + 1].ts_order, **ids)
    market.rows.insert(at + 1, mark)
    market.drop(gone)


def test_a_marked_gap_fails_too(tmp_path: Path) -> None:
    market = make_market()
    gone = market.message(market.find(Kind.DELTA, 30))
    report = prove(market, tmp_path, lambda m: gap_mark(m, gone))
    chain = report.check("chain")
    assert chain.first is not None
    assert chain.first.missing_ids == (gone[0].prev_sequence + 1, gone[0].sequence)
    assert "GAP" not in chain.first.detail
    assert chain.details["gaps"][0]["marked"] is True
    assert chain.details["stray_marks"] == 0


def test_a_mark_without_a_gap_fails(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        message = market.message(market.find(Kind.DELTA, 30))
        at = market.rows.index(message[0])
        market.rows.insert(at, gap(message[0], sequence=99, prev_sequence=98))

    report = prove(make_market(), tmp_path, change)
    assert failing(report) == {"chain"}
    assert report.check("chain").details["stray_marks"] == 1


def test_an_overlapping_message_breaks_the_chain(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        for row in market.message(market.find(Kind.DELTA, 30)):
            row.prev_sequence -= 1

    report = prove(make_market(), tmp_path, change)
    chain = report.check("chain")
    assert chain.first is not None
    assert chain.first.kind == "order"
    assert chain.first.missing_ids is None
    assert failing(report) == {"chain", "level_changes"}


def test_the_first_message_must_follow_on_the_snapshot(tmp_path: Path) -> None:
    market = make_market(20)
    gone = market.message(market.find(Kind.DELTA, 0))
    report = prove(market, tmp_path, lambda m: m.drop(gone))
    chain = report.check("chain")
    assert chain.first is not None
    assert chain.first.missing_ids == (gone[0].prev_sequence + 1, gone[0].sequence)


def test_a_feed_without_a_chain_is_not_judged_by_one(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        for row in market.rows:
            if row.kind in (Kind.DELTA, Kind.MARK):
                row.prev_sequence = -1

    assert prove(make_market(), tmp_path, change).check("chain").verdict is Verdict.NOT_APPLICABLE


def trade(market: Market) -> Event:
    return market.rows[market.find(Kind.TRADE, 5)]


def drop_trade(market: Market) -> None:
    market.rows.remove(trade(market))


def repeat_trade(market: Market) -> None:
    market.rows.insert(market.find(Kind.TRADE, 5), replace(trade(market)))


def flip_trade(market: Market) -> None:
    trade(market).side = 3 - trade(market).side


def trade_price(market: Market) -> None:
    trade(market).price += 1


def trade_time(market: Market) -> None:
    trade(market).ts_event -= 1


@pytest.mark.parametrize(
    ("change", "kind", "also"),
    [
        (drop_trade, "missing", set()),
        (repeat_trade, "extra", {"trade_ids"}),
        (flip_trade, "changed", set()),
        (trade_price, "changed", set()),
        (trade_time, "order", set()),
    ],
)
def test_a_changed_trade_is_located(
    tmp_path: Path, change: Spoil, kind: str, also: set[str]
) -> None:
    market = make_market()
    key = trade(market).sequence
    report = prove(market, tmp_path, change)
    check = report.check("trades")
    assert failing(report) == {"trades"} | also
    assert check.first is not None
    assert (check.first.id, check.first.kind) == (key, kind)


def test_the_earliest_of_several_trades_is_the_first(tmp_path: Path) -> None:
    market = make_market()
    key = market.rows[market.find(Kind.TRADE, 2)].sequence

    def change(market: Market) -> None:
        market.rows[market.find(Kind.TRADE, 9)].size += 5  # settled before what is missing
        del market.rows[market.find(Kind.TRADE, 2)]

    first = prove(market, tmp_path, change).check("trades").first
    assert first is not None
    assert first.id == key


def test_a_late_trade_must_be_flagged(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        a, b = (market.rows[market.find(Kind.TRADE, i)] for i in (5, 6))
        a.sequence, b.sequence = b.sequence, a.sequence
        a.prev_sequence, b.prev_sequence = b.prev_sequence, a.prev_sequence

    market = make_market()
    assert "trade_ids" in failing(prove(market, tmp_path / "a", change))
    market.rows[market.find(Kind.TRADE, 6)].flags |= int(Flag.OUT_OF_ORDER)
    market.write_store(tmp_path / "b")
    report = verify(open_store(tmp_path / "b"), tmp_path / "a" / "golden")
    assert report.check("trade_ids").verdict is Verdict.EXACT
    assert report.check("trade_ids").details["late"] == 1


# gate A ---------------------------------------------------------------------------------------


def test_grid_order_and_signs(tmp_path: Path) -> None:
    def negative(market: Market) -> None:
        delta(market).size = -5

    def no_volume(market: Market) -> None:
        trade(market).size = 0

    def unsorted(market: Market) -> None:
        state = market.states[20]
        state.levels[2:4], state.levels[4:6] = state.levels[4:6], state.levels[2:4]

    def priced_mark(market: Market) -> None:
        market.rows[market.find(Kind.MARK)].price = 7

    for number, change in enumerate((negative, no_volume, unsorted, priced_mark)):
        report = prove(make_market(), tmp_path / str(number), change)
        grid = report.check("grid")
        assert grid.verdict is Verdict.FAIL, change
        assert grid.compared - grid.equal == 1
        assert grid.first is not None
        assert grid.first.event_id is not None


@pytest.mark.parametrize("first", ["book", "trade"])
def test_on_a_tie_goes_first_what_the_seal_says(first: str) -> None:
    kinds = [Kind.DELTA, Kind.TRADE, Kind.MARK, Kind.DELTA, Kind.DELTA, Kind.TRADE]
    rows = pl.DataFrame(
        {
            "dt": "d",
            "event_id": range(6),
            "ts_order": [1, 1, 1, 1, 2, 3],
            "sequence": range(6),
            "prev_sequence": -1,
            "ts_event": [0] * 6,
            "kind": [int(kind) for kind in kinds],
            "flags": int(Flag.LAST),
        },
        schema_overrides={"kind": pl.Int8, "flags": pl.Int32},
    )
    swapped = rows.with_columns(
        pl.Series("kind", [int(kind) for kind in (Kind.TRADE, Kind.CLEAR, *kinds[2:])], pl.Int8)
    )
    for frame, wrong in ((rows, first == "trade"), (swapped, first == "book")):
        for cut in (5, 1):
            check = OrderCheck({"d": Order(first_on_tie="trade" if first == "trade" else "book")})
            for part in (frame.head(cut), frame.slice(cut)):
                check.add("d", part)
            assert check.result().equal == 6 - wrong


@pytest.mark.parametrize("kind", [Kind.DELTA, Kind.TRADE])
def test_a_message_stands_at_its_own_time(tmp_path: Path, kind: Kind) -> None:
    def one(market: Market) -> list[Event]:
        """A message that no other one shares its time with."""
        return next(
            market.message(at)
            for at, row in enumerate(market.rows)
            if row.kind == kind and at > 200 and row.flags & Flag.LAST
            if row.ts_order < market.rows[at + 1].ts_order
        )

    def later(market: Market) -> None:
        for row in one(market):
            row.ts_order += 1

    report = prove(make_market(), tmp_path, later)
    assert failing(report) == {"order"}
    check = report.check("order")
    assert check.compared - check.equal == 1
    assert check.first is not None
    assert "own time" in check.first.detail

    def said(market: Market) -> None:
        for row in one(market):
            row.ts_order += 1
            row.flags |= int(Flag.BAD_TS)

    assert failing(prove(make_market(), tmp_path / "said", said)) == set()


def clock(lag_ns: int = 0, by_receipt: tuple[str, ...] = ()) -> OrderCheck:
    return OrderCheck({"d": Order(first_on_tie="trade", lag_ns=lag_ns)}, by_receipt)


def timed(*rows: tuple[Kind, int, int, Flag]) -> pl.DataFrame:
    """Messages of a row each: kind, ``ts_order``, ``ts_event``, flags."""
    kinds, orders, own, flags = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "dt": "d",
            "event_id": range(len(rows)),
            "ts_order": orders,
            "ts_event": own,
            "sequence": range(len(rows)),
            "prev_sequence": range(-1, len(rows) - 1),
            "kind": [int(kind) for kind in kinds],
            "flags": [int(flag | Flag.LAST) for flag in flags],
        }
    )


@pytest.mark.parametrize(
    ("rows", "wrong"),
    [
        # each stream has a clock of its own, which late messages do not set back
        ([(Kind.DELTA, 5, 5), (Kind.TRADE, 7, 7), (Kind.DELTA, 8, 8), (Kind.DELTA, 8, 6)], 0),
        ([(Kind.DELTA, 5, 5), (Kind.TRADE, 7, 7), (Kind.TRADE, 7, 4), (Kind.DELTA, 8, 6)], 1),
        ([(Kind.TRADE, 5, 5), (Kind.DELTA, 7, 7), (Kind.TRADE, 8, 7)], 1),
        # the first of a stream may come later: before it the day is not here
        ([(Kind.DELTA, 5, 2), (Kind.TRADE, 7, 3), (Kind.DELTA, 8, 7)], 1),
        ([(Kind.DELTA, 5, 6)], 1),
        # without a time of its own a message tells nothing
        ([(Kind.DELTA, 5, 5), (Kind.DELTA, 9, 0)], 0),
        # a snapshot takes the clock; a mark may be of either stream
        ([(Kind.DELTA, 5, 5), (Kind.SNAPSHOT, 9, 0), (Kind.DELTA, 9, 8)], 0),
        ([(Kind.TRADE, 5, 5), (Kind.MARK, 9, 0), (Kind.TRADE, 9, 8)], 0),
    ],
)
def test_the_clock_of_each_stream(rows: list[tuple[Kind, int, int]], wrong: int) -> None:
    frame = timed(*((*row, Flag.GAP if row[0] is Kind.MARK else Flag(0)) for row in rows))
    for cut in range(len(rows)):
        check, unjudged = clock(), clock(by_receipt=("d",))
        for part in (frame.head(cut), frame.slice(cut)):
            if part.height:
                check.add("d", part)
                unjudged.add("d", part)
        assert check.result().equal == len(rows) - wrong
        assert unjudged.result().equal == len(rows)


def test_a_book_that_lags_stands_earlier() -> None:
    check = clock(lag_ns=3)
    check.add("d", timed((Kind.DELTA, 7, 10, Flag(0)), (Kind.TRADE, 8, 8, Flag(0))))
    assert check.result().equal == 2


def test_messages_must_be_whole(tmp_path: Path) -> None:
    def unended(market: Market) -> None:
        market.message(market.find(Kind.DELTA, 30))[-1].flags = 0

    report = prove(make_market(), tmp_path, unended)
    order = report.check("order")
    assert order.verdict is Verdict.FAIL
    assert order.first is not None
    assert order.first.kind == "order"


def test_a_crossed_book_must_be_doubtful_and_flagged(tmp_path: Path) -> None:
    def crossed(flags: Flag) -> Spoil:
        def change(market: Market) -> None:
            state = market.states[20]
            state.levels[0] = state.levels[40] + 1
            state.flags |= int(flags)

        return change

    report = prove(make_market(), tmp_path / "a", crossed(Flag(0)))
    assert "uncrossed" in failing(report)
    first = report.check("uncrossed").first
    assert first is not None
    assert first.event_id is not None
    report = prove(make_market(), tmp_path / "b", crossed(Flag.CROSSED))
    assert "uncrossed" in failing(report)
    report = prove(make_market(), tmp_path / "c", crossed(Flag.CROSSED | Flag.DOUBTFUL))
    assert "uncrossed" not in failing(report)
    assert report.check("uncrossed").details["crossed_in_doubt"] == 1


def test_time_in_doubt_is_weighed(tmp_path: Path) -> None:
    market = make_market(unseeded=4)
    report = prove(market, tmp_path)
    share = report.check("untrusted_share")
    assert failing(report) == {"untrusted_share"}
    # four messages, 100 ms apart, before the snapshot at the time of the fourth; 3.9 s in all
    assert share.details["untrusted_ns"] == 300 * MS
    assert share.details["span_ns"] == 3900 * MS
    assert share.comparable == share.compared == share.equal + 4
    again = verify(open_store(tmp_path / "store"), tmp_path / "golden", untrusted_limit=0.1)
    assert again.verdict is Verdict.PASS
    assert again.check("untrusted_share").verdict is Verdict.PASS
    assert again.check("book_ticker_last").compared == 36
    days = open_store(tmp_path / "store").days()
    assert again.coverage["content_hashes"] == dict(days.select("dt", "content_hash").iter_rows())


@pytest.mark.parametrize("limit", [float("nan"), 2, -1, "a", None, True])
def test_a_limit_that_is_no_share_is_refused(tmp_path: Path, limit: Any) -> None:
    prove(make_market(), tmp_path)
    with pytest.raises(UsageError, match=r"untrusted_limit=.* is no share of time") as refused:
        verify(open_store(tmp_path / "store"), tmp_path / "golden", untrusted_limit=limit)
    assert refused.value.hint


def test_findings_put_states_in_doubt(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        wrong = market.states[30]
        wrong.levels[1] += 3  # nobody may rely on it; but the events do not say so
        rows = market.message(market.rows.index(wrong.after))
        market.doubt(rows[0], rows[-1], Finding.DRIFT)

    report = prove(make_market(), tmp_path, change)
    assert failing(report) == {"states", "untrusted_share"}


def test_schema_says_what_is_wrong(tmp_path: Path) -> None:
    market = make_market(start=MIDNIGHT)
    prove(market, tmp_path)
    file = next((tmp_path / "store" / "events").rglob("*.parquet"))
    good = file.read_bytes()
    frame = pl.read_parquet(file)

    def check(frame: pl.DataFrame, *, audit: bool = False) -> Check:
        frame.write_parquet(file)
        report = verify(open_store(tmp_path / "store"), tmp_path / "golden", audit=audit)
        return report.check("schema")

    assert "were sealed" in check(frame.head(-3)).reason
    assert "were sealed" in check(frame.rename({"flags": "flag"})).reason
    wrong = frame.with_columns(pl.col("ts_recv") + 1)
    assert "were sealed" in check(wrong).reason
    assert "not what was sealed" in check(wrong, audit=True).reason
    file.write_bytes(good[: len(good) // 2])
    report = verify(open_store(tmp_path / "store"), tmp_path / "golden")
    assert report.verdict is Verdict.FAIL
    assert "were sealed" in report.check("schema").reason
    assert report.check("chain").verdict is Verdict.NOT_APPLICABLE


# touch, snapshots, partial books --------------------------------------------------------------


def test_a_touch_that_differs_is_listed(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        for state in (s for s in market.states[20:24] if s.after.kind != Kind.SNAPSHOT):
            state.levels[41] += 9  # the best ask's size

    report = prove(make_market(), tmp_path, change)
    assert failing(report) >= {"book_ticker_same_id", "book_ticker_last"}
    last = report.check("book_ticker_last")
    assert last.first is not None
    assert last.first.kind == "changed"
    assert last.first.episode is not None
    assert last.first.episode.messages == last.compared - last.equal
    assert len(last.details["mismatches"]) == last.compared - last.equal
    assert last.details["mismatches"][0]["class"] == "changed"
    same = report.check("book_ticker_same_id")
    assert same.first is not None
    assert same.first.expected is not None


@pytest.mark.parametrize(("step", "kind"), [(1, "extra"), (-1, "missing")])
def test_a_touch_of_another_price(tmp_path: Path, step: int, kind: str) -> None:
    def change(market: Market) -> None:
        for state in market.states[10:30]:
            state.levels[0] += step * 100 if step < 0 else 0
            state.levels[40] -= 1 if step > 0 and state.levels[40] > state.levels[0] + 1 else 0

    report = prove(make_market(), tmp_path, change)
    assert report.check("book_ticker_last").verdict is Verdict.FAIL
    assert kind in report.check("book_ticker_last").details["classes"]


def late_level(market: Market) -> None:
    """A burst: a ticker shows a level that depth leaves out, and the next message names it 0."""
    time = market.rows[-1].ts_order + 100 * MS
    before = market.states[-1].after.sequence
    update = before + 5
    best = market.side(Side.BID)[0][0] + 1
    market.depth(time, before + 1, update, [ask(100_900, 5)])
    market.book[Side.BID][best] = 77
    market.ticker(time, update - 1)
    del market.book[Side.BID][best]
    market.depth(time + 100 * MS, update + 1, update + 1, [bid(best, 0)])
    market.ticker(time + 100 * MS, update + 1)


def test_a_burst_does_not_count(tmp_path: Path) -> None:
    market = make_market(4000, snapshots=0, partials=False)
    late_level(market)
    report = prove(market, tmp_path)
    last = report.check("book_ticker_last")
    assert last.compared - last.equal == 1
    assert last.details["classes"] == {"burst": 1}
    assert last.verdict is Verdict.PASS
    assert report.verdict is Verdict.PASS
    assert last.bound is not None
    assert last.bound < 0.001


def test_few_mismatches_among_few_states_decide_nothing(tmp_path: Path) -> None:
    market = make_market(300, snapshots=0, partials=False)
    golden = market.write_golden(tmp_path / "golden")
    # only a state that no ticker shares its id with
    state = next(s for s in market.states[60:] if s.after.sequence not in _ticker_ids(market))
    state.levels[1] += 1
    report = verify(open_store(market.write_store(tmp_path / "store")), golden)
    last = report.check("book_ticker_last")
    assert last.verdict is Verdict.INCONCLUSIVE
    assert last.first is not None
    assert failing(report) == {"states"}, "the events tell where tickers do not"


def _ticker_ids(market: Market) -> set[int]:
    return {data["u"] for _, stream, data in market.lines if stream.endswith("bookTicker")}


def test_a_touch_beyond_the_range_is_compared_and_does_not_count(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        states = [s for s in market.states if s.after.sequence in _ticker_ids(market)]
        for state, wrong in zip(states[10:12], (0, 5), strict=True):
            state.levels[1] += wrong
            state.flags |= int(Flag.DOUBTFUL)
            state.bid_trusted = 0
            rows = market.message(market.rows.index(state.after))
            market.doubt(rows[0], rows[-1], Finding.TOUCH_BEYOND_RANGE)

    report = prove(make_market(), tmp_path, change, untrusted_limit=0.2)
    same = report.check("book_ticker_same_id")
    assert (same.compared, same.equal, same.details["trusted"]) == (20, 19, 18)
    assert same.details["classes"] == {"beyond_range": 1}
    assert same.verdict is Verdict.PASS
    assert failing(report) == {"states"}


def test_tickers_from_before_a_gap_say_nothing_behind_it(tmp_path: Path) -> None:
    market = make_market(snapshots=0, partials=False)
    time, update = market.rows[-1].ts_order + 60_000 * MS, 9_000
    best = market.side(Side.ASK)[0][0]
    market.book[Side.ASK][best] += 11  # while the recorder was away
    market.snapshot(time, update, anchor=True)
    market.depth(time, update + 1, update + 2, [bid(99_000, 7)])
    market.depth(time + 100 * MS, update + 3, update + 4, [bid(99_001, 7)])
    market.ticker(time + 100 * MS, update + 4)
    report = prove(market, tmp_path)
    assert failing(report) == {"chain"}
    assert report.check("book_ticker_last").compared == 41


def test_a_silent_loss_shows_at_the_next_snapshot(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        stale = [  # far from the touch, and not named again before the snapshot
            row for row in market.rows[: market.find(Kind.SNAPSHOT, -1)] if row.kind == Kind.DELTA
        ]
        for row in stale[:12]:
            row.price += 1000 if row.side == Side.ASK else -1000

    report = prove(make_market(), tmp_path, change)
    check = report.check("snapshots")
    assert check.verdict is Verdict.FAIL
    assert check.details["ghosts"] > 0
    assert check.details["missing"] + check.details["ghosts"] > 0
    assert check.first is not None
    assert check.first.kind in ("extra", "missing", "changed")


def test_a_size_that_differs_shows_at_the_next_snapshot(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        row = market.rows[market.find(Kind.SNAPSHOT, 25)]
        listed = market.lines[0][2]["bids"][25]
        row.size += 100_000
        listed[1] = market.pair(row.price, row.size)[1]

    market = make_market(4, snapshots=3)
    change(market)  # the seed as recorded was wrong about one level
    report = prove(market, tmp_path)
    check = report.check("snapshots")
    assert check.verdict is Verdict.FAIL
    assert check.compared - check.equal == 1
    assert check.details["size_rmse_rel"] > 0
    assert check.details["price_rmse_ticks"] == 0
    assert check.first is not None
    assert check.first.kind == "changed"


@pytest.mark.parametrize(("lies", "verdict"), [((3,), None), ((3, 5), None), ((3, 3), "fail")])
def test_a_snapshot_that_denies_the_chain_counts_only_with_a_second(
    lies: tuple[int, ...], verdict: str | None, tmp_path: Path
) -> None:
    market = make_market(snapshots=0, partials=False)
    told = next(row for row in reversed(market.rows) if row.kind == Kind.DELTA and row.size)
    levels, price, update = market.book[told.side], told.price, market.rows[-1].sequence
    time = market.rows[-1].ts_order
    for lie in lies:
        levels[price] += lie  # what it lists is not what depth messages said
        market.snapshot(time, update)
        levels[price] -= lie
        market.depth(time, update + 1, update + 2, [bid(99_000, 7)])
        update, time = update + 2, time + 100 * MS
    check = prove(market, tmp_path).check("snapshots")
    assert check.details["refuted"] == (0 if verdict else len(lies))
    assert (check.verdict == Verdict.FAIL) == bool(verdict)
    assert check.compared - check.equal == (2 if verdict else 0)


def test_a_seed_that_is_not_the_recorded_one(tmp_path: Path) -> None:
    market = make_market(snapshots=0)

    def change(market: Market) -> None:
        market.rows[market.find(Kind.SNAPSHOT, 4)].size += 1

    report = prove(market, tmp_path, change)
    check = report.check("snapshots")
    assert failing(report) == {"snapshots", "states"}
    assert check.first is not None
    assert check.first.kind == "seed"
    assert check.first.event_id == 5


def test_a_snapshot_that_is_not_stored(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        market.drop(market.message(market.find(Kind.SNAPSHOT, -1)))

    report = prove(make_market(), tmp_path, change)
    assert failing(report) == {"snapshots"}
    assert "not stored" in report.check("snapshots").reason


def test_a_refused_snapshot_is_counted(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        message = market.message(market.find(Kind.SNAPSHOT, -1))
        last = message[-1]
        last.kind, last.side, last.price, last.size = int(Kind.MARK), 0, 0, 0
        last.flags = int(Flag.INVALID | Flag.LAST)
        market.drop(message[:-1])

    report = prove(make_market(), tmp_path, change)
    assert report.check("snapshots").details["listings"]["refused"] == 1
    assert "snapshots" not in failing(report)


def test_partial_depth_is_compared_slot_by_slot(tmp_path: Path) -> None:
    def change(market: Market) -> None:
        state = next(s for s in market.states[10:] if s.after.sequence in _partial_ids(market))
        state.levels[2 * 3 + 1] += 1  # the fourth bid's size

    report = prove(make_market(), tmp_path, change)
    check = report.check("partial_depth")
    assert failing(report) - {"partial_depth"} == {"states"}
    assert check.compared - check.equal == 1
    assert check.details["books_equal"] == check.details["books_compared"] - 1


def _partial_ids(market: Market) -> set[int]:
    return {data["lastUpdateId"] for _, stream, data in market.lines if "@depth5" in stream}


@pytest.mark.parametrize(
    ("stream", "checks"),
    [
        ("bookTicker", ["book_ticker_same_id", "book_ticker_last"]),
        ("trade", ["trades"]),
        ("snapshot", ["snapshots"]),
        ("depth5@100ms", ["partial_depth"]),
    ],
)
def test_a_stream_that_was_not_recorded(tmp_path: Path, stream: str, checks: list[str]) -> None:
    market = make_market()
    market.lines = [line for line in market.lines if not line[1].endswith(f"@{stream}")]
    report = prove(market, tmp_path)
    for name in checks:
        assert report.check(name).verdict is Verdict.NOT_APPLICABLE
        assert report.check(name).reason
    assert report.verdict is Verdict.PASS


def test_a_store_without_states(tmp_path: Path) -> None:
    report = prove(make_market(), tmp_path, lambda market: market.states.clear())
    for name in ("uncrossed", "book_ticker_same_id", "partial_depth"):
        assert report.check(name).verdict is Verdict.NOT_APPLICABLE
    assert report.check("untrusted_share").verdict is Verdict.PASS
    assert report.verdict is Verdict.PASS
    market = make_market()
    market.states.clear()
    market.doubtful_ns = 100 * MS  # of each day
    report = prove(market, tmp_path / "doubt")
    assert failing(report) == {"untrusted_share"}
    assert "by the seals" in report.check("untrusted_share").reason


def test_integrity_alone_is_no_proof(tmp_path: Path) -> None:
    market = make_market()
    market.lines = market.lines[:1]
    report = prove(market, tmp_path)
    assert report.check("level_changes").verdict is Verdict.NOT_APPLICABLE
    assert report.check("snapshots").verdict is Verdict.NOT_APPLICABLE
    assert report.check("order").verdict is Verdict.EXACT
    assert report.verdict is Verdict.INCONCLUSIVE


# overlap --------------------------------------------------------------------------------------


def test_a_sample_of_a_part_of_the_store(tmp_path: Path) -> None:
    market = make_market()
    market.lines = [line for line in market.lines if line[0] > market.lines[50][0]][:40]
    report = prove(market, tmp_path)
    assert report.verdict is Verdict.PASS
    assert report.coverage["store"]["level_changes_outside_the_golden_sample"] > 0
    assert report.coverage["store"]["trades_outside_the_golden_sample"] > 0


@pytest.mark.parametrize("day", ["2024-08-08", "2024-08-09"])
def test_a_store_of_one_of_the_days(tmp_path: Path, day: str) -> None:
    market = make_market()
    golden = market.write_golden(tmp_path / "golden")
    store = market.write_store(tmp_path / "store", days=[day])
    report = verify(open_store(store), golden)
    assert report.verdict is Verdict.PASS, [c.reason for c in report.checks]
    assert report.coverage["days"] == [day]
    assert report.coverage["golden"]["level_changes_outside_the_store"] > 0
    # the book that opens the day is what a later snapshot is compared with
    assert report.check("snapshots").compared > 0


def test_a_hole_at_the_end_of_a_sealed_day_is_missing(tmp_path: Path) -> None:
    market = make_market()
    last = market.message(market.find(Kind.DELTA, -1))
    report = prove(market, tmp_path, lambda m: m.drop(last))
    check = report.check("level_changes")
    assert check.details["missing"] == len(last)


def test_no_overlap_and_other_symbols_are_refused(tmp_path: Path) -> None:
    market = make_market()
    golden = market.write_golden(tmp_path / "golden")
    other = make_market(start=MIDNIGHT + 5 * 3600 * 10**9)
    store = open_store(other.write_store(tmp_path / "later"))
    with pytest.raises(UsageError, match=r"do not overlap.*2024-08-08T23:59:58"):
        verify(store, golden)
    with pytest.raises(UsageError, match=r"BTC-USDT, not of ETH-USDT"):
        verify(store, golden, symbol="ETH-USDT")
    with pytest.raises(UsageError, match=r"range from 2024-08-09.* to 2024-08-08.* is empty"):
        verify(
            open_store(market.write_store(tmp_path / "same")),
            golden,
            start="2024-08-09",
            end="2024-08-08",
        )
    eth = make_market()
    eth.instrument = Instrument("BINANCE", "ETH-USDT", "ETHUSDT", 2, 5, market.instrument.rules)
    with pytest.raises(UsageError, match=r"BTC-USDT, the store holds BINANCE ETH-USDT"):
        verify(open_store(eth.write_store(tmp_path / "eth")), golden)


def test_a_damaged_sample_is_an_error(tmp_path: Path) -> None:
    market = make_market()
    prove(market, tmp_path)
    file = next((tmp_path / "golden" / "journal").iterdir())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(InputError, match="its SHA-256 is"):
        verify(open_store(tmp_path / "store"), tmp_path / "golden")


def test_repeats_and_unreadable_lines_are_counted(tmp_path: Path) -> None:
    market = make_market()
    market.lines.insert(60, next(line for line in market.lines if "depth@" in line[1]))
    market.lines.insert(60, next(line for line in market.lines if line[1].endswith("@trade")))
    golden = market.write_golden(tmp_path / "golden", [b'{"stream":"invalid","reason":"cut"}'])
    report = verify(open_store(market.write_store(tmp_path / "store")), golden)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "1 of the sample's" in report.check("trades").reason
    covered = report.coverage["golden"]
    assert covered["repeated_depth_messages"] == covered["repeated_trades"] == 1
    assert covered["unreadable"] == 1
    assert "cut" in covered["first_unreadable"]


# the report -----------------------------------------------------------------------------------


def test_verdicts_add_up() -> None:
    def report(*verdicts: Verdict) -> Verdict:
        checks = tuple(Check(f"c{i}", verdict) for i, verdict in enumerate(verdicts))
        return VerifyReport("X", "Y", "real", checks, {}).verdict

    none, exact = Verdict.NOT_APPLICABLE, Verdict.EXACT
    assert report() is report(none) is Verdict.INCONCLUSIVE
    assert report(none, exact) is report(Verdict.PASS) is Verdict.PASS
    only_a = VerifyReport("X", "Y", "real", (Check("order", exact), Check("trades", none)), {})
    assert only_a.verdict is Verdict.INCONCLUSIVE
    assert report(exact, Verdict.INCONCLUSIVE) is Verdict.INCONCLUSIVE
    assert report(exact, Verdict.INCONCLUSIVE, Verdict.FAIL) is Verdict.FAIL
    assert not_applicable("trades", "why", n=1).to_dict()["details"] == {"n": 1}


def show(report: VerifyReport, width: int = 140) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(render_report(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_screen_says_nothing_twice_and_fits_into_80_columns(tmp_path: Path) -> None:
    market = make_market()
    golden = market.write_golden(tmp_path / "golden", [b'{"stream":"invalid","reason":"cut"}'])
    report = verify(open_store(market.write_store(tmp_path / "store")), golden)
    large = replace(report.checks[0], comparable=123_456_790, compared=123_456_789)
    wide = replace(report, checks=(replace(large, bound=0.5), *report.checks[1:]))
    other = prove(make_market(), tmp_path / "other", other_size)
    for shown in (wide, other):
        lines = show(shown, width=80).splitlines()
        assert all(len(line.rstrip()) <= 80 for line in lines)
        text = " ".join(" ".join(line.strip("│ ") for line in lines).split())
        for reason in {check.reason[:35] for check in shown.checks if check.reason}:
            assert text.count(reason) == 1, reason  # behind that the lines of two columns mix
    text = " ".join(show(wide, width=80).split())
    assert "123,456,789 of" in text
    assert "journal/2024-08-09T00.jsonl.zst, line " in text
    assert text.count("no folder of Crypto Lake files was named") == 1


def test_the_screen_shows_verdict_checks_and_divergence(tmp_path: Path) -> None:
    text = show(prove(make_market(), tmp_path / "a"))
    assert "PASS" in text
    assert all(name in text for name in (*GATE_A, *GATE_B))
    report = prove(make_market(), tmp_path / "b", other_size)
    text = show(report)
    first = report.first_divergence
    assert first is not None
    assert "FAIL" in text
    assert str(first.id) in text
    assert day_of(first.time_ns) in text
