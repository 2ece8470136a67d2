"""``derive_lake``: a golden sample as Crypto Lake would have it, for tests on real data.

Two passes, as always: the depth messages, written as they are read and replayed for ``book``, and
the trades. The folder appears whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lobproof import __version__, documents
from lobproof.errors import GridError, InputError, PlaceError, UsageError
from lobproof.files import below
from lobproof.fixedpoint import count_to_text
from lobproof.fixedpoint.float_kernels import MAX_FLOAT_COUNT
from lobproof.paths import AnyPath, as_path, whole_folder
from lobproof.replay import BookAudit, Replayer, Segment, StreamClock, TradeAudit, stamped
from lobproof.schema import LEVELS, Clock, EventBatch, Flag, Int64, Kind, Side, StateBatch
from lobproof.sources.binance.source import BATCH_ROWS, GoldenSource
from lobproof.sources.cryptolake.write import SCHEMAS, TableWriter, float_seconds
from lobproof.sources.golden import GoldenSample
from lobproof.sources.simulator.provenance import describe_files

SIDE_CAR = "derived.json"
FORMAT = "lobproof derived tables"
FORMAT_VERSION = 1
BOOK_EVERY_NS = 100_000_000
"""Spacing of the rows of ``book``."""

Progress = Callable[[int, int], None]
"""Called with (rows read so far, ``ts_event`` reached)."""


@dataclass(frozen=True, slots=True)
class DeriveResult:
    """What a golden sample became.

    Attributes
    ----------
    out, exchange, symbol
        The folder; names as in the vendor's paths.
    provenance, source_provenance
        Of the tables (``derived``, or ``synthetic`` where the sample is), and of the sample.
    rows
        Table → date → rows.
    files
        Paths below ``out``.
    depth_messages, trades
        Messages of the sample. One without a level has no row in ``book_delta_v2``.
    aggregated
        The sample has no raw trades: these are aggregates, and ids those of their last trade.
    book_left_out
        Intervals without a row in ``book``: not all of the twenty levels were trusted there.
    gaps, trade_gaps
        Places where depth messages, or trades, are missing.
    unreadable
        Lines, and parts of journals, that could not be read.
    reused
        The folder held these very tables already, and nothing was done.
    """

    out: Path
    exchange: str
    symbol: str
    provenance: str
    source_provenance: str
    rows: dict[str, dict[str, int]]
    files: tuple[str, ...]
    depth_messages: int
    trades: int
    aggregated: bool
    book_left_out: int
    gaps: int
    trade_gaps: int
    unreadable: int
    reused: bool = False


def derive_lake(
    source: AnyPath,
    out: AnyPath,
    *,
    book_clock: Clock = "E",
    batch_rows: int = BATCH_ROWS,
    progress: Progress | None = None,
) -> DeriveResult:
    """Write the golden sample ``source`` as Crypto Lake's tables into the folder ``out``.

    ``book_delta_v2`` has every level of every depth message in the recording's order, repeated and
    late ones too, and no snapshot; ``trades`` every trade; ``book`` the replayed truth's top twenty
    at the first applied depth message of each 100 ms. Prices and sizes are the float64 nearest to
    the decimal. A row lies in the UTC day of its exchange time, or of its receive time without one.

    Parameters
    ----------
    source, out
        Folder of the golden sample; folder to make. The same sample gives the same bytes.
    book_clock
        Which time of a depth message the tables have; on spot there is but E.
    batch_rows
        Rows decoded at a time; no effect on the result.
    progress
        Called now and then with the position.

    Raises
    ------
    InputError
        When the sample is damaged (every journal is held against its SHA-256 first), is changed
        meanwhile, or holds neither depth messages nor trades.
    GridError
        For a price or size of 2^50 counts or more: a float64 could not give it back.
    UsageError
        When ``out`` holds something else.
    """
    golden = GoldenSource(GoldenSample.load(source), book_clock=book_clock, backfilled=False)
    out = as_path(out).absolute()
    request = _request(golden)
    there = _existing(out, request)
    if there is not None:
        return there
    journals = golden.sample.hashed()
    with whole_folder(out, "deriving") as work:
        bridge = _Bridge(golden, work, batch_rows, progress)
        try:
            counts = bridge.run()
        except BaseException:
            for table in bridge.tables.values():
                table.abort()
            raise
        journals.check()
        files = describe_files(work, bridge.files())
        rows = {table: dict(sorted(t.rows.items())) for table, t in bridge.tables.items()}
        document = {**request, "rows": rows, "counts": counts, "files": files}
        text = json.dumps(document, indent=1, ensure_ascii=False)
        (work / SIDE_CAR).write_text(f"{text}\n", encoding="utf-8")
    return _result(out, document)


def _request(golden: GoldenSource) -> dict[str, Any]:
    """What the tables follow from; the side-car begins with it."""
    sample = golden.sample
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "lobproof_version": __version__,
        "provenance": derived_provenance(golden.provenance),
        "book_clock": golden.order.book_clock,
        "source": {
            "provenance": golden.provenance,
            "market": sample.market,
            "instrument": golden.instrument.to_dict(),
            "trade_stream": sample.document["trade_stream"],
            "inputs": [
                {key: entry[key] for key in ("name", "bytes", "sha256")} for entry in golden.inputs
            ],
            "journals": [
                {key: entry[key] for key in ("name", "bytes", "sha256")}
                for entry in sample.document["journals"]
            ],
        },
    }


def _existing(out: Path, request: dict[str, Any]) -> DeriveResult | None:
    """The same tables, where ``out`` holds them whole; None where it may be made."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    what = "something else"
    with suppress(KeyError, OSError, PlaceError, TypeError, ValueError):
        document = documents.parse(documents.read_bytes(below(out, SIDE_CAR)))
        if document["format"] == FORMAT:
            what = "tables of another golden sample or version"
        if all(document[name] == request[name] for name in request):
            what = "these tables, but files that were changed since"
            there = _result(out, document, reused=True)
            listed = document["files"]
            if describe_files(out, [below(out, name) for name in listed]) == listed:
                return there
    raise UsageError(
        f"{out} exists and holds {what}", hint="choose another folder, or delete this one first"
    )


