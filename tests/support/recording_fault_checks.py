"""Damaged recordings through the whole chain: every command must tell of the damage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lobproof.errors import InputError, StrictError
from lobproof.fidelity.exact.report import Class, Verdict, VerifyReport
from lobproof.fidelity.exact.verify import verify
from lobproof.pipeline import reconstruct_sample
from lobproof.schema import Finding, Flag, Kind, Severity
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.store import Store, open_store
from support.commands import PASS, Said, command, refused
from support.recording_faults import Depth, Expected, Fault, Recording, Scene, Told, payload

TELLING = tuple(
    code.name
    for code in Finding
    if code not in (Finding.UNSEEDED, Finding.OFF_TICK, Finding.OFF_LOT, Finding.TRADE_UNCONFIRMED)
    and code not in (Finding.CROSSED, Finding.TOUCH_BEYOND_RANGE)
)
"""Findings that name a fault of the input; the others are normal, or follow from a loss."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the chain made of a recording."""

    golden: GoldenSample
    store: Store
    report: VerifyReport

    def flagged(self, flag: Flag) -> pl.DataFrame:
        """Events with a flag, in order."""
        rows = pl.col("flags").and_(int(flag)) != 0
        return self.store.events(raw=True).filter(rows).collect().sort("dt", "event_id")

    def findings(self, code: Finding) -> pl.DataFrame:
        """Rows of ``quality`` with a code, in order."""
        rows = pl.col("code") == int(code)
        return self.store.quality(raw=True).filter(rows).collect().sort("dt", "first_event_id")

    def states(self) -> pl.DataFrame:
        """Where the states are and how far they are trusted, in order."""
        wanted = ("dt", "event_id", "sequence", "bid_trusted", "ask_trusted", "flags")
        return self.store.states(raw=True).select(wanted).collect().sort("dt", "event_id")

    def verdicts(self) -> dict[str, str]:
        """Verdict of each check that is applicable."""
        return {
            check.name: check.verdict.value
            for check in self.report.checks
            if check.verdict is not Verdict.NOT_APPLICABLE
        }


def chain(files: Sequence[Path], folder: Path, **options: Any) -> Outcome:
    """Import, reconstruct and verify against the same golden sample."""
    golden = import_recordings(files, folder / "golden", **options)
    reconstruct_sample(golden.path, folder / "store")
    store = open_store(folder / "store")
    return Outcome(golden, store, verify(store, golden.path))


def failing(report: VerifyReport) -> set[str]:
    """Names of the checks that fail."""
    return {check.name for check in report.checks if check.verdict is Verdict.FAIL}


def place(frame: pl.DataFrame) -> list[tuple[str, int]]:
    """Day and event id of each row."""
    return list(frame.select("dt", "event_id").iter_rows())


def check_drop(
    recording: Recording, number: int, folder: Path, intact: Path | None = None
) -> Outcome:
    """Drop one depth message, run the chain, and assert that everything tells of it.

    Parameters
    ----------
    number
        Of ``recording.depths``; not the last.
    intact
        Golden sample of the whole recording, to verify the lossy store against as well.
    """
    dropped, following = recording.depths[number], recording.depths[number + 1]
    known = max(recording.depths[number - 1].final, recording.snapshot_id)
    files = recording.write(folder, recording.without(dropped))
    outcome = chain(files, folder)
    lost = (known + 1, dropped.final)

    # the golden sample says where the chain breaks
    audit = outcome.golden.document["chain"]
    assert (audit["gaps"], audit["messages"]) == (1, len(recording.depths) - 1)
    assert [(gap["after"], gap["next"]) for gap in audit["gaps_listed"]] == [
        (recording.depths[number - 1].final, following.first)
    ]

    # one GAP mark, right before the message that reveals the loss
    marks = outcome.flagged(Flag.GAP)
    assert marks.height == 1
    mark = marks.row(0, named=True)
    assert (mark["prev_sequence"] + 1, mark["sequence"]) == lost
    assert mark["kind"] == Kind.MARK
    assert mark["flags"] & Flag.LAST
    after = outcome.store.events(raw=True).filter(
        (pl.col("dt") == mark["dt"]) & (pl.col("event_id") == mark["event_id"] + 1)
    )
    revealing = after.collect().row(0, named=True)
    assert (revealing["sequence"], revealing["prev_sequence"]) == (
        following.final,
        following.previous,
    )

    # a quality interval from the last message before the loss, or the snapshot that seeds, to the
    # end of each day, for no anchor follows
    seeds = known == recording.snapshot_id
    known_at = outcome.store.events(raw=True).filter(
        (pl.col("sequence") == known)
        & (pl.col("dt") == mark["dt"])
        & (pl.col("event_id") < mark["event_id"])
        & pl.col("kind").is_in([Kind.SNAPSHOT] if seeds else [Kind.DELTA, Kind.MARK])
    )
    since = known_at.select(pl.col("event_id").max()).collect().item() or 0
    last = dict(outcome.store.days().select("dt", pl.col("events") - 1).iter_rows())
    days = [dt for dt in sorted(last) if dt >= mark["dt"]]
    findings = outcome.findings(Finding.GAP)
    assert list(findings.select("dt", "first_event_id", "last_event_id").iter_rows()) == [
        (dt, since if dt == mark["dt"] else 0, last[dt]) for dt in days
    ]
    assert set(findings["severity"]) == {int(Severity.DOUBT)}
    assert set(findings["detail"]) == {f"update ids {lost[0]}-{lost[1]} are missing"}
    assert set(findings["count"]) == {lost[1] - lost[0] + 1}

    # trust is gone from there on, and not before; what stood there when the loss began is doubted
    states = outcome.states()
    gone = pl.Series([where >= (mark["dt"], mark["event_id"]) for where in place(states)])
    behind = states.filter(gone)
    assert behind.height > 0
    assert (behind["bid_trusted"] == 0).all()
    assert (behind["ask_trusted"] == 0).all()
    assert (behind["flags"].to_numpy() & int(Flag.DOUBTFUL)).all()
    trusted = outcome.store.trusted(raw=True).select("dt", "event_id").collect()
    assert all(where < (mark["dt"], since) for where in place(trusted))
    seals = outcome.store.days().sort("dt")
    assert seals["gaps"].sum() == 1

    # verify fails, at those ids
    assert outcome.report.verdict is Verdict.FAIL
    first = outcome.report.first_divergence
    assert first is not None
    assert (first.check, first.missing_ids, first.id) == ("chain", lost, lost[0])
    broken = {"chain", "untrusted_share"}
    assert failing(outcome.report) <= broken
    if intact is not None:
        check_against_intact(outcome, intact, dropped, lost)

    check_strict_drop(files, folder, lost, following)
    return outcome


