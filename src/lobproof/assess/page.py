"""``write_report``: assessments as JSON, Markdown and one page that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lobproof.assess.figures import pictures
from lobproof.assess.judge import GAP_RATIOS, Verdict, figure, worst
from lobproof.assess.machine import Machine, machine_tables
from lobproof.assess.result import FORMAT, VERSION, Assessment, overall
from lobproof.assess.words import (
    counted,
    facts_table,
    headline,
    markdown,
    spanned,
    tables,
)
from lobproof.errors import UsageError, need_extra
from lobproof.files import check_place, write_whole
from lobproof.pages import check_page
from lobproof.pages.figures import Figure
from lobproof.pages.page import rendered
from lobproof.pages.tables import Table
from lobproof.pages.text import count, duration, share, short
from lobproof.paths import AnyPath, as_path, placing
from lobproof.schema.provenance import least_real, made_of

STEM = "assessment"
_TONES = {"GO": "ok", "NO-GO": "bad", "undecided": "unsure"}


def check_report(out: AnyPath) -> dict[str, Path]:
    """The files of a report by suffix: one, or all three in a folder. Nothing is written yet.

    Raises
    ------
    UsageError
        For a suffix that is none of the three.
    PlaceError
        Where a file cannot be written.
    ExtraError
        If the page is wanted and the packages of the extra ``report`` are not installed.
    """
    out = as_path(out)
    if out.suffix in _MAKERS and not out.is_dir():
        files = {out.suffix: out}
    elif out.suffix and not out.is_dir():
        raise UsageError(
            f"{out} is no kind of report",
            hint=f"end it in {', '.join(_MAKERS)}, or name a folder, which gets all three",
        )
    else:
        check_place(out)
        files = {suffix: out / f"{STEM}{suffix}" for suffix in _MAKERS}
    for path in files.values():
        check_page(path)
    if ".html" in files:
        need_extra("report")
    return files


def write_report(
    found: Sequence[Assessment], out: AnyPath, machine: Machine | None = None
) -> list[Path]:
    """Write a report: the file that ``out`` is by its suffix, or all three into a folder.

    The same assessments give the same bytes.

    Parameters
    ----------
    found
        What was assessed.
    machine
        What was measured of the machine, if it was.

    Raises
    ------
    UsageError, PlaceError, ExtraError
        As :func:`check_report`.
    """
    files = check_report(out)
    for suffix, path in files.items():
        text = _MAKERS[suffix](found, machine)
        with placing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text.encode())
    return list(files.values())


def document(found: Sequence[Assessment], machine: Machine | None = None) -> dict[str, Any]:
    """Everything, as plain values."""
    return {
        "format": FORMAT,
        "format_version": VERSION,
        "verdict": whole_verdict(found, machine),
        "assessed": [one.to_dict() for one in found],
        "machine": None if machine is None else machine.to_dict(),
    }


def whole_verdict(found: Sequence[Assessment], machine: Machine | None = None) -> Verdict:
    """The worst of all: of the data, and of the machine where it was measured."""
    return worst([overall(found), *([] if machine is None else [machine.verdict(found)])])


def _json(found: Sequence[Assessment], machine: Machine | None) -> str:
    return json.dumps(document(found, machine), indent=2, ensure_ascii=False) + "\n"


def _markdown(found: Sequence[Assessment], machine: Machine | None) -> str:
    grids = [] if machine is None else machine_tables(machine)
    return markdown(found, whole_verdict(found, machine), grids)


class _Tile(NamedTuple):
    name: str
    value: str
    note: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class _Part:
    """What the template needs of one assessment."""

    anchor: str
    name: str
    kind: str
    symbol: str
    exchange: str
    dt: str
    span: str
    demo: bool
    made_of: str
    counted: str
    tone: str
    headline: str
    why: Sequence[str]
    passed_over: Sequence[str]
    notes: Sequence[str]
    clock: str
    tiles: Sequence[_Tile]
    figures: Sequence[Figure]
    first: Sequence[Table]
    grids: Sequence[Table]
    hours: Sequence[Table]
    facts: Table


def _html(found: Sequence[Assessment], machine: Machine | None) -> str:
    parts = [_part(one, number) for number, one in enumerate(found)]
    grids = [] if machine is None else machine_tables(machine)
    values = {"parts": parts, "verdict": whole_verdict(found, machine), "machine": grids}
    return rendered("assessment.html", values, __package__)


def _part(one: Assessment, number: int) -> _Part:
    grids = tables(one)
    by_hour = [grid for grid in grids if grid.title.endswith("by hour")]
    return _Part(
        f"day-{number}",
        one.name,
        "a Crypto Lake day" if one.source == "crypto-lake" else "a golden sample",
        one.symbol,
        one.exchange,
        one.dt,
        spanned(one),
        least_real(one.provenance) != "real",
        made_of(one.provenance),
        counted(one),
        _TONES[one.judged.verdict],
        headline(one),
        one.judged.why,
        one.judged.passed_over,
        [note for note in one.judged.notes if note != one.clock.says],
        one.clock.says,
        _tiles(one),
        pictures(one),
        [grid for grid in grids if grid.title == "Times"],
        [grid for grid in grids if grid.title != "Times" and grid not in by_hour],
        by_hour,
        facts_table(one),
    )


def _tiles(one: Assessment) -> list[_Tile]:
    tiles = []
    ratio = one.judged.gap_ratio
    said = "–" if ratio is None else f"{short(100 * ratio, 3)} %"
    limit = figure(one.limits.gap_ratio, "share")
    of = GAP_RATIOS[one.judged.figures.gap_of]
    tiles.append(_Tile("Gap ratio", said, f"{of}; limit {limit}"))
    rows = sum(table.total.rows for table in one.times)
    bad = max((table.invalid_share for table in one.times), default=0.0)
    tone = "bad" if bad >= one.limits.invalid_origin_time else "unsure" if bad else "ok"
    tiles.append(
        _Tile(
            "Rows without a valid time", share(bad, 1.0), f"worst table; {count(rows)} rows", tone
        )
    )
    offset = one.clock.offset_ms
    tiles.append(
        _Tile(
            "Receive − exchange time",
            "–" if offset is None else f"{short(offset, 4)} ms".replace("-", "−"),
            "median; cannot be below 0" if one.clock.wrong else "median",
            "unsure" if one.clock.wrong else "ok",
        )
    )
    if one.messages is not None:
        tiles.append(
            _Tile("Messages of the book", count(one.messages.messages), "by their numbers")
        )
    if one.prints is not None:
        at = one.prints.at + one.prints.through
        tiles.append(
            _Tile(
                "Trades at or through the touch",
                share(at, one.prints.compared),
                f"of {count(one.prints.compared)}",
            )
        )
    if one.counts is not None:
        doubt = max(one.counts.doubtful_ns - one.counts.warm_up_ns, 0)
        tiles.append(
            _Tile("In doubt", duration(doubt), "warm-up left out", "ok" if not doubt else "unsure")
        )
    return tiles


_MAKERS: dict[str, Callable[[Sequence[Assessment], Machine | None], str]] = {
    ".html": _html,
    ".md": _markdown,
    ".json": _json,
}