def _result(out: Path, document: dict[str, Any], *, reused: bool = False) -> DeriveResult:
    source = document["source"]
    return DeriveResult(
        out,
        source["instrument"]["exchange"],
        source["instrument"]["symbol"],
        document["provenance"],
        source["provenance"],
        document["rows"],
        tuple(document["files"]),
        aggregated=source["trade_stream"] != "trade",
        reused=reused,
        **document["counts"],
    )


def derived_provenance(source: str) -> str:
    """What tables made from a golden sample are: simulated data stays synthetic."""
    return "synthetic" if source == "synthetic" else "derived"


class _Bridge:
    """The two passes of one derivation into the folder ``root``."""

    def __init__(
        self, golden: GoldenSource, root: Path, batch_rows: int, progress: Progress | None
    ) -> None:
        instrument = golden.instrument
        said = {
            "provenance": derived_provenance(golden.provenance),
            "book_clock": golden.order.book_clock,
        }
        self.tables = {
            table: TableWriter(root, table, instrument.exchange, instrument.symbol, said)
            for table in SCHEMAS
        }
        self._golden = golden
        self._instrument = instrument
        self._batch_rows = batch_rows
        self._progress = progress
        self._read = 0
        self._counts = dict.fromkeys(
            ("depth_messages", "trades", "book_left_out", "gaps", "trade_gaps"), 0
        )
        self._slot = -1

    def run(self) -> dict[str, int]:
        """Write the tables; counts for the result."""
        # states do not depend on trades: the book is replayed without them
        sample = self._golden.sample
        days = [int(np.datetime64(day, "D").astype(np.int64)) for day in sample.receive_days]
        clock = StreamClock(self._golden.clock_offset_ns, receive_days=days)
        replayer = Replayer(self._instrument)
        first_id = 0
        for segment in stamped(map(Segment.of, self._judged()), clock):
            batch = segment.events
            if not first_id:
                replayer.begin_day(int(batch.ts_order[0]))
            output = replayer.process(batch, first_id)
            self._write_book(batch, output.states, first_id)
            first_id += len(batch)
        self._write_trades()
        for table in self.tables.values():
            table.close()
        if not self._counts["depth_messages"] + self._counts["trades"]:
            raise InputError(
                f"{sample.path} holds neither depth messages nor trades",
                hint="import a recording that has a depth stream",
            )
        return {
            **self._counts,
            "unreadable": sum(finding.count for finding in sample.findings()),
        }

    def files(self) -> list[Path]:
        """Every file written."""
        return [path for table in self.tables.values() for path in table.files]

    def _judged(self) -> Iterator[EventBatch]:
        """The judged book; its depth messages are written on the way, as the recording has them."""
        audit = BookAudit()
        for batch in self._golden.book(self._batch_rows):
            self._write_deltas(batch)
            judged = audit.process(batch)
            self._counts["gaps"] += int(np.count_nonzero(judged.flags & int(Flag.GAP)))
            yield judged

    def _write_deltas(self, batch: EventBatch) -> None:
        # an empty depth message is a mark with ids of its own; so is an empty snapshot, with one id
        ends = (batch.flags & int(Flag.LAST) != 0) & (batch.kind != int(Kind.SNAPSHOT))
        ends &= (batch.sequence >= 0) & (batch.sequence != batch.prev_sequence)
        self._counts["depth_messages"] += int(np.count_nonzero(ends))
        rows = batch.take(np.flatnonzero(batch.kind == int(Kind.DELTA)))
        prices, sizes = self._floats("depth message", rows.sequence, rows.price, rows.size)
        self.tables["book_delta_v2"].append(
            _belongs(rows.ts_event, rows.ts_recv),
            [
                float_seconds(rows.ts_event),
                float_seconds(rows.ts_recv),
                rows.sequence,
                rows.side == int(Side.BID),
                prices,
                sizes,
            ],
        )
        self._tell(batch)

    def _write_trades(self) -> None:
        audit = TradeAudit()
        for batch in self._golden.trades(self._batch_rows):
            self._counts["trades"] += len(batch)
            prices, sizes = self._floats("trade", batch.sequence, batch.price, batch.size)
            self.tables["trades"].append(
                _belongs(batch.ts_event, batch.ts_recv),
                [
                    np.where(batch.side == int(Side.BUY), "buy", "sell"),
                    sizes,
                    prices,
                    batch.sequence,
                    float_seconds(batch.ts_event),
                    float_seconds(batch.ts_recv),
                ],
            )
            self._tell(batch)
            gaps = audit.process(batch).flags & int(Flag.GAP)
            self._counts["trade_gaps"] += int(np.count_nonzero(gaps))

    def _write_book(self, batch: EventBatch, states: StateBatch, first_id: int) -> None:
        """Rows of ``book``: of the first applied depth message in each interval, where trusted."""
        at = states.event_id - first_id
        depth = np.flatnonzero(batch.kind[at] != int(Kind.SNAPSHOT))
        slots = states.ts_order[depth] // BOOK_EVERY_NS
        depth = depth[np.diff(slots, prepend=self._slot) > 0]
        if len(slots):
            self._slot = int(slots[-1])
        trusted = np.minimum(states.bid_trusted, states.ask_trusted)[depth] == LEVELS
        self._counts["book_left_out"] += int(np.count_nonzero(~trusted))
        kept = states.take(depth[trusted])
        received = batch.ts_recv[at[depth[trusted]]]
        prices, sizes = self._floats(
            "book at depth message",
            np.repeat(kept.sequence, 2 * LEVELS),
            kept.levels[:, 0::2].ravel(),
            kept.levels[:, 1::2].ravel(),
        )
        # a level that is not there is null
        columns = []
        for level in range(2 * LEVELS):
            absent = kept.levels[:, 2 * level + 1] == 0
            columns += [
                pa.array(values[level :: 2 * LEVELS], mask=absent) for values in (prices, sizes)
            ]
        self.tables["book"].append(
            _belongs(kept.ts_event, received),
            [float_seconds(kept.ts_event), float_seconds(received), kept.sequence, *columns],
        )

    def _floats(
        self, what: str, ids: Int64, prices: Int64, sizes: Int64
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The float64 nearest to each decimal; a count below 2^50 and its unit are exact."""
        grid = self._instrument
        pairs = (("price", prices, grid.price_exponent), ("size", sizes, grid.size_exponent))
        for name, counts, exponent in pairs:
            large = np.flatnonzero(np.abs(counts) >= MAX_FLOAT_COUNT)
            if len(large):
                row = int(large[0])
                text = count_to_text(int(counts[row]), exponent)
                raise GridError(
                    f"{grid.symbol}: {what} {int(ids[row])} has a {name} of {text}, which a "
                    f"float64 cannot give back on a grid of 10^-{exponent}",
                    hint="Crypto Lake's tables have floats only; `lobproof reconstruct` keeps "
                    "this sample exactly",
                )
        price, size = (counts / 10.0**exponent for _, counts, exponent in pairs)
        return price, size

    def _tell(self, batch: EventBatch) -> None:
        self._read += len(batch)
        if self._progress is not None and len(batch):
            self._progress(self._read, int(batch.ts_event[-1]))


def _belongs(ts_event: Int64, ts_recv: Int64) -> Int64:
    """The times whose UTC day a row lies in."""
    return np.where(ts_event > 0, ts_event, ts_recv)
