"""What the commands on a folder's days share: which of them are meant, and what they are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cyclopts import Parameter

from lobproof.acquire.manifest import Manifest
from lobproof.acquire.request import Request, named_symbols, split_names
from lobproof.acquire.zones import LakeFolder
from lobproof.schema.provenance import least_real
from lobproof.sources.cryptolake.layout import TABLES, LakeKey


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Which days of a folder.

    Parameters
    ----------
    exchange
        By default all that are there.
    symbols
        Canonical symbols, with commas between; by default all that are there.
    tables
        With commas between; a certificate covers days that have all of them.
    start
        First day; by default the first that is there.
    end
        Day after the last; by default after the last that is there.
    """

    exchange: str | None = None
    symbols: str | None = None
    tables: str = ",".join(TABLES)
    start: str | None = None
    end: str | None = None

    def request(self) -> Request:
        """The days that are meant; wrong dates, tables and symbols are refused."""
        return Request(
            self.exchange,
            named_symbols(self.symbols),
            split_names(self.tables),
            self.start,
            self.end,
        )


EVERYTHING = Held()


def provenance_of(folder: LakeFolder, keys: Iterable[LakeKey]) -> str:
    """The least real of what the manifest says of files; ``unknown`` of those it does not know."""
    entries = Manifest(folder).entries()
    found = (entries[key].fetched["provenance"] if key in entries else "" for key in keys)
    return least_real(*(str(one) for one in found))
