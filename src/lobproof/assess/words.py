"""What is said of an assessment: headline, tables, Markdown. For the screen and the page alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lobproof.acquire.facts import Holds
from lobproof.assess.judge import GAP_RATIOS, Judgement, Verdict, figure
from lobproof.assess.result import Assessment
from lobproof.assess.times import Stretch
from lobproof.pages.tables import Table, markdown_section
from lobproof.pages.text import moment, short
from lobproof.schema.provenance import made_of
from lobproof.timespan import show_length

_HOW = {
    "full": "reconstruct it in full, from its deltas",
    "anchored": "reconstruct it from snapshots (anchored)",
    "time-sorted": "use snapshots and trades as they come (time-sorted)",
}


def headline(found: Assessment) -> str:
    """The verdict and what to do, in one line."""
    judged = found.judged
    if judged.strategy is None:
        return f"{judged.verdict}: it cannot be replayed as it is"
    how = _HOW[judged.strategy]
    if found.judged.asked:
        how += f", by --strategy {judged.strategy}"
    if found.source == "golden":
        how = "reconstruct it in full"
    missing = judged.figures.heard.missing or 0.0
    part = ""
    if missing >= found.limits.missing_time:
        part = f"a partial day ({short(100 * (1 - missing), 3)}% of it); "
    return {
        "GO": f"GO: {how}",
        "NO-GO": f"NO-GO: {part}if it must be used, {how}",
        "undecided": f"UNDECIDED: {part}look at the reasons; then {how}",
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
    """How many facts hold, fail and are undecided, and which; empty without facts."""
    if not found.facts:
        return ""
    counts = {holds: len(found.facts_that(holds)) for holds in Holds}
    open_ = ", ".join(fact.name for fact in found.facts_that(Holds.UNDECIDED))
    return (
        f"Facts about the vendor's data: {counts[Holds.HOLDS]} hold, {counts[Holds.FAILS]} fail, "
        f"{counts[Holds.UNDECIDED]} undecided{f' ({open_})' if open_ else ''}"
    )


def limits_of(found: Assessment) -> str:
    """The limits that are not the defaults; empty where all are."""
    told = ", ".join(f"{name}={value:g}" for name, value in found.limits.changed().items())
    return f"Limits other than the defaults: {told}" if told else ""


def tables(found: Assessment) -> list[Table]:
    """Everything that is shown as a table, the most telling first."""
    grids = [_criteria(found), _times(found)]
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


def facts_table(found: Assessment) -> Table:
    """All facts, those that fail first."""
    order = {Holds.FAILS: 0, Holds.UNDECIDED: 1, Holds.HOLDS: 2}
    rows = [
        (str(fact.holds), fact.name, fact.claim, fact.measured)
        for fact in sorted(found.facts, key=lambda fact: order[fact.holds])
    ]
    return Table("Facts about the vendor's data", ("", "Fact", "Claim", "Figures"), 4, rows)


def markdown(found: Sequence[Assessment], verdict: Verdict, more: Sequence[Table] = ()) -> str:
    """All of it as Markdown, and ``more`` tables at its end."""
    lines = [f"# Assessment: {verdict}", ""]
    for one in found:
        lines += [f"## {about(one)}", "", f"**{headline(one)}**", "", spanned(one), ""]
        lines += [f"- {text}" for text in (*one.judged.why, *one.judged.passed_over)]
        lines += ["", *(f"> {note}\n" for note in one.judged.notes)]
        if not one.clock.wrong:
            lines += [one.clock.says, ""]
        if limits_of(one):
            lines += [f"{limits_of(one)}.", ""]
        for grid in (*tables(one), *([facts_table(one)] if one.facts else [])):
            lines += markdown_section(grid, "###")
        if one.facts:
            lines += [counted(one) + ".", ""]
    for grid in more:
        lines += markdown_section(grid, "##")
    return "\n".join(lines)


CRITERIA = ("Verdict", "Strategy", "Criterion", "Measured", "Limit", "Why")
"""Columns of `criteria_rows`."""


def criteria_rows(rows: Sequence[Judgement]) -> list[tuple[str, ...]]:
    """One row a criterion, for a table."""
    return [
        (
            row.verdict,
            row.strategy,
            row.criterion,
            "–" if row.measured is None else figure(row.measured, row.unit),
            figure(row.limit, row.unit),
            row.reason,
        )
        for row in rows
    ]


def _criteria(found: Assessment) -> Table:
    asked = ("full",) if found.source == "golden" else tuple(_HOW)
    rows = [row for row in found.judged.criteria if row.strategy in asked]
    return Table("GO or NO-GO by strategy", CRITERIA, 6, criteria_rows(rows), limits_of(found))


def _times(found: Assessment) -> Table:
    rows = []
    for one in found.times:
        drift = "–"
        if one.drift is not None:
            of = one.drift
            drift = f"{of.ms_per_hour:+,.2f} ({of.low:+,.2f} … {of.high:+,.2f}; {of.cells} cells)"
        rows.append((one.table, *_stretch(one.total), drift))
    return Table(
        "Times",
        ("Table", *_STRETCH, "drift, ms/h (95% interval)"),
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


_STRETCH = ("rows", "invalid", "back", "p5, ms", "p50", "p95", "p99")


def _stretch(one: Stretch) -> tuple[str, ...]:
    skew = one.skew_ms
    return (
        f"{one.rows:,}",
        f"{one.invalid:,}",
        f"{one.backward:,}",
        *(_ms(value) for value in (skew.p5, skew.p50, skew.p95, skew.p99)),
    )


def _hours(found: Assessment, table: str) -> Table:
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
    names = ("null", "zero", "negative", "outside", "back", "p5, ms", "p50", "p95", "p99")
    return Table(f"Times of {table} by hour", ("Hour, UTC", "rows", *names), 1, rows)


def _messages(found: Assessment) -> Table:
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
    of = GAP_RATIOS[found.judged.figures.gap_of]
    rows.append((f"gap ratio: {of}", "–" if ratio is None else f"{ratio:.4%}"))
    return Table(
        "Messages of the book",
        ("What", "How many"),
        1,
        rows,
        "Numbers are update ids: they jump from message to message with nothing lost.",
    )


def _prints(found: Assessment) -> Table:
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
    return Table("Trades beside the book", ("What", "How many"), 1, rows)


def _coverage(found: Assessment) -> Table:
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
    return Table("When each stream was heard", columns, 1, rows)


def _tried(found: Assessment) -> Table:
    rows = []
    for name, counts in found.tried.items():
        chained = found.judged.figures.gap_of == "ids"
        ratio = found.judged.gap_ratio if chained else counts.gap_ratio
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
    note = f"Gap ratio: {GAP_RATIOS[found.judged.figures.gap_of]}."
    return Table("Replays", columns, 1, rows, note)


def _against(found: Assessment) -> Table:
    rows = [
        ("same" if one.same else "differs", one.field, one.here, one.golden)
        for one in found.against
    ]
    return Table(
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
