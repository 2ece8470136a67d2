"""``simulate``: one call from a preset to files that a collector or a vendor might have left."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import numpy as np
from isal import isal_zlib

from lobproof import __version__
from lobproof.errors import UsageError
from lobproof.files import below
from lobproof.options import check_number, check_whole
from lobproof.paths import AnyPath, as_path, whole_folder
from lobproof.progress import Progress
from lobproof.schema import Int64
from lobproof.sources.simulator.collectors import (
    LakeConfig,
    LakeWriter,
    Lines,
    Recorder,
    RecorderConfig,
)
from lobproof.sources.simulator.config import LAST_NS, PRESETS, MarketConfig, VenueMarket
from lobproof.sources.simulator.feed import Feed, FeedConfig, check_snapshot_every
from lobproof.sources.simulator.market import Market
from lobproof.sources.simulator.provenance import (
    describe_files,
    marked,
    read_side_car,
    write_side_car,
)
from lobproof.timespan import Time, show_ns, to_ns

_DAY_NS = 86_400_000_000_000
_CHUNK_EVENTS = 60_000
_SNAPSHOT_LIMIT = 5000
_MOST_MINUTES = 146 * 366 * 1440
_MOST_SEED = (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Imperfections:
    """What is wrong with simulated data, as it is with real data; the defaults are a small dose.

    Attributes
    ----------
    off_lot_share
        Share of the orders far from the touch whose size is finer than the lot.
    legacy_orders
        Orders that rest off the tick from the start (needs a grid finer than the tick).
    new_tick, new_tick_after_s
        The tick, in counts, from that many seconds after the start on; 0: it stays.
    burst_lag_ms, burst_lag_share
        In a burst, with these odds, a depth message ends up to so long before its publication,
        and shows the trades since then in the next one.
    late_sample_share
        Share of depth messages sampled a moment after their last update id.
    recorder
        Clock and line of whoever records.
    lake
        Stamps of the Crypto Lake tables.
    """

    off_lot_share: float = 2e-5
    legacy_orders: int = 0
    new_tick: int = 0
    new_tick_after_s: float = 0.0
    burst_lag_ms: int = 90
    burst_lag_share: float = 0.5
    late_sample_share: float = 2e-4
    recorder: RecorderConfig = field(default_factory=RecorderConfig)
    lake: LakeConfig = field(default_factory=LakeConfig)

    @classmethod
    def none(cls) -> Imperfections:
        """A perfect venue, line and clock."""
        exact = RecorderConfig(clock_offset_ns=0, latency_ns=0, jitter_ns=0, rest_ns=0)
        return cls(0.0, 0, 0, 0.0, 0, 0.0, 0.0, exact, LakeConfig())


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """What was written.

    ``files`` are absolute paths; ``recordings`` are those of them that a collector might have
    written, ``lake`` is the folder of the Crypto Lake tables. ``counts`` has market events, depth
    messages, level changes, trades, tickers, snapshots, and the rows of the Lake tables.
    """

    root: Path
    files: tuple[Path, ...]
    recordings: tuple[Path, ...]
    lake: Path | None
    counts: dict[str, int]


def simulate(
    out: AnyPath,
    *,
    preset: str = "btc",
    config: MarketConfig | None = None,
    seed: int = 7,
    minutes: float = 10.0,
    start: Time = "2026-01-05T00:00:00Z",
    market: VenueMarket | None = None,
    intensity: float = 1.0,
    recording: bool = True,
    lake: bool = False,
    snapshot_every: float | None = None,
    imperfections: Imperfections | None = None,
    progress: Progress | None = None,
) -> SimulationResult:
    """Simulate a market and write what a recorder or Crypto Lake would have of it to ``out``.

    Parameters
    ----------
    out
        Folder to make; it appears when everything is written. When it holds the same simulation
        already, nothing is done.
    preset, config
        Name of a preset, or a configuration of one's own instead.
    seed
        The same seed and configuration give the same data.
    minutes, start
        Simulated time, from ``start`` (ISO 8601, UTC unless it says otherwise).
    market
        ``spot`` or ``futures``; None: as the preset has it.
    intensity
        Multiplies the rate of arrivals.
    recording
        Write a collector's recording, one gzip file per UTC day of its clock.
    lake
        Write Crypto Lake's ``trades``, ``book`` and ``book_delta_v2``.
    snapshot_every
        Seconds between REST snapshots after the first; None: no other.
    progress
        Called with the simulated symbol, and milliseconds of simulated time, done and in all.

    Raises
    ------
    UsageError
        When ``out`` holds something else, or the request contradicts itself.
    """
    check_number(
        "intensity", intensity, "factor", least=1e-9, most=1e9, hint="give more than 0; 1 is usual"
    )
    check_number(
        "minutes",
        minutes,
        "length of time",
        least=-_MOST_MINUTES,
        most=_MOST_MINUTES,
        hint="give minutes",
    )
    check_whole("seed", seed, least=0, most=_MOST_SEED, hint="give a whole number, such as 7")
    if snapshot_every is not None:
        check_snapshot_every(snapshot_every)
    wrong = imperfections if imperfections is not None else Imperfections()
    chosen = market_config(preset, start=start, config=config, market=market, imperfections=wrong)
    if intensity != 1.0:
        chosen = dataclasses.replace(chosen, rate=chosen.rate * intensity)
    if not (recording or lake) or minutes <= 0:
        raise UsageError(
            "nothing to simulate: neither a recording nor Lake tables, or no time",
            hint="ask for a recording, for Lake tables, or both, of more than 0 minutes",
        )
    if chosen.start_ns + round(minutes * 60e9) > LAST_NS:
        raise UsageError(
            f"{minutes:,} minutes from {show_ns(chosen.start_ns)} on last longer than to 2115",
            hint="give fewer minutes",
        )
    out = as_path(out).absolute()
    request: dict[str, Any] = {
        "provenance": "synthetic",
        "lobproof_version": __version__,
        "seed": seed,
        "minutes": minutes,
        "recording": recording,
        "lake": lake,
        "snapshot_every": snapshot_every,
        "snapshot_limit": _SNAPSHOT_LIMIT,
        "symbol": chosen.symbol,
        "instrument": chosen.instrument.to_dict(),
        "config": chosen.to_dict(),
        "imperfections": dataclasses.asdict(wrong),
    }
    existing = _existing(out, request)
    if existing is not None:
        return existing
    with whole_folder(out, "simulating") as work:
        counts, files = _run(work, chosen, request, wrong, progress)
        described = describe_files(work, files)
        write_side_car(work, {**request, "counts": counts, "files": described})
    return _result(out, {"counts": counts, "files": described})


def market_config(
    preset: str = "btc",
    *,
    start: Time,
    config: MarketConfig | None = None,
    market: VenueMarket | None = None,
    imperfections: Imperfections | None = None,
) -> MarketConfig:
    """The market that was asked for; of whom, see :func:`simulate`."""
    wrong = imperfections if imperfections is not None else Imperfections()
    if market not in (None, *get_args(VenueMarket)):
        raise UsageError(
            f"there is no market {market!r}", hint=f"choose {' or '.join(get_args(VenueMarket))}"
        )
    if config is None and preset not in list(PRESETS):
        raise UsageError(
            f"there is no preset {preset!r}", hint=f"choose one of {', '.join(PRESETS)}"
        )
    base = config if config is not None else PRESETS[preset]
    changes: dict[str, Any] = {
        "start_ns": to_ns(start),
        "off_lot_share": wrong.off_lot_share,
        "legacy_orders": wrong.legacy_orders,
        "new_tick": wrong.new_tick,
        "new_tick_after_s": wrong.new_tick_after_s,
    }
    if market is not None and market != base.market:
        # futures count update ids over all symbols, spot over one
        changes |= {"market": market, "id_step": 12 if market == "futures" else 1}
    return dataclasses.replace(base, **changes)


def _existing(out: Path, request: dict[str, Any]) -> SimulationResult | None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    document = read_side_car(out) if out.is_dir() else None
    if document is not None:
        told = _plain({name: document.get(name) for name in request})
        sizes = [
            below(out, name).is_file() and below(out, name).stat().st_size == entry["bytes"]
            for name, entry in document["files"].items()
        ]
        if told == _plain(request) and all(sizes):
            return _result(out, document)
    raise UsageError(
        f"{out} exists and holds something else",
        hint="choose another folder, or delete this one first",
    )


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _result(root: Path, document: dict[str, Any]) -> SimulationResult:
    files = tuple(root / name for name in sorted(document["files"]))
    recordings = tuple(path for path in files if path.suffix == ".gz")
    lake = root / "lake" if len(recordings) < len(files) else None
    return SimulationResult(root, files, recordings, lake, dict(document["counts"]))


def _run(
    folder: Path,
    config: MarketConfig,
    request: dict[str, Any],
    wrong: Imperfections,
    progress: Progress | None,
) -> tuple[dict[str, int], list[Path]]:
    """The market's loop: step, publish, write."""
    seed, recording, lake = request["seed"], request["recording"], request["lake"]
    market = Market(config, seed)
    feed = Feed(
        market,
        FeedConfig(
            tickers=recording,
            tops=lake,
            snapshot_limit=request["snapshot_limit"],
            first_snapshot_s=0.5 if recording else None,
            snapshot_every_s=request["snapshot_every"],
            burst_lag_ms=wrong.burst_lag_ms,
            burst_lag_share=wrong.burst_lag_share,
            late_sample_share=wrong.late_sample_share,
        ),
    )
    recorder = Recorder(config, wrong.recorder, seed)
    lines = _DailyLines(folder, config.venue_symbol.lower(), request["snapshot_limit"])
    tables = LakeWriter(folder / "lake", config, wrong.lake, seed)
    counts = dict.fromkeys(
        ("market_events", "depth_messages", "level_changes", "trades", "tickers", "snapshots"), 0
    )
    end = config.start_ns + round(request["minutes"] * 60e9)
    chunk = round(min(max(_CHUNK_EVENTS / config.rate, 1.0), 3600.0) * 1e9)
    try:
        while market.now < end:
            events = market.step(min(market.now + chunk, end))
            final = market.now >= end
            batch = feed.publish(events, final=final)
            if recording:
                lines.write(recorder.record(batch, final=final))
            if lake:
                tables.write(batch)
            counts["market_events"] += len(events)
            counts["depth_messages"] += len(batch.messages)
            counts["level_changes"] += len(batch.depth)
            counts["trades"] += len(batch.trades)
            counts["tickers"] += len(batch.tickers)
            counts["snapshots"] += len(batch.snapshots)
            if progress is not None:
                done, total = market.now - config.start_ns, end - config.start_ns
                progress(config.symbol, done // 10**6, total // 10**6)
        files = lines.close() + tables.close()
    except BaseException:
        lines.abort()
        tables.abort()
        raise
    if lake:
        counts |= {f"lake_{table}": rows for table, rows in tables.rows.items()}
    return counts, files


class _DailyLines:
    """Gzip files of lines, one per UTC day of the recorder's clock; the first line marks them."""

    def __init__(self, folder: Path, symbol: str, snapshot_limit: int) -> None:
        self._folder = folder
        self._symbol = symbol
        self._limit = snapshot_limit
        self._day = -1
        self._file: _Gzip | None = None
        self._files: list[Path] = []

    def write(self, lines: Lines) -> None:
        days: Int64 = lines.received // _DAY_NS
        edges = np.concatenate([[0], np.flatnonzero(np.diff(days)) + 1, [len(days)]])
        starts = np.concatenate([[0], lines.stops])
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if first < last:
                text = lines.text[starts[first] : starts[last]]
                self._write(int(days[first]), text.tobytes())

    def close(self) -> list[Path]:
        file, self._file = self._file, None
        if file is not None:
            file.close()
        return self._files

    def abort(self) -> None:
        """Let go of the open file."""
        if self._file is not None:
            self._file.abort()

    def _write(self, day: int, text: bytes) -> None:
        if self._file is None or day != self._day:
            self.close()
            date = (_EPOCH + timedelta(days=day)).strftime("%Y%m%d")
            path = self._folder / f"{self._symbol}_synthetic_{date}.gz"
            self._files.append(path)
            self._day = day
            self._file = _Gzip(path)
            line, end, text = text.partition(b"\n")
            self._file.write(marked(line, self._limit) + end)
        self._file.write(text)


class _Gzip:
    """A gzip file whose header has no name and no time: the same lines give the same file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._stream = isal_zlib.compressobj(1, isal_zlib.DEFLATED, 31)

    def write(self, data: bytes) -> None:
        self._file.write(self._stream.compress(data))

    def close(self) -> None:
        with self._file:
            self._file.write(self._stream.flush())

    def abort(self) -> None:
        with suppress(OSError):  # of a full disk
            self._file.close()
