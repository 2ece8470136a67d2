"""``schema``: the files are those that were sealed, with the columns that they should have."""

from __future__ import annotations

from collections import Counter

import polars as pl

from lobproof.fidelity.exact.report import Check, Verdict
from lobproof.fidelity.exact.walk import Window
from lobproof.schema.tables import CONTENT_TABLES, Table


class SchemaCheck:
    """Compares with the seals. With ``audit`` every content hash is recomputed too."""

    def __init__(self, window: Window, *, audit: bool) -> None:
        self._window = window
        self._problems: list[str] = []
        self._compared = 0
        self._rows: Counter[tuple[str, str]] = Counter()
        self._audit = audit

    def as_sealed(self) -> bool:
        """Whether all files of the days are those of the seals."""
        window = self._window
        for dt in window.days:
            report = window.store.audit(
                window.symbol, exchange=window.exchange, dt=dt, content=self._audit
            )
            self._compared += report.files
            self._problems += [str(damage) for damage in report.damage]
            if self._audit:
                window.read(int(window.seals().filter(pl.col("dt") == dt)["events"].sum()))
        return not self._problems

    def columns(self) -> bool:
        """Whether all tables have their columns."""
        for table in CONTENT_TABLES:
            self._compared += 1
            found = self._window.table(table.name).drop("dt").collect_schema()
            if dict(found) != _columns(table):
                self._problems.append(f"{table.name} has the columns {dict(found)}")
        return not self._problems

    def count(self, table: str, rows: pl.DataFrame) -> None:
        """Rows that were read."""
        for dt, number in rows.group_by("dt").len().iter_rows():
            self._rows[table, dt] += number

    def unreadable(self, error: Exception) -> Check:
        """The check, when reading the store failed."""
        self._problems.append(f"the store cannot be read: {error}")
        return self._check()

    def result(self) -> Check:
        """The check."""
        window = self._window
        for seal in window.seals().iter_rows(named=True):
            for table in ("events", "states"):
                self._compared += 1
                rows = self._rows[table, seal["dt"]]
                if rows != seal[table]:
                    self._problems.append(
                        f"{seal['dt']}: {rows} rows of {table}, {seal[table]} were sealed"
                    )
        return self._check()

    def _check(self) -> Check:
        wrong = len(self._problems)
        compared = max(self._compared, wrong)
        return Check(
            "schema",
            Verdict.FAIL if wrong else Verdict.EXACT,
            compared,
            compared,
            compared - wrong,
            reason=self._problems[0] if wrong else "",
            details={"problems": self._problems[:100], "hashes_recomputed": self._audit},
        )


def _columns(table: Table) -> dict[str, pl.DataType]:
    frame = pl.from_arrow(table.schema.empty_table())
    assert isinstance(frame, pl.DataFrame)
    return dict(frame.schema)
