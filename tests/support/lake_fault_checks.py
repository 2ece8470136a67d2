"""A spoilt symbol-day, reconstructed, and judged by its store alone against the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

import lobproof
from lobproof.pipeline import ReconstructOptions, derive_lake, reconstruct_sample
from lobproof.pipeline.lake import lake_days, reconstruct_day
from lobproof.pipeline.results import DayResult
from lobproof.schema import LEVELS, Finding, Flag, Int64, Kind, Severity
from lobproof.sources.cryptolake.layout import LEVEL_COLUMNS
from lobproof.sources.recordings import import_recordings
from lobproof.store import Store
from plain.book import PlainSide
from support.lake_faults import BOOK, MINUTE, NORMAL, Case, Day, Opening

Floats = NDArray[np.float64]
SIZE_LIMIT = ReconstructOptions().size_limit
CONTRADICTIONS = (Finding.DRIFT, Finding.GHOST_LEVELS, Finding.CROSSED)
TALLIED = (Finding.OFF_TICK, Finding.OFF_LOT, Finding.TRADE_UNCONFIRMED, Finding.BAD_TS)
"""Findings that are counted by the minute."""


@dataclass(frozen=True)
class Truth:
    """Twenty levels a side by update id, and how many of them are known."""

    ids: Int64
    levels: Floats
    known: Int64

    @classmethod
    def of(cls, store: Store) -> Truth:
        """The states of a direct reconstruction."""
        states = store.states(numbers="float", raw=True).sort("dt", "event_id").collect()
        last = states.unique("sequence", keep="last").sort("sequence")
        return cls(
            last["sequence"].to_numpy(),
            last.select(LEVEL_COLUMNS).to_numpy(),
            last.select("bid_trusted", "ask_trusted").to_numpy().astype(np.int64),
        )

    @classmethod
    def plain(cls, levels: Mapping[int, list[float]]) -> Truth:
        """A plain book's levels."""
        ids = np.array(sorted(levels), np.int64)
        return cls(
            ids,
            np.array([levels[number] for number in ids.tolist()]),
            np.full((len(ids), 2), LEVELS, np.int64),
        )


@dataclass(frozen=True)
class Scene:
    """A recording as Crypto Lake's tables, and the truth about it."""

    golden: Path
    store: Store
    lake: Path
    truth: Truth

    @classmethod
    def make(cls, files: Sequence[Path], folder: Path) -> Scene:
        """Import, reconstruct directly, and derive the tables of a symbol's recordings."""
        golden = import_recordings(files, folder / "golden", snapshot_limit=1000).path
        reconstruct_sample(golden, folder / "direct")
        store = lobproof.open(folder / "direct")
        lake = derive_lake(golden, folder / "lake").out
        return cls(golden, store, lake, Truth.of(store))

    @property
    def dates(self) -> list[str]:
        return sorted(self.store.days()["dt"].to_list())

    def opening(self, dt: str) -> Opening:
        """The whole book with which a day opens."""
        frames = self.store.keyframes(numbers="float", raw=True).filter(pl.col("dt") == dt)
        first = frames.filter(pl.col("event_id") == pl.col("event_id").min()).collect()
        sides = [first.filter((pl.col("side") == side) & (pl.col("size") > 0)) for side in (1, 2)]
        levels = [dict(side.select("price", "size").iter_rows()) for side in sides]
        bids, asks = PlainSide(-1, levels[0]), PlainSide(1, levels[1])
        return Opening(int(first["sequence"][0]), bids, asks)


