"""The scores of LOB-Bench: against plain Python, and answers known by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from lobproof.errors import UsageError
from lobproof.fidelity.lob_bench import CONDITIONAL, Summary, lob_bench_divergence, lob_bench_scores
from lobproof.fidelity.lob_bench.distances import (
    Pooled,
    conditional,
    deciles,
    distance,
    freedman_diaconis,
)
from lobproof.fidelity.lob_bench.impact import Responses
from lobproof.fidelity.lob_bench.values import SCORES, volatility
from lobproof.sources.lobster.files import Sequence, pairs_in, read_pair
from plain import lob_bench as plain
from plain.lob_bench import NO_PRICE, SECOND, Book, Row
from support.lobster_files import simulated, write_pair

EMPTY_ASK, EMPTY_BID = [NO_PRICE[2], 0], [NO_PRICE[1], 0]
START = 34_200 * SECOND
ROUNDING = 1e-12


def write_folder(folder: Path, files: list[plain.File]) -> Path:
    for number, (rows, books) in enumerate(files):
        write_pair(folder, rows, books, name=f"34200000_57600000_{{}}_10_real_id_{number}")
    return folder


def sequence(tmp_path: Path, rows: list[Row], books: list[Book]) -> Sequence:
    folder = tmp_path / "sequence"
    write_pair(folder, rows, books, name="0_1_{}_1")
    return read_pair(pairs_in(folder)[0])


@pytest.fixture(scope="module")
def both() -> tuple[list[plain.File], list[plain.File]]:
    """Two folders' worth of files; of the second one book lacks its asks, and one its bids."""
    real = [simulated(seed, 25) for seed in (1, 2)]
    generated = [simulated(seed, 25) for seed in (3, 4, 5)]
    books = generated[0][1]
    books[200] = [n for k in range(10) for n in (*EMPTY_ASK, *books[200][4 * k + 2 : 4 * k + 4])]
    books[300] = [n for k in range(10) for n in (*books[300][4 * k : 4 * k + 2], *EMPTY_BID)]
    return real, generated


def test_scores_are_those_of_plain_python(
    both: tuple[list[plain.File], list[plain.File]], tmp_path: Path
) -> None:
    folders = [write_folder(tmp_path / name, files) for name, files in zip("rg", both, strict=True)]
    found = lob_bench_scores(*folders)
    assert not found.skipped
    values = [[plain.values_of(file) for file in files] for files in both]
    assert list(found.unconditional) == list(SCORES)
    expected = {}
    for name, score in SCORES.items():
        real, generated = ([one for file in folder for one in file[name]] for folder in values)
        one = found.unconditional[name]
        assert (one.real, one.generated) == (
            sum(not math.isnan(v) for v in real),
            sum(not math.isnan(v) for v in generated),
        ), name
        assert one.undefined == len(real) + len(generated) - one.real - one.generated, name
        expected[name] = plain.distance(real, generated, discrete=score.discrete)
        assert min(one.real, one.generated) > 20, name
        assert (one.l1, one.wasserstein) == pytest.approx(expected[name], rel=ROUNDING), name
    assert len(expected) == 21
    assert found.unconditional["spread"].undefined == 2
    assert found.l1.mean == pytest.approx(sum(l1 for l1, _ in expected.values()) / 21)
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_plain_scores_share_no_code() -> None:
    text = Path(str(plain.__file__)).read_text()
    assert not re.search(
        r"^\s*(from|import) (?!__future__|math|statistics|bisect|collections|itertools)", text, re.M
    )


def test_conditional_scores_are_those_of_plain_python(
    both: tuple[list[plain.File], list[plain.File]], tmp_path: Path
) -> None:
    folders = [write_folder(tmp_path / name, files) for name, files in zip("rg", both, strict=True)]
    found = lob_bench_scores(*folders).conditional
    pairs: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in CONDITIONAL}
    for files in both:
        volume: list[tuple[float, float]] = []
        time: list[tuple[float, float]] = []
        moving: list[tuple[float, float]] = []
        for file in files:
            deviation = plain.volatility(file)
            for row, book in zip(*file, strict=True):
                if plain.is_whole(book):
                    spread = book[0] - book[2]
                    volume.append((book[1], spread))
                    time.append((spread, row[0] / SECOND))
                    moving.append((spread, deviation))
        for name, pair in zip(CONDITIONAL, (volume, time, moving), strict=True):
            pairs[name].append(pair)
    for name, (real, generated) in pairs.items():
        conditions = [condition for _, condition in [*real, *generated]]
        if name.endswith("spread"):
            edges = sorted(set(conditions))
        elif name.endswith("time"):
            edges = [86_400 * k / 23 for k in range(24)]
        else:
            edges = plain.decile_edges(conditions)
        expected = plain.given(real, generated, edges, discrete=CONDITIONAL[name].discrete)
        assert (found[name].l1, found[name].wasserstein) == pytest.approx(expected, rel=ROUNDING), (
            name
        )
    assert found["spread | time"].undefined == 2


