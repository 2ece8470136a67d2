"""``lobproof verify``."""

from __future__ import annotations

from pathlib import Path

from lobproof.cli.console import Json, Switch, err, out, print_json
from lobproof.fidelity.exact import Verdict
from lobproof.fidelity.exact import verify as verify_store
from lobproof.fidelity.render import render_report
from lobproof.store import open_store

_EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1}
INCONCLUSIVE = 2


def verify(
    store: Path,
    /,
    *,
    against: Path | None = None,
    lake: Path | None = None,
    symbol: str | None = None,
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
        A store, as `lobproof reconstruct` makes it.
    against
        A golden sample of the same time.
    lake
        The Crypto Lake files that the store came from: a folder of `lobproof acquire download`, or
        a plain one.
    symbol
        Canonical symbol (BTC-USDT); by default the sample's, or the store's only one.
    audit
        Also recompute all content hashes from the stored decimals.
    json_
        Print the verdict as JSON.
    """
    if not json_ and against is not None:
        err().print("[dim]Decoding the sample anew with a plain decoder ...[/dim]")
    report = verify_store(open_store(store), against, lake=lake, symbol=symbol, audit=audit)
    if json_:
        print_json(report.to_dict())
    else:
        out().print(render_report(report))
    return _EXIT.get(report.verdict, INCONCLUSIVE)
