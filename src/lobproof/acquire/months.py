"""What a folder of acquired data holds, a mark for each day; whether files are as they were."""

from __future__ import annotations

import hashlib
from calendar import monthrange
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from lobproof.acquire.certificate import DEMO
from lobproof.acquire.certificate_status import require_whole
from lobproof.acquire.manifest import CERTIFIED, Entry, Manifest, missing, reconcile
from lobproof.acquire.zones import CERTIFICATES, LakeFolder, Zone
from lobproof.schema.provenance import least_real
from lobproof.sources.cryptolake.layout import LakeKey

MARKS = {
    "certified": "C",
    "demo": "D",
    "validated": "v",
    "doubtful": "~",
    "raw": "r",
    "quarantined": "x",
    "lost": "!",
    "missing": ".",
}
"""State of a file → its mark on the screen. ``missing`` lies between days that are there; ``lost``
is in the manifest, and its file is not where it should be."""


@dataclass(frozen=True, slots=True, repr=False)
class Month:
    """A table of a symbol in one month: the state of each day, and sums.

    ``days`` has a state of :data:`MARKS` for each day of the month, "" outside the span.
    """

    exchange: str
    symbol: str
    provenance: str  # the least real of the files
    table: str
    month: str
    days: tuple[str, ...]
    files: int
    rows: int
    size: int

    def __repr__(self) -> str:
        """What it is of, and how many days are in which state."""
        states = ", ".join(f"{self.count(state)} {state}" for state in MARKS if self.count(state))
        return f"{self.exchange} {self.symbol} {self.table} {self.month}: {states}"

    def count(self, state: str) -> int:
        """Days in that state."""
        return self.days.count(state)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        states = {state: self.count(state) for state in MARKS if self.count(state)}
        return {
            "exchange": self.exchange,
            "symbol": self.symbol,
            "provenance": self.provenance,
            "table": self.table,
            "month": self.month,
            "states": states,
            "days": {
                f"{self.month}-{number:02d}": state
                for number, state in enumerate(self.days, 1)
                if state
            },
            "files": self.files,
            "rows": self.rows,
            "bytes": self.size,
        }


def status(folder: LakeFolder) -> list[Month]:
    """The months of a folder, in order of exchange, symbol, month and table.

    Every table of a symbol is held against the same span: the first to the last day that any of
    its tables has.
    """
    manifest = Manifest(folder)
    entries = manifest.entries()
    lost = set(missing(manifest))
    demo = {
        str(record["certificate"])
        for record in manifest.records()
        if record["event"] == CERTIFIED and record["verdict"] == DEMO
    }
    certificates = folder.root / CERTIFICATES
    symbols: dict[tuple[str, str], list[Entry]] = {}
    for key, entry in entries.items():
        symbols.setdefault((key.exchange, key.symbol), []).append(entry)
    months = []
    for held in symbols.values():
        first = min(entry.key.dt for entry in held)
        last = max(entry.key.dt for entry in held)
        for month in _months(first, last):
            for table in sorted({entry.key.table for entry in held}):
                mine = [e for e in held if e.key.table == table and e.key.dt[:7] == month]
                states = {
                    e.key: "lost" if e.key in lost else _state(e, demo, certificates) for e in mine
                }
                months.append(_month(held[0].key, table, month, mine, (first, last), states))
    return months


def _month(
    like: LakeKey,
    table: str,
    month: str,
    entries: Sequence[Entry],
    span: tuple[str, str],
    states: dict[LakeKey, str],
) -> Month:
    year, number = int(month[:4]), int(month[5:])
    days = [
        "missing" if span[0] <= f"{month}-{day:02d}" <= span[1] else ""
        for day in range(1, monthrange(year, number)[1] + 1)
    ]
    files = rows = size = 0
    worst = list(MARKS)
    for entry in entries:
        at = int(entry.key.dt[8:]) - 1
        state = states[entry.key]
        # of several files of one day the one that is furthest from certified shows
        if days[at] in ("missing", "") or worst.index(state) > worst.index(days[at]):
            days[at] = state
        files += 1
        rows += int(entry.fetched.get("rows") or 0)
        size += int(entry.fetched["size"])
    provenance = least_real("real", *(str(entry.fetched["provenance"]) for entry in entries))
    return Month(
        like.exchange, like.symbol, provenance, table, month, tuple(days), files, rows, size
    )


def _state(entry: Entry, demo: set[str], certificates: Path) -> str:
    if entry.zone is Zone.READY:
        if not (certificates / f"{entry.certificate}.json").is_file():
            return "validated"
        return "demo" if entry.certificate in demo else "certified"
    if entry.zone is Zone.QUARANTINE:
        return "quarantined"
    if entry.zone is Zone.RAW or entry.judged is None:
        return "raw"
    return "doubtful" if entry.judged["verdict"] == "doubtful" else "validated"


def _months(first: str, last: str) -> Iterable[str]:
    day, stop = date.fromisoformat(first).replace(day=1), date.fromisoformat(last)
    while day <= stop:
        yield f"{day:%Y-%m}"
        day = day.replace(year=day.year + day.month // 12, month=day.month % 12 + 1)


def check_files(
    folder: LakeFolder, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """Hash every file; what is wrong, a line each, empty where all is as the manifest says.

    First puts the files that a kill left in the wrong zone where they belong: after that a zone
    is as the manifest says, or a line here says how not.

    Raises
    ------
    StoreError
        When the manifest was changed, or lost lines; then no file is moved.
    """
    require_whole(folder)
    manifest = Manifest(folder)
    reconcile(manifest)
    entries = manifest.entries()
    total = sum(int(entry.fetched["size"]) for entry in entries.values())
    done, wrong = 0, []
    for key, entry in entries.items():
        path = folder.path(entry.zone, key)
        if progress is not None:
            progress(done, total)
        done += int(entry.fetched["size"])
        if not path.is_file():
            wrong.append(f"{key}: not in {entry.zone}; download it again")
            continue
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != entry.fetched["sha256"]:
            wrong.append(
                f"{key}: in {entry.zone}, but changed since it was fetched; "
                "`validate --again` refuses it"
            )
    for zone in Zone:
        for key in folder.keys(zone):
            if key not in entries:
                wrong.append(f"{key}: in {zone}, and the manifest does not know it")
            elif entries[key].zone is not zone:
                wrong.append(f"{key}: in {zone} as well as in {entries[key].zone}")
    return wrong
