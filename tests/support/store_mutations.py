"""Stores that are sealed as they should be, and do not show what was recorded.

A mutation changes the stored events, which are then replayed, or the states beside them. The result
goes through the store's own writer: every hash, keyframe, minute and finding fits it, so that
nothing but evidence can tell.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from lobproof.fidelity.exact import Verdict, verify
from lobproof.pipeline import reconstruct_sample
from lobproof.pipeline.day import DayTask
from lobproof.pipeline.golden import golden_job
from lobproof.pipeline.job import ReplayJob
from lobproof.replay import Chunk, Replayer, Segment
from lobproof.schema import LEVELS, EventBatch, Flag, Int64, Kind, Side, StateBatch
from lobproof.sources.binance.source import GoldenSource
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import PRESETS, simulate
from lobproof.store import DayWriter, Store, commit_day, open_store, symbol_lock
from lobproof.store.seal import CALLER_COLUMNS
from lobproof.timespan import DAY_NS

Random = np.random.Generator
Rows = NDArray[np.bool_]
Places = NDArray[np.intp]
Which = Callable[[EventBatch], Rows]
Picked = Callable[[Rows, Random], Places]
EventChange = Callable[[EventBatch, Random], EventBatch]
StateChange = Callable[[StateBatch, Random], StateBatch]

SHARE = 0.01
ROUNDING_NS = 1_000_000_000
"""Longer than any beat of a feed: what is rounded to that already would not change."""
_LAST = int(Flag.LAST)
_JSON = ("coverage", "inputs", "config", "verdicts")


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is changed, and what has to tell.

    ``checks``: those that fail, all of them, whatever the seed; ``maybe``: others that may.
    """

    checks: tuple[str, ...]
    events: EventChange | None = None
    states: StateChange | None = None
    maybe: tuple[str, ...] = ()


# the store, written anew --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Original:
    """A store of one symbol as it was reconstructed, and the task that made it."""

    store: Store
    job: ReplayJob
    events: EventBatch

    @classmethod
    def of(cls, store: Path, golden: Path) -> Original:
        """Read the events of all days."""
        opened, sample = open_store(store), GoldenSample.load(golden)
        job = golden_job(GoldenSource(sample), 1 << 16, sample.hashed())
        instrument = job.instrument
        days = opened.replay(instrument.symbol, exchange=instrument.exchange)
        events = EventBatch.concat(list(days))
        return cls(opened, job, events)

    def mutated(self, out: Path, mutation: Mutation, seed: int) -> Store:
        """The store with one mutation."""
        random = np.random.default_rng(seed)
        events = self.events.copy()
        if mutation.events is not None:
            events = mutation.events(events, random)
        states = None
        if mutation.states is not None:
            states = mutation.states(_states_of(self.job, events.copy()), random)
        _write(self, out, events, states)
        return open_store(out)


class _Replaced(DayWriter):
    """Writes other states than it is given, as many."""

    others: StateBatch | None = None
    done = 0

    def append(self, events: EventBatch | Sequence[EventBatch], states: StateBatch) -> None:
        """The next events, and as many of the others as there would be states."""
        if self.others is not None:
            start, self.done = self.done, self.done + len(states)
            others = self.others.slice(start, self.done)
            others.event_id[:] = states.event_id
            states = others
        super().append(events, states)


def _days(events: EventBatch) -> list[tuple[str, EventBatch]]:
    days = events.ts_order // DAY_NS
    return [
        (str(np.datetime64(int(day), "D")), events.slice(*np.searchsorted(days, [day, day + 1])))
        for day in np.unique(days)
    ]


def _states_of(job: ReplayJob, events: EventBatch) -> StateBatch:
    """All states of the events."""
    found: list[StateBatch] = []
    replayer = Replayer(job.instrument, policy=job.policy)
    for dt, rows in _days(events):
        day = _task(job, dt, replayer, None, lambda chunk: found.append(chunk.output.states))
        day.append(Segment.of(rows))
        day.finish()
    return StateBatch.concat(found).copy()


def _task(
    job: ReplayJob,
    dt: str,
    replayer: Replayer,
    writer: DayWriter | None,
    watch: Callable[[Chunk], None] | None = None,
) -> DayTask:
    return DayTask(
        dt,
        replayer,
        writer,
        keyframe_ns=600 * 1_000_000_000,
        strict=False,
        told=list(job.told),
        watch=watch,
    )


