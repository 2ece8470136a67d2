"""One simulated market told by feeds of other kinds: what is the same is found equal, to the last.

Raw trades against those aggregated by taker order, depth messages of two speeds, and tables of
which nobody says what they hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from lobproof.fidelity.exact import Verdict, unlike, verify, window
from lobproof.fidelity.gates.compared import Compared
from lobproof.fidelity.gates.report import Against
from lobproof.fidelity.gates.settings import Level
from lobproof.fidelity.metrics.common import Common
from lobproof.pipeline import derive_lake, reconstruct_sample
from lobproof.pipeline.likeness import NOT_RANKED
from lobproof.pipeline.prove import prove
from lobproof.pipeline.sampled import measure_sample, trade_times
from lobproof.schema.declared import Declared
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.store import open_store
from lobproof.store.seal import config_of
from support.commands import command
from support.other_kinds import Line, aggregated, lines_of, slower, without, write
from support.reconstructions import reconstruct_lake

pytestmark = pytest.mark.compiled

BY_TOTALS = "totals by time, price and side"
AT_COMMON_IDS = "sizes where both end at one update id"


class Market:
    """Samples of one market, and stores made of them, each made when it is asked for."""

    def __init__(self, folder: Path, lines: list[Line]) -> None:
        self.folder, self.lines = folder, lines

    def golden(self, name: str) -> Path:
        """A golden sample; its name says in which form, joined by dashes."""
        path = self.folder / f"golden-{name}"
        if not path.exists():
            lines = self.lines
            for form in name.split("-"):
                lines = list(FORMS[form](lines))
            import_recordings([write(lines, self.folder / f"{name}.gz")], path)
        return path

    def store(self, name: str) -> Path:
        """The store of a golden sample."""
        path = self.folder / f"store-{name}"
        if not path.exists():
            reconstruct_sample(self.golden(name), path)
        return path

    def lake(self, name: str) -> Path:
        """A store of tables that are derived from a golden sample: nothing is declared."""
        path = self.folder / f"lake-{name}"
        if not path.exists():
            derive_lake(self.golden(name), self.folder / f"tables-{name}")
            reconstruct_lake(self.folder / f"tables-{name}", path)
        return path

    def against(self, store: Path, golden: str, level: Level = Level.STANDARD) -> Against:
        """What is said of a store held against a golden sample."""
        (found,) = prove(store, self.golden(golden), level=level).against
        return found


Form = Callable[[list[Line]], Iterable[Line]]
MIDDLE = 1_767_657_595


def later(lines: list[Line]) -> list[Line]:
    """The lines of the second half."""
    return [line for line in lines if int(line[0]) // 10**9 >= MIDDLE]


FORMS: dict[str, Form] = {
    "raw": lambda lines: lines,
    "together": aggregated,
    "slow": slower,
    "fewer": lambda lines: without(without(lines, "@trade", 0.01), "@aggTrade", 0.01),
    "unnamed": lambda lines: slower(lines, 1, "depth"),
    "later": later,
}


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """A minute and a half across midnight."""
    folder = tmp_path_factory.mktemp("kinds")
    told = command(
        "simulate", "--out", folder / "sim", "--minutes", "1.5", "--start", "2026-01-05T23:59:10Z",
        "--preset", "btc",
    )  # fmt: skip
    assert told.code == 0, told
    return Market(folder, list(lines_of(sorted((folder / "sim").glob("*.gz")))))


def differing(one: Against) -> list[Compared]:
    """Metrics of gate C that are not equal to the last count."""
    assert one.same is not None
    return [
        row
        for row in one.same.compared
        if row.n_ours != row.n_golden
        or any(not math.isnan(figure.upper) and figure.upper > 0 for figure in row.figures)
    ]


def compared(one: Against) -> int:
    """How many metrics of gate C were compared."""
    assert one.same is not None
    return sum(bool(row.figures) for row in one.same.compared)


# --- trades ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "golden"), [("raw", "together"), ("together", "raw")])
def test_raw_and_aggregated_trades_of_one_market_are_equal(
    market: Market, ours: str, golden: str
) -> None:
    one = market.against(market.store(ours), golden, Level.FULL)
    assert one.exact is not None
    assert one.exact.verdict is Verdict.PASS
    check = one.exact.check("trades")
    assert check.verdict is Verdict.EXACT
    assert check.details["compared_by"] == BY_TOTALS
    assert check.details["recorded_trades"] != check.details["stored_trades"]
    assert check.equal == check.comparable > 1_000
    assert differing(one) == []
    assert compared(one) > 40
    (note,) = one.notes
    assert "raw" in note
    assert "aggregated by taker order" in note
    assert one.to_dict()["notes"] == [note]


def test_trades_of_one_kind_are_paired_by_id(market: Market) -> None:
    for name in ("raw", "together"):
        one = market.against(market.store(name), name)
        assert one.exact is not None
        assert one.exact.check("trades").verdict is Verdict.EXACT
        assert "compared_by" not in one.exact.check("trades").details
        assert one.notes == ()
        assert differing(one) == []


@pytest.mark.parametrize(("ours", "golden"), [("fewer", "together"), ("together-fewer", "raw")])
def test_one_percent_of_the_trades_lost_is_found_by_totals(
    market: Market, ours: str, golden: str
) -> None:
    report = verify(open_store(market.store(ours)), market.golden(golden))
    check = report.check("trades")
    assert check.verdict is Verdict.FAIL
    assert 0.005 < 1 - check.equal / check.comparable < 0.02
    assert "aggregated by taker order" in check.reason
    assert report.check("level_changes").verdict is Verdict.EXACT


def test_put_together_as_often_as_aggregates_are(market: Market) -> None:
    """The golden samples alone: the same times, and the same blocks, whichever is put together."""
    raw, together = (GoldenSample.load(market.golden(name)) for name in ("raw", "together"))
    as_one = Common(trades=True)
    assert len(trade_times(raw)) > len(trade_times(together))
    assert np.array_equal(trade_times(raw, as_one), trade_times(together, as_one))
    blocks = [measure_sample(one, common=as_one) for one in (raw, together)]
    assert np.array_equal(blocks[0].sums, blocks[1].sums)
    assert np.array_equal(blocks[0].series, blocks[1].series)
    assert not np.array_equal(blocks[0].sums, measure_sample(raw).sums)


def test_batches_make_no_difference(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the store's rows, nor of totals that are settled early."""
    store = open_store(market.store("fewer"))
    golden = market.golden("together-slow")
    whole = verify(store, golden).to_dict()
    assert {one["name"] for one in whole["checks"] if one["verdict"] == "fail"} == {"trades"}
    monkeypatch.setattr(window, "BATCH_ROWS", 997)
    monkeypatch.setattr(unlike, "_HELD_ROWS", 100)
    monkeypatch.setattr(unlike, "_LATE_NS", 1_000_000_000)
    assert verify(store, golden).to_dict() == whole


