"""``lobproof report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lobproof.cli.console import out, progress
from lobproof.cli.places import Kind, expect
from lobproof.cli.verify import tell_unsealed, verified
from lobproof.errors import need_extra
from lobproof.fidelity.exact import VerifyReport
from lobproof.report import check_page, write_report
from lobproof.store import Store, open_store


def report(
    store: Path,
    /,
    *,
    out_: Annotated[Path, Parameter(name="--out")] = Path("report.html"),
    against: Path | None = None,
    symbol: str | None = None,
) -> int:
    """Write one offline HTML page about a store: verdict, counts, pictures, findings.

    Parameters
    ----------
    store
        A store, as `lobproof reconstruct` makes it.
    out_
        The page to write.
    against
        A golden sample to verify against; its verdict heads the page.
    symbol
        One symbol; by default all of the store.
    """
    need_extra("report")
    expect(store, Kind.STORE)
    if against is not None:
        expect(against, Kind.GOLDEN)
    check_page(out_)
    opened = open_store(store)
    tell_unsealed(opened)
    verification = None
    if against is not None:
        verification = verified(opened, against, symbol=symbol)
    page = drawn(opened, out_, symbol=symbol, verification=verification)
    out().print(f"Report: {page.resolve()}", soft_wrap=True)
    return 0


def drawn(
    store: Store, page: Path, *, symbol: str | None = None, verification: VerifyReport | None
) -> Path:
    """The page of ``write_report``, with a progress line meanwhile."""
    with progress("drawing") as (bar, task):

        def advance(_: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, detail=f"{done:,} events")

        return write_report(store, page, symbol=symbol, verification=verification, progress=advance)
