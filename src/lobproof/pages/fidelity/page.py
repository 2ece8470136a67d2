"""``fidelity_page`` and ``fidelity_markdown``: a report of `prove` as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lobproof.errors import need_extra
from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.compared import Compared
from lobproof.fidelity.gates.other_window import OtherWindow
from lobproof.fidelity.gates.report import Against, FidelityReport
from lobproof.fidelity.gates.same_window import SameWindow
from lobproof.fidelity.inference.dependence import MIN_BLOCKS
from lobproof.fidelity.inference.plain import PlainKs, ks_of_counts
from lobproof.fidelity.metrics.catalogue import Family, Kind, Metric
from lobproof.pages.fidelity import words
from lobproof.pages.fidelity.curves import Curves
from lobproof.pages.fidelity.distributions import distribution
from lobproof.pages.fidelity.overview import Strip, drift, nearness, summary
from lobproof.pages.fidelity.seen import Seen
from lobproof.pages.figures.style import Figure
from lobproof.pages.page import check_page, rendered, written
from lobproof.pages.tables import Table, markdown_section
from lobproof.pages.text import duration
from lobproof.pages.verdicts import TONES
from lobproof.pages.words import checks_table, first_words
from lobproof.paths import AnyPath, as_path
from lobproof.schema.provenance import made_of
from lobproof.store import Store

_SHOWN = 6
"""So many pictures of distributions of a family lie open, those nearest to their margin."""
_LEAST_SHOWN = 2
_LOUD = {
    "synthetic": "SIMULATED – no market was involved: this shows how lobproof works and says "
    "nothing about any market.",
    "derived": "DEMO – derived data: real data converted into another source's format.",
    "unknown": "DEMO – it is not known where these data come from.",
}


@dataclass(frozen=True, slots=True)
class _Family:
    anchor: str
    title: str
    table: Table | None
    figures: Table | None
    reported: Table | None
    curves: Sequence[Figure]
    shown: Sequence[Figure]
    folded: Sequence[Figure]

    @property
    def folded_title(self) -> str:
        """What lies below the fold."""
        return f"The other distributions: {len(self.folded)} pictures"


@dataclass(frozen=True, slots=True)
class _Part:
    """What the template needs of one golden sample."""

    anchor: str
    name: str
    golden: str
    verdict: str
    tone: str
    spans: Sequence[str]
    tiles: Sequence[words.Tile]
    says: Sequence[str]
    plain: tuple[str, str] | None
    drift: str
    first: str | None
    book: words.Book
    checks: Table | None
    other: Table | None
    nothing: str
    facts: Table | None
    summary: Figure | None
    families: Sequence[_Family]

    @property
    def links(self) -> list[tuple[str, str]]:
        """The anchors of its parts, and what they are called."""
        found = [
            (f"{self.anchor}-{name}", title)
            for name, title, there in (
                ("first", "Where it first differs", self.first),
                ("exact", "Row by row", self.checks),
                ("other", "Another time", self.other),
                ("facts", "Stylised facts", self.facts),
            )
            if there
        ]
        return [*found, *((family.anchor, family.title) for family in self.families)]


def fidelity_page(report: FidelityReport, out: AnyPath, *, store: Store | None = None) -> Path:
    """Write a fidelity report as a page: one HTML file that needs nothing else.

    The same report gives the same bytes.

    Parameters
    ----------
    report
        Of `prove` with ``keep_blocks``: the pictures are drawn from the blocks; without them there
        are none.
    store
        What was judged: its path is named, and its book shown where it first differs.

    Raises
    ------
    UsageError, PlaceError
        As `check_page`.
    ExtraError
        If the packages of the extra ``report`` are not installed.
    """
    need_extra("report")
    out = as_path(out)
    check_page(out)
    parts = [
        _part(one, report, store, f"sample-{number}")
        for number, one in enumerate(report.against, 1)
    ]
    settings = {
        gate.settings.hash for one in report.against for gate in (one.same, one.other) if gate
    }
    values = {
        "symbol": report.symbol,
        "exchange": report.exchange,
        "verdict": report.verdict,
        "tone": TONES[report.verdict],
        "means": report.meaning,
        "demo": report.provenance != "real",
        "made_of": made_of(report.provenance),
        "loud": _LOUD.get(report.provenance, _LOUD["unknown"]),
        "about": _about(report, store),
        "days": _days(report),
        "across": report.across.head if report.across else "",
        "across_lines": report.across.lines if report.across else (),
        "across_tone": "" if report.across is None else TONES[report.across.verdict],
        "parts": parts,
        "least_blocks": MIN_BLOCKS,
        "necessary_plain": words.NECESSARY,
        "hashes": sorted(settings),
    }
    return written(out, rendered("fidelity.html", values))


def fidelity_markdown(report: FidelityReport, out: AnyPath, *, store: Store | None = None) -> Path:
    """Write a fidelity report as Markdown: verdicts and tables.

    Raises
    ------
    UsageError, PlaceError
        As `check_page`.
    """
    out = as_path(out)
    check_page(out)
    lines = [
        f"# Fidelity of {report.exchange} {report.symbol}: {report.verdict.value.upper()}",
        "",
        report.meaning,
        "",
        f"{made_of(report.provenance)}. {_about(report, store)}",
        "",
        *(f"- {line}" for line in _days(report)),
        "",
    ]
    if report.provenance != "real":
        lines += [f"**{_LOUD.get(report.provenance, _LOUD['unknown'])}**", ""]
    if report.across is not None:
        lines += [f"**{report.across.head}**", ""]
        lines += [*(f"- {line}" for line in report.across.lines), ""]
    for one in report.against:
        lines += _markdown(one, report, store)
    return written(out, "\n".join(lines))


def _markdown(one: Against, report: FidelityReport, store: Store | None) -> Iterator[str]:
    yield from (f"## Against {one.golden}: {one.verdict.value}", "")
    yield from (f"- {line}" for line in (*_spans(one), *words.reasons(one)))
    yield ""
    seen = _seen(one)
    plain = _plain(one, seen)
    if plain:
        said, more = words.plain_ks(plain, required=one.same is not None)
        yield from (f"**{said}** {more}", "")
    if one.same is not None and (drifts := _drift_words(one.same)):
        yield from (drifts, "")
    first = _first(one)
    if first:
        yield from (f"**{first}**", "")
        book = _book(one, report, store)
        yield from (f"- {line}" for line in book.said)
        yield ""
        if book.table is not None:
            yield from markdown_section(book.table, "###")
    if (checks := _checks(one)) is not None:
        yield from markdown_section(checks, "###")
    if one.other is not None:
        yield from markdown_section(words.other_table(one.other, plain), "###")
    if one.facts:
        yield from markdown_section(words.facts_table(one.facts), "###")
    curves = _curves(one, seen)
    for family in Family:
        rows = [] if one.same is None else _of_family(one.same, family)
        if rows:
            yield from markdown_section(words.metric_table(rows, f"Gate C: {family.value}"), "###")
        if curves is not None:
            reported = curves.reported(family, _judged(one))
            if reported.rows:
                yield from markdown_section(reported, "###")


def _about(report: FidelityReport, store: Store | None) -> str:
    samples = len(report.against)
    of = "one golden sample" if samples == 1 else f"{samples} golden samples"
    name = "A store" if store is None else f"The store {store.path}"
    return f"{name}, held against {of}."


def _days(report: FidelityReport) -> list[str]:
    return [f"{dt}: content hash `{digest}`" for dt, digest in sorted(report.hashes.items())]


def _part(one: Against, report: FidelityReport, store: Store | None, anchor: str) -> _Part:
    seen = _seen(one)
    plain = _plain(one, seen)
    return _Part(
        anchor,
        Path(one.golden).name or one.golden,
        one.golden,
        one.verdict.value,
        TONES[one.verdict],
        _spans(one),
        words.tiles(one),
        words.reasons(one),
        words.plain_ks(plain, required=one.same is not None) if plain else None,
        "" if one.same is None else _drift_words(one.same),
        _first(one),
        _book(one, report, store),
        _checks(one),
        None if one.other is None else words.other_table(one.other, plain),
        "" if one.other is None else f"Nothing was compared: {one.other.reason}.",
        words.facts_table(one.facts) if one.facts else None,
        None if one.same is None else summary(one.same.compared),
        _families(one, seen, anchor),
    )


def _seen(one: Against) -> Seen | None:
    """Both sides' blocks; None where there are none to be seen."""
    seen = Seen(one) if one.blocks is not None else None
    return seen if seen is not None and len(seen) else None