def _write(original: Original, out: Path, events: EventBatch, states: StateBatch | None) -> None:
    job = original.job
    exchange, symbol = job.instrument.exchange, job.instrument.symbol
    seals = {row["dt"]: row for row in original.store.days().iter_rows(named=True)}
    replayer = Replayer(job.instrument, policy=job.policy)
    carried, done = "", 0
    with symbol_lock(out, exchange, symbol):
        for dt, rows in _days(events):
            with _Replaced(out, job.instrument, dt) as writer:
                writer.others = None if states is None else states.slice(done, len(states))
                day = _task(job, dt, replayer, writer)
                day.append(Segment.of(rows))
                content = day.finish()
                assert content is not None
                done += writer.done
                seal = {name: seals[dt][name] for name in CALLER_COLUMNS}
                for name in _JSON:
                    seal[name] = json.loads(seal[name])
                seal |= {
                    name: getattr(day.counts, name)
                    for name in ("trades", "book_messages", "gaps", "doubtful_ns", "warm_up_ns")
                }
                commit_day(
                    out, content, {**seal, "coverage": day.coverage, "carried_from": carried}
                )
                carried = content.hashes["keyframes"]


# events -------------------------------------------------------------------------------------------


def _of_levels(events: EventBatch) -> Rows:
    return np.equal(events.kind, Kind.DELTA)


def _of_trades(events: EventBatch) -> Rows:
    return np.equal(events.kind, Kind.TRADE)


def _some(rows: Rows, random: Random) -> Places:
    """One in a hundred of the rows, at least one."""
    at = np.flatnonzero(rows)
    return np.sort(random.choice(at, max(1, round(SHARE * len(at))), replace=False))


def _run(rows: Rows, random: Random) -> Places:
    """The same, one after the other."""
    at = np.flatnonzero(rows)
    many = max(1, round(SHARE * len(at)))
    # the first and the last tell where the sample begins and ends
    start = int(random.integers(1, len(at) - many))
    return at[start : start + many]


def _sized(events: EventBatch, rows: Rows) -> Rows:
    return rows & (events.size > 0)


def scaled(which: Which, factor: float) -> EventChange:
    """Sizes times a factor, at least one count."""

    def change(events: EventBatch, random: Random) -> EventBatch:
        at = _sized(events, which(events))
        events.size[at] = np.maximum(np.rint(events.size[at] * factor), 1).astype(np.int64)
        return events

    return change


def spread_out(which: Which, factor: float = 1 + SHARE) -> EventChange:
    """Sizes with another standard deviation, at least one count, and the same mean otherwise."""

    def change(events: EventBatch, random: Random) -> EventBatch:
        at = _sized(events, which(events))
        sizes = events.size[at].astype(np.float64)
        mean = sizes.mean()
        wider = np.rint(mean + factor * (sizes - mean))
        events.size[at] = np.maximum(wider, 1).astype(np.int64)
        return events

    return change


def contaminated(which: Which) -> EventChange:
    """One size in a hundred is another row's, ten times as large."""

    def change(events: EventBatch, random: Random) -> EventBatch:
        rows = _sized(events, which(events))
        at = _some(rows, random)
        events.size[at] = 10 * random.choice(events.size[rows], len(at))
        return events

    return change


def clipped(which: Which) -> EventChange:
    """No size is larger than 99 % of them are."""

    def change(events: EventBatch, random: Random) -> EventBatch:
        at = _sized(events, which(events))
        limit = int(np.quantile(events.size[at], 1 - SHARE, method="lower"))
        events.size[at] = np.minimum(events.size[at], limit)
        return events

    return change


def offset(which: Which) -> EventChange:
    """One price in a hundred is a tick higher."""

    def change(events: EventBatch, random: Random) -> EventBatch:
        at = _some(which(events), random)
        events.price[at] += _tick(events)
        return events

    return change


def _tick(events: EventBatch) -> int:
    """What all prices of levels are a multiple of."""
    return int(np.gcd.reduce(events.price[_of_levels(events)]))


def flipped(which: Which) -> EventChange:
    """One side in a hundred is the other."""

    def change(events: EventBatch, random: Random) -> EventBatch:
        at = _some(which(events), random)
        events.side[at] = Side.BID + Side.ASK - events.side[at]
        return events

    return change


def rounded(*columns: str) -> EventChange:
    """Times to whole seconds, rounded down."""

    def change(events: EventBatch, random: Random) -> EventBatch:
        for name in columns:
            times = getattr(events, name)
            times -= times % ROUNDING_NS
        return events

    return change


