"""The mutation suite: its declarations hold, its mutations do what they say, a few of them caught.

No seed here is one of the suite itself (`make mutation`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lobproof.fidelity.inference.dependence import MIN_BLOCKS
from lobproof.fidelity.metrics.catalogue import BY_NAME
from lobproof.schema import Flag, Kind
from mutation import control, mutations, windows
from mutation.declared import (
    BLOCK_NS,
    DECLARED,
    EXPECTED,
    GOLDEN,
    MARKET,
    MUTATIONS,
    SEEDS,
    SHOWN,
    WITHIN,
    declared,
)
from mutation.judge import judged
from mutation.runs import Outcome, kept
from mutation.streams import (
    LAST,
    PREVIOUS,
    PRICE,
    SECOND,
    SIDE,
    SIZE,
    TAKEN_AT,
    TAKER,
    TIME,
    TRADE_ID,
    TRADE_PRICE,
    TRADED,
    Stream,
    events_of,
    measured,
    simulated,
)
from mutation.verdicts import exit_code, lines
from support.blocks import same

pytestmark = pytest.mark.compiled

TEN_MINUTES_S = 600
SEED = 700_001
STRONGEST = ("contamination", "scale_up", "random_loss")


@pytest.fixture(scope="module")
def feed() -> Stream:
    return simulated(MARKET, SEED, TEN_MINUTES_S)


def mutated(feed: Stream, name: str) -> Stream:
    mutation = getattr(mutations, name)
    result: Stream = mutation(feed, np.random.default_rng(SEED))
    return result


def test_declared_before_it_was_run() -> None:
    assert declared() == DECLARED
    assert control.declared() == control.DECLARED
    assert windows.declared() == windows.DECLARED
    assert len(SEEDS) >= 200
    assert set(MUTATIONS) == set(EXPECTED)
    assert {name for names in SHOWN.values() for name in names} <= set(BY_NAME)


def test_replay_knows_the_simulated_book(feed: Stream) -> None:
    blocks = measured(feed, BLOCK_NS)
    samples, trusted, states, sure = blocks.tallies.sum(axis=0)[:4].tolist()
    assert (trusted, sure) == (samples, states)
    assert states == len(feed.messages) + 1
    assert len(blocks) == TEN_MINUTES_S * SECOND // BLOCK_NS + 1


def test_cuts_of_batches_do_not_matter(feed: Stream) -> None:
    same(measured(feed, BLOCK_NS), measured(feed, BLOCK_NS, 997))


def test_events_are_in_order_and_whole(feed: Stream) -> None:
    events = events_of(mutated(feed, "frozen_book"))
    assert (np.diff(events.ts_order) >= 0).all()
    book = events.kind != int(Kind.TRADE)
    assert int((events.flags[book] & int(Flag.LAST)).sum()) == len(feed.messages) + 1
    assert (events.kind == int(Kind.MARK)).sum() > 0  # messages of a book that stands still


@pytest.mark.parametrize(("name", "ratio"), [("scale_up", 1.01), ("scale_down", 0.99)])
def test_scale(feed: Stream, name: str, ratio: float) -> None:
    ours = mutated(feed, name)
    for one, other in (
        (ours.trades[:, TRADED], feed.trades[:, TRADED]),
        (ours.depth[:, SIZE], feed.depth[:, SIZE]),
        (ours.book.bids[:, 1], feed.book.bids[:, 1]),
        (ours.book.asks[:, 1], feed.book.asks[:, 1]),
    ):
        assert one.sum() / other.sum() == pytest.approx(ratio, abs=1e-3)
        assert np.abs(one - ratio * other).max() <= feed.instrument.lot
        assert not (one % feed.instrument.lot).any()


def test_wider(feed: Stream) -> None:
    ours, golden = mutated(feed, "wider").trades[:, TRADED], feed.trades[:, TRADED]
    assert ours.std() / golden.std() == pytest.approx(1.01, abs=1e-3)
    assert ours.mean() == pytest.approx(golden.mean(), rel=1e-3)


def test_contamination(feed: Stream) -> None:
    ours = mutated(feed, "contamination")
    changed = ours.trades[:, TRADED] != feed.trades[:, TRADED]
    assert changed.mean() == pytest.approx(0.01, rel=0.2)
    assert (ours.trades[changed, TRADED] == 10 * feed.trades[changed, TRADED]).all()
    levels = ours.depth[:, SIZE] != feed.depth[:, SIZE]
    assert levels.sum() / (feed.depth[:, SIZE] > 0).sum() == pytest.approx(0.01, rel=0.2)


def test_tail_clip(feed: Stream) -> None:
    ours, golden = mutated(feed, "tail_clip").trades[:, TRADED], feed.trades[:, TRADED]
    changed = ours != golden
    assert 0.005 < changed.mean() < 0.0101
    assert len(set(ours[changed].tolist())) == 1
    assert ours.max() == ours[changed][0]


def test_frozen_book(feed: Stream) -> None:
    ours = mutated(feed, "frozen_book")
    said = np.bincount(ours.of, minlength=len(feed.messages))
    second = (feed.messages[:, TIME] - feed.messages[0, TIME]) // SECOND
    silent = np.array([not said[second == k].any() for k in range(int(second[-1]) + 1)])
    assert silent.sum() == round(0.01 * (second[-1] + 1))
    # each level's last word is the same, and no message names one twice
    for stream in (ours, feed):
        named = np.stack([stream.of, stream.depth[:, SIDE], stream.depth[:, PRICE]])
        assert len(np.unique(named, axis=1).T) == named.shape[1]
    assert last_words(ours) == last_words(feed)
    assert (ours.trades == feed.trades).all()


def last_words(stream: Stream) -> dict[tuple[int, int], int]:
    return {(side, price): size for side, price, size in stream.depth.tolist()}


@pytest.mark.parametrize(("name", "share"), [("random_loss", 0.01), ("within_margin", 0.001)])
def test_random_loss(feed: Stream, name: str, share: float) -> None:
    ours = mutated(feed, name)
    assert 1 - len(ours.depth) / len(feed.depth) == pytest.approx(share, rel=0.3)
    assert 1 - len(ours.trades) / len(feed.trades) == pytest.approx(share, rel=0.5)
    assert set(ours.trades[:, TRADE_ID].tolist()) < set(feed.trades[:, TRADE_ID].tolist())
    assert len(ours.messages) == len(feed.messages)


def test_contiguous_loss(feed: Stream) -> None:
    ours = mutated(feed, "contiguous_loss")
    gone = np.flatnonzero(~np.isin(feed.messages[:, LAST], ours.messages[:, LAST]))
    assert (np.diff(gone) == 1).all()
    assert len(gone) / len(feed.messages) == pytest.approx(0.01, abs=1e-3)
    assert (ours.messages[1:, PREVIOUS] == ours.messages[:-1, LAST]).all()
    kept = ~np.isin(feed.of, gone)
    assert (ours.depth == feed.depth[kept]).all()
    assert (ours.messages[ours.of, LAST] == feed.messages[feed.of[kept], LAST]).all()
    assert len(ours.trades) < len(feed.trades)


def test_duplicates(feed: Stream) -> None:
    ours = mutated(feed, "duplicates")
    number, times = np.unique(ours.trades[:, TRADE_ID], return_counts=True)
    assert len(number) == len(feed.trades)
    assert set(times.tolist()) == {1, 2}
    assert (times == 2).mean() == pytest.approx(0.01, rel=0.5)
    again = np.flatnonzero(np.diff(ours.messages[:, LAST]) == 0)
    assert len(again) / len(feed.messages) == pytest.approx(0.01, rel=0.5)
    for at in again.tolist():
        first, second = (ours.depth[ours.of == message] for message in (at, at + 1))
        assert (first == second).all()


def test_side_flips(feed: Stream) -> None:
    ours = mutated(feed, "side_flips")
    flipped = ours.trades[:, TAKER] != feed.trades[:, TAKER]
    assert flipped.mean() == pytest.approx(0.01, rel=0.2)
    assert set(ours.trades[:, TAKER].tolist()) == {1, 2}


def test_tick_offset(feed: Stream) -> None:
    ours = mutated(feed, "tick_offset")
    for one, other in (
        (ours.trades[:, TRADE_PRICE], feed.trades[:, TRADE_PRICE]),
        (ours.depth[:, PRICE], feed.depth[:, PRICE]),
    ):
        assert set((one - other).tolist()) == {0, feed.instrument.tick}
        assert (one != other).mean() == pytest.approx(0.01, rel=0.3)


def test_rounded_times(feed: Stream) -> None:
    off = feed.trades[:, TAKEN_AT] - mutated(feed, "rounded_times").trades[:, TAKEN_AT]
    assert 0 == off.min() < off.max() < 1_000_000
    assert (feed.trades[:, TAKEN_AT] % 1_000_000 > 0).mean() > 0.9


def test_swapped(feed: Stream) -> None:
    ours = mutated(feed, "swapped")
    assert (ours.trades[:, TAKEN_AT] == feed.trades[:, TAKEN_AT]).all()
    assert sorted(ours.trades[:, TRADE_ID].tolist()) == sorted(feed.trades[:, TRADE_ID].tolist())
    moved = ours.trades[:, TRADE_ID] != feed.trades[:, TRADE_ID]
    assert moved.mean() == pytest.approx(0.02, rel=0.3)
    assert (ours.messages[:, TIME] == feed.messages[:, TIME]).all()
    by_id = [
        {(ident, *row) for ident, row in zip(ids, map(tuple, stream.depth.tolist()), strict=True)}
        for stream, ids in ((s, s.messages[s.of, LAST].tolist()) for s in (ours, feed))
    ]
    assert by_id[0] == by_id[1]
    assert (np.diff(ours.of) >= 0).all()


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return judged(SEED, TEN_MINUTES_S, ("identity", *STRONGEST))


def test_strongest_are_caught(outcome: Outcome) -> None:
    same = outcome["same"]
    assert {name: one["gate"] for name, one in same.items() if name != "identity"} == dict.fromkeys(
        STRONGEST, "fail"
    )
    assert [name for name, one in same.items() if one["exact"]] == ["identity"]
    for name, metric, figure in (
        ("contamination", "buy_size", "mean"),
        ("scale_up", "added_size", "mean"),
        ("random_loss", "sell_size", "count"),
    ):
        assert figure in same[name]["metrics"][metric]["fails"]


def test_identical_pass_where_blocks_are_enough(outcome: Outcome) -> None:
    said = outcome["same"]["identity"]["metrics"]
    for one in said.values():
        enough = "pass" if one["blocks"] >= MIN_BLOCKS else "inconclusive"
        assert one["gate"] == (enough if one["blocks"] else "not_applicable")
        if one["blocks"]:
            assert (one["d"], one["ks_p"], one["l1"], one["drift"], one["mde95"]) == (0, 1, 0, 0, 0)
    assert sum(one["gate"] == "pass" for one in said.values()) >= 5


def test_change_of_no_account(outcome: Outcome) -> None:
    said = outcome["control"]
    assert not said["exact"]
    assert "fail" not in {one["gate"] for one in said["metrics"].values()}
    assert said["metrics"]["spread_1"]["d"] == 0
    for metric in ("buy_size", "added_size", "effective_spread", "trade_interval"):
        assert 0 < said["metrics"][metric]["d"] < 0.005


def test_noise_of_l1_is_that_of_independent_values(outcome: Outcome) -> None:
    noise = outcome["noise"]["buy_size"]
    golden = measured(simulated(MARKET, GOLDEN + SEED, TEN_MINUTES_S), BLOCK_NS)
    counts = golden.counts(BY_NAME["buy_size"].number).sum(axis=0)
    n, share = counts.sum(), counts / counts.sum()
    # half the sum of |N(0, 2 p (1 - p) / n)|
    expected = np.sqrt(2 / np.pi * 2 * share * (1 - share) / n).sum() / 2
    assert expected < noise < 1.2 * expected


def test_distances_of_monitors(outcome: Outcome) -> None:
    said = outcome["same"]["scale_up"]["metrics"]["buy_size"]
    golden = measured(simulated(MARKET, GOLDEN + SEED, TEN_MINUTES_S), BLOCK_NS)
    n, total, square = (part.sum() for part in golden.moments(BY_NAME["buy_size"].number))
    mean = total / n
    # all values a hundredth larger: they move by a hundredth of the mean
    assert said["drift"] == pytest.approx(0.01 * mean / np.sqrt(square / n - mean**2), rel=0.2)
    said = outcome["same"]["contamination"]["metrics"]["event_mix"]
    assert 0 <= said["drift"] < 0.1


def test_lines() -> None:
    """Of outcomes made up: what is reached is said so, and what is not."""

    def one(hit: bool) -> Outcome:
        same: dict[str, dict[str, Any]] = {
            name: {
                "exact": name == "identity",
                "gate": "fail" if hit and EXPECTED[name].seen else "pass",
                "series": None,
            }
            for name in EXPECTED
        }
        same[WITHIN] = {"exact": False, "gate": "inconclusive", "series": {"hill_1pc": "pass"}}
        return {
            "same": same,
            "control": {"gate": "fail" if hit else "inconclusive"},
            "windows": {"null": {"gate": "fail" if hit else "pass"}, "power": {"gate": "fail"}},
        }

    found = {line.what: line for line in lines([one(True)] * 19 + [one(False)])}
    assert found["gate C fails `wider`"].share.hits == 19
    assert found["gate C fails `wider`"].reached is True
    assert found["gate C fails `frozen_book`"].reached is None
    assert found["gate C passes identical streams"].reached is True
    null = found["gate D fails another window of the same market"]
    assert (null.share.hits, null.reached) == (19, False)
    assert found["gate C fails a change of no account"].reached is False
    assert exit_code([one(True)] * 19 + [one(False)]) == 1

    found = {line.what: line for line in lines([one(True)] * 18 + [one(False)] * 2)}
    assert found["gate C fails `wider`"].reached is False
    quiet = [one(False)] * 20
    assert {line.what: line.reached for line in lines(quiet)}[null.what] is True
    series = {line.what: line.share for line in lines(quiet)}
    assert series[f"gate C fails `{WITHIN}` by what follows from the series"].trials == 20
    assert series["gate C fails `swapped` by what follows from the series"].trials == 0


def test_outcomes_that_are_kept(tmp_path: Path, outcome: Outcome) -> None:
    """None, or some of other settings, are no basis of a table."""
    with pytest.raises(SystemExit, match="run it first"):
        kept(tmp_path)
    (tmp_path / "0001.json").write_text(json.dumps(outcome))
    assert kept(tmp_path) == [outcome]
    (tmp_path / "0002.json").write_text(json.dumps({**outcome, "settings": "others"}))
    with pytest.raises(SystemExit, match="run anew"):
        kept(tmp_path)