@dataclass(frozen=True)
class Rebuilt:
    """What a reconstruction left in its store."""

    day: Day
    store: Store
    result: DayResult

    @classmethod
    def of(cls, day: Day, folder: Path, **options: Any) -> Rebuilt:
        """Write the tables, reconstruct them, and open the store."""
        day.write(folder / "lake")
        return cls.again(day, folder, **options)

    @classmethod
    def again(cls, day: Day, folder: Path, **options: Any) -> Rebuilt:
        """Reconstruct the files as they are."""
        options = {"strategy": "full", **options}
        (found,) = lake_days(folder / "lake")
        made = reconstruct_day(found, folder / "store", ReconstructOptions(**options))
        return cls(day, lobproof.open(folder / "store"), made.days[0])

    @cached_property
    def states(self) -> pl.DataFrame:
        return self.store.states(numbers="float", raw=True).sort("event_id").collect()

    @cached_property
    def quality(self) -> pl.DataFrame:
        return self.store.quality(raw=True).collect().sort("first_event_id", "code")

    @cached_property
    def events(self) -> pl.DataFrame:
        """Events without their levels, in order: row k is event k."""
        names = ("event_id", "ts_order", "sequence", "kind", "flags")
        return self.store.events(raw=True).select(names).sort("event_id").collect()

    @cached_property
    def doubts(self) -> pl.DataFrame:
        return self.quality.filter(pl.col("severity") == int(Severity.DOUBT))

    def count(self, code: Finding) -> int:
        """Sum of the counts of a finding."""
        return int(self.quality.filter(pl.col("code") == int(code))["count"].sum())

    def findings(self, code: Finding) -> pl.DataFrame:
        return self.quality.filter(pl.col("code") == int(code))

    def kinds(self) -> Counter[str]:
        """Rows of `quality` by code, without those that are tallied."""
        codes = self.quality["code"].to_list()
        return Counter(Finding(c).name for c in codes if Finding(c) not in TALLIED)

    def inside_doubts(self, ids: Int64) -> NDArray[np.bool_]:
        """Which events an interval of doubt covers."""
        inside = np.zeros(len(ids), np.bool_)
        for first, last in self.doubts.select("first_event_id", "last_event_id").iter_rows():
            inside |= (ids >= first) & (ids <= last)
        return inside

    def wrong(self, truth: Truth) -> tuple[pl.DataFrame, int, int]:
        """States outside the doubts that claim what is not so; how many are outside; all twenty.

        A state of an id of which the truth knows nothing is wrong where it claims anything.
        """
        states = self.states
        outside = ~self.inside_doubts(states["event_id"].to_numpy())
        ids = states["sequence"].to_numpy()
        at = np.minimum(np.searchsorted(truth.ids, ids), len(truth.ids) - 1)
        known = truth.ids[at] == ids
        own = states.select(LEVEL_COLUMNS).to_numpy()
        claimed = states.select("bid_trusted", "ask_trusted").to_numpy().astype(np.int64)
        bad = np.zeros(len(ids), np.bool_)
        for side in range(2):
            there = np.minimum(truth.known[at, side], claimed[:, side])
            columns = slice(2 * LEVELS * side, 2 * LEVELS * (side + 1))
            same = np.isclose(own[:, columns], truth.levels[at, columns], rtol=1e-12, atol=0)
            same = same.reshape(len(ids), LEVELS, 2).all(axis=2)
            told = np.arange(LEVELS) < np.where(known, there, LEVELS)[:, None]
            bad |= (told & ~(same & known[:, None]) & (claimed[:, side] > 0)[:, None]).any(axis=1)
        whole = int(np.count_nonzero(outside & (claimed == LEVELS).all(axis=1)))
        found = states.filter(pl.Series(bad & outside)).select(
            "event_id", "ts_order", "sequence", "bid_trusted", "ask_trusted", "flags"
        )
        return found, int(np.count_nonzero(outside)), whole

    @cached_property
    def met(self) -> pl.DataFrame:
        """Valid rows of `book` beside the state of the last message up to their id.

        Its event, whether they agreed, and ``minor``: differed in sizes alone, by too little to
        correct the book.
        """
        book = self.day.tables[BOOK]
        listed = book.select(LEVEL_COLUMNS).fill_null(0.0).to_numpy()
        valid = (listed[:, 0] < listed[:, 2 * LEVELS]) & (book["sequence_number"].to_numpy() > 0)
        kinds = pl.Series(self.events["kind"].to_numpy()[self.states["event_id"].to_numpy()])
        fed = self.states.filter(kinds.is_in([int(Kind.DELTA), int(Kind.MARK)]))
        listed_too = self.states.filter(kinds != int(Kind.TRADE))
        rows = (
            book.select(sequence=pl.col("sequence_number"), row=pl.int_range(pl.len()))
            .filter(pl.Series(valid))
            .sort("sequence", maintain_order=True)
        )
        # of its own id a row meets what the deltas made; later ones meet what was made of it
        own_id = rows.join(fed.unique("sequence", keep="first"), on="sequence")
        later = rows.join(own_id, on="row", how="anti").join_asof(
            listed_too.unique("sequence", keep="last").sort("sequence"),
            on="sequence",
            strategy="backward",
            allow_exact_matches=False,  # not with what was made of itself
        )
        joined = pl.concat([own_id, later], how="diagonal").sort("row")
        own = joined.select(LEVEL_COLUMNS).fill_null(-1.0).to_numpy()
        same = np.isclose(own, listed[joined["row"].to_numpy()], rtol=1e-12, atol=0).all(axis=1)
        theirs = listed[joined["row"].to_numpy()]
        prices = np.isclose(own[:, ::2], theirs[:, ::2], rtol=1e-12, atol=0).all(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = np.where(theirs[:, 1::2] > 0, own[:, 1::2] / theirs[:, 1::2] - 1, np.nan)
            minor = prices & ~same & (np.nanmean(errors**2, axis=1) <= SIZE_LIMIT**2)
        return joined.select("row", "sequence", "event_id").with_columns(
            agreed=pl.Series(same), minor=pl.Series(minor)
        )

    def misplaced(self) -> list[str]:
        """Intervals of doubt longer than from the last row that agreed to the next anchor."""
        told: list[str] = []
        met = self.met
        agreed = met.filter(pl.col("agreed"))["event_id"].to_numpy()
        sequences = met.filter(~pl.col("minor"))["sequence"].to_numpy()
        events = self.events
        kinds, flags = events["kind"].to_numpy(), events["flags"].to_numpy()
        # what a late message says is not where the stream stands
        numbers = np.maximum.accumulate(
            np.where(kinds == int(Kind.TRADE), -1, events["sequence"].to_numpy())
        )
        deltas = np.flatnonzero(kinds == int(Kind.DELTA))
        taking = int(Flag.DRIFT | Flag.SILENCE | Flag.GAP)
        contradict = self.doubts.filter(pl.col("code").is_in([int(c) for c in CONTRADICTIONS]))
        ends = set(contradict["last_event_id"])
        for code, first, last in self.doubts.select(
            "code", "first_event_id", "last_event_id"
        ).iter_rows():
            name = f"{Finding(code).name} {first}-{last}"
            if code in (Finding.UNSEEDED, Finding.STALE_BOOK, Finding.VENDOR_ROW_STALE):
                continue
            part = slice(first, last + 1)
            marks = first + np.flatnonzero(
                (kinds[part] == int(Kind.MARK))
                & (flags[part] & taking != 0)
                & (flags[part] & int(Flag.TRADES) == 0)
            )
            over = first + np.flatnonzero(flags[part] & int(Flag.CROSSED) != 0)
            found = marks if len(marks) else over
            seen = int(found[0]) if len(found) else last
            # the row of the last message before the mark may stand behind it
            stop = seen if len(over) and not len(marks) else _last_before(deltas, seen)
            early = agreed[(agreed > first) & (agreed < stop)]
            if first in ends and code in CONTRADICTIONS:
                early = early[:0]  # of two near to each other, what lies between is doubt too
            if len(early) and code != Finding.TOUCH_BEYOND_RANGE:
                told.append(f"{name}: the row at event {early[-1]} agreed")
            if last == len(kinds) - 1:
                later = sequences[sequences > numbers[seen]]
                if len(later) and code != Finding.SILENCE:
                    told.append(f"{name}: not ended by the row of {later[0]}")
                continue
            if code in CONTRADICTIONS and kinds[first] == int(Kind.SNAPSHOT):
                continue  # a row that corrected, until the next one agrees
            if kinds[last + 1] not in (int(Kind.SNAPSHOT), int(Kind.MARK), int(Kind.DELTA)):
                told.append(f"{name}: no anchor behind it")
            if len(found) and code not in (Finding.SILENCE, Finding.TOUCH_BEYOND_RANGE):
                # a row that corrected the book is alone until the next one
                later = sequences[sequences > numbers[seen]][int(code in CONTRADICTIONS) :]
                if len(later) and numbers[last + 1] > later[0] and kinds[last + 1] != Kind.MARK:
                    told.append(f"{name}: the row of {later[0]} could have ended it")
        return told


def _last_before(deltas: Int64, event: int) -> int:
    """The last row of a depth message in front of an event."""
    at = int(np.searchsorted(deltas, event)) - 1
    return int(deltas[at]) if at >= 0 else 0


def check_case(case: Case, at: int, intact: Rebuilt, truth: Truth, folder: Path) -> Rebuilt:
    """Spoil the day at message ``at``, reconstruct it in full, and judge the store alone."""
    day = case.spoil(intact.day, at)
    rebuilt = Rebuilt.of(day, folder)
    done = day.done[-1]
    where = f"{case.name} at message {at} (ids {done.first}-{done.last})"
    counts = {code: rebuilt.count(code) - intact.count(code) for code, _ in case.counts}
    assert counts == dict(case.counts), where
    for code, _ in case.counts:
        check_place(rebuilt, intact, code, day, where)

    # nothing else is in doubt, and nothing before the fault
    fresh = rebuilt.doubts.filter(~pl.col("code").is_in([int(code) for code in NORMAL]))
    assert {Finding(code) for code in fresh["code"]} <= case.may, where
    before = rebuilt.met.filter(pl.col("agreed") & (pl.col("sequence") < done.first))
    last_agreed = int(before["event_id"].to_numpy()[-1]) if before.height else 0
    assert (fresh["first_event_id"] >= last_agreed).all(), where
    if case.must and not (case.unseen and fresh.is_empty()):
        told = fresh.filter(pl.col("code").is_in([int(code) for code in case.must]))
        assert told.height > 0, where
    assert rebuilt.misplaced() == [], where

    # what is outside the doubts is so
    wrong, _, whole = rebuilt.wrong(truth)
    assert wrong.is_empty(), (where, wrong.head(3))
    assert whole > 0, where
    return rebuilt


def check_place(rebuilt: Rebuilt, intact: Rebuilt, code: Finding, day: Day, where: str) -> None:
    """The rows of a finding that the intact day has not lie where the fault is, by the minute."""
    done = day.done[-1]
    names = ("first_ts", "last_ts", "count")
    known = set(intact.findings(code).select(names).iter_rows())
    new = [row for row in rebuilt.findings(code).select(names).iter_rows() if row not in known]
    assert new, where
    assert set(rebuilt.findings(code)["severity"]) <= {int(Severity.INFO), int(Severity.WARNING)}
    for first, last, _ in new:
        assert done.first_ts - MINUTE <= last, where
        assert first <= done.last_ts + MINUTE, where