def _numbered(events: EventBatch) -> Int64:
    """The number of each row's message."""
    last = (events.flags & _LAST != 0).astype(np.int64)
    number: Int64 = np.cumsum(last) - last
    return number


def _messages(events: EventBatch) -> Rows:
    """Last rows of depth messages with levels, but for the first and the last two of them."""
    ends: Rows = _of_levels(events) & (events.flags & _LAST != 0)
    edge = np.flatnonzero(ends)
    ends[edge[:2]] = ends[edge[-2:]] = False
    return ends


def frozen(events: EventBatch, random: Random) -> EventBatch:
    """In a stretch of one in a hundred depth messages the book stands still; the chain goes on."""
    return _emptied(events, _run(_messages(events), random))


def _emptied(events: EventBatch, ends: Places) -> EventBatch:
    """The messages that end at ``ends`` without their levels."""
    number = _numbered(events)
    kept = ~np.isin(number, number[ends])
    kept[ends] = True
    events.kind[ends] = Kind.MARK
    events.side[ends] = Side.NONE
    events.price[ends] = events.size[ends] = 0
    events.flags[ends] = _LAST
    return events.take(np.flatnonzero(kept))


def lost_levels(events: EventBatch, random: Random) -> EventBatch:
    """One level change in a hundred is gone; the chain is as it was."""
    lost = np.zeros(len(events), np.bool_)
    lost[_some(_of_levels(events), random)] = True
    number = _numbered(events)
    gone = np.bincount(number, ~lost) == 0  # messages that lose all
    lost &= ~gone[number]
    left = events.take(np.flatnonzero(~lost))
    number = _numbered(events)[~lost]
    left.flags[np.append(number[1:] != number[:-1], True)] |= _LAST
    return _emptied(left, np.flatnonzero(gone[number] & (left.flags & _LAST != 0)))


def lost_messages(pick: Picked) -> EventChange:
    """One depth message in a hundred is gone, and no mark says so."""

    def change(events: EventBatch, random: Random) -> EventBatch:
        number = _numbered(events)
        gone = number[pick(_messages(events), random)]
        return events.take(np.flatnonzero(~np.isin(number, gone)))

    return change


def lost_trades(pick: Picked) -> EventChange:
    """One trade in a hundred is gone."""

    def change(events: EventBatch, random: Random) -> EventBatch:
        gone = pick(_of_trades(events), random)
        return events.take(np.delete(np.arange(len(events)), gone))

    return change


def doubled(ends_of: Which) -> EventChange:
    """One message in a hundred is there twice."""

    def change(events: EventBatch, random: Random) -> EventBatch:
        number = _numbered(events)
        twice = np.isin(number, number[_some(ends_of(events), random)])
        at = np.concatenate([np.arange(len(events)), np.flatnonzero(twice)])
        return events.take(at[np.lexsort((at, np.arange(len(at)) >= len(events), number[at]))])

    return change


def swapped_levels(events: EventBatch, random: Random) -> EventBatch:
    """One in a hundred pairs of neighbouring levels of one message is the other way round."""
    number = _numbered(events)
    pairs = _of_levels(events)
    pairs[:-1] &= (number[1:] == number[:-1]) & (events.kind[1:] == Kind.DELTA)
    pairs[-1] = False
    at = _apart(_some(pairs, random))
    for name in ("side", "price", "size"):
        column = getattr(events, name)
        column[at], column[at + 1] = column[at + 1], column[at]
    return events


def _apart(places: Places) -> Places:
    """Those that do not lie behind another one."""
    apart: Places = places[np.append(True, np.diff(places) > 1)]
    return apart


def swapped_messages(first: Which, second: Which) -> EventChange:
    """One in a hundred pairs of neighbouring messages is the other way round.

    ``first``, ``second``: last rows of what the pairs are of. The order's clock goes on as before.
    """

    def change(events: EventBatch, random: Random) -> EventBatch:
        number = _numbered(events)
        ends = np.flatnonzero(events.flags & _LAST != 0)
        pairs = np.zeros(len(ends), np.bool_)
        pairs[:-1] = first(events)[ends[:-1]] & second(events)[ends[1:]]
        one = _apart(_some(pairs, random))
        rank = np.arange(len(ends))
        rank[one], rank[one + 1] = one + 1, one
        times, order = events.ts_order.copy(), np.argsort(rank[number], kind="stable")
        events = events.take(order)
        # each message stands where it is, at the earlier and the later time of its pair
        begins = np.append(0, ends[:-1] + 1)
        old = times[begins]
        now = _numbered(events)
        events.ts_order[:] = old[now]
        return events

    return change


