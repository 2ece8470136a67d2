"""What the fidelity page says: verdicts in words, tables, the book where a store first differs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import polars as pl

from lobproof.errors import LobproofError
from lobproof.fidelity.exact.report import Divergence, Verdict, plain
from lobproof.fidelity.gates.across_days import INFORMS
from lobproof.fidelity.gates.compared import Compared
from lobproof.fidelity.gates.facts import Shown, Shows, StylisedFact
from lobproof.fidelity.gates.other_window import OtherWindow
from lobproof.fidelity.gates.report import Against
from lobproof.fidelity.gates.same_window import SameWindow
from lobproof.fidelity.inference.dependence import MIN_BLOCKS
from lobproof.fidelity.inference.equivalence import Equivalence
from lobproof.fidelity.inference.plain import PlainKs
from lobproof.fidelity.inference.signflip import ALPHA
from lobproof.fidelity.metrics.catalogue import Family
from lobproof.pages.fidelity.overview import nearness
from lobproof.pages.tables import Table
from lobproof.pages.text import THIN, count, duration, moment, short
from lobproof.pages.verdicts import TONES
from lobproof.store import Store

NECESSARY = (
    "It is necessary and not sufficient: it takes values for independent. Where both streams share "
    "their noise it passes one that is 1 % off, and where values depend on their past it fails "
    "streams of one law."
)
_OTHER = (
    "Nobody can tell 1 % across days – that would take some 26 stationary days. A pass says that "
    "no difference was found beyond chance, not that there is none."
)
_BOOK_LEVELS = 10
_FACT_TONES = {Shows.HOLDS: "ok", Shows.FAILS: "bad", Shows.CANNOT_SAY: "unsure"}
_ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS, Verdict.NOT_APPLICABLE)


class Tile(NamedTuple):
    """A figure with its name."""

    name: str
    value: str
    note: str
    tone: str = ""


def percent(value: float, digits: int = 3) -> str:
    """A share or a logarithm of a ratio, in per cent."""
    if math.isnan(value):
        return "–"
    text = short(100 * value, digits).replace("-", "−")
    return f"{text}{THIN}%"


def chance(p: float) -> str:
    """A probability; something small never reads as nothing."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def interval(figure: Equivalence) -> str:
    """The least and the most that two sides differ by, with 95 % confidence."""
    if math.isnan(figure.upper):
        return "–"
    return f"{percent(max(figure.lower, 0.0), 2)} – {percent(figure.upper, 2)}"


def counted(compared: Sequence[Compared]) -> str:
    """How many metrics have which verdict."""
    counts = Counter(one.verdict for one in compared)
    return ", ".join(
        f"{counts[verdict]} {verdict.value.replace('_', ' ')}"
        for verdict in _ORDER
        if counts[verdict]
    )


def plain_ks(held: Mapping[str, PlainKs], *, required: bool) -> tuple[str, str]:
    """The plain K-S criterion in a line; which metrics do not meet it, and what it is worth."""
    if not held:
        return "Plain K-S criterion: no metric has a value on both sides.", NECESSARY
    failed = ", ".join(name for name, one in held.items() if not one.ks_pass)
    passed = sum(one.ks_pass for one in held.values())
    beside = "" if required else "Of different times it is shown beside the p of gate D. "
    return (
        f"Plain K-S criterion: p > 0.05 in {passed} of {len(held)} metrics.",
        f"{f'At or below: {failed}. ' if failed else ''}{beside}{NECESSARY}",
    )


def plain_of(gate: SameWindow) -> dict[str, PlainKs]:
    """The plain K-S test of every metric of gate C."""
    return {one.metric.name: one.plain for one in gate.compared if one.plain is not None}


