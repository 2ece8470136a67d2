"""Recordings as lists of lines to be damaged, the chain run on them, and what it must say."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lobproof.errors import StrictError
from lobproof.fidelity.exact.report import Class, Verdict, VerifyReport
from lobproof.fidelity.exact.verify import verify
from lobproof.pipeline import reconstruct
from lobproof.schema import Finding, Flag, Kind, Severity
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.store import Store, open_store

Lines = list[bytes]


@dataclass(frozen=True, slots=True)
class Depth:
    """Where a depth message stands in a recording, and its ids: ``previous`` must come before."""

    file: int
    row: int
    first: int
    final: int
    previous: int


@dataclass(slots=True)
class Recording:
    """The files of one symbol: their paths and lines, each line with its end."""

    paths: list[Path]
    lines: list[Lines]
    depths: list[Depth] = field(init=False)
    snapshot_id: int = field(init=False)

    @classmethod
    def read(cls, paths: Sequence[Path]) -> Recording:
        """Read gzip files."""
        ordered = sorted(paths)
        return cls(
            ordered, [gzip.decompress(p.read_bytes()).splitlines(keepends=True) for p in ordered]
        )

    def __post_init__(self) -> None:
        self.depths, self.snapshot_id = [], -1
        for file, lines in enumerate(self.lines):
            for row, line in enumerate(lines):
                if b"@depth@" in line[:160]:
                    data = payload(line)
                    first, final = data["U"], data["u"]
                    self.depths.append(Depth(file, row, first, final, data.get("pu", first - 1)))
                elif b'"lastUpdateId"' in line[:160] and self.snapshot_id < 0:
                    self.snapshot_id = payload(line)["lastUpdateId"]

    @property
    def first_kept(self) -> int:
        """Number of the first depth message that the snapshot does not hold already."""
        return next(i for i, depth in enumerate(self.depths) if depth.final > self.snapshot_id)

    def droppable(self, count: int, seed: int) -> list[int]:
        """Numbers of random depth messages behind the first kept one and before the last."""
        inner = range(self.first_kept + 1, len(self.depths) - 1)
        return sorted(random.Random(seed).sample(inner, min(count, len(inner))))

    def edited(self, file: int, start: int, stop: int, *instead: bytes) -> Mapping[int, Lines]:
        """A file's lines with those from ``start`` to ``stop`` replaced."""
        lines = self.lines[file]
        return {file: [*lines[:start], *instead, *lines[stop:]]}

    def without(self, depth: Depth) -> Mapping[int, Lines]:
        """The recording without that message."""
        return self.edited(depth.file, depth.row, depth.row + 1)

    def write(self, folder: Path, changed: Mapping[int, Lines]) -> list[Path]:
        """Plain files of the changed lists of lines, beside the files that stay as they are."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = list(self.paths)
        for file, lines in changed.items():
            paths[file] = folder / f"{self.paths[file].stem}.txt"
            paths[file].write_bytes(b"".join(lines))
        return paths


def payload(line: bytes) -> dict[str, Any]:
    """The message of a recording's line."""
    document = json.loads(line.partition(b" ")[2])
    data: dict[str, Any] = document.get("data", document)
    return data


def with_payload(line: bytes, **changes: Any) -> bytes:
    """The line with fields of its message changed."""
    stamp, _, body = line.partition(b" ")
    document = json.loads(body)
    document.get("data", document).update(changes)
    return stamp + b" " + json.dumps(document, separators=(",", ":")).encode() + b"\n"


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
    reconstruct(golden.path, folder / "store")
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

    check_strict(files, folder, lost, following)
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


def check_strict(
    files: Sequence[Path], folder: Path, lost: tuple[int, int], following: Depth
) -> None:
    """Strict mode names the ids, from the import and from the reconstruction, and seals nothing."""
    with pytest.raises(StrictError, match=f"update ids {lost[0]}-{lost[1]} are missing") as caught:
        reconstruct(folder / "golden", folder / "strict", strict=True)
    assert "GAP at event" in caught.value.message
    assert caught.value.hint
    sealed = open_store(folder / "strict").days()["dt"].to_list() if _sealed(folder) else []
    assert all(dt < caught.value.message.partition(":")[0] for dt in sealed)
    with pytest.raises(StrictError, match=f"gap.* and id {following.first}"):
        import_recordings(files, folder / "golden", strict=True)


def _sealed(folder: Path) -> bool:
    return (folder / "strict" / "days").exists()
