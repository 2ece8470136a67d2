"""``lobproof.open(STORE)``: sealed days as lazy frames, batches, and books at an instant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lobproof.errors import UsageError
from lobproof.instruments import Instrument
from lobproof.paths import AnyPath, as_path
from lobproof.schema import EventBatch, Flag, Severity
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
from lobproof.store.bookview import BookView, doubts_at, view_book
from lobproof.store.catalog import (
    Catalog,
    SealedDay,
    Unsealed,
    at,
    coverage_frame,
    day_of_last_event,
    finest,
    on_grid,
    symbols,
    unheard,
    within,
)
from lobproof.store.columns import Grid
from lobproof.store.keyframe import Keyframe
from lobproof.store.playback import replay_day
from lobproof.store.timespan import Time, bounds, to_ns
from lobproof.store.views import Names, Numbers, View, among, empty_frame, messages, outside, shown

BATCH_ROWS = 1 << 16


def open_store(path: AnyPath) -> Store:
    """Open a store for reading, as it is now.

    Raises
    ------
    StoreError
        If there is no store at ``path``, or it was written in a newer format.
    """
    return Store(path)


class Store:
    """The sealed days of a store at the time it was opened; others do not exist for it.

    In all methods ``symbol`` is the canonical name (``BTC-USDT``) or the venue's (``BTCUSDT``),
    and may be left out where the store holds just one; ``exchange`` tells symbols of one name
    apart. ``start`` (inclusive) and ``end`` (exclusive) are times in UTC: a datetime, ISO 8601
    text or int nanoseconds, compared with ``ts_order``. Errors of all of them:

    UsageError
        If the symbol is unknown or ambiguous, or nothing was heard in the whole range: before the
        first event, behind the last, or within an outage. Where a range is covered in part,
        `coverage` tells by what.
    StoreError
        If a day is not as it was sealed: a file is missing, or its size, its rows or its footer are
        others. Files that no seal names are never read. That bytes were changed behind an intact
        footer only `audit` tells, and ``lobproof verify``.
    """

    def __init__(self, path: AnyPath) -> None:
        self._catalog = Catalog(as_path(path))

    @property
    def path(self) -> Path:
        """The store's folder."""
        return self._catalog.root

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
        found = next((known for known in CONTENT_TABLES if known.name == table), None)
        if found is None:
            raise UsageError(
                f"There is no table {table!r}.",
                hint=f"Choose among {', '.join(known.name for known in CONTENT_TABLES)}.",
            )
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
        symbol: str | None = None,
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
            than with a filter of Polars, a name that cannot occur is an error, and not no row.
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
        view = View(*bounds(start, end), numbers, raw, among(kind=kind, side=side))
        return self._frame(EVENTS, symbol, exchange, view)

    def states(
        self,
        symbol: str | None = None,
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
        symbol: str | None = None,
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
        symbol: str | None = None,
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
        symbol: str | None = None,
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
        symbol: str | None = None,
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
        days = within(self._catalog.resolve(symbol, exchange), view.start, view.end)
        grid = finest(days)
        frames = []
        for day in days:
            rows = self._scan(STATES, day, grid, view)
            doubts = self._doubts(day)
            lies = doubts.select("first_event_id", "last_event_id").rows()
            frames.append(rows.filter(outside(lies)) if lies else rows)
        return pl.concat(frames)

    def market_events(
        self,
        symbol: str | None = None,
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
        days = within(self._catalog.resolve(symbol, exchange), view.start, view.end)
        grid = finest(days)
        return pl.concat(messages(self._scan(EVENTS, day, grid, view)) for day in days)

    def replay(
        self,
        symbol: str | None = None,
        *,
        exchange: str | None = None,
        start: Time | None = None,
        end: Time | None = None,
        batch_rows: int = BATCH_ROWS,
    ) -> Iterator[EventBatch]:
        """Events as integers again, in batches of whole messages, day after day.

        Prices and sizes count on the finest grid of the days in the range. The sequence of rows
        does not depend on ``batch_rows``; memory holds a row group at a time.
        """
        low, high = bounds(start, end)
        days = within(self._catalog.resolve(symbol, exchange), low, high)
        grid = finest(days)
        paths = [self._catalog.paths(day, EVENTS) for day in days]
        return (batch for day in paths for batch in replay_day(day, grid, low, high, batch_rows))

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
        moment = to_ns(time)
        days = self._catalog.resolve(symbol, exchange)
        day = day_of_last_event(days, at(days, moment), moment)
        frames = self._scan(KEYFRAMES, day, day.grid, View(numbers="grid", raw=True))
        frame = Keyframe.before(frames, moment, str(day.partition))
        paths = self._catalog.paths(day, EVENTS)
        silent = unheard(days, day, moment, lambda after: doubts_at(self._doubts(after), 0))
        return view_book(day, paths, frame, moment, self._doubts(day), silent, pending=pending)

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
        return coverage_frame(self._catalog.resolve(symbol, exchange), *bounds(start, end))

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

    def _frame(
        self, table: Table, symbol: str | None, exchange: str | None, view: View
    ) -> pl.LazyFrame:
        days = within(self._catalog.resolve(symbol, exchange), view.start, view.end)
        grid = finest(days)
        return pl.concat(self._scan(table, day, grid, view) for day in days)

    def _scan(self, table: Table, day: SealedDay, grid: Grid, view: View) -> pl.LazyFrame:
        paths = self._catalog.paths(day, table)
        stored = empty_frame(table)
        if paths:
            stored = pl.scan_parquet(paths, glob=False, hive_partitioning=False)
        where = day.partition.values()
        names = (pl.lit(value).alias(name) for name, value in where.items())
        return shown(stored, table, grid, view).select(*names, pl.all())

    def _doubts(self, day: SealedDay) -> pl.DataFrame:
        """Closed intervals of event ids whose touch is in doubt, and why."""
        return (
            self._scan(QUALITY, day, day.grid, View(raw=True))
            .filter(pl.col("severity") >= int(Severity.DOUBT))
            .select("first_event_id", "last_event_id", "code", "detail")
            .sort(pl.all())
            .collect()
        )