# --- what nobody declared -------------------------------------------------------------------------


def test_what_is_equal_one_by_one_needs_no_name(market: Market) -> None:
    one = market.against(market.lake("raw"), "raw")
    assert one.exact is not None
    for name in ("trades", "level_changes"):
        assert one.exact.check(name).verdict is Verdict.EXACT
        assert "compared_by" not in one.exact.check(name).details
    assert one.notes == ()


def test_undeclared_trades_whose_totals_are_equal_are_inconclusive_and_say_why(
    market: Market,
) -> None:
    one = market.against(market.lake("raw"), "together")
    assert one.exact is not None
    check = one.exact.check("trades")
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "ours nobody declared what they are" in check.reason
    assert BY_TOTALS in check.reason
    assert "whose streams are named would tell" in check.reason
    trades = {"buy_size", "sell_size", "trade_interval", "trades_1s"}
    assert not trades & {row.metric.name for row in differing(one)}
    (note,) = one.notes
    assert "nobody declared" in note


def test_undeclared_trades_that_lack_some_fail(market: Market) -> None:
    report = verify(open_store(market.lake("fewer")), market.golden("together"))
    check = report.check("trades")
    assert check.verdict is Verdict.FAIL
    assert check.details["compared_by"] == BY_TOTALS
    assert 0.005 < 1 - check.equal / check.comparable < 0.02


# --- speeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "golden"), [("raw", "slow"), ("slow", "raw")])
def test_depth_messages_of_two_speeds_leave_one_book(
    market: Market, ours: str, golden: str
) -> None:
    one = market.against(market.store(ours), golden)
    assert one.exact is not None
    assert one.exact.verdict is Verdict.PASS
    check = one.exact.check("level_changes")
    assert check.verdict is Verdict.EXACT
    assert check.details["compared_by"] == AT_COMMON_IDS
    assert check.equal == check.comparable > 1_000
    assert check.details["unsettled"] == 0
    unlike = {"message_interval", "messages_1s", "messages_10s", "messages_1s_fano"}
    rows = [row for row in differing(one) if row.metric.name not in unlike]
    assert rows == []
    assert compared(one) > 40
    assert one.same is not None
    left_out = {row.metric.name: row for row in one.same.compared if row.metric.name in unlike}
    assert set(left_out) == unlike
    for row in left_out.values():
        assert row.verdict is Verdict.NOT_APPLICABLE
        assert "100 ms" in row.reason
        assert "1000 ms" in row.reason
    assert "same update id" in one.notes[0]


def test_both_kinds_at_once(market: Market) -> None:
    one = market.against(market.store("together"), "slow")
    assert one.exact is not None
    assert one.exact.verdict is Verdict.PASS
    assert len(one.notes) == 2
    assert differing(one) == []