# states -------------------------------------------------------------------------------------------

_SIZES = slice(1, 4 * LEVELS, 2)
_PRICES = slice(0, 4 * LEVELS, 2)


def state_sizes(factor: float) -> StateChange:
    """Sizes of states times a factor."""

    def change(states: StateBatch, random: Random) -> StateBatch:
        sizes = states.levels[:, _SIZES]
        larger = np.maximum(np.rint(sizes * factor), 1).astype(np.int64)
        states.levels[:, _SIZES] = np.where(sizes > 0, larger, 0)
        return states

    return change


def frozen_states(states: StateBatch, random: Random) -> StateBatch:
    """In a stretch of one in a hundred states the book stands still."""
    at = _run(np.ones(len(states), np.bool_), random)
    for name in ("levels", "bid_trusted", "ask_trusted"):
        column = getattr(states, name)
        column[at] = column[at[0] - 1]
    return states


def swapped_states(states: StateBatch, random: Random) -> StateBatch:
    """One in a hundred pairs of neighbouring states is the other way round."""
    at = _apart(_some(np.arange(len(states)) < len(states) - 1, random))
    levels = states.levels
    levels[at], levels[at + 1] = levels[at + 1], levels[at]
    return states


def rounded_states(states: StateBatch, random: Random) -> StateBatch:
    """Times of states to whole seconds, rounded down."""
    for times in (states.ts_order, states.ts_event):
        times -= times % ROUNDING_NS
    return states


def lagging_states(states: StateBatch, random: Random) -> StateBatch:
    """One in a hundred states is that of the message before."""
    at = _some(np.arange(len(states)) > 0, random)
    for name in ("levels", "bid_trusted", "ask_trusted"):
        column = getattr(states, name)
        column[at] = column[at - 1]
    return states


def offset_states(states: StateBatch, random: Random) -> StateBatch:
    """In one of a hundred states all prices are a unit higher."""
    at = _some(np.ones(len(states), np.bool_), random)
    prices = states.levels[at][:, _PRICES]
    known = states.levels[:, _PRICES]
    tick = int(np.gcd.reduce(known[known > 0]))
    states.levels[at[:, None], np.arange(0, 4 * LEVELS, 2)] = np.where(prices > 0, prices + tick, 0)
    return states


# all of them --------------------------------------------------------------------------------------

_OF_THE_BOOK = (
    "uncrossed",
    "untrusted_share",
    "book_ticker_same_id",
    "book_ticker_last",
    "snapshots",
    "partial_depth",
)
"""What may follow from other level changes."""


def _levels(change: EventChange, *also: str) -> Mutation:
    return Mutation(("level_changes", *also), change, maybe=_OF_THE_BOOK)


def _trades(change: EventChange, *also: str) -> Mutation:
    return Mutation(("trades", *also), change)


def _states(change: StateChange) -> Mutation:
    return Mutation(("states",), states=change, maybe=_OF_THE_BOOK)


