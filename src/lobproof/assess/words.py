"""What is said of an assessment: headline, tables, Markdown. For the screen and the page alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lobproof.acquire.facts import Fact, Holds
from lobproof.acquire.facts.fact import Figure
from lobproof.assess.result import Assessment, Verdict
from lobproof.assess.times import Stretch
from lobproof.pages.text import moment
from lobproof.schema.provenance import made_of
from lobproof.timespan import show_length

_HOW = {
    "full": "reconstruct it in full, from its deltas",
    "anchored": "reconstruct it from snapshots (anchored)",
    "time-sorted": "use snapshots and trades as they come (time-sorted)",
}
_FEW_FIGURES = 6
"""Of more than these zeros are left out."""


class Grid(NamedTuple):
    """A table: columns, of which the first are words and the rest numbers, and rows."""

    title: str
    columns: tuple[str, ...]
    words: int
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def headline(found: Assessment) -> str:
    """The verdict and what to do, in one line."""
    judged = found.judged
    if judged.strategy is None:
        return f"{judged.verdict}: it cannot be replayed as it is"
    how = _HOW[judged.strategy]
    if found.source == "golden":
        how = "reconstruct it in full"
    return {
        "GO": f"GO: {how}",
        "NO-GO": f"NO-GO: if it must be used, {how}",
        "undecided": f"UNDECIDED: look at the reasons; then {how}",
    }[judged.verdict]


def about(found: Assessment) -> str:
    """What it is of, and how real that is."""
    return f"{found.name} ({made_of(found.provenance)})"


def spanned(found: Assessment) -> str:
    """From when to when, and how long that is."""
    first, last = found.span
    if not first:
        return "nothing could be replayed"
    return f"{moment(first)} – {moment(last)} UTC, {show_length(last - first)}"


def counted(found: Assessment) -> str:
    """How many facts hold, fail and are undecided; empty without facts."""
    if not found.facts:
        return ""
    counts = {holds: len(found.facts_that(holds)) for holds in Holds}
    return (
        f"Facts about the vendor's data: {counts[Holds.HOLDS]} hold, {counts[Holds.FAILS]} fail, "
        f"{counts[Holds.UNDECIDED]} undecided"
    )


def figures_of(fact: Fact) -> str:
    """A fact's figures in a line."""
    few = len(fact.figures) <= _FEW_FIGURES
    shown = [f"{name} {_value(value)}" for name, value in fact.figures.items() if few or value]
    return f"{fact.rows:,} rows; {', '.join(shown)}"


def tables(found: Assessment) -> list[Grid]:
    """Everything that is shown as a table, the most telling first."""
    grids = [_times(found)]
    if found.messages is not None:
        grids.append(_messages(found))
    if found.prints is not None and found.prints.trades:
        grids.append(_prints(found))
    if found.coverage:
        grids.append(_coverage(found))
    if found.tried:
        grids.append(_tried(found))
    if found.against_what:
        grids.append(_against(found))
    grids += [_hours(found, one.table) for one in found.times]
    return [grid for grid in grids if grid.rows]


def facts_table(found: Assessment) -> Grid:
    """All facts, those that fail first."""
    order = {Holds.FAILS: 0, Holds.UNDECIDED: 1, Holds.HOLDS: 2}
    rows = [
        (str(fact.holds), fact.name, fact.claim, figures_of(fact))
        for fact in sorted(found.facts, key=lambda fact: order[fact.holds])
    ]
    return Grid("Facts about the vendor's data", ("", "Fact", "Claim", "Figures"), 4, rows)


def markdown(found: Sequence[Assessment], verdict: Verdict, more: Sequence[Grid] = ()) -> str:
    """All of it as Markdown, and ``more`` tables at its end."""
    lines = [f"# Assessment: {verdict}", ""]
    for one in found:
        lines += [f"## {about(one)}", "", f"**{headline(one)}**", "", spanned(one), ""]
        lines += [f"- {text}" for text in (*one.judged.why, *one.judged.passed_over)]
        lines += ["", *(f"> {note}\n" for note in one.judged.notes)]
        lines += [f"Clock: {one.clock.says}", ""]
        for grid in (*tables(one), *([facts_table(one)] if one.facts else [])):
            lines += _section(grid, "###")
        if one.facts:
            lines += [counted(one) + ".", ""]
    for grid in more:
        lines += _section(grid, "##")
    return "\n".join(lines)


def _section(grid: Grid, mark: str) -> list[str]:
    note = [grid.note, ""] if grid.note else []
    return [f"{mark} {grid.title}", "", *_pipes(grid), "", *note]


