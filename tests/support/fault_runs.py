"""The commands on damaged files: exit codes, words on standard error, and what the store says."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lobproof.cli import run
from lobproof.schema import Finding as Code
from lobproof.schema import Flag, Kind, Severity
from lobproof.store import open_store
from support.fault_catalogue import ERROR, PASS, Fault, Finding, Scene, Told
from support.faults import chain, failing, payload

TELLING = tuple(
    code.name
    for code in Code
    if code not in (Code.UNSEEDED, Code.OFF_TICK, Code.OFF_LOT, Code.TRADE_UNCONFIRMED)
    and code not in (Code.CROSSED, Code.TOUCH_BEYOND_RANGE)
)
"""Findings that name a fault of the input; the others are normal, or follow from a loss."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command gave: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def command(*arguments: object) -> Said:
    """Run a command as ``lobproof`` would; anything raised here would be a traceback there."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Said(code, out.getvalue(), err.getvalue())


def refused(pattern: str, *arguments: object) -> str:
    """Run a command that must end in an error with these words, and a hint; the error."""
    said = command(*arguments)
    assert said.code == ERROR, said
    assert said.err.startswith("error: "), said.err
    assert re.search(pattern, said.err), said.err
    hint = said.err.partition("\nHint: ")[2].strip()
    assert hint
    assert "\n" not in hint
    return said.err


def telling(store: Path) -> Counter[Finding]:
    """The store's findings that name a fault of the input."""
    rows = open_store(store).quality().filter(pl.col("code").is_in(TELLING)).collect()
    return Counter(Finding(*row) for row in rows.select("code", "count", "detail").iter_rows())


def write(folder: Path, damaged: bytes | dict[str, bytes]) -> list[Path]:
    """The damaged file, or files."""
    folder.mkdir(parents=True)
    files = damaged if isinstance(damaged, dict) else {"lines.txt": damaged}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]


def check_fault(fault: Fault, scene: Scene, folder: Path) -> None:
    """Damage the scene's lines, run every command, and assert that each says what it must."""
    told = fault.told(scene)
    files = write(folder / "input", fault.damage(scene))
    golden, store = folder / "golden", folder / "store"
    if told.refused:
        refused(told.refused, "import", *files, "--out", golden, *fault.options)
        assert sorted(path.name for path in folder.iterdir()) == ["input"]
        return
    said = command("import", *files, "--out", golden, "--json", *fault.options)
    assert said.code == PASS, said.err
    check_document(said.document, told)
    done = command("reconstruct", golden, "--out", store, "--json")
    assert done.code == PASS, done.err
    assert telling(store) == Counter(told.findings)
    check_verdict(command("verify", store, "--against", golden, "--json"), told)
    check_strict(files, folder, told, fault.options)


def check_document(document: dict[str, Any], told: Told) -> None:
    """The golden sample lists what could not be read, by file and line."""
    invalid = document["findings"]["invalid"]
    assert invalid["by_reason"] == told.invalid
    assert [entry["reason"] for entry in invalid["listed"]] == list(told.invalid)
    assert all(entry["file"] and entry["line"] for entry in invalid["listed"])
    truncated = any(finding.code == "TRUNCATED_INPUT" for finding in told.findings)
    assert bool(document["findings"]["truncated"]) == truncated
    for name, count in told.counts.items():
        assert document["counts"][name] == count


def check_verdict(said: Said, told: Told) -> None:
    """Verify's exit code, the checks that fail, and where the first divergence lies."""
    assert said.code == told.verdict, said
    failing = {check["name"] for check in said.document["checks"] if check["verdict"] == "fail"}
    assert failing == told.failing
    if told.first:
        assert told.first in said.document["first_divergence"]["detail"]


def check_strict(files: Sequence[Path], folder: Path, told: Told, options: Sequence[str]) -> None:
    """Strict mode: an error that names the place, and nothing left behind; or nothing to refuse."""
    strict = folder / "strict"
    arguments = ("import", *files, "--out", strict / "golden", "--strict", *options)
    if told.strict_import:
        refused(told.strict_import, *arguments)
        assert not strict.exists() or not list(strict.iterdir())
    else:
        assert command(*arguments).code == PASS
    arguments = ("reconstruct", folder / "golden", "--out", strict / "store", "--strict")
    if told.strict:
        refused(told.strict, *arguments)
        assert not (strict / "store" / "days").exists()
    else:
        assert command(*arguments).code == PASS


def check_contradiction(scene: Scene, folder: Path) -> None:
    """The first snapshot again, as if it were a later one: told, and the chain is believed."""
    update = scene.depth.final
    files = write(folder / "input", scene.inserted(scene.snapshot_line(update), row=scene.row + 1))
    outcome = chain(files, folder)
    assert outcome.golden.document["counts"]["snapshot"] == 2
    (refuted,) = outcome.findings(Code.REFUTED).iter_rows(named=True)
    assert refuted["severity"] == Severity.DOUBT
    assert refuted["count"] > 0
    assert not outcome.findings(Code.DRIFT).height
    events = outcome.store.events(raw=True).collect().sort("dt", "event_id")
    again = events.filter((pl.col("kind") == int(Kind.SNAPSHOT)) & (pl.col("sequence") == update))
    assert refuted["first_event_id"] == refuted["last_event_id"] == again["event_id"].max()
    assert outcome.flagged(Flag.REFUTED)["event_id"].to_list() == again["event_id"].to_list()
    # the book behind it is the chain's
    whole = chain(write(folder / "whole", b"".join(scene.lines)), folder / "chain")
    levels = pl.exclude("event_id", "ts_order", "ts_event")
    behind, undisturbed = (
        one.store.trusted(raw=True).filter(pl.col("sequence") > update).select(levels).collect()
        for one in (outcome, whole)
    )
    assert behind.height > 0
    assert behind.equals(undisturbed)
    assert outcome.report.check("snapshots").details["refuted"] == 1
    assert failing(outcome.report) <= {"untrusted_share"}  # of a short scene a message is much
    strict = folder / "strict"
    refused("REFUTED at event", "reconstruct", folder / "golden", "--out", strict, "--strict")


def check_mix(scene: Scene, folder: Path) -> None:
    """With its symbol named, the others are counted and left out."""
    symbol = payload(scene.line())["s"]
    line = scene.line(scene.trade).replace(symbol.encode(), b"ABCUSDT")
    foreign = line.replace(symbol.lower().encode(), b"abcusdt")
    files = write(folder / "input", scene.inserted(foreign, foreign))
    outcome = chain(files, folder, symbol=symbol, snapshots_are_ours=True)
    assert outcome.golden.document["counts"]["other_symbol"] == 2
    assert outcome.golden.document["notes"] == ["2 lines of other symbols were left out"]
    assert not failing(outcome.report)
    refused("no market-data line of XYZUSDT in .*lines.txt", *_import(files, folder, "XYZUSDT"))


def _import(files: Sequence[Path], folder: Path, symbol: str) -> Sequence[object]:
    return ("import", *files, "--symbol", symbol, "--out", folder / "other")