def _plain(one: Against, seen: Seen | None) -> dict[str, PlainKs]:
    """The plain K-S test of each metric: of gate C, or of the metrics of gate D."""
    if one.same is not None:
        return words.plain_of(one.same)
    if one.other is None or seen is None:
        return {}
    totals = {
        metric.name: seen.histograms(metric.name, seen.block_ns).totals
        for metric in one.other.metrics
    }
    return {name: ks_of_counts(*both) for name, both in totals.items() if all(map(np.any, both))}


def _first(one: Against) -> str | None:
    first = None if one.exact is None else one.exact.first_divergence
    return None if first is None else first_words(first.to_dict())


def _book(one: Against, report: FidelityReport, store: Store | None) -> words.Book:
    first = None if one.exact is None else one.exact.first_divergence
    if first is None:
        return words.Book(None, ())
    return words.book_around(store, first, report.symbol, report.exchange)


def _checks(one: Against) -> Table | None:
    return None if one.exact is None else checks_table(one.exact.to_dict())


def _drift_words(gate: SameWindow) -> str:
    if gate.drift is None or not gate.drift.flagged:
        return ""
    metric = [one for one in gate.compared if one.figures][gate.drift.metric].metric
    return (
        f"The two drift apart (p {words.chance(gate.drift.p)}), most in {metric.name}. This "
        "informs, and fails nothing."
    )


