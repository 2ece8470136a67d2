"""``lobproof.open(STORE)``: sealed days as lazy frames, batches, and books at an instant."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from lobproof.book import OrderBook
from lobproof.errors import UsageError
from lobproof.instruments import Instrument
from lobproof.options import check_whole
from lobproof.paths import AnyPath, as_path
from lobproof.schema import LEVELS, EventBatch, Flag, Severity
from lobproof.schema.provenance import made_of
from lobproof.schema.tables import (
    CONTENT_TABLES,
    EVENTS,
    KEYFRAMES,
    MINUTES,
    QUALITY,
    STATES,
    Table,
)
from lobproof.store.audit import AuditReport, Damage, audit_days, glance
from lobproof.store.bookview import BookView
from lobproof.store.catalog import (
    Catalog,
    SealedDay,
    Unsealed,
    check_range,
    check_unit,
    coverage_frame,
    covers,
    finest,
    last_day,
    on_grid,
    several,
    stretches,
    symbols,
    told_unsealed,
    unheard,
    within,
)
from lobproof.store.columns import Grid
from lobproof.store.daybook import DayBook, Doubts, Message
from lobproof.store.ladder import Ladder
from lobproof.store.layout import ALL, Partition, Scope
from lobproof.store.mirror import mirror_at
from lobproof.store.place import SCHEME
from lobproof.store.playback import reading, replay_day, statistics
from lobproof.store.views import (
    Names,
    Numbers,
    Symbols,
    View,
    among,
    bars_of,
    check_numbers,
    check_sides,
    empty_frame,
    messages,
    outside,
    shown,
    trades_of,
    with_touch,
)
from lobproof.timespan import Duration, Time, bounds, duration_ns, show_days, show_ns, to_ns

BATCH_ROWS = 1 << 16
_MOST_LEVELS = 1 << 28
"""Levels a side of all instants of a sample: 16 GiB."""
_MOST_INSTANTS = 1 << 24
"""Of a sample: at some fifty microseconds each they take a quarter of an hour."""
_NS = np.dtype("datetime64[ns]")


def open_store(
    path: AnyPath, scope: Scope = ALL, options: Mapping[str, str] | None = None
) -> Store:
    """Open a store for reading, as it is now: all of it, or some of its days alone.

    Parameters
    ----------
    path
        Its folder, or ``s3://bucket/prefix``: what is read of a bucket is kept in the cache's
        folder.
    options
        For a bucket: ``AWS_ACCESS_KEY_ID`` and others, as Delta takes them; by default the
        environment's.

    Raises
    ------
    StoreError
        If there is no store at ``path``, or it was written in a newer format.
    ExtraError
        For a bucket, if the extra ``s3`` is not installed.
    """
    if isinstance(path, str) and path.startswith(SCHEME):
        path = mirror_at(path, options).root
    return Store(path, scope)


def as_store(given: Store | AnyPath) -> Store:
    """The store that is given, or the one at that path, opened.

    Raises
    ------
    UsageError
        If it is neither.
    StoreError
        If there is no store at the path.
    """
    if isinstance(given, Store):
        return given
    if not isinstance(given, str | os.PathLike):
        raise UsageError(
            f"{type(given).__name__} is neither a store nor the path of one.",
            hint="Give a store's folder, or what `lobproof.open` gives (of a result of "
            "`reconstruct`: its `store`).",
        )
    return open_store(given)


class Store:
    """The sealed days of a store at the time it was opened; others do not exist for it.

    In all methods ``symbol`` is the canonical name (``BTC-USDT``) or the venue's (``BTCUSDT``),
    and may be left out where the store holds just one; frames take several, one behind the other
    (``store.symbols()["symbol"]`` names all). ``exchange`` tells symbols of one name apart.
    ``start`` (inclusive) and ``end`` (exclusive) are times in UTC: a datetime or a date, NumPy's
    datetime64, ISO 8601 text or int nanoseconds, compared with ``ts_order``. Errors of all of them:

    UsageError
        If the symbol is unknown or ambiguous, or nothing was heard in the whole range: before the
        first event, behind the last, or within an outage. Where a range is covered in part,
        `coverage` tells by what.
    StoreError
        If a day is not as it was sealed: a file is missing, or its size, its rows or its footer are
        others. Files that no seal names are never read. That bytes were changed behind an intact
        footer only `audit` tells, and ``lobproof verify``.
    """

    def __init__(self, path: AnyPath, scope: Scope = ALL) -> None:
        # a later change of the working folder is no change of the store
        self._catalog = Catalog(as_path(path).absolute(), scope)
        self._openings: dict[Partition, str] = {}

    def __repr__(self) -> str:
        """What it holds: symbols, days, provenance, and what is not sealed."""
        return "\n".join([f"Store {self.url}", *self._lines()])

    def _repr_html_(self) -> str:
        """What ``repr`` says, as a list."""
        rows = "".join(f"<li>{escape(line)}</li>" for line in self._lines())
        return f"<p>Store <code>{escape(self.url)}</code></p><ul>{rows}</ul>"

    def _lines(self) -> list[str]:
        lines = []
        for days in several(self._catalog.days):
            where, count = days[0].partition, len(days)
            made = ", ".join(sorted({made_of(day.provenance) for day in days}))
            span = show_days(day.partition.dt for day in days)
            many = "1 day" if count == 1 else f"{count:,} days"
            lines.append(f"{where.exchange} {where.symbol}: {many}, {span} ({made})")
        beside = told_unsealed(self.unsealed())
        return [*(lines or ["no sealed day"]), *([beside] if beside else [])]

    @property
    def path(self) -> Path:
        """The store's folder; of a store in a bucket that of its mirror here."""
        return self._catalog.root

    @property
    def url(self) -> str:
        """Where the store is: its folder, or ``s3://bucket/prefix``."""
        mirror = self._catalog.mirror
        return str(self.path) if mirror is None else mirror.place.url

    @property
    def scope(self) -> Scope:
        """The days that it was opened with."""
        return self._catalog.scope

    def days(self) -> pl.DataFrame:
        """The seals: one row a symbol-day, by exchange, symbol and day (columns of ``days``)."""
        return self._catalog.seals

    def symbols(self) -> pl.DataFrame:
        """One row a symbol: exchange, symbol, venue_symbol, days, first_dt, last_dt."""
        return symbols(self._catalog.days)

    def unsealed(self) -> tuple[Unsealed, ...]:
        """Days that the store's tables speak of and no seal vouches for, and why.

        Their seal was deleted, or a run was killed amid a commit. None of the other methods shows
        anything of them; `lobproof reconstruct` makes them anew.
        """
        return self._catalog.unsealed

    def glance(self) -> tuple[Damage, ...]:
        """Files of sealed days that are gone, of another size, or not listed as they were sealed.

        By a look at each file's size alone: `audit` reads what is in them.
        """
        return glance(self._catalog)

    def files(
        self,
        table: str,
        symbol: str | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
    ) -> list[Path]:
        """Parquet files of the days in the range, for readers that take a list (DuckDB, Arrow).

        They come in the order of the rows. ``table`` is ``"events"``, ``"states"``,
        ``"keyframes"``, ``"quality"`` or ``"minutes"``.
        """
        found = _table(table)
        days = within(self._catalog.resolve(symbol, exchange), *bounds(start, end))
        return [path for day in days for path in self._catalog.paths(day, found)]

    def instrument(
        self, symbol: str | None = None, dt: str | None = None, *, exchange: str | None = None
    ) -> Instrument:
        """The instrument of a day; without ``dt`` the latest one's, on the finest grid of all days.

        That grid is the one of `replay` and of ``numbers="grid"`` over all days.
        """
        if dt is not None:
            return self._catalog.day(symbol, exchange, dt).instrument
        days = self._catalog.resolve(symbol, exchange)
        return on_grid(days[-1].instrument, finest(days))

    def events(
        self,
        symbol: Symbols | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        kind: Names | None = None,
        side: Names | None = None,
        numbers: Numbers = "decimal",
        raw: bool = False,
    ) -> pl.LazyFrame:
        """Everything that happened, day by day in the order of ``event_id``.

        Parameters
        ----------
        symbol, exchange, start, end
            See the class.
        kind, side
            Rows of that name only, or of one of several: ``"TRADE"``, ``("BUY", "SELL")``. Other
            than with a filter of Polars, a name that cannot occur is an error, and not no row; so
            is a side that none of the kinds has.
        numbers
            ``"decimal"``: prices and sizes as stored, ``Decimal(38, 18)``, exact; a product of
            price and size overflows its digits. ``"grid"``: int64 counts on the finest grid of
            the days in the range (see `instrument`), exact. ``"float"``: the nearest float64.
        raw
            Keep the stored integers instead of times and names: times as int64 nanoseconds,
            kinds, sides, codes as int8.

        Returns
        -------
        pl.LazyFrame
            ``exchange, symbol, dt`` and the columns of the table.
        """
        check_sides(kind, side)
        view = View(*bounds(start, end), numbers, raw, among(kind=kind, side=side))
        return self._frame(EVENTS, symbol, exchange, view)

    def states(
        self,
        symbol: Symbols | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        numbers: Numbers = "decimal",
        raw: bool = False,
    ) -> pl.LazyFrame:
        """Twenty levels a side at the ends of book messages; parameters as of `events`."""
        return self._frame(STATES, symbol, exchange, View(*bounds(start, end), numbers, raw))

    def keyframes(
        self,
        symbol: Symbols | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        numbers: Numbers = "decimal",
        raw: bool = False,
    ) -> pl.LazyFrame:
        """Full books; parameters as of `events`."""
        return self._frame(KEYFRAMES, symbol, exchange, View(*bounds(start, end), numbers, raw))

    def quality(
        self,
        symbol: Symbols | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        code: Names | None = None,
        severity: Names | None = None,
        numbers: Numbers = "decimal",
        raw: bool = False,
    ) -> pl.LazyFrame:
        """Findings: the intervals that touch the range; parameters as of `events`.

        ``code`` and ``severity`` keep those of a name (``"GAP"``, ``"DOUBT"``), or of several.
        """
        view = View(*bounds(start, end), numbers, raw, among(code=code, severity=severity))
        return self._frame(QUALITY, symbol, exchange, view)

    def minutes(
        self,
        symbol: Symbols | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        numbers: Numbers = "decimal",
        raw: bool = False,
    ) -> pl.LazyFrame:
        """Statistics of the minutes that touch the range; parameters as of `events`."""
        return self._frame(MINUTES, symbol, exchange, View(*bounds(start, end), numbers, raw))

    def trusted(
        self,
        symbol: Symbols | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        numbers: Numbers = "decimal",
        raw: bool = False,
    ) -> pl.LazyFrame:
        """`states` whose touch is trusted.

        Rows flagged ``DOUBTFUL`` are left out, and those inside intervals of ``quality`` of
        severity ``DOUBT``, which reach back over rows that were written before the doubt arose.
        """
        view = View(
            *bounds(start, end), numbers, raw, [(pl.col("flags") & int(Flag.DOUBTFUL)) == 0]
        )
        frames = []
        for day, grid in self._days(symbol, exchange, view):
            rows = self._scan(STATES, day, grid, view)
            lies = self._doubts(day).intervals
            frames.append(rows.filter(outside(lies)) if lies else rows)
        return pl.concat(frames)

    def market_events(
        self,
        symbol: Symbols | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        numbers: Numbers = "decimal",
    ) -> pl.LazyFrame:
        """One row a message, in five fields.

        Returns
        -------
        pl.LazyFrame
            ``timestamp`` (``ts_order``), ``event_type`` (``trade`` or ``book_update``),
            ``symbol``, ``data`` (list of structs ``kind, side, price, size, flags``: the rows of
            the message) and ``sequence``: here the event_id of the message's last row.
        """
        view = View(*bounds(start, end), numbers, raw=True)
        days = self._days(symbol, exchange, view)
        return pl.concat(messages(self._scan(EVENTS, day, grid, view)) for day, grid in days)

    def trades(
        self,
        symbol: Symbols | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        side: Names | None = None,
        numbers: Numbers = "decimal",
        raw: bool = False,
    ) -> pl.LazyFrame:
        """Trades: rows of `events` of that kind; parameters as there.

        ``trade_id`` is the venue's; ``side`` the taker's: BUY or SELL. Where trades are missing
        ``events(kind="MARK")`` and `quality` (``TRADE_GAP``) say so.
        """
        check_sides("TRADE", side)
        chosen = among(kind="TRADE", side=side)
        view = View(*bounds(start, end), numbers, raw, chosen)
        return trades_of(self._frame(EVENTS, symbol, exchange, view))

    def trades_with_touch(
        self,
        symbol: Symbols | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        numbers: Numbers = "decimal",
        raw: bool = False,
    ) -> pl.LazyFrame:
        """Trades, each with the touch of the book right before it; parameters as of `events`.

        Beside the columns of `trades`: ``bid_price``, ``bid_size``, ``ask_price``, ``ask_size`` (0
        where a side was empty), ``book_event_id`` and ``book_ts``, the message that made them so
        and its time: the last one before the trade in the order of events, of the same day; null,
        as are the prices, before the first of a day. A venue that tells its book every 100 ms has
        moved on since, by up to so long. ``trusted``: whether that touch is known to be right at
        the trade: not where there is none, nor in a doubt that arose since.

        Raises
        ------
        UsageError
            For a day with fewer states than book messages: the last one may be stale.
        """
        view = View(*bounds(start, end), numbers, raw, among(kind="TRADE"))
        frames = []
        for day, grid in self._days(symbol, exchange, view):
            if day.spacing != "all":
                raise UsageError(
                    f"{day.partition} has states {day.spacing!r}: the one before a trade may be "
                    "older than the book.",
                    hint="Reconstruct it with states='all', or take `play`, which has the book at "
                    "every message.",
                )
            trades = trades_of(self._scan(EVENTS, day, grid, view))
            states = self._scan(STATES, day, grid, View(numbers=numbers, raw=True))
            frames.append(with_touch(trades, states, self._doubts(day).intervals, raw=raw))
        return pl.concat(frames)

    def bars(
        self,
        every: Duration,
        symbol: Symbols | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        numbers: Numbers = "decimal",
    ) -> pl.LazyFrame:
        """Trades by intervals of ``every`` (``"1s"``, ``"5m"``, a timedelta) since the epoch.

        Returns
        -------
        pl.LazyFrame
            ``exchange, symbol, time`` (where the interval starts), ``open, high, low, close,
            volume, buy_volume`` (of takers who bought), ``vwap`` (float), ``trades``, and ``gaps``:
            how many holes in the trades touch it, each from the last trade before to the first
            behind. An interval in which nothing traded has no row, unless such a hole lies there:
            then its prices are null. A hole in which the range begins or ends is seen where the
            range holds a trade before it and one behind. An interval that was heard in part, since
            a day's events or the range begin or end within it, looks like a whole one.
        """
        length = duration_ns(every)
        view = View(*bounds(start, end), numbers, raw=True)
        symbols = several([day for day, _ in self._days(symbol, exchange, view)])
        return pl.concat(
            bars_of(
                pl.concat(
                    self._scan(EVENTS, day, finest(days), view).with_columns(
                        pl.lit(day.chained).alias("chained")
                    )
                    for day in days
                ),
                length,
            )
            for days in symbols
        )

    def replay(
        self,
        symbol: str | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        date: str | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> Iterator[EventBatch]:
        """Events as integers again, in batches of whole messages, day after day.

        Prices and sizes count on the finest grid of the days in the range. The sequence of rows
        does not depend on ``batch_rows``, 1 or more; memory holds a row group at a time. ``date``:
        only the rows of that one of the days.
        """
        check_whole("batch_rows", batch_rows, least=1, most=1 << 62, hint="give 1 or more")
        low, high = bounds(start, end)
        days = within(self._catalog.resolve(symbol, exchange), low, high)
        grid = finest(days)
        if date is not None:
            days = within([self._catalog.day(symbol, exchange, date)], low, high)
        paths = [self._catalog.paths(day, EVENTS) for day in days]
        return (batch for day in paths for batch in replay_day(day, grid, low, high, batch_rows))

    def play(
        self,
        symbol: str | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
    ) -> Iterator[tuple[Message, OrderBook]]:
        """Message by message, each with the live book that has taken it in.

        The book is complete from the first message on: it sets out from the keyframe before
        ``start``. It is one object that changes; a day begins a new one. Prices and sizes count on
        the finest grid of the days (see `instrument`). A message costs some fifty microseconds:
        where that is too slow, `sample`, `states` and `OrderBook.apply_events` work in bulk.
        """
        low, high = bounds(start, end)
        days = within(self._catalog.resolve(symbol, exchange), low, high)
        return self._played(days, finest(days), low, high)

    def _played(
        self, days: Sequence[SealedDay], grid: Grid, low: int | None, high: int | None
    ) -> Iterator[tuple[Message, OrderBook]]:
        for day in days:
            book = self._day_book(day, grid)
            book.move(day.first_ts - 1 if low is None else low - 1)
            for message in book.messages(high):
                yield message, book.book

    def book_at(
        self,
        time: Time,
        symbol: str | None = None,
        *,
        exchange: str | None = None,
        pending: bool = False,
    ) -> BookView:
        """The full book after the last event with ``ts_order <= time``.

        It is replayed from the keyframe before. With ``pending`` trades are taken off that no
        depth message reflects yet. Behind a day's last event it is in doubt, unless the next day
        goes on from there and shows that nothing was missed.

        Raises
        ------
        UsageError
            If ``time`` is before the first event, or in no sealed day: an older book would be
            shown for it.
        """
        return next(self.books_at([time], symbol, exchange=exchange, pending=pending))

    def books_at(
        self,
        times: Iterable[Time],
        symbol: str | None = None,
        *,
        exchange: str | None = None,
        pending: bool = False,
    ) -> Iterator[BookView]:
        """`book_at` of one time after the other; fast where they ascend.

        ``times`` may be a series of Polars or pandas, or an array of NumPy. Errors of a time are
        raised as the iterator reaches it.
        """
        days = self._catalog.resolve(symbol, exchange)
        return self._books(days, _each(times), pending=pending)

    def _books(
        self, days: Sequence[SealedDay], times: Iterable[Time], *, pending: bool
    ) -> Iterator[BookView]:
        book: DayBook | None = None
        for time in times:
            moment = to_ns(time)
            day = last_day(days, moment)
            if book is None or book.day is not day:
                book = self._day_book(day, day.grid)
            book.move(moment)
            yield book.view(moment, self._unheard(days, day, moment), pending=pending)

    def sample(
        self,
        every: Duration,
        symbol: str | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        depth: int = LEVELS,
        numbers: Numbers = "decimal",
    ) -> pl.DataFrame:
        """The best ``depth`` levels of both sides at the instants ``start + k * every``.

        Each row is the book of `book_at` there, after the last event at or before ``time``, from
        all levels, however deep; without ``start`` the first instant is the first multiple of
        ``every`` at or behind the first event, without ``end`` the last one before or at the last
        event. With both the range need hold no event, as long as a book is known in it. A row takes
        64 bytes of memory a level.

        Returns
        -------
        pl.DataFrame
            ``exchange, symbol, time``; ``event_id``, ``ts_order`` and ``sequence`` of the last
            event; levels named as in `states` (0 behind the last); ``bid_trusted`` and
            ``ask_trusted``, how many of the leading levels are known to be right; ``doubtful`` and
            the ``reason``. At an instant of which no sealed day knows anything all of it is null
            but ``doubtful`` and the ``reason``.
        """
        length, numbers = duration_ns(every), check_numbers(numbers)
        check_whole("depth", depth, least=1, most=1 << 62, hint="give 1 or more")
        days = self._catalog.resolve(symbol, exchange)
        low, high = _edges(days, length, *bounds(start, end))
        span, count = f"{show_ns(low)} to {show_ns(high)}", max(-(-(high - low) // length), 0)
        if not count:
            raise UsageError(
                f"From {span} there is no instant of {every!r}.", hint="Give a start, or less time."
            )
        if count > _MOST_INSTANTS or count * depth > _MOST_LEVELS:
            raise UsageError(
                f"{count:,} instants from {span}, {depth:,} levels a side, are too many to hold.",
                hint="Ask for it in parts (start, end), or less often; `books_at` gives one book "
                "at a time.",
            )
        instants = low + length * np.arange(count, dtype=np.int64)
        ladder = Ladder(instants, depth)
        known = []
        for begin, stop in stretches(days, instants):
            try:
                known.append((begin, stop, last_day(days, int(instants[begin]), "this instant")))
            except UsageError as error:
                ladder.unknown(begin, stop, error.message)
        # where no book is known, something must have been heard beside the instants
        heard = (
            [day for day in days if covers(day, low, high)] if known else within(days, low, high)
        )
        grid = finest([*heard, *(day for _, _, day in known)])
        book: DayBook | None = None
        for begin, stop, day in known:
            if book is None or book.day is not day:
                book = self._day_book(day, grid)
            for row, moment in enumerate(instants[begin:stop].tolist(), begin):
                book.move(moment)
                ladder.add(row, book, self._unheard(days, day, moment))
        return ladder.frame(days[0].partition, grid, numbers)

    def _unheard(self, days: Sequence[SealedDay], day: SealedDay, moment: int) -> str:
        return unheard(days, day, moment, self._opening)

    def _opening(self, day: SealedDay) -> str:
        """The doubt with which a day begins, in words."""
        if day.partition not in self._openings:
            self._openings[day.partition] = self._doubts(day).at(0)
        return self._openings[day.partition]

    def _day_book(self, day: SealedDay, grid: Grid) -> DayBook:
        frames = self._scan(KEYFRAMES, day, grid, View(numbers="grid", raw=True))
        return DayBook(day, grid, self._catalog.paths(day, EVENTS), frames, self._doubts(day))

    def coverage(
        self,
        symbol: str | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
    ) -> pl.DataFrame:
        """When each stream was heard: a row a stream and day that the range touches.

        ``exchange, symbol, dt, stream, first, last, messages``; ``silences`` longer than the pace
        of the stream explains, ``silent`` in all, ``longest_silence``, ``listed``: the longest.
        """
        days, (low, high) = self._catalog.resolve(symbol, exchange), bounds(start, end)
        check_unit(days, low, high)
        return coverage_frame(days, low, high)

    def audit(
        self,
        symbol: str | None = None,
        *,
        exchange: str | None = None,
        dt: str | None = None,
        content: bool = True,
    ) -> AuditReport:
        """Hold all sealed days, or a symbol's, or one day, against their seals.

        Names, sizes, rows and bytes of all files; with ``content`` every hash is recomputed from
        the stored decimals too. The report locates what differs: table, file, and then row group
        and column; ``unsealed`` of a whole store's names days that it cannot vouch for.
        """
        if dt is None and symbol is None and exchange is None:
            every, beside = self._catalog.days, self._catalog.unsealed
            return audit_days(self._catalog, every, content=content, unsealed=beside)
        if dt is not None:
            days = [self._catalog.day(symbol, exchange, dt)]
        else:
            days = self._catalog.resolve(symbol, exchange)
        names = {(day.partition.exchange, day.partition.symbol) for day in days}
        beside = tuple(
            one
            for one in self._catalog.unsealed
            if dt is None and (one.partition.exchange, one.partition.symbol) in names
        )
        return audit_days(self._catalog, days, content=content, unsealed=beside)

    def stored(
        self, table: str, dt: str, symbol: str | None = None, *, exchange: str | None = None
    ) -> pl.LazyFrame:
        """A table of one day as it is stored, with the day as ``dt``: raw, and nothing left out."""
        day = self._catalog.day(symbol, exchange, dt)
        return self._scan(_table(table), day, day.grid, View(raw=True)).drop("exchange", "symbol")

    def stored_groups(
        self,
        table: str,
        dt: str,
        symbol: str | None = None,
        *,
        exchange: str | None = None,
        columns: Sequence[str] | None = None,
        first_id: int = 0,
    ) -> Iterator[pl.DataFrame]:
        """The same, a row group at a time: no more than that is in memory.

        ``columns``: only these, without ``dt``. ``first_id``: of `events`, `states` or `keyframes`,
        no row group that lies before that event.
        """
        day = self._catalog.day(symbol, exchange, dt)
        for path in self._catalog.paths(day, _table(table)):
            with reading(path):
                footer = pq.read_metadata(path)
            rows = pl.scan_parquet(path, glob=False, hive_partitioning=False)
            chosen = [pl.lit(dt).alias("dt"), pl.all()] if columns is None else columns
            stop = 0
            for index in range(footer.num_row_groups):
                start, stop = stop, stop + footer.row_group(index).num_rows
                with reading(path):
                    if first_id and statistics(footer, index, "event_id").max < first_id:
                        continue
                    group = rows.select(chosen).slice(start, stop - start).collect()
                yield group

    def _days(
        self, symbol: Symbols | None, exchange: str | None, view: View
    ) -> list[tuple[SealedDay, Grid]]:
        """The days in a view's range, symbol by symbol, each with its symbol's finest grid."""
        names: list[str | None]
        if symbol is None or isinstance(symbol, str):
            names = [symbol]
        else:
            names = list(symbol) if isinstance(symbol, Iterable) else [str(symbol)]
        found: list[tuple[SealedDay, Grid]] = []
        named = set()  # a symbol has two names, and either may come twice
        for name in names:
            days = within(self._catalog.resolve(name, exchange), view.start, view.end)
            of_all = days[0].partition.exchange, days[0].partition.symbol
            if of_all not in named:
                named.add(of_all)
                found += [(day, finest(days)) for day in days]
        if not found:
            raise UsageError("No symbol is named.", hint="Name one or more; `symbols` lists them.")
        grids = {grid for _, grid in found}
        if view.numbers == "grid" and len(grids) > 1:
            raise UsageError(
                "Symbols on different grids cannot share a column of counts.",
                hint="Read them one by one, or with numbers='decimal' or 'float'.",
            )
        return found

    def _frame(
        self, table: Table, symbol: Symbols | None, exchange: str | None, view: View
    ) -> pl.LazyFrame:
        days = self._days(symbol, exchange, view)
        return pl.concat(self._scan(table, day, grid, view) for day, grid in days)

    def _scan(self, table: Table, day: SealedDay, grid: Grid, view: View) -> pl.LazyFrame:
        paths = self._catalog.paths(day, table)
        stored = empty_frame(table)
        if paths:
            stored = pl.scan_parquet(paths, glob=False, hive_partitioning=False)
        where = day.partition.values()
        names = (pl.lit(value).alias(name) for name, value in where.items())
        return shown(stored, table, grid, view).select(*names, pl.all())

    def _doubts(self, day: SealedDay) -> Doubts:
        """When the touch of a day is in doubt."""
        rows = (
            self._scan(QUALITY, day, day.grid, View(raw=True))
            .filter(pl.col("severity") >= int(Severity.DOUBT))
            .select("first_event_id", "last_event_id", "code", "detail")
            .sort(pl.all())
        )
        with reading(f"quality of {day.partition}"):
            return Doubts(rows.collect())


def _table(name: str) -> Table:
    """The table of that name."""
    found = next((known for known in CONTENT_TABLES if known.name == name), None)
    if found is None:
        raise UsageError(
            f"There is no table {name!r}.",
            hint=f"Choose among {', '.join(known.name for known in CONTENT_TABLES)}.",
        )
    return found


def _each(times: Iterable[Time]) -> Iterable[Time]:
    """Times one by one, with the nanoseconds that Python's datetime has no room for."""
    if isinstance(times, str | datetime) or not isinstance(times, Iterable):
        raise UsageError(
            f"{times!r} is not several times.",
            hint="Give a list, a series or an array of times; `book_at` takes a single one.",
        )
    if isinstance(times, pl.Series) and isinstance(times.dtype, pl.Datetime):
        if times.null_count():
            raise UsageError("Null is not a time.", hint="Leave it out, as with `drop_nulls`.")
        unit = {"ns": 1, "us": 10**3, "ms": 10**6}[times.dtype.time_unit]
        return (int(time) * unit for time in times.to_physical())
    if isinstance(times, np.ndarray) and times.dtype.kind == "M":
        exact = times.astype(_NS)
        if np.isnat(times).any() or (exact.astype(times.dtype) != times).any():
            raise UsageError(
                "Not all items of the array are times that 64 bits of nanoseconds hold.",
                hint="Leave out NaT; the rest must be from 1678 to 2261.",
            )
        return map(int, exact.astype(np.int64))
    return times


def _edges(
    days: Sequence[SealedDay], length: int, start: int | None, end: int | None
) -> tuple[int, int]:
    """Where a sample begins and ends; what is open is an edge of what was heard."""
    check_range(start, end)
    if start is not None and end is not None:
        return start, end
    heard = within(days, start, end)
    if start is None:
        first = next((day.first_ts for day in heard if day.first_ts), heard[0].span[0])
        start = -(-first // length) * length
    if end is None:
        end = max(day.last_ts for day in heard) + 1
    return start, end
