"""``DayContent``: what a writer made of one symbol-day, ready to be committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lobproof.instruments import Instrument
from lobproof.store.grids import Grid
from lobproof.store.hashing import content_hash
from lobproof.store.layout import Partition
from lobproof.store.parts import Part


@dataclass(frozen=True, slots=True)
class TableContent:
    """The finished parts of one table of one partition."""

    parts: tuple[Part, ...]
    hash: str

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, slots=True)
class DayContent:
    """Files, counts and hashes of one symbol-day; the files lie in place but no commit lists them.

    ``tables`` maps each of the five content tables to its parts. ``first_ts`` and ``last_ts`` are
    the first and last ``ts_order``, 0 in a day without events.
    """

    root: Path
    instrument: Instrument
    partition: Partition
    tables: Mapping[str, TableContent]
    first_ts: int
    last_ts: int

    @property
    def hashes(self) -> dict[str, str]:
        """Content hash of each table by its name."""
        return {name: table.hash for name, table in self.tables.items()}

    @property
    def content_hash(self) -> str:
        """The hash over the five tables' hashes."""
        return content_hash(self.hashes)

    def rows(self, table: str) -> int:
        """Rows of a table."""
        return self.tables[table].rows


def grid_of(instrument: Instrument) -> Grid:
    """The instrument's decimal grid."""
    return Grid(instrument.price_exponent, instrument.size_exponent)