def _spans(one: Against) -> list[str]:
    if one.same is not None:
        window = one.same.window
        if not len(window):
            return ["No whole block of time is common to both."]
        block = _block_ns(one)
        left = one.same.blocks_left_out
        more = f" {left}" if left else ""
        length = f" of {duration(block)}" if block else ""
        span = words.span_of(int(window.start[0]), int(window.start[-1]) + block)
        return [f"Gate C compares {span}, {len(window)} whole blocks{length}.{more}"]
    if one.blocks is None:
        return []
    block = _block_ns(one)
    return [
        f"{name}: {words.span_of(int(side.start[0]), int(side.start[-1]) + block)}."
        for name, side in zip(("Ours", "Golden sample"), one.blocks, strict=True)
        if len(side)
    ]


def _block_ns(one: Against) -> int:
    return 0 if one.blocks is None else one.blocks[1].scale.block_ns


def _of_family(gate: SameWindow, family: Family) -> list[Compared]:
    return [one for one in gate.compared if one.metric.family is family]


def _families(one: Against, seen: Seen | None, anchor: str) -> list[_Family]:
    curves = _curves(one, seen)
    found = []
    for family in Family:
        rows = [] if one.same is None else _of_family(one.same, family)
        drawn: list[Figure] = []
        pictures: list[Figure] = []
        if seen is not None and one.same is not None:
            strips, pictures = _same(seen, rows, one.same)
            drawn = [drift(strips, seen.time, family)]
        elif seen is not None and one.other is not None:
            pictures = _other(seen, family, one.other)
        if curves is not None:
            drawn += curves.of(family)
        if not (rows or drawn):
            continue
        shown = max(_LEAST_SHOWN, min(_SHOWN, sum(_reaches_over(row) for row in rows)))
        found.append(
            _Family(
                f"{anchor}-{family.name.lower()}",
                family.value.capitalize(),
                words.metric_table(rows, family.value) if rows else None,
                words.figures_table(rows, family.value) if rows else None,
                None if curves is None else curves.reported(family, _judged(one)),
                drawn,
                pictures[:shown],
                pictures[shown:],
            )
        )
    return found


def _curves(one: Against, seen: Seen | None) -> Curves | None:
    """What draws both sides, on the blocks of the gate."""
    if seen is None:
        return None
    if one.same is not None:
        blocks = {row.metric.name: row.block_ns for row in one.same.compared if row.block_ns}
        return Curves(seen, blocks, one.same.settings)
    if one.other is not None:
        return Curves(seen, {"all": one.other.block_ns}, one.other.settings)
    return None


def _judged(one: Against) -> set[str]:
    return set() if one.same is None else {row.metric.name for row in one.same.compared}


def _reaches_over(one: Compared) -> bool:
    return one.plain is not None and (one.verdict is Verdict.FAIL or nearness(one) > 1)


def _same(
    seen: Seen, rows: Sequence[Compared], gate: SameWindow
) -> tuple[list[Strip], list[Figure]]:
    """How metrics drift, and their distributions, what is nearest to its margin first."""
    strips, pictures = [], []
    for row in rows:
        if not row.figures or row.plain is None or not isinstance(row.metric, Metric):
            continue
        found = seen.histograms(row.metric.name, row.block_ns)
        if len(found.drift) and row.metric.kind is not Kind.CATEGORY:
            strips.append(Strip(row.metric.name, row.verdict, found.drift))
        verdict = row.verdict.value.replace("_", " ")
        title = f"{row.metric.title}: {verdict}"
        figure = distribution(found, title, words.caption(row), gate.settings.margin)
        over = nearness(row)
        pictures.append((row.verdict is not Verdict.FAIL, -over if over == over else 0.0, figure))
    pictures.sort(key=lambda one: one[:2])
    return strips, [figure for _, _, figure in pictures]


def _other(seen: Seen, family: Family, gate: OtherWindow) -> list[Figure]:
    result = gate.result
    if result is None:
        return []
    found = []
    for metric, d, p in zip(gate.metrics, result.d, result.p, strict=True):
        if metric.family is family:
            said = (
                f"`{metric.name}`: {metric.formula}. K-S distance {d:.4f}, p {words.chance(p)} by "
                f"{result.permutations} permutations of blocks."
            )
            one = seen.histograms(metric.name, gate.block_ns)
            found.append((p, distribution(one, metric.title, said, None)))
    found.sort(key=lambda one: one[0])
    return [figure for _, figure in found]