def check_against_intact(
    outcome: Outcome, intact: Path, dropped: Depth, lost: tuple[int, int]
) -> None:
    """Against the sample of the whole recording the message itself is missed."""
    report = verify(outcome.store, intact)
    assert report.verdict is Verdict.FAIL
    assert {"chain", "level_changes"} <= failing(report)
    levels = report.check("level_changes").first
    assert levels is not None
    assert (levels.id, levels.kind) == (dropped.final, Class.MISSING)
    assert levels.episode is not None
    assert (levels.episode.first_id, levels.episode.last_id) == (dropped.final, dropped.final)
    links = report.check("chain").first
    assert links is not None
    assert links.missing_ids == lost


def check_strict_drop(
    files: Sequence[Path], folder: Path, lost: tuple[int, int], following: Depth
) -> None:
    """Strict mode names the ids, from the import and from the reconstruction, and seals nothing."""
    with pytest.raises(StrictError, match=f"update ids {lost[0]}-{lost[1]} are missing") as caught:
        reconstruct_sample(folder / "golden", folder / "strict", strict=True)
    assert "GAP at event" in caught.value.message
    assert caught.value.hint
    sealed = open_store(folder / "strict").days()["dt"].to_list() if _sealed(folder) else []
    assert all(dt < caught.value.message.partition(":")[0] for dt in sealed)
    with pytest.raises(StrictError, match=f"gap.* and id {following.first}"):
        import_recordings(files, folder / "golden", strict=True)


def _sealed(folder: Path) -> bool:
    return (folder / "strict" / "days").exists()


def telling(store: Path) -> Counter[Expected]:
    """The store's findings that name a fault of the input."""
    rows = open_store(store).quality().filter(pl.col("code").is_in(TELLING)).collect()
    return Counter(Expected(*row) for row in rows.select("code", "count", "detail").iter_rows())


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
    done = command("reconstruct", "--prove", "none", golden, "--out", store, "--json")
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
    arguments = (
        "reconstruct",
        "--prove",
        "none",
        folder / "golden",
        "--out",
        strict / "store",
        "--strict",
    )
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
    (refuted,) = outcome.findings(Finding.REFUTED).iter_rows(named=True)
    assert refuted["severity"] == Severity.DOUBT
    assert refuted["count"] > 0
    assert not outcome.findings(Finding.DRIFT).height
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
    refused(
        "REFUTED at event",
        "reconstruct",
        "--prove",
        "none",
        folder / "golden",
        "--out",
        strict,
        "--strict",
    )


def check_mix(scene: Scene, folder: Path) -> None:
    """With its symbol named, the others are counted and left out; else each has its own sample."""
    symbol = payload(scene.line())["s"]
    line = scene.line(scene.trade).replace(symbol.encode(), b"ABCUSDT")
    foreign = line.replace(symbol.lower().encode(), b"abcusdt")
    files = write(folder / "input", scene.inserted(foreign, foreign))
    outcome = chain(files, folder, symbol=symbol, snapshots_are_ours=True)
    assert outcome.golden.document["counts"]["other_symbol"] == 2
    assert outcome.golden.document["notes"] == ["2 lines of other symbols were left out"]
    assert not failing(outcome.report)
    refused("no market-data line of XYZUSDT in .*lines.txt", *_import(files, folder, "XYZUSDT"))
    each = folder / "each"
    said = command("import", *files, "--out", each, "--json")
    assert f"several symbols: {symbol}, ABCUSDT; one golden sample of each" in said.err
    own, other = said.document["samples"]
    assert [Path(one["path"]) for one in (own, other)] == [each / symbol, each / "ABCUSDT"]
    assert (own["counts"]["other_symbol"], other["counts"]["trade"]) == (2, 2)
    with pytest.raises(InputError, match=rf"line {scene.row + 1}: a message of ABCUSDT in a reco"):
        import_recordings(files, folder / "one")


def _import(files: Sequence[Path], folder: Path, symbol: str) -> Sequence[object]:
    return ("import", *files, "--symbol", symbol, "--out", folder / "other")