def _pipes(grid: Grid) -> list[str]:
    marks = ["---" if at < grid.words else "---:" for at in range(len(grid.columns))]
    return [
        f"| {' | '.join(_cell(text) for text in row)} |"
        for row in (grid.columns, tuple(marks), *grid.rows)
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _times(found: Assessment) -> Grid:
    rows = []
    for one in found.times:
        drift = "–" if one.drift_ms_per_hour is None else f"{one.drift_ms_per_hour:+,.2f}"
        rows.append((one.table, *_stretch(one.total), drift))
    return Grid(
        "Times",
        ("Table", *_STRETCH, "drift, ms/h"),
        1,
        rows,
        "Invalid: no exchange time (null, 0, negative), or one outside the day. Back: rows with a "
        "time before that of an earlier row. p5 … p99: receive time minus exchange time, ms. "
        f"{_sockets(found)}",
    )


def _sockets(found: Assessment) -> str:
    apart = found.clock.apart_ms
    if apart is None:
        return ""
    return f"Trades come {abs(apart):.2f} ms {'later' if apart >= 0 else 'earlier'} than the book."


_STRETCH = ("rows", "invalid", "back", "p5", "p50", "p95", "p99")


def _stretch(one: Stretch) -> tuple[str, ...]:
    skew = one.skew_ms
    return (
        f"{one.rows:,}",
        f"{one.invalid:,}",
        f"{one.backward:,}",
        *(_ms(value) for value in (skew.p5, skew.p50, skew.p95, skew.p99)),
    )


def _hours(found: Assessment, table: str) -> Grid:
    (ours,) = [one for one in found.times if one.table == table]
    rows = [
        (
            moment(one.start_ns, digits=0)[:16],
            f"{one.rows:,}",
            *(f"{n:,}" for n in (one.null, one.zero, one.negative, one.outside, one.backward)),
            *(_ms(n) for n in (one.skew_ms.p5, one.skew_ms.p50, one.skew_ms.p95, one.skew_ms.p99)),
        )
        for one in ours.hours
    ]
    names = ("null", "zero", "negative", "outside", "back", "p5", "p50", "p95", "p99")
    return Grid(f"Times of {table} by hour", ("Hour, UTC", "rows", *names), 1, rows)


def _messages(found: Assessment) -> Grid:
    seen = found.messages
    assert seen is not None
    rows = [
        ("messages", f"{seen.messages:,}"),
        ("… without a level", f"{seen.empty:,}"),
        ("… whose number goes back", f"{seen.backward:,}"),
        ("steps of one between numbers", _part(seen.steps_of_one, seen.steps)),
        (
            "ids missing by the chain",
            "the feed has no chain"
            if seen.missing_ids is None
            else f"{seen.missing_ids:,} of {seen.spanned_ids:,}",
        ),
        ("rows a message (p50, p99, most)", _three(seen.rows)),
        ("ms between messages (p50, p99, most)", _three(seen.spacing_ms)),
    ]
    if found.counts is not None:
        said = found.counts.findings
        for code, words in (
            ("DUPLICATE", "repeated messages"),
            ("OUT_OF_ORDER", "late messages"),
            ("SEQUENCE_RESET", "numbers that begin anew"),
            ("SILENCE", "silences beyond the cadence"),
            ("GAP", "gaps"),
        ):
            rows.append((words, f"{said.get(code, 0):,}"))
    ratio = found.judged.gap_ratio
    rows.append(("gap ratio", "–" if ratio is None else f"{ratio:.4%}"))
    return Grid(
        "Messages of the book",
        ("What", "How many"),
        1,
        rows,
        "Numbers are update ids: they jump from message to message with nothing lost.",
    )


def _prints(found: Assessment) -> Grid:
    seen = found.prints
    assert seen is not None
    rows = [
        ("trades", f"{seen.trades:,}"),
        ("… compared with a trusted touch", f"{seen.compared:,}"),
        ("… at the touch", _part(seen.at, seen.compared)),
        ("… through it", _part(seen.through, seen.compared)),
        ("… inside the spread", _part(seen.inside, seen.compared)),
        (
            "basis points from the touch (p50, p95, p99)",
            ", ".join(_ms(seen.far_bps[name]) for name in ("p50", "p95", "p99")),
        ),
        ("… before every later message of the book", _part(seen.in_order, seen.timed)),
        ("… behind so many of them (p99, most)", f"{seen.late_p99:,}, {seen.late_most:,}"),
    ]
    return Grid("Trades beside the book", ("What", "How many"), 1, rows)


def _coverage(found: Assessment) -> Grid:
    rows = [
        (
            name,
            f"{one['messages']:,}",
            moment(int(one["first"])),
            moment(int(one["last"])),
            f"{one['silences']:,}",
            show_length(int(one["silent_ns"])),
        )
        for name, one in found.coverage["streams"].items()
    ]
    columns = ("Stream", "messages", "from", "to", "silences", "silent in all")
    return Grid("When each stream was heard", columns, 1, rows)


def _tried(found: Assessment) -> Grid:
    rows = []
    for name, counts in found.tried.items():
        ratio = counts.gap_ratio
        compared = counts.vendor_rows
        rows.append(
            (
                name,
                "–" if ratio is None else f"{ratio:.4%}",
                f"{counts.gaps:,}",
                f"{counts.silences:,}",
                f"{counts.contradictions:,} of {compared:,}",
                f"{counts.unusable_ratio:.2%}",
                show_length(max(counts.doubtful_ns - counts.warm_up_ns, 0)),
            )
        )
    columns = (
        "Strategy", "gap ratio", "gaps", "silences", "contradicted", "unusable `book`", "in doubt",
    )  # fmt: skip
    return Grid("Replays", columns, 1, rows)


def _against(found: Assessment) -> Grid:
    rows = [
        ("same" if one.same else "differs", one.field, one.here, one.golden)
        for one in found.against
    ]
    return Grid(
        f"Format beside {found.against_what}", ("", "Field", "Here", "Golden sample"), 4, rows
    )


def _part(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole:.2%})" if whole else f"{part:,}"


def _three(values: Mapping[str, float | None]) -> str:
    return ", ".join(_ms(values[name]) for name in ("p50", "p99", "most"))


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _value(value: Figure) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else value
