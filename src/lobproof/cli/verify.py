"""``lobproof verify``."""

from __future__ import annotations

from pathlib import Path

from lobproof.cli.console import Json, Switch, err, out, print_json, progress, show_next
from lobproof.cli.places import Kind, StorePath, expect
from lobproof.cli.times import span
from lobproof.fidelity.exact import Verdict, VerifyReport
from lobproof.fidelity.exact import verify as verify_store
from lobproof.fidelity.render import render_report
from lobproof.store import Store, open_store
from lobproof.store.catalog import told_unsealed
from lobproof.timespan import Time

EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1}
INCONCLUSIVE = 2


def verify(
    store: StorePath,
    /,
    *,
    against: Path | None = None,
    lake: Path | None = None,
    symbol: str | None = None,
    date: str | None = None,
    start: str | None = None,
    end: str | None = None,
    audit: Switch = False,
    json_: Json = False,
) -> int:
    """Prove a store against a golden sample, Crypto Lake's `book`, or both (gates A and B).

    Every level change and trade of the sample, decoded by an independent plain decoder, is held
    against the stored events; the touch against the venue's own tickers of the same update id;
    every row of `book` against the state of its sequence. Exit code 0 passed, 1 failed,
    2 inconclusive.

    Parameters
    ----------
    store
        A store, as `lobproof reconstruct` makes it: its folder, or s3://BUCKET/PREFIX.
    against
        A golden sample of the same time.
    lake
        The Crypto Lake files that the store came from: a folder of `lobproof acquire download`, or
        a plain one.
    symbol
        Canonical symbol (BTC-USDT); by default the sample's, or the store's only one.
    date
        One day, YYYY-MM-DD; by default all days that there are to compare.
    start
        First day.
    end
        The first day that is not wanted any more.
    audit
        Also recompute all content hashes from the stored decimals.
    json_
        Print the verdict as JSON.
    """
    expect(store, Kind.STORE)
    if against is not None:
        expect(against, Kind.GOLDEN)
    if lake is not None:
        expect(lake, Kind.LAKE)
    opened = open_store(store)
    tell_unsealed(opened)
    first, stop = span(date, start, end)
    report = verified(opened, against, lake=lake, symbol=symbol, start=first, end=stop, audit=audit)
    if json_:
        print_json(report.to_dict())
    else:
        out().print(render_report(report))
        if report.verdict is Verdict.PASS:
            in_python = f"lobproof.open({str(store)!r}) in Python"
            show_next("report", store, *(("--against", against) if against else ()), also=in_python)
        else:
            show_next("inspect", store)
    return EXIT.get(report.verdict, INCONCLUSIVE)


def verified(
    store: Store,
    against: Path | None,
    *,
    lake: Path | None = None,
    symbol: str | None = None,
    start: Time | None = None,
    end: Time | None = None,
    audit: bool = False,
) -> VerifyReport:
    """The report of ``verify``, with a progress line meanwhile."""
    with progress("verifying") as (bar, task):

        def advance(_: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, detail=f"{done:,} rows")

        return verify_store(
            store,
            against,
            lake=lake,
            symbol=symbol,
            start=start,
            end=end,
            audit=audit,
            progress=advance,
        )


def tell_unsealed(store: Store) -> None:
    """Say, on standard error, which days are left out."""
    left_out = told_unsealed(store.unsealed())
    if left_out and store.days().height:  # without any day the error says it
        err().print(left_out, style="yellow", soft_wrap=True)