def test_a_book_that_lacks_changes_is_found_at_another_speed(market: Market) -> None:
    """Sizes one in a thousand of which is another, in the slow feed."""

    def spoilt(lines: list[Line]) -> list[Line]:
        found, count = [], 0
        for stamp, message in slower(lines):
            if "@depth" in message.get("stream", ""):
                data = dict(message["data"])
                for side in ("b", "a"):
                    levels = []
                    for price, size in data[side]:
                        count += 1
                        levels.append([price, "7.00000000" if count % 1_000 == 500 else size])
                    data[side] = levels
                message = {**message, "data": data}
            found.append((stamp, message))
        return found

    FORMS["spoilt"] = spoilt
    check = verify(open_store(market.store("spoilt")), market.golden("raw")).check("level_changes")
    assert check.verdict is Verdict.FAIL
    assert 0.0005 < 1 - check.equal / check.comparable < 0.002
    assert check.first is not None
    assert check.first.kind == "changed"
    assert "1000 ms" in check.reason


def test_another_time_and_another_speed_leaves_out_what_messages_have(
    market: Market, tmp_path: Path
) -> None:
    told = command(
        "simulate", "--out", tmp_path / "sim", "--minutes", "1", "--start",
        "2026-01-07T12:00:00Z", "--preset", "btc",
    )  # fmt: skip
    assert told.code == 0, told
    lines = list(lines_of(sorted((tmp_path / "sim").glob("*.gz"))))
    path = write(aggregated(slower(lines)), tmp_path / "other.gz")
    import_recordings([path], tmp_path / "golden")
    (one,) = prove(market.store("raw"), tmp_path / "golden").against
    assert one.exact is None
    assert one.other is not None
    assert len(one.notes) == 2
    reasons = {metric.name: why for metric, why in one.other.left_out}
    for name in ("message_interval", "added_size", "event_mix"):
        assert "every 100 ms, the sample's every 1000 ms" in reasons[name]
    assert "every 100 ms" not in reasons.get("spread_1", "")
    import_recordings([write(lines, tmp_path / "plain.gz")], tmp_path / "plain")
    plain, other = prove(
        market.store("raw"), [tmp_path / "plain", tmp_path / "golden"], level=Level.LIGHT
    ).against
    assert plain.notes == ()
    assert other.notes == (*one.notes, NOT_RANKED)


def test_update_ids_that_never_meet_decide_nothing(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(lines: list[Line]) -> list[Line]:
        """Each message ends one id later, as if another clock had cut the feed."""
        found = []
        for stamp, message in slower(lines):
            if "@depth" in message.get("stream", ""):
                ids = {name: message["data"][name] + 1 for name in ("U", "u")}
                message = {**message, "data": {**message["data"], **ids}}
            found.append((stamp, message))
        return found

    FORMS["elsewhere"] = elsewhere
    for rows in (unlike._WAITING_ROWS, 1_000):
        monkeypatch.setattr(unlike, "_WAITING_ROWS", rows)
        one = market.against(market.store("elsewhere"), "raw")
        assert one.exact is not None
        check = one.exact.check("level_changes")
        assert check.verdict is Verdict.INCONCLUSIVE
        assert "a golden sample of the same speed would tell" in check.reason
        assert one.same is not None
        assert one.same.verdict is Verdict.INCONCLUSIVE
        assert {row.verdict for row in one.same.compared} == {Verdict.INCONCLUSIVE}
        assert "too few to compare books at" in one.same.compared[0].reason
        assert one.exact.check("trades").verdict is Verdict.EXACT


# --- what is declared, and where ------------------------------------------------------------------


def declared(store: Path) -> set[Declared]:
    days = open_store(store).days()
    return {config_of(row).declared for row in days.iter_rows(named=True)}


def test_seals_keep_what_the_streams_are(market: Market) -> None:
    assert declared(market.store("raw")) == {Declared("trade", 100)}
    assert declared(market.store("together")) == {Declared("aggTrade", 100)}
    assert declared(market.store("slow")) == {Declared("trade", 1000)}
    assert declared(market.lake("raw")) == {Declared()}


def test_a_name_that_the_messages_belie_declares_nothing(market: Market) -> None:
    """What has no stream's name is called as the slow one is."""
    sample = GoldenSample.load(market.golden("unnamed"))
    assert "simusdt@depth" in sample.document["streams"]
    assert sample.declared == Declared("trade", None)


# --- windows --------------------------------------------------------------------------------------


def test_windows_that_overlap_in_part_say_what_was_left_out(market: Market) -> None:
    one = market.against(market.store("raw"), "later")
    assert one.same is not None
    common = one.same.window
    assert common.alone[0] > 0 == common.alone[1]
    assert 0 < len(common) < 9
    assert f"{common.alone[0]} that only ours has" in one.same.blocks_left_out
    told = command("fidelity", market.store("raw"), "--against", market.golden("later"))
    assert f"{len(common)} whole blocks" in told.out
    assert "only ours has" in " ".join(told.out.split())
    sizes = next(row for row in one.same.compared if row.metric.name == "buy_size")
    assert sizes.n_ours == sizes.n_golden > 0
    assert sizes.verdict is Verdict.INCONCLUSIVE
    assert "40 are needed" in sizes.reason


def test_the_command_says_in_which_form_it_compared(market: Market) -> None:
    told = command("fidelity", market.store("raw"), "--against", market.golden("together"))
    assert told.code == 2, told
    said = " ".join(told.out.split())
    assert "ours raw, the sample's aggregated by taker order" in said
    assert max(map(len, told.out.splitlines())) <= 80