def test_responses_are_those_of_plain_python(
    both: tuple[list[plain.File], list[plain.File]], tmp_path: Path
) -> None:
    folders = [write_folder(tmp_path / name, files) for name, files in zip("rg", both, strict=True)]
    found = lob_bench_scores(*folders).impact
    ours, theirs = (plain.responses(files) for files in both)
    for number, event in enumerate(plain.EVENTS):
        np.testing.assert_allclose(found.real.ticks[number], ours[event], rtol=1e-9)
        np.testing.assert_allclose(found.generated.ticks[number], theirs[event], rtol=1e-9)
        apart = sum(abs(a - b) for a, b in zip(ours[event], theirs[event], strict=True))
        if math.isnan(apart):
            assert found.differences[event] is None
        else:
            assert found.differences[event] == pytest.approx(apart)
    assert found.differences["LO_0"] is not None


def test_a_folder_is_no_distance_from_itself(
    both: tuple[list[plain.File], list[plain.File]], tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "real", both[0])
    found = lob_bench_scores(folder, folder)
    for one in (*found.unconditional.values(), *found.conditional.values()):
        assert (one.l1, one.wasserstein) == (0.0, 0.0)
    assert {value for value in found.impact.differences.values() if value is not None} == {0.0}


def test_divergence_scores_piece_by_piece(
    both: tuple[list[plain.File], list[plain.File]], tmp_path: Path
) -> None:
    folders = [write_folder(tmp_path / name, files) for name, files in zip("rg", both, strict=True)]
    horizon = 130
    found = lob_bench_divergence(*folders, horizon=horizon)
    longest = max(len(rows) for rows, _ in both[1])
    whole = [plain.values_of(file) for file in both[0]]
    for number, at in enumerate(range(0, longest, horizon)):
        cut = [(rows[at : at + horizon], books[at : at + horizon]) for rows, books in both[1]]
        pieces = [plain.values_of(file) for file in cut]
        for name, score in SCORES.items():
            real = [one for file in whole for one in file[name]]
            generated = [one for file in pieces for one in file[name]]
            one = found[name][number]
            if one.l1 is None:
                assert all(math.isnan(value) for value in generated), name
                continue
            expected = plain.distance(real, generated, discrete=score.discrete)
            assert (one.l1, one.wasserstein) == pytest.approx(expected, rel=1e-9), name
    assert {len(ones) for ones in found.values()} == {-(-longest // horizon)}
    assert found["ofi"][0].l1 is not None
    for odd in (0, longest // 201):
        with pytest.raises(UsageError, match="Hint: give one of at least"):
            lob_bench_divergence(*folders, horizon=odd)


def test_distance_by_hand() -> None:
    real, generated = np.array([0.0, 0, 1]), np.array([1.0, 1, 1])
    found = distance(real, generated, discrete=True)
    # shares 2/3 and 1/3 against 0 and 1; the area between is 2/3, the variance 6 (1/3)(2/3) / 5
    assert found.l1 == pytest.approx(2 / 3)
    assert found.wasserstein == pytest.approx(2 / 3 / math.sqrt(4 / 15))
    # sqrt(2/pi) * sqrt(1/3 * 2/3 * 2/3), for two groups, halved
    assert found.noise == pytest.approx(math.sqrt(2 / math.pi * 4 / 27))
    assert found.groups == 2
    one = distance(np.array([7.0, np.nan]), np.array([7.0]), discrete=False)
    assert (one.l1, one.wasserstein, one.undefined) == (0.0, 0.0, 1)
    none = distance(np.zeros(0), generated, discrete=False)
    assert (none.l1, none.wasserstein, none.generated) == (None, None, 3)


@pytest.mark.parametrize("seed", range(6))
def test_freedman_diaconis_is_that_of_numpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = [
        rng.normal(size=400),
        rng.integers(0, 5, 400) / 10,
        rng.pareto(0.8, 400),
        np.round(rng.normal(size=400), 1),
        np.append(np.zeros(399), 1.0),
        np.full(4, 2.5),
    ][seed]
    pooled = Pooled.of(values[::2], values[1::2])
    edges = np.histogram_bin_edges(values, bins="fd")
    expected = np.searchsorted(edges, pooled.value, side="right") - 1
    np.testing.assert_array_equal(freedman_diaconis(pooled), expected)


def test_a_heavy_tail_makes_no_edges() -> None:
    values = np.append(np.arange(1000.0), 1e15)
    group = freedman_diaconis(Pooled.of(values, values))
    assert group[-1] > 1e12
    assert (np.diff(group) >= 0).all()


def test_a_decile_that_comes_several_times_is_a_group_of_its_own() -> None:
    # deciles of nine times 1 and 2, 3: 1 eight times, and 2
    values = np.array([1.0] * 9 + [2, 3])
    assert deciles(Pooled.of(values, values)).tolist() == [1, 3, 3]
    assert deciles(Pooled.of(np.arange(11.0), np.arange(11.0))).tolist()[:3] == [0, 1, 2]


def test_what_only_one_has_counts_in_l1_alone() -> None:
    ours = np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 0.0])
    theirs = np.array([1.0, 2.0, 9.0]), np.array([0.0, 0.0, 1.0])
    found = conditional(ours, theirs, discrete=True, edges=None, condition_discrete=True)
    # of six, five have the condition 0: (1, 2, 3) against (1, 2); one stands alone
    pooled = math.sqrt(np.var([1, 2, 3, 1, 2], ddof=1))
    assert found.l1 == pytest.approx(5 / 6 / 3 + 1 / 6)
    assert found.wasserstein == pytest.approx(5 / 6 * (1 / 6 + 1 / 3) / pooled)
    assert found.groups == 2


def test_summary() -> None:
    found = Summary.of([None, 0.0, 1.0, 2.0, 3.0, 10.0])
    # quartiles 1 and 3
    assert found == Summary(3.2, 2.0, 2.0, 5)
    assert Summary.of([None]) == Summary(None, None, None, 0)


def test_levels_and_depths_by_hand(tmp_path: Path) -> None:
    books = [[102, 5, 100, 5, 103, 1, 99, 1], [102, 5, 101, 2, 103, 1, 100, 5]]
    books += [[102, 5, 101, 2, 103, 1, 99, 1], [103, 1, 101, 2, *EMPTY_ASK, 99, 1]]
    rows: list[Row] = [
        (START, 3, 1, 9, 104, -1),  # of a level that nobody saw
        (START, 1, 2, 2, 101, 1),  # a new best bid, half a tick below the new mid
        (START + 2_000_000, 3, 3, 5, 100, 1),  # the second bid of the book before
        (START + 3_000_000, 2, 2, 5, 102, -1),
    ]
    folder = tmp_path / "sequence"
    write_pair(folder, rows, books, name="0_1_{}_2")
    of = read_pair(pairs_in(folder)[0])
    expected = {
        "spread": [2, 1, 1, 2],
        "limit_bid_order_levels": [1],
        "limit_ask_order_levels": [],
        "ask_cancellation_levels": [1],
        "bid_cancellation_levels": [2],
        "limit_bid_order_depth": [0.5],
        "ask_cancellation_depth": [3.0],  # 104 from 101; 102 lies at the mid after it
        "bid_cancellation_depth": [1.5],
        "log_inter_arrival_time": [math.log(1e-9), math.log(2), math.log(1)],
        "log_time_to_cancel": [math.log(0.003)],
        "ofi": [],
        "ofi_up": [],
        "vol_per_min": [],
    }
    for name, values in expected.items():
        assert SCORES[name].values(of).tolist() == pytest.approx(values), name


@pytest.mark.parametrize(
    ("trades", "expected"),
    [
        ([(0.95, 4), (1.2, 10), (1.4, 5), (3.5, 7)], [4 / 0.05, 15, 7 / 0.5]),
        ([(0.5, 4), (1.2, 10), (3.05, 7)], [10]),  # both ends are dropped
        ([(0.2, 4), (0.6, 6)], [10 / 0.4]),
        ([(0.2, 4), (0.25, 6)], []),
        ([(0.2, 4)], [4]),
        ([(0.95, 4), (1.05, 6)], [4 / 0.05]),
    ],
)
def test_volume_per_minute(
    trades: list[tuple[float, int]], expected: list[float], tmp_path: Path
) -> None:
    rows: list[Row] = [(START + round(at * 1e6) * 1000, 4, 0, size, 100, 1) for at, size in trades]
    of = sequence(tmp_path, rows, [[102, 5, 100, 5]] * len(rows))
    assert SCORES["vol_per_min"].values(of).tolist() == pytest.approx([60 * v for v in expected])


def test_volatility(both: tuple[list[plain.File], list[plain.File]], tmp_path: Path) -> None:
    for number, file in enumerate(both[1]):
        folder = tmp_path / str(number)
        write_pair(folder, *file)
        of = read_pair(pairs_in(folder)[0])
        np.testing.assert_allclose(volatility(of), plain.volatility(file), rtol=1e-9)
    # mids of 100, 110 and 99 in stretches that follow each other, then 50 after a stretch without
    mids = [90, 100, 110, 99, 50]
    rows: list[Row] = [
        (START + round(at * 1e9), 1, 1, 1, 1, 1) for at in (0.0, 0.09, 0.1, 0.25, 0.45)
    ]
    of = sequence(tmp_path, rows, [[at + 1, 1, at - 1, 1] for at in mids])
    up, down = math.log(1.1), math.log(0.9)
    assert volatility(of).tolist() == pytest.approx([(up - down) / math.sqrt(2)] * 5)


def test_responses_by_hand(tmp_path: Path) -> None:
    rows: list[Row] = [
        (START, 1, 1, 5, 10_000, 1),
        (START + 1_000_000, 4, 2, 1, 10_200, -1),  # bought, in two executions: one event
        (START + 1_000_900, 4, 3, 4, 10_200, -1),
        (START + 2_000_000, 1, 4, 3, 10_100, 1),
        (START + 3_000_000, 3, 4, 3, 10_100, 1),
        (START + 4_000_000, 1, 5, 3, 9_900, 1),  # behind the touch: no event
    ]
    books = [
        [10_200, 5, 10_000, 5],
        [10_200, 4, 10_000, 5],
        [10_300, 9, 10_000, 5],
        [10_300, 9, 10_100, 3],
        [10_300, 9, 10_000, 5],
        [10_300, 9, 10_000, 5],
    ]
    found = Responses.of([sequence(tmp_path, rows, books)])
    # LO_1 (the first), MO_1, LO_1, CA_1; mids 101, 101.5, 102, 101.5
    assert found.events.tolist() == [0, 1, 0, 2, 0, 1]
    lags = {1: 0, 2: 1, 3: 2}
    assert found.ticks[1, lags[1]] == 0.5  # from 101 to 101.5
    assert found.ticks[1, lags[2]] == 1.0
    assert found.ticks[1, lags[3]] == 0.5
    assert found.ticks[3, lags[1]] == 0.5
    assert found.ticks[3, lags[2]] == 0.0
    assert found.ticks[5, lags[1]] == 0.5  # a bid taken away: direction -1, and down by half
    assert np.isnan(found.ticks[0]).all()


def test_shallow_books_lack_the_total_volumes(tmp_path: Path) -> None:
    rows: list[Row] = [(START + k, 1, k, 1, 100, 1) for k in range(3)]
    write_pair(tmp_path / "r", rows, [[102, 5, 100, 5 + k] for k in range(3)], name="0_1_{}_1")
    found = lob_bench_scores(tmp_path / "r", tmp_path / "r")
    assert set(found.skipped) == {"ask_volume", "bid_volume"}
    assert found.l1.scores == len([one for one in found.unconditional.values() if one.real])
    assert found.impact.mean_difference is None
    json.dumps(found.to_dict(), allow_nan=False)
    with pytest.raises(UsageError, match="Hint: give it in 1e-4 dollars"):
        lob_bench_scores(tmp_path / "r", tmp_path / "r", tick=0)