def reasons(one: Against) -> list[str]:
    """What fails, or is open, and where, of every gate; first what was compared in another form."""
    found = [f"{note[0].upper()}{note[1:]}." for note in one.notes]
    if one.exact is not None:
        bad = [
            check.name.replace("_", " ")
            for check in one.exact.checks
            if check.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
        ]
        said = f": {', '.join(bad)}" if bad else ""
        found.append(f"Gates A and B (exact) {one.exact.verdict.value}{said}.")
    if one.same is not None:
        found.append(f"Gate C (same time) {one.same.verdict.value}: {counted(one.same.compared)}.")
        found += _named(one.same.compared)
    if one.across is not None:
        found.append(f"Gate D (another time) {one.across.verdict.value}: {one.across.said}.")
        found.append(INFORMS)
    if one.other is not None:
        name = "Gate D (another time)" if one.across is None else "Permuted blocks:"
        found.append(f"{name} {one.other.verdict.value}{_differing(one.other)}.")
    return found


def _differing(gate: OtherWindow) -> str:
    """Why gate D is open, or which metrics differ."""
    if gate.reason or gate.result is None:
        return f": {gate.reason}" if gate.reason else ""
    names = [
        metric.name
        for metric, p in zip(gate.metrics, gate.result.p_adjusted, strict=True)
        if p <= ALPHA
    ]
    together = f"p {chance(gate.result.p_max)} of all metrics together"
    differ = f"; as one of all differ {', '.join(names)}" if names else ""
    return f": {together}{differ}"


def _named(compared: Sequence[Compared]) -> Iterator[str]:
    failed = [one for one in compared if one.verdict is Verdict.FAIL]
    if failed:
        named = ", ".join(
            one.metric.name if one.worst is None else f"{one.metric.name} ({one.worst.name})"
            for one in sorted(failed, key=lambda one: -_rank(one))
        )
        yield f"Fails: {named}."
    few = [one for one in compared if one.needed_ns]
    if few:
        longest = max(one.needed_ns for one in few)
        yield (
            f"{len(few)} metrics have fewer than {MIN_BLOCKS} blocks of 20 times their memory, too "
            f"few to judge by: {duration(round(longest))} of data would do for all."
        )


def _rank(one: Compared) -> float:
    near = nearness(one)
    return math.inf if math.isnan(near) else near


def tiles(one: Against) -> list[Tile]:
    """The gates at one glance."""
    found = []
    if one.exact is not None:
        decided = [
            check for check in one.exact.checks if check.verdict is not Verdict.NOT_APPLICABLE
        ]
        good = sum(TONES[check.verdict] == "ok" for check in decided)
        found.append(
            Tile(
                "A, B: row by row",
                one.exact.verdict.value,
                f"{good} of {len(decided)} checks passed",
                TONES[one.exact.verdict],
            )
        )
    if one.same is not None:
        found.append(
            Tile(
                "C: same time",
                one.same.verdict.value,
                counted(one.same.compared),
                TONES[one.same.verdict],
            )
        )
        for family in Family:
            rows = [row for row in one.same.compared if row.metric.family is family]
            verdicts = Counter(row.verdict for row in rows)
            if rows:
                tone = next((TONES[v] for v in _ORDER if verdicts[v]), "")
                found.append(
                    Tile(family.value, f"{verdicts[Verdict.PASS]} of {len(rows)}", "pass", tone)
                )
    if one.across is not None:
        gate = one.across
        found.append(Tile("D: another time", gate.verdict.value, gate.said, TONES[gate.verdict]))
    if one.other is not None:
        result = one.other.result
        found.append(
            Tile(
                "D: another time" if one.across is None else "permuted blocks, which inform",
                one.other.verdict.value,
                one.other.reason if result is None else f"p {chance(result.p_max)}, all metrics",
                TONES[one.other.verdict] if one.across is None else "",
            )
        )
        found.append(
            Tile(
                "metrics compared",
                count(len(one.other.metrics)),
                f"{len(one.other.left_out)} left out",
            )
        )
        ours, golden = one.other.blocks
        found.append(
            Tile(
                "blocks", f"{ours} and {golden}", f"of {duration(one.other.block_ns)}; ours, golden"
            )
        )
    return found


_METRIC_COLUMNS = (
    "Metric",
    "Verdict",
    "Decided by",
    "Differs by",
    "95 % interval of its size",
    "Margin",
    "mde95",
    "K-S D",
    "plain p",
    "Blocks",
    "τ",
    "Values, ours / golden",
    "Remark",
)


