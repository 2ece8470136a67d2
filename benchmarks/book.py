"""The book's kernels beside other projects' books, run by run in turns, on the same rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import process_time

import numpy as np
from benchmarks import bench_book
from benchmarks.data import Rows, Sample, Stream, stream_of
from benchmarks.peers import PeerError, Peers, peers
from benchmarks.report import Budget, Section, Spread, clocked

from lobproof.book import WINDOW_TICKS
from lobproof.book.kernels import apply_rows, ensure_far_capacity, new_book
from lobproof.schema import LEVELS, Int64
from lobproof.sources.golden import GoldenSample

BATCH_ROWS = 1 << 16
CHECKED_ROWS = 1_000_000
OURS = "lobproof, best bid and ask with their sizes each row"
VECTOR = "hftbacktest ROIVector"


@dataclass(slots=True)
class Peer:
    """A peer in the table: its rows in this run and what came of it."""

    name: str
    words: str
    rows: int
    version: str = ""
    seconds: list[tuple[float, float]] = field(default_factory=list)
    agreement: str = ""
    error: str = ""


def contenders(rows: int) -> list[Peer]:
    """The peers; those that take seconds for a million rows get fewer."""
    few = min(rows, 1_000_000)
    return [
        Peer(VECTOR, "hftbacktest, numba feed loop, `ROIVectorMarketDepth`, prices each row", rows),
        Peer("hftbacktest HashMap", "the same, `HashMapMarketDepth`", rows),
        Peer("nautilus no read", "nautilus_trader, `OrderBook.apply_delta`, never read", few),
        Peer("nautilus", "the same, best prices each row", few),
        Peer(
            "sortedcontainers no read", "sortedcontainers, a `SortedDict` a side, never read", few
        ),
        Peer("sortedcontainers", "the same, best levels each row", few),
    ]


class Kernel:
    """Our kernel over all rows, in batches as replay has them."""

    def __init__(self, stream: Stream) -> None:
        self.rows = stream.rows()
        self.tick = stream.tick
        self.touch = [np.ones(len(self.rows), np.int64) for _ in range(4)]
        self.batches = [
            slice(start, min(start + BATCH_ROWS, len(self.rows)))
            for start in range(0, len(self.rows), BATCH_ROWS)
        ]

    def seconds(self) -> tuple[float, float]:
        """One pass over all rows, from an empty book: on the clock and of the processor."""
        self._book = new_book(WINDOW_TICKS, self.tick)
        return clocked(self._run)

    def _run(self) -> None:
        book, rows = self._book, self.rows
        for part in self.batches:
            book = ensure_far_capacity(book, part.stop - part.start)
            out = [column[part] for column in self.touch]
            apply_rows(book, rows.side[part], rows.price[part], rows.size[part], *out)


def tops(rows: Rows, tick: int, repeats: int) -> Spread:
    """Nanoseconds for the best twenty of both sides at a message end: with less without."""
    stream = bench_book.Stream(rows.side, rows.price, rows.size, rows.last)
    row = np.empty(4 * LEVELS, np.int64)
    messages = int(np.count_nonzero(rows.last))

    def run(wanted: bool) -> float:
        book = ensure_far_capacity(new_book(WINDOW_TICKS, tick), 1 << 20)
        start = process_time()  # a small difference of long runs: not what others do meanwhile
        bench_book.replay(book, stream, row, wanted)
        return process_time() - start

    run(True)
    pairs = [(run(True), run(False)) for _ in range(repeats)]
    return Spread(tuple((with_tops - plain) / messages * 1e9 for with_tops, plain in pairs))


def measure(
    section: Section,
    sample: Sample,
    golden: GoldenSample,
    python: Path | None,
    scratch: Path,
    rows: int,
    repeats: int,
) -> None:
    """Measure, check every peer against ours, and put both into the section."""
    stream = stream_of(golden, rows)
    kernel = Kernel(stream)
    kernel.seconds()
    ours: list[tuple[float, float]] = []
    entered = contenders(len(kernel.rows))
    python_of_peers = ""
    if python is None:
        for _ in range(repeats):
            ours.append(kernel.seconds())
    else:
        file = scratch / "rows.npz"
        stream.save(file)
        with peers(python, file) as process:
            python_of_peers = process.python
            for peer in entered:
                _prepare(process, peer)
            for _ in range(repeats):
                ours.append(kernel.seconds())
                for peer in entered:
                    if not peer.error:
                        peer.seconds.append(process.ask(run=peer.name)["seconds"])
            for peer in entered:
                if not peer.error:
                    peer.agreement = _agreement(process, peer, kernel, scratch)
    wall, rate = rates(len(kernel.rows), ours)
    _describe(section, sample, stream, kernel, python_of_peers)
    table: list[list[object]] = [[OURS, "", f"{len(kernel.rows) / 1e6:.1f} M", rate, wall, "1", ""]]
    for peer in entered:
        if python is None:
            peer.error = "not run: no environment of peers was given"
        if peer.error:
            table.append([peer.words, peer.version, "", peer.error, "", "", ""])
            continue
        theirs_wall, theirs = rates(peer.rows, peer.seconds)
        ratio = rate.over(theirs)
        table.append(
            [
                peer.words,
                peer.version,
                f"{peer.rows / 1e6:.1f} M",
                theirs,
                theirs_wall,
                ratio,
                peer.agreement,
            ]
        )
        if peer.name == VECTOR:
            section.budgets.append(
                Budget("book kernel against hftbacktest's feed loop", 4, "×", ratio.median)
            )
    section.budgets.insert(
        0, Budget("book kernel, best bid and ask each row", 50, "M rows/s", rate.median)
    )
    section.table(
        "Books: level changes applied, one core",
        (
            "",
            "version",
            "rows",
            "M rows/s of processor time",
            "M rows/s on the clock",
            "lobproof ÷ it",
            "touch equal to ours",
        ),
        table,
    )
    cost = tops(kernel.rows, stream.tick, repeats)
    section.table(
        "Top 20 at a message end", ("", "ns"), [["both sides, 40 prices and 40 sizes", cost]]
    )
    section.budgets.append(
        Budget("top 20 of both sides at a message end", 250, "ns", cost.median, at_most=True)
    )


def rates(rows: int, seconds: list[tuple[float, float]]) -> tuple[Spread, Spread]:
    """M rows/s on the clock and of processor time."""
    wall, used = zip(*seconds, strict=True)
    return Spread.rates(rows, wall), Spread.rates(rows, used)


def _prepare(process: Peers, peer: Peer) -> None:
    try:
        answer = process.ask(prepare=peer.name, rows=peer.rows)
        peer.version = answer["version"]
        process.ask(run=peer.name)
    except PeerError as error:
        peer.error = f"did not run: {error}"


def _describe(
    section: Section, sample: Sample, stream: Stream, kernel: Kernel, python: str
) -> None:
    section.text(
        f"Books are fed the level changes of {sample.title}: the snapshot's {len(stream.seed):,} "
        f"levels, then the {stream.recorded:,} changes of all depth messages after it, "
        f"{stream.tiles} times; between two repetitions {len(stream.tile) - stream.recorded:,} "
        "changes lead from the last book back to the first. Every contender has its input in "
        "memory in the form that it asks for (making it is not timed). "
        "lobproof gives prices and sizes of the touch at every row; hftbacktest and "
        "nautilus_trader are asked for the prices only. A repetition runs ours, then every peer."
        + (f" The peers run on Python {python}." if python else "")
    )
    bid, _, ask, _ = kernel.touch
    crossed = (bid >= ask) & (ask > 0) & (bid > 0)
    ends = kernel.rows.last == 1
    section.text(
        f"The touch is compared at each of the first {CHECKED_ROWS:,} rows, price and size of both "
        "sides (a side that is empty on both is equal). A message lists its bids before its asks, "
        f"so inside messages the book stands crossed for a while: at "
        f"{100 * float(crossed.mean()):.1f} % of the rows, and at "
        f"{int(np.count_nonzero(crossed & ends)):,} message ends. lobproof, nautilus_trader and "
        "sortedcontainers show that as it is; hftbacktest drops the other side's touch as soon as "
        "it is crossed. (hftbacktest's sizes are looked up at its best ticks: in 2.4.4 the "
        "vector's `best_bid_qty` gives the price.)"
    )


def _agreement(process: Peers, peer: Peer, kernel: Kernel, scratch: Path) -> str:
    rows = min(CHECKED_ROWS, peer.rows)
    file = scratch / "touch.npz"
    try:
        process.ask(check=peer.name, rows=rows, to=str(file))
    except PeerError as error:
        return f"not compared: {error}"
    with np.load(file) as theirs:
        equal = np.ones(rows, np.bool_)
        for name, column in zip(("bid", "bid_size", "ask", "ask_size"), kernel.touch, strict=True):
            ours: Int64 = column[:rows]
            equal &= np.where(ours == 0, -1, ours) == theirs[name]
    ends = kernel.rows.last[:rows] == 1
    bid, _, ask, _ = (column[:rows] for column in kernel.touch)
    crossed = (bid >= ask) & (bid > 0) & (ask > 0)
    words = (
        f"{np.count_nonzero(equal):,} of {rows:,} rows, "
        f"{np.count_nonzero(equal & ends):,} of {np.count_nonzero(ends):,} message ends"
    )
    differing = np.count_nonzero(~equal)
    if differing:
        inside = np.count_nonzero(~equal & crossed)
        words += f"; of the {differing:,} that differ {inside:,} where the book stands crossed"
    return words
