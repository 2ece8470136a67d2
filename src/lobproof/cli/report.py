"""``lobproof report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lobproof.cli.console import err, out
from lobproof.errors import need_extra
from lobproof.fidelity.exact import verify
from lobproof.report import write_report
from lobproof.store import open_store


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
    opened = open_store(store)
    verification = None
    if against is not None:
        err().print("[dim]Verifying ...[/dim]")
        verification = verify(opened, against, symbol=symbol)
    err().print("[dim]Drawing ...[/dim]")
    page = write_report(opened, out_, symbol=symbol, verification=verification)
    out().print(f"Report: {page.resolve()}")
    return 0