def metric_table(rows: Sequence[Compared], title: str) -> Table:
    """Every metric with the figure that decides, what fails first."""
    ordered = sorted(
        rows, key=lambda one: (_ORDER.index(one.verdict), -_rank(one) if one.figures else 0.0)
    )
    return Table(
        title,
        _METRIC_COLUMNS,
        3,
        [_metric_row(one) for one in ordered],
        "Shares of probability and logarithms of ratios in per cent. mde95: a smaller difference "
        "may well go unnoticed; a pass with a large one says little. τ: how long the metric "
        "remembers; a block is 20 times as long.",
        remarks=1,
        verdict=1,
        tones=[TONES[one.verdict] for one in ordered],
    )


def _metric_row(one: Compared) -> tuple[str, ...]:
    worst, ks = one.worst, one.plain
    figure = ("–",) * 5
    if worst is not None:
        figure = (
            worst.name,
            percent(worst.estimate),
            interval(worst),
            percent(worst.margin),
            percent(worst.mde95, 2),
        )
    return (
        f"`{one.metric.name}`",
        one.verdict.value.replace("_", " "),
        *figure,
        "–" if ks is None else short(ks.d, 2),
        "–" if ks is None else chance(ks.p),
        "–" if not one.blocks else f"{one.blocks} × {duration(one.block_ns)}",
        "–" if math.isnan(one.tau_ns) else duration(round(one.tau_ns)),
        count(one.n_ours)
        if one.n_ours == one.n_golden
        else f"{count(one.n_ours)} / {count(one.n_golden)}",
        f"needs {duration(round(one.needed_ns))}" if one.needed_ns else one.reason,
    )


def figures_table(rows: Sequence[Compared], title: str) -> Table:
    """Every figure of every metric."""
    found, tones = [], []
    for one in rows:
        for figure in one.figures:
            found.append(
                (
                    f"`{one.metric.name}`",
                    figure.verdict.value,
                    figure.name,
                    percent(figure.estimate),
                    interval(figure),
                    percent(figure.margin),
                    percent(figure.mde95, 2),
                    figure.doubt,
                )
            )
            tones.append(TONES[figure.verdict])
    return Table(
        title, (*_METRIC_COLUMNS[:7], "Doubt"), 3, found, remarks=1, verdict=1, tones=tones
    )


def other_table(gate: OtherWindow, plain: Mapping[str, PlainKs]) -> Table:
    """Gate D, metric by metric, the least p first; ``plain``: the plain test of some of them."""
    result = gate.result
    rows: list[tuple[str, ...]] = []
    tones: list[str] = []
    if result is not None:
        found = zip(gate.metrics, result.d, result.p, result.p_adjusted, strict=True)
        for metric, d, p, adjusted in sorted(found, key=lambda one: (one[3], one[2])):
            test = plain.get(metric.name)
            beside = "–" if test is None else chance(test.p)
            name = f"`{metric.name}`"
            rows.append((name, metric.title, f"{d:.4f}", chance(p), chance(adjusted), beside))
            tones.append("bad" if adjusted <= ALPHA else "")
    left = "".join(f" Left out, {why}: {names}." for why, names in gate.reasons.items())
    return Table(
        "Gate D: distributions of another time",
        ("Metric", "What", "K-S distance", "p", "p as one of all", "plain p"),
        2,
        rows,
        f"Blocks of {duration(gate.block_ns)} change places between the two, all metrics together. "
        f"{_OTHER}{left}",
        verdict=0,
        tones=tones,
    )