MUTATIONS = {
    "sizes of levels +1 %": _levels(scaled(_of_levels, 1 + SHARE)),
    "sizes of levels -1 %": _levels(scaled(_of_levels, 1 - SHARE)),
    "sizes of trades +1 %": _trades(scaled(_of_trades, 1 + SHARE)),
    "sizes of trades -1 %": _trades(scaled(_of_trades, 1 - SHARE)),
    "sd of sizes of levels +1 %": _levels(spread_out(_of_levels)),
    "sd of sizes of trades +1 %": _trades(spread_out(_of_trades)),
    "1 % of sizes of levels another's": _levels(contaminated(_of_levels)),
    "1 % of sizes of trades another's": _trades(contaminated(_of_trades)),
    "tail of sizes of levels cut at 99 %": _levels(clipped(_of_levels)),
    "tail of sizes of trades cut at 99 %": _trades(clipped(_of_trades)),
    "book frozen for 1 %": _levels(frozen),
    "1 % of level changes lost": _levels(lost_levels),
    "1 % of depth messages lost": _levels(lost_messages(_some), "chain"),
    "1 % of depth messages lost in a row": _levels(lost_messages(_run), "chain"),
    "1 % of trades lost": _trades(lost_trades(_some)),
    "1 % of trades lost in a row": _trades(lost_trades(_run)),
    "1 % of depth messages twice": _levels(doubled(_messages), "chain"),
    "1 % of trades twice": _trades(doubled(_of_trades), "trade_ids"),
    "sides of 1 % of level changes": _levels(flipped(_of_levels)),
    "sides of 1 % of trades": _trades(flipped(_of_trades)),
    "1 % of level changes a tick off": _levels(offset(_of_levels)),
    "1 % of trades a tick off": _trades(offset(_of_trades)),
    "the exchange's times rounded": Mutation(
        ("level_changes", "trades", "order"), rounded("ts_event"), maybe=_OF_THE_BOOK
    ),
    "the recorder's times rounded": Mutation(("level_changes", "trades"), rounded("ts_recv")),
    "the order's times rounded": Mutation(("order",), rounded("ts_order"), maybe=_OF_THE_BOOK),
    "1 % of levels swapped": _levels(swapped_levels),
    "1 % of depth messages swapped": Mutation(
        ("chain", "order"), swapped_messages(_messages, _messages), maybe=_OF_THE_BOOK
    ),
    "1 % of trades swapped": Mutation(
        ("trade_ids",), swapped_messages(_of_trades, _of_trades), maybe=("order",)
    ),
    "1 % of trades behind their message": Mutation(
        ("order",), swapped_messages(_of_trades, _messages), maybe=_OF_THE_BOOK
    ),
    "1 % of depth messages behind their trade": Mutation(
        ("order",), swapped_messages(_messages, _of_trades), maybe=_OF_THE_BOOK
    ),
    "sizes in states +1 %": _states(state_sizes(1 + SHARE)),
    "sizes in states -1 %": _states(state_sizes(1 - SHARE)),
    "states frozen for 1 %": _states(frozen_states),
    "1 % of states a message late": _states(lagging_states),
    "1 % of states a tick off": _states(offset_states),
    "1 % of states swapped": _states(swapped_states),
    "times of states rounded": _states(rounded_states),
}
"""By what is wrong; the suite of the specification, each on the book and on the trades."""
IDENTITY = Mutation(())


BUSY = dataclasses.replace(
    PRESETS["btc"], near_orders=60, deep_orders=200, warmup_s=0.5, rate=120.0, take_share=0.05
)
"""A market of some 600 depth messages and 3,000 level changes a minute."""


def simulated(folder: Path, seed: int, minutes: float = 1.0) -> tuple[Original, Path]:
    """A store of a simulated market, and its golden sample."""
    made = simulate(
        folder / "simulated", config=BUSY, seed=seed, minutes=minutes, snapshot_every=10
    )
    golden = import_recordings(made.recordings, folder / "golden").path
    reconstruct_sample(golden, folder / "store", metrics=False)
    return Original.of(folder / "store", golden), golden


def judged(seed: int, names: Sequence[str]) -> dict[str, str]:
    """Mutations of a simulated market that were not caught as they should be, and what came of it.

    Under an empty name: what is wrong with the store as it was reconstructed.
    """
    wrong = {}
    with TemporaryDirectory() as folder:
        original, golden = simulated(Path(folder), seed)
        report = verify(original.store, golden)
        if report.verdict is not Verdict.PASS:
            wrong[""] = repr(report)
        for name in names:
            try:
                hold(original, golden, Path(folder) / "mutated", name, seed)
            except AssertionError as error:
                wrong[name] = str(error)
    return wrong


def hold(original: Original, golden: Path, out: Path, name: str, seed: int) -> list[str]:
    """Verify the store with a mutation, and assert that the checks fail that should.

    Gives the names of those that failed. The store is deleted.
    """
    mutation = MUTATIONS[name]
    try:
        report = verify(original.mutated(out, mutation, seed), golden)
    finally:
        shutil.rmtree(out, ignore_errors=True)
    failed = [check.name for check in report.checks if check.verdict is Verdict.FAIL]
    assert report.verdict is Verdict.FAIL, f"{name}, seed {seed}: {report}"
    assert set(mutation.checks) <= set(failed), f"{name}, seed {seed}: {failed}"
    assert set(failed) <= {*mutation.checks, *mutation.maybe}, f"{name}, seed {seed}: {failed}"
    assert report.check("schema").verdict is Verdict.EXACT, f"{name}, seed {seed}"
    return failed
