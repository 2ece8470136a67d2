"""Two folders of LOBSTER files: which gate they go through, what it finds, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lobproof.errors import UsageError
from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.gates.other_window import OtherWindow, compare_sequences
from lobproof.fidelity.gates.same_window import SameWindow
from lobproof.fidelity.gates.settings import STANDARD
from lobproof.fidelity.lob_bench import lob_bench_scores
from lobproof.fidelity.lobster.compare import compare_folders
from lobproof.fidelity.lobster.report import LobsterReport
from lobproof.fidelity.metrics.blocks import SHORT_BLOCK_NS, Scale
from lobproof.fidelity.metrics.lobster import sequence_counts
from lobproof.pipeline.prove_lobster import prove_lobster
from lobproof.sources.lobster.files import Sequence, read_folder
from lobproof.sources.simulator import MarketConfig
from support.commands import command, refused
from support.lobster_files import BUSY, Market, sequence_of, write_pair

SEQUENCES, SECONDS = 44, 5.0
SEED, OTHER_SEED = 5, 6
"""Declared before anything was looked at, and never moved."""
TAKEN = dataclasses.replace(BUSY, take_share=0.03)
"""Takers come two and a half times as often."""
SCALE = Scale("0.01", "1", SHORT_BLOCK_NS)

pytestmark = pytest.mark.compiled


def name_of(number: int, follower: str = "") -> str:
    return f"34200000_57600000_message_10_real_id_{number}{follower}"


def beginnings(
    seed: int, many: int = SEQUENCES, seconds: float = SECONDS, law: MarketConfig = BUSY
) -> tuple[list[Sequence], list[Sequence]]:
    """Sequences of a market, and others, by a law, that go on from where each of them begins."""
    market = Market(seed)
    real, generated = [], []
    for number in range(many):
        other = market.branch(1_000 * seed + number, law)
        rows, books = other.run(seconds)
        generated.append(sequence_of(rows, books, name=name_of(number, "_gen_id_0")))
        real.append(sequence_of(*market.run(seconds), name=name_of(number)))
        market.skip(seconds)
    return real, generated


def written(folder: Path, sequences: list[Sequence]) -> Path:
    for one in sequences:
        columns = (one.time, one.kind, one.order_id, one.size, one.price, one.direction)
        rows = list(zip(*(column.tolist() for column in columns), strict=True))
        name = one.pair.messages.name.removeprefix("AAPL_2012-06-21_").removesuffix(".csv")
        name = name.replace("message_10", f"{{}}_{one.levels}")
        write_pair(folder, rows, one.book.tolist(), name=name)
    return folder


def unnamed(sequences: list[Sequence]) -> list[Sequence]:
    def renamed(one: Sequence, number: int) -> Sequence:
        path = Path(f"AAPL_2012-06-21_{number}_0_message_10.csv")
        return dataclasses.replace(one, pair=one.pair._replace(messages=path, books=path))

    return [renamed(one, number) for number, one in enumerate(sequences)]


def without_trades(one: Sequence) -> Sequence:
    kind = np.where(one.kind == 4, 3, one.kind).astype(np.int8)
    return dataclasses.replace(one, kind=kind)


def judged(real: list[Sequence], generated: list[Sequence]) -> OtherWindow:
    gate = compare_folders(real, generated, SCALE, STANDARD).gate
    assert isinstance(gate, OtherWindow)
    return gate


@pytest.fixture(scope="module")
def pairs() -> tuple[list[Sequence], list[Sequence]]:
    return beginnings(SEED)


@pytest.fixture(scope="module")
def folders(
    pairs: tuple[list[Sequence], list[Sequence]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("lobster")
    return written(root / "real", pairs[0]), written(root / "generated", pairs[1])


@pytest.fixture(scope="module")
def report(folders: tuple[Path, Path]) -> LobsterReport:
    return prove_lobster(*folders)


# --- which gate, and what it finds ----------------------------------------------------------------


def test_sequences_of_one_law_pass_within_their_beginnings(report: LobsterReport) -> None:
    gate = report.compared.gate
    assert isinstance(gate, OtherWindow)
    assert (gate.strata, gate.blocks) == (SEQUENCES, (SEQUENCES, SEQUENCES))
    assert report.verdict is Verdict.PASS, gate.to_dict()
    assert gate.result is not None
    assert len(gate.metrics) + len(gate.left_out) == 42
    assert len(gate.plain) == len(gate.metrics) == len(gate.result.d95)
    assert all(why for _, why in gate.left_out)
    # what the plain test takes for independent is not
    assert sum(one is not None and not one.ks_pass for one in gate.plain) > 5
    assert not report.notes
    assert "PASS" in repr(report)


def test_one_other_parameter_fails() -> None:
    gate = judged(*beginnings(OTHER_SEED, law=TAKEN))
    assert gate.verdict is Verdict.FAIL
    assert gate.result is not None
    apart = zip(gate.metrics, gate.result.p_adjusted, strict=True)
    assert {"trade_interval", "event_mix"} <= {one.name for one, p in apart if p <= 0.05}


def test_a_generator_without_trades_fails(pairs: tuple[list[Sequence], list[Sequence]]) -> None:
    gate = judged(pairs[0], [without_trades(one) for one in pairs[1]])
    assert gate.verdict is Verdict.FAIL
    assert gate.result is not None
    by_name = dict(zip((one.name for one in gate.metrics), gate.result.d, strict=True))
    assert by_name["buy_size"] == by_name["trade_interval"] == 1.0
    at = next(k for k, one in enumerate(gate.metrics) if one.name == "buy_size")
    assert gate.plain[at] is None
    # where neither has any, none is compared
    neither = [[without_trades(one) for one in side] for side in pairs]
    gate = judged(*neither)
    assert ("trade_interval", "neither side has a value") in [
        (one.name, why) for one, why in gate.left_out
    ]


def test_real_sequences_without_a_follower_are_left_out(
    pairs: tuple[list[Sequence], list[Sequence]],
) -> None:
    real, generated = pairs
    twice = [
        dataclasses.replace(
            one, pair=one.pair._replace(messages=Path(name_of(number, "_gen_id_1")))
        )
        for number, one in enumerate(generated[:3])
    ]
    gate = judged(real, [*generated[:-4], *twice])
    assert (gate.strata, gate.blocks) == (SEQUENCES - 4, (SEQUENCES - 1, SEQUENCES - 4))
    counts = sequence_counts(real, SCALE), sequence_counts(generated[:-4], SCALE)
    alone = compare_sequences(counts[1], counts[0].taken(range(SEQUENCES - 4)))
    assert alone == compare_sequences(counts[1], counts[0])


def test_few_sequences_may_fail_and_never_pass(
    pairs: tuple[list[Sequence], list[Sequence]],
) -> None:
    real, generated = (side[:20] for side in pairs)
    gate = judged(real, generated)
    assert gate.verdict is Verdict.INCONCLUSIVE
    assert "20 beginnings, 40 are needed" in gate.reason
    assert judged(real, [without_trades(one) for one in generated]).verdict is Verdict.FAIL
    gate = judged(real[:3], generated[:3])
    assert gate.verdict is Verdict.INCONCLUSIVE
    assert "p stays above 5 %" in gate.reason


def test_sequences_that_do_not_say_how_they_begin_need_many(
    pairs: tuple[list[Sequence], list[Sequence]],
) -> None:
    gate = judged(*(unnamed(side) for side in pairs))
    assert gate.strata == 0
    why = "fewer than 40 groups of sequences of 20 times its memory"
    assert "bid_depth_10" in [one.name for one, reason in gate.left_out if reason == why]
    assert gate.sequences >= 1
    few = judged(*(unnamed(side[:10]) for side in pairs))
    assert few.verdict is Verdict.INCONCLUSIVE
    assert "sequences of the real market would do" in few.reason


def test_sequences_of_another_length_are_not_compared(
    pairs: tuple[list[Sequence], list[Sequence]],
) -> None:
    real, generated = pairs
    gate = judged(real, [one.piece(0, len(one) // 4) for one in generated])
    assert gate.verdict is Verdict.INCONCLUSIVE
    assert "cut both to one length" in gate.reason
    # as many messages in less time are a generator's fault, and no other kind of sequence
    hasty = [dataclasses.replace(one, time=one.time // 4) for one in generated]
    assert judged(real, hasty).verdict is Verdict.FAIL


def test_one_market_written_twice_goes_through_gate_c(tmp_path: Path) -> None:
    day = Market(SEED).run(400)
    write_pair(tmp_path / "real", *day)
    write_pair(tmp_path / "again", *day, name="{}_10")
    report = prove_lobster(tmp_path / "real", tmp_path / "again")
    gate = report.compared.gate
    assert isinstance(gate, SameWindow)
    assert report.compared.shared == 1.0
    assert "paired" in report.compared.why
    figures = [figure for one in gate.compared for figure in one.figures]
    assert {one.upper for one in figures if not np.isnan(one.upper)} == {0.0}
    assert "cannot judge a generator" in report.limits[0]
    document = report.to_dict()
    assert (document["gate"], document["other_window"]) == ("C", None)
    json.dumps(document, allow_nan=False)


def test_stretches_change_places_by_blocks_and_do_not_mix_with_sequences(
    pairs: tuple[list[Sequence], list[Sequence]],
) -> None:
    real, other = (
        [sequence_of(*Market(seed, config).run(420), name="0_1_message_10")]
        for seed, config in ((SEED, BUSY), (OTHER_SEED, TAKEN))
    )
    gate = judged(real, other)
    assert gate.block_ns >= SHORT_BLOCK_NS
    assert gate.verdict is Verdict.FAIL
    mixed = judged(real, pairs[1])
    assert mixed.verdict is Verdict.INCONCLUSIVE
    assert mixed.reason.startswith(
        "real files are stretches of time, generated ones sequences: cut"
    )
    assert judged(pairs[0], real).reason.startswith("generated files are stretches of time")


def test_scores_are_those_of_the_folders(report: LobsterReport, folders: tuple[Path, Path]) -> None:
    assert report.scores.to_dict() == lob_bench_scores(*folders).to_dict()


# --- folders that fit badly -----------------------------------------------------------------------


def test_deeper_books_are_cut_to_the_others_levels(
    pairs: tuple[list[Sequence], list[Sequence]], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    shallow = written(tmp_path / "shallow", [one.shallower(3) for one in pairs[1]])
    report = prove_lobster(folders[0], shallow)
    assert report.levels == 3
    assert report.notes[0] == "One folder has 10 levels, the other 3: 3 of both are compared."
    both = [[one.shallower(3) for one in side] for side in pairs]
    assert report.compared.gate == judged(*both)
    assert set(report.scores.skipped) == {"ask_volume", "bid_volume"}
    cut = written(tmp_path / "real", both[0])
    assert report.scores.to_dict() == lob_bench_scores(cut, shallow).to_dict()


def test_what_is_odd_is_noted(
    pairs: tuple[list[Sequence], list[Sequence]], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    hours = 6 * 3_600 * 10**9
    odd = [dataclasses.replace(without_trades(one), time=one.time + hours) for one in pairs[1]]
    report = prove_lobster(folders[0], written(tmp_path / "odd", odd), tick="0.02")
    assert report.verdict is Verdict.FAIL
    notes = " ".join(report.notes)
    assert "The generated files have no trades" in notes
    assert "no multiple of the tick 0.02" in notes
    assert "other hours of the day" in notes


def _nothing(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _no_book(folder: Path) -> None:
    next(folder.glob("*orderbook*")).unlink()


def _damaged(folder: Path) -> None:
    path = min(folder.glob("*message*"))
    lines = path.read_text().splitlines()
    lines[4] = lines[4].replace(",", ";", 1)
    path.write_text("\n".join(lines))


def _other_ticker(folder: Path) -> None:
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("AAPL", "MSFT")))


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_nothing, "no file named .*message.*csv"),
        (_no_book, "there is no .*orderbook.* beside it"),
        (_damaged, "row 5: time .* is no decimal number"),
        (_other_ticker, "holds files of AAPL, .* of MSFT"),
        (shutil.rmtree, "is no folder"),
    ],
)
def test_folders_that_cannot_be_compared(
    harm: Callable[[Path], None], told: str, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders[1], tmp_path / "harmed")
    harm(tmp_path / "harmed")
    refused(told, "fidelity", "--lobster-dir", folders[0], tmp_path / "harmed")


@pytest.mark.parametrize("tick", ["0", "-0.01", "0.00001", "cent", ""])
def test_a_tick_is_positive_and_has_four_decimals(tick: str, folders: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="is no tick"):
        prove_lobster(*folders, tick=tick)


def test_options_that_do_not_go_together(folders: tuple[Path, Path], tmp_path: Path) -> None:
    real, generated = folders
    lobster = ("--lobster-dir", real, generated)
    alone = "--lobster-dir goes without a store, --against, --level and --out"
    refused(alone, "fidelity", tmp_path, *lobster)
    refused(alone, "fidelity", "--against", tmp_path, *lobster)
    refused(alone, "fidelity", "--level", "light", *lobster)
    refused("a store and a golden sample are needed", "fidelity")
    refused("a store and a golden sample are needed", "fidelity", tmp_path)
    refused("a store and a golden sample are needed", "fidelity", "--against", tmp_path)
    refused(alone, "fidelity", "--out", "f.html", *lobster)
    both = (tmp_path, "--against", tmp_path)
    refused("--tick goes with --lobster-dir", "fidelity", *both, "--tick", "0.01")
    refused("is given twice", "fidelity", "--lobster-dir", real, real.parent / "." / real.name)


# --- the command ----------------------------------------------------------------------------------


def test_the_command(folders: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "report.md"
    told = command("fidelity", "--lobster-dir", *folders, "--markdown", page)
    assert told.code == 0, told
    assert told.out.startswith("PASS")
    assert max(map(len, told.out.splitlines())) <= 80
    for words in (
        "plain K-S: p > 0.05 in",
        "limit_bid_order_levels",
        "interquartile mean",
        "ask_volume | spread",
        "MO_1",
        STANDARD.hash,
        "What this cannot say",
    ):
        assert words in told.out, words
    assert str(page) in told.err
    text = page.read_text()
    assert text.startswith("PASS")
    assert "## What this cannot say" in text
    assert "| ask\\_volume \\| spread | 0." in text
    document = command("fidelity", "--lobster-dir", *folders, "--json").document
    assert document["verdict"] == "pass"
    assert document["settings_hash"] == STANDARD.hash
    assert len(document["lob_bench"]["unconditional"]) == 21
    assert document["real"]["files"] == SEQUENCES


def test_exit_codes(
    pairs: tuple[list[Sequence], list[Sequence]], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    quiet = written(tmp_path / "quiet", [without_trades(one) for one in pairs[1]])
    assert command("fidelity", "--lobster-dir", folders[0], quiet).code == 1
    few = written(tmp_path / "few", pairs[1][:10])
    told = command("fidelity", "--lobster-dir", folders[0], few)
    assert told.code == 2
    assert told.out.startswith("INCONCLUSIVE")
    assert max(map(len, told.out.splitlines())) <= 80


def test_files_come_back_in_the_order_of_their_time(
    pairs: tuple[list[Sequence], list[Sequence]], tmp_path: Path
) -> None:
    folder = written(tmp_path / "back", list(reversed(pairs[0][:12])))
    told: list[tuple[int, int]] = []
    found = read_folder(folder, lambda done, total: told.append((done, total)))
    assert [one.time[0] for one in found] == [one.time[0] for one in pairs[0][:12]]
    assert told == [(k, 12) for k in range(1, 13)]


# --- error rates ----------------------------------------------------------------------------------

PAIRS, MOST_FALSE_ALARMS = 100, 12
"""At 5 % more than 12 of 100 come about once in a thousand times."""
OTHERS, LEAST_FOUND = 20, 19
"""Of 80 sequences each; with 40, and other seeds, 17 of 20 were found."""


@pytest.mark.slow
def test_sequences_of_one_law_fail_in_five_of_a_hundred() -> None:
    alarms = 0
    for seed in range(1_000, 1_000 + PAIRS):
        gate = judged(*beginnings(seed, many=40, seconds=4.0))
        assert gate.verdict is not Verdict.INCONCLUSIVE
        alarms += gate.verdict is Verdict.FAIL
    assert alarms <= MOST_FALSE_ALARMS


@pytest.mark.slow
def test_sequences_of_another_law_are_found() -> None:
    found = 0
    for seed in range(3_000, 3_000 + OTHERS):
        gate = judged(*beginnings(seed, many=80, seconds=4.0, law=TAKEN))
        found += gate.verdict is Verdict.FAIL
    print(f"{found} of {OTHERS} were found")
    assert found >= LEAST_FOUND