def facts_table(facts: Sequence[StylisedFact]) -> Table:
    """The stylised facts of both sides: which hold, their values and bounds, and by what rule."""
    return Table(
        "Stylised facts: reported, they decide nothing",
        (
            "Fact",
            "Ours",
            "Golden sample",
            "Ours: value",
            "Sample: value",
            "Rule",
            "Formula",
            "Remark",
        ),
        3,
        [
            (
                one.fact.title,
                one.ours.shows.value,
                one.golden.shows.value,
                _shown(one.ours),
                _shown(one.golden),
                one.fact.rule,
                one.fact.formula,
                one.remark,
            )
            for one in facts
        ],
        "What all markets show (Cont 2001), of each side by itself. In brackets bounds, each with "
        "95 % confidence, by blocks 20 times as long as its memory. A fact holds where both are "
        "within the rule, and fails where they are beyond it.",
        remarks=3,
        verdict=1,
        tones=[_FACT_TONES[one.ours.shows] for one in facts],
    )


def _shown(one: Shown) -> str:
    if math.isnan(one.value):
        return "–"
    value = _minus(one.value)
    if math.isnan(one.lower):
        return value
    return f"{value} ({_minus(one.lower)} to {_minus(one.upper)})"


def _minus(value: float) -> str:
    return short(value).replace("-", "−")


def caption(one: Compared) -> str:
    """What gate C says of a metric, below its picture."""
    worst = one.worst
    said = [f"`{one.metric.name}`: {one.metric.formula}."]
    if worst is not None and not math.isnan(worst.upper):
        said.append(
            f"It differs by {percent(worst.estimate)} ({worst.name}), {interval(worst)} with 95 % "
            f"confidence; margin {percent(worst.margin)}, mde95 {percent(worst.mde95, 2)}."
        )
    if one.reason:
        said.append(f"{one.reason[0].upper()}{one.reason[1:]}.")
    if one.plain is not None:
        said.append(f"Plain K-S: D {short(one.plain.d, 2)}, p {chance(one.plain.p)}.")
    return " ".join(said)


def span_of(start: int, end: int) -> str:
    """From when to when."""
    return f"{moment(start, digits=0)} – {moment(end, digits=0)} UTC ({duration(end - start)})"


class Book(NamedTuple):
    """The book around the first divergence: a table, and what is said of it."""

    table: Table | None
    said: Sequence[str]


def book_around(store: Store | None, first: Divergence, symbol: str, exchange: str) -> Book:
    """The stored book before and after the row where a store first differs."""
    said = [f"{name}: {_values(values)}" for name, values in _sides(first) if values]
    if first.episode is not None:
        one = first.episode
        said.append(
            f"Episode: ids {one.first_id} to {one.last_id}, {one.messages} messages, {one.levels} "
            f"rows, largest difference in size {plain(one.largest_size_difference)}."
        )
    if store is None:
        return Book(None, said)
    try:
        before, after = store.books_at(
            [first.time_ns - 1, first.time_ns], symbol, exchange=exchange
        )
    except LobproofError as error:
        return Book(None, [*said, f"The stored book cannot be shown: {error}"])
    rows, tones = [], []
    sides = [(view.bids, view.asks) for view in (before, after)]
    for side, name in ((1, "ask"), (0, "bid")):
        levels = [_levels(both[side]) for both in sides]
        order = range(_BOOK_LEVELS) if side == 0 else reversed(range(_BOOK_LEVELS))
        for at in order:
            pair = [level[at] if at < len(level) else ("", "") for level in levels]
            if any(price for price, _ in pair):
                rows.append((f"{name} {at + 1}", *pair[0], *pair[1]))
                tones.append("" if pair[0] == pair[1] else "bad")
    table = Table(
        "The stored book before and after",
        ("Level", "Price before", "Size before", "Price after", "Size after"),
        1,
        rows,
        f"Before {moment(first.time_ns, digits=9)} UTC and at it; levels that change are coloured.",
        verdict=0,
        tones=tones,
    )
    return Book(table, said)


def _sides(first: Divergence) -> tuple[tuple[str, Mapping[str, object] | None], ...]:
    return ("Expected", first.expected), ("Found", first.found)


def _values(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in plain(values).items())


def _levels(side: pl.DataFrame) -> list[tuple[str, str]]:
    return [
        (str(plain(price)), str(plain(size)))
        for price, size in side.head(_BOOK_LEVELS).select("price", "size").iter_rows()
    ]
