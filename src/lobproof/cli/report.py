"""``lobproof report``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lobproof import pages
from lobproof.cli.console import out, progress
from lobproof.cli.places import Kind, StorePath, expect
from lobproof.cli.times import span
from lobproof.cli.verify import tell_unsealed, verified
from lobproof.errors import need_extra
from lobproof.fidelity.exact import VerifyReport
from lobproof.store import Store, open_store
from lobproof.timespan import Time


def report(
    store: StorePath,
    /,
    *,
    out_: Annotated[Path, Parameter(name="--out")] = Path("report.html"),
    against: Annotated[tuple[Path, ...], Parameter(negative=())] = (),
    lake: Path | None = None,
    symbol: str | None = None,
    date: str | None = None,
    start: str | None = None,
    end: str | None = None,
    fresh: bool = False,
) -> int:
    """Write one offline HTML page about a store: verdict, counts, pictures, findings.

    Parameters
    ----------
    store
        A store, as `lobproof reconstruct` makes it: its folder, or s3://BUCKET/PREFIX.
    out_
        The page to write.
    against
        A golden sample to verify against; may be given more than once. The worst verdict heads the
        page.
    lake
        The Crypto Lake files that the store came from, to verify against.
    symbol
        One symbol; by default all of the store.
    date
        One day, YYYY-MM-DD; by default all that the store holds.
    start
        First day, or a time in UTC (2026-03-01T12:00).
    end
        The day or time that it is to end before.
    fresh
        Read every event, whatever is kept of earlier pages.
    """
    need_extra("report")
    expect(store, Kind.STORE)
    for sample in against:
        expect(sample, Kind.GOLDEN)
    if lake is not None:
        expect(lake, Kind.LAKE)
    pages.check_page(out_)
    opened = open_store(store)
    tell_unsealed(opened)
    first, stop = span(date, start, end)
    proofs = [verified(opened, sample, symbol=symbol, start=first, end=stop) for sample in against]
    if lake is not None:
        symbols = [symbol] if symbol else sorted(set(opened.days()["symbol"]))
        proofs += [
            verified(opened, None, lake=lake, symbol=one, start=first, end=stop) for one in symbols
        ]
    page = drawn(
        opened,
        out_,
        symbol=symbol,
        start=first,
        end=stop,
        fresh=fresh,
        verification=proofs,
    )
    out().print(f"Report: {page.resolve()}", soft_wrap=True)
    return 0


def drawn(
    store: Store,
    page: Path,
    *,
    symbol: str | None = None,
    start: Time | None = None,
    end: Time | None = None,
    fresh: bool = False,
    verification: Sequence[VerifyReport],
) -> Path:
    """The page of ``lobproof.report``, with a progress line meanwhile."""
    with progress("drawing") as (bar, task):

        def advance(_: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, detail=f"{done:,} events")

        return pages.report(
            store,
            page,
            symbol=symbol,
            start=start,
            end=end,
            fresh=fresh,
            verification=verification,
            progress=advance,
        )
