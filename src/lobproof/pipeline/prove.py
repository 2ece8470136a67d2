"""``prove``: is a reconstructed store the market? Gates A to D against golden samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import polars as pl

from lobproof.errors import UsageError, need_extra
from lobproof.fidelity.exact import verify
from lobproof.fidelity.exact.kinds import Kinds
from lobproof.fidelity.exact.report import VerifyReport
from lobproof.fidelity.exact.verify import no_symbol, sample_days, sample_span
from lobproof.fidelity.exact.window import Window
from lobproof.fidelity.gates.across_days import compare_days, is_alike, without_series
from lobproof.fidelity.gates.facts import stylised_facts
from lobproof.fidelity.gates.other_window import compare_windows
from lobproof.fidelity.gates.report import Against, FidelityReport
from lobproof.fidelity.gates.same_window import compare
from lobproof.fidelity.gates.settings import STANDARD, Level, Settings
from lobproof.fidelity.metrics.blocks import Blocks, Scale, merged
from lobproof.fidelity.metrics.common import AS_THEY_ARE, Common, begins
from lobproof.fidelity.metrics.measure import measured
from lobproof.paths import AnyPath
from lobproof.pipeline.likeness import (
    NOT_RANKED,
    Likeness,
    as_often,
    at_common_ids,
    of_one_speed,
    of_trades,
    without_messages,
)
from lobproof.pipeline.results import Reached
from lobproof.pipeline.sampled import measure_sample, trade_times
from lobproof.progress import Progress
from lobproof.schema import Int64, Kind
from lobproof.schema.provenance import least_real
from lobproof.sources.golden import GoldenSample
from lobproof.store import Store, as_store
from lobproof.timespan import utc_day


def prove(
    store: Store | AnyPath,
    against: Sequence[AnyPath] | AnyPath,
    *,
    settings: Settings = STANDARD,
    level: Level = Level.STANDARD,
    keep_blocks: bool = False,
    progress: Progress | None = None,
) -> FidelityReport:
    """Hold a store against golden samples: exactly, and metric by metric.

    A sample of the same time goes through gates A and B (`verify`) and C, one of another time
    through gate D. With samples of two other days or more the store's days are ranked among them
    (`compare_days`), and where those are enough, the rank decides. A sample is measured as a
    reconstruction of it would be, on the scale of its own instrument; what is kept of the store's
    days is used where it is of that scale.

    Parameters
    ----------
    store
        What was reconstructed, or its path.
    against
        One golden sample or more, all of one symbol.
    settings
        Margins, error rates and seeds; their hash stands in the report.
    level
        How much of gate C is compared.
    keep_blocks
        Leave the blocks of both sides in the report, some 150 MB a day: a page is drawn from them.
    progress
        Called with what is worked at, how much of it is done, and of how much.

    Raises
    ------
    UsageError
        If the store has no day of the samples' symbol, or the samples are of several symbols.
    InputError
        If a sample is damaged.
    ExtraError
        If the packages of the extra ``fidelity`` are not installed.
    """
    need_extra("fidelity")
    store = as_store(store)
    paths = [against] if isinstance(against, str) or not isinstance(against, Sequence) else against
    samples = [GoldenSample.load(path) for path in paths]
    names = {(one.instrument.exchange, one.instrument.symbol) for one in samples}
    if len(names) != 1:
        raise UsageError(
            f"{len(names)} symbols among the golden samples.",
            hint="name one golden sample or more, all of the same symbol",
        )
    ((exchange, symbol),) = names
    days = store.days().filter(exchange=exchange, symbol=symbol).sort("dt")
    if not days.height:
        raise no_symbol(store, exchange, symbol)
    found: list[Against] = []
    ours_of = lru_cache(maxsize=1)(partial(_ours, store, exchange, symbol))
    form: Common | None = None
    others: dict[int, Blocks] = {}
    candidates: dict[str, Blocks] = {}
    provenances = [*days["provenance"], *(one.provenance for one in samples)]
    for sample in samples:
        touched = sample_days(store, sample)
        held = Window(store, exchange, symbol, touched or tuple(days["dt"]))
        exact = verify(store, sample.path, progress=progress) if touched else None
        like, ours, golden = _alike(held, sample, exact, ours_of, progress)
        one = Against(
            str(sample.path),
            exact=exact,
            days=held.days,
            content_hash=sample.content_hash,
            span_ns=sample_span(sample),
            notes=like.notes,
        )
        if touched:
            times = None
            if level is Level.FULL:
                times = stored_trade_times(held, like.common), trade_times(sample, like.common)
            same = compare(
                ours,
                golden,
                settings,
                level=level,
                trade_times=times,
                left_out=like.left_out,
                doubt=like.doubt,
            )
            one = replace(one, same=same)
        else:
            other = compare_windows(ours, golden, settings, left_out=like.left_out)
            one = replace(one, other=other)
            first, last = map(utc_day, one.span_ns)
            if not any(first <= dt <= last for dt in held.days):
                form = like.common if form is None else form
                if like.left_out or like.common is not form:
                    told = (NOT_RANKED,) if len(samples) > 1 else ()
                    one = replace(one, notes=(*one.notes, *told))
                else:
                    others[len(found)] = without_series(golden)
                    candidates = candidates or _by_day(ours, held.days)
        if level is not Level.LIGHT:
            facts = stylised_facts(ours, golden, settings, is_paired=bool(touched))
            one = replace(one, facts=facts)
        found.append(replace(one, blocks=(ours, golden)) if keep_blocks else one)
    across = None
    if len({utc_day(found[at].span_ns[0]) for at in others}) > 1:
        across = compare_days(candidates, list(others.values()))
    if across is not None and across.decides:
        scale = next(iter(candidates.values())).scale
        for at in (at for at, golden in others.items() if is_alike(golden.scale, scale)):
            found[at] = replace(found[at], across=across)
    hashes = dict(days.select("dt", pl.col("content_hash")).iter_rows())
    return FidelityReport(exchange, symbol, least_real(*provenances), tuple(found), hashes, across)


def _telling(progress: Progress | None, what: str) -> Callable[[Reached], None] | None:
    """Tells how far the replay of a sample is."""
    if progress is None:
        return None
    return lambda reached: progress(what, reached.rows, reached.of_rows)


def _alike(
    held: Window,
    sample: GoldenSample,
    exact: VerifyReport | None,
    ours_of: Callable[[Sequence[str], Scale, Common], Blocks],
    progress: Progress | None,
) -> tuple[Likeness, Blocks, Blocks]:
    """In which form the two are compared, and the blocks of both in it."""
    kinds = Kinds.of(held, sample)
    like = of_trades(kinds, exact)

    def sides() -> tuple[Blocks, Blocks]:
        told = _telling(progress, str(sample.path))
        golden = measure_sample(sample, common=like.common, progress=told)
        return ours_of(held.days, golden.scale, like.common), golden

    of_one = of_one_speed(kinds, exact)
    both = None if exact is not None and of_one is False else sides()
    if of_one is None and both is not None:
        of_one = as_often(*both)
    if not of_one:
        if exact is None:
            like = without_messages(like, kinds)
        else:
            like, both = at_common_ids(like, kinds, held, sample), None
    return like, *(both or sides())


def _ours(
    store: Store, exchange: str, symbol: str, days: Sequence[str], scale: Scale, common: Common
) -> Blocks:
    """The blocks of some of the store's days."""
    return merged(
        [measured(store, symbol, dt, scale=scale, exchange=exchange, common=common) for dt in days]
    )


def _by_day(blocks: Blocks, days: Sequence[str]) -> dict[str, Blocks]:
    """The blocks of each of the store's days."""
    kept = without_series(blocks)
    dts = np.array([utc_day(start) for start in kept.start.tolist()])
    return {dt: kept.taken(np.flatnonzero(dts == dt)) for dt in days}


def stored_trade_times(held: Window, common: Common = AS_THEY_ARE) -> Int64:
    """The exchange's times of the trades of some of the store's days, ns, in order."""
    trades = held.table("events").filter(pl.col("kind") == int(Kind.TRADE))
    found = trades.select("event_id", "dt", "ts_event", "price", "side").collect()
    found = found.sort("dt", "event_id")
    times = found["ts_event"].to_physical().to_numpy().astype(np.int64)
    if common.trades:
        prices, sides = (found[name].rle_id().to_numpy() for name in ("price", "side"))
        times = times[begins(times, prices, sides)]
    return np.sort(times)
