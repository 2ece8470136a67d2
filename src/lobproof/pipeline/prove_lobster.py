"""``prove_lobster``: are generated LOBSTER files like real ones? Gate C or D, and LOB-Bench."""

from __future__ import annotations

from pathlib import Path

from lobproof.errors import GridError, UsageError, need_extra
from lobproof.fidelity.gates.settings import STANDARD, Settings
from lobproof.fidelity.lob_bench import sequence_scores
from lobproof.fidelity.lobster.compare import compare_folders
from lobproof.fidelity.lobster.report import Folder, LobsterReport
from lobproof.fidelity.metrics.blocks import Scale, block_ns_of
from lobproof.fixedpoint import decimal_to_count
from lobproof.progress import Progress
from lobproof.sources.lobster.files import PRICE_EXPONENT, Sequence, read_folder

TICK, LOT = "0.01", "1"
"""Of a share, in dollars and in shares."""


def prove_lobster(
    real: Path,
    generated: Path,
    *,
    tick: str = TICK,
    settings: Settings = STANDARD,
    progress: Progress | None = None,
) -> LobsterReport:
    """Hold a folder of generated LOBSTER files against one of real ones.

    Both are held in memory: a message takes about 34 bytes, and 32 for each level of its book.

    Parameters
    ----------
    real, generated
        Folders of pairs of message and order book files, of one ticker.
    tick
        Least difference of two prices, in dollars, with at most four decimals.
    settings
        Margins, error rates and seeds; their hash stands in the report.
    progress
        Called with the folder that is read, how many of its files are, and of how many.

    Raises
    ------
    InputError
        For a damaged file, with its row, and a folder without a pair of files.
    UsageError
        For one folder given twice, several tickers, and a tick that is none.
    ExtraError
        If the packages of the extra ``fidelity`` are not installed.
    """
    need_extra("fidelity")
    if real.resolve() == generated.resolve():
        raise UsageError(
            f"{real} is given twice",
            hint="name the folder of real files first, then that of generated ones",
        )
    counts = _tick(tick)
    sides: list[list[Sequence]] = []
    for folder in (real, generated):

        def advance(done: int, total: int, folder: Path = folder) -> None:
            if progress is not None:
                progress(str(folder), done, total)

        sides.append(read_folder(folder, advance))
    tickers = [side[0].pair.ticker for side in sides]
    if tickers[0] != tickers[1]:
        raise UsageError(
            f"{real} holds files of {tickers[0]}, {generated} of {tickers[1]}",
            hint="compare files of one ticker; generated files bear that of what they imitate",
        )
    folders = [
        Folder.of(path, side, counts) for path, side in zip((real, generated), sides, strict=True)
    ]
    levels = min(one.levels for one in folders)
    ours, theirs = ([one.shallower(levels) for one in side] for side in sides)
    scale = Scale(tick, LOT, block_ns_of(int(folders[0].span_s * 1e9)))
    return LobsterReport(
        folders[0],
        folders[1],
        scale,
        levels,
        compare_folders(ours, theirs, scale, settings),
        sequence_scores(ours, theirs, tick=counts),
        settings,
    )


def _tick(text: str) -> int:
    """A tick in 1e-4 dollars."""
    try:
        counts = decimal_to_count(text, PRICE_EXPONENT)
    except GridError:
        counts = 0
    if counts < 1:
        raise UsageError(
            f"{text!r} is no tick",
            hint="give it in dollars, with at most four decimals: 0.01 is a cent",
        )
    return counts
