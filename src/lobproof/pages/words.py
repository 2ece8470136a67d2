"""The page's words and tables for one symbol: what it is, how it fared, what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lobproof import documents
from lobproof.errors import UsageError
from lobproof.pages.figures import (
    Figure,
    drift,
    heatmap,
    profile,
    rates,
    reconciliation,
    spread,
    trust,
)
from lobproof.pages.survey import LISTED, Survey
from lobproof.pages.tables import Table
from lobproof.pages.text import count, duration, moment, share, short, size_of
from lobproof.pages.verdicts import TONES
from lobproof.schema import Finding, Severity
from lobproof.store import partial_from
from lobproof.store.catalog import Coverage
from lobproof.store.seal import inputs_of, verdicts_of
from lobproof.timespan import show_days

Verification = Mapping[str, Any]
"""``VerifyReport.to_dict()``."""

_PROVENANCE = {
    "real": ("Recorded", "recorded from an exchange"),
    "unknown": ("DEMO · unknown origin", "read from files that do not say where they come from"),
    "derived": ("DEMO · derived data", "real data converted into another source's format"),
    "synthetic": ("DEMO · synthetic data", "simulated; no market was involved"),
}
_VERDICTS = {
    "pass": ("Verified: pass", "ok"),
    "fail": ("Verified: FAIL", "bad"),
    "inconclusive": ("Verified: inconclusive", "unsure"),
}
_WORST_FIRST = ("fail", "inconclusive", "pass")
_WORST_MINUTES = 8


@dataclass(frozen=True, slots=True)
class Section:
    """All of one symbol, as the template shows it."""

    anchor: str
    symbol: str
    exchange: str
    about: str
    span: str
    badge: str
    demo: bool
    provenance: str
    verdict: dict[str, Any]
    tiles: list[dict[str, str]]
    hero: Figure
    figures: list[Figure]
    codes: list[dict[str, str]]
    findings: list[dict[str, str]]
    findings_total: str
    listed: int
    days: list[dict[str, Any]]
    drift: dict[str, Any] | None
    states_note: str


def section(survey: Survey, verifications: Sequence[Verification], number: int) -> Section:
    """The section of a symbol, its pictures drawn."""
    badge, provenance = _PROVENANCE[survey.provenance]
    first, last = survey.span
    return Section(
        anchor=f"s{number}",
        symbol=survey.symbol,
        exchange=survey.exchange,
        about=_about(survey),
        span=f"{moment(first)} – {moment(last)[0 if first // _DAY != last // _DAY else 11 :]} UTC",
        badge=badge,
        demo=survey.provenance != "real",
        provenance=provenance,
        verdict=_verdict(survey, verifications),
        tiles=_tiles(survey),
        hero=heatmap(survey),
        figures=[
            trust(survey),
            drift(survey),
            spread(survey),
            profile(survey),
            reconciliation(survey),
            rates(survey),
        ],
        codes=_codes(survey),
        findings=_findings(survey),
        findings_total=count(survey.quality.total),
        listed=LISTED,
        days=[_day(day) for day in survey.days],
        drift=_drift(survey),
        states_note=_states_note(survey),
    )


_DAY = 86_400 * 10**9


def _about(survey: Survey) -> str:
    rule = survey.instrument.rule_at(survey.span[0])
    venue = survey.instrument.venue_symbol
    tick, lot = survey.instrument.price_text(rule.tick), survey.instrument.size_text(rule.lot)
    part = "" if survey.whole else " · part of what the store holds"
    for day in survey.days:
        if (start := partial_from(day)) is not None:
            part += f" · {day['dt']} is a partial day, from {moment(start)[11:]}"
    return f"{venue} · tick {tick}, lot {lot}{part}"


def _tiles(survey: Survey) -> list[dict[str, str]]:
    sums, quality = survey.sums, survey.quality
    length = survey.span[1] - survey.span[0]
    gaps = int(survey.minutes["gaps"].sum())
    grave = int(quality.codes.filter(pl.col("severity") >= int(Severity.WARNING))["findings"].sum())
    doubtful = quality.doubtful
    warm_up = sum(day["warm_up_ns"] for day in survey.days)
    traded = (
        "no trade"
        if survey.sums.traded is None
        else (f"{survey.price(survey.sums.traded[0])} – {survey.price(survey.sums.traded[1])}")
    )
    tiles = [
        ("events", count(sums.counts.events), f"over {duration(length)}", ""),
        ("trades", count(sums.counts.trades), traded, ""),
        (
            "book messages",
            count(sums.counts.messages),
            f"{len(survey.days)} {'day' if len(survey.days) == 1 else 'days'} in the store",
            "",
        ),
        (
            "gaps",
            count(gaps),
            *_told_by_ids(survey, gaps),
        ),
        (
            "touch in doubt",
            duration(doubtful),
            f"{share(doubtful, length)} of the time"
            + (f", {duration(warm_up)} of it warm-up" if warm_up else ""),
            "ok" if not doubtful else "bad" if doubtful * 1000 > length else "unsure",
        ),
        (
            "findings",
            count(quality.total),
            f"{count(grave)} {'warning' if grave == 1 else 'warnings'} or worse",
            "unsure" if grave else "ok",
        ),
    ]
    return [dict(zip(("name", "value", "note", "tone"), tile, strict=True)) for tile in tiles]


def _told_by_ids(survey: Survey, gaps: int) -> tuple[str, str]:
    """What the number of gaps means, and its tone."""
    if survey.chained:
        return ("breaks of the chain of messages", "bad") if gaps else ("the chain is whole", "ok")
    return ("messages that came late", "bad") if gaps else ("this feed's ids show no losses", "")


def _verdict(survey: Survey, verifications: Sequence[Verification]) -> dict[str, Any]:
    if not verifications:
        source, option = ("recording", "--against GOLDEN")
        if not survey.chained:
            source, option = ("vendor's files", "--lake LAKE")
        return {
            "word": "Not verified",
            "tone": "none",
            "checks": [],
            "first": [],
            "note": f"Nothing was compared with the {source} that this came from.",
            "command": f"lobproof verify STORE {option}",
        }
    said = [str(one["verdict"]) for one in verifications]
    word, tone = _VERDICTS[next(one for one in _WORST_FIRST if one in said)]
    tables = [checks_table(one) for one in verifications]
    if len(tables) > 1:
        tables = [
            table._replace(
                title=f"{number} of {len(tables)}: {table.title}, {show_days(_verified_days(one))}"
            )
            for number, (table, one) in enumerate(zip(tables, verifications, strict=True), 1)
        ]
    tones = [tone for table in tables for tone in table.tones]
    nothing = tones.count("none")
    note = (
        f"{tones.count('ok')} of {len(tones) - nothing} checks passed; {nothing} had nothing to "
        "compare."
    )
    if len(verifications) > 1:
        note = f"Held against {len(verifications)} sources, each by itself: {note}"
    verified = {day for one in verifications for day in _verified_days(one)}
    left = sorted({day["dt"] for day in survey.days} - verified)
    if left:
        word = word.replace("Verified", "Verified in part")
        tone = "unsure" if tone == "ok" else tone
        note += f" Not verified: {show_days(left)}."
    firsts = [first_words(one.get("first_divergence")) for one in verifications]
    return {
        "word": word,
        "tone": tone,
        "checks": tables,
        "first": [first for first in firsts if first],
        "note": note,
    }


def check_verified(survey: Survey, verification: Verification) -> None:
    """Refuse a verification of none of the days that are shown, or of what they held before.

    Raises
    ------
    UsageError
        Naming the days.
    """
    of = f"{survey.exchange} {survey.symbol}"
    shown, verified = [day["dt"] for day in survey.days], _verified_days(verification)
    if not set(shown) & set(verified):
        raise UsageError(
            f"The verification is of {show_days(verified) or 'no day'} of {of}, the page of "
            f"{show_days(shown)}.",
            hint="Verify the days that the page is to show, or show those that were verified.",
        )
    hashes = verification["coverage"].get("content_hashes", {})
    changed = [
        day["dt"] for day in survey.days if hashes.get(day["dt"]) not in (None, day["content_hash"])
    ]
    if changed:
        raise UsageError(
            f"{show_days(changed)} of {of} is not what was verified: its content is another.",
            hint="Verify the store as it is now.",
        )


def _verified_days(verification: Verification) -> list[str]:
    return list(verification.get("coverage", {}).get("days", []))


def checks_table(verification: Verification) -> Table:
    """The checks of gates A and B."""
    checks = verification["checks"]
    return Table(
        f"Checks against {verification.get('against') or 'the recording'}",
        (
            "Check",
            "Gate",
            "Verdict",
            "Comparable",
            "Compared",
            "Equal",
            "Differing, 95 % bound",
            "Allowed",
            "Remark",
        ),
        3,
        [_check(check) for check in checks],
        "Gate A looks at the store alone; gate B compares it with the recording. “Exact”: all that "
        "was compared is equal; the bound then says how many differences so many comparisons could "
        "still have missed. “Not applicable” had nothing to compare and decides nothing.",
        remarks=1,
        verdict=2,
        tones=[TONES.get(str(check["verdict"]), "none") for check in checks],
    )


def _check(check: Mapping[str, Any]) -> tuple[str, ...]:
    verdict = str(check["verdict"])
    bound, limit = check.get("bound95"), float(check.get("limit") or 0)
    allowed = "none differs" if limit == 0 else _rate(limit)
    return (
        str(check["name"]).replace("_", " "),
        str(check.get("gate", "")),
        verdict.replace("_", " "),
        count(check.get("comparable", 0)),
        count(check["compared"]),
        count(check["equal"]),
        "–" if bound is None else _rate(float(bound)),
        "–" if TONES.get(verdict, "none") == "none" else allowed,
        str(check.get("reason") or ""),
    )


def _rate(rate: float) -> str:
    return f"{short(100 * rate, 2)}\u202f%"


def first_words(first: Mapping[str, Any] | None) -> str | None:
    """Where a store first differs, of ``VerifyReport.to_dict()``; None where it does not."""
    if not first:
        return None
    where = f" at {first['time']}" if first.get("time") else ""
    event = f", event {count(first['event_id'])} of {first['dt']}" if first.get("event_id") else ""
    named = str(first["check"]).replace("_", " ")
    return f"First divergence ({named}, {first['class']}){where}{event}: {first['detail']}"


def _codes(survey: Survey) -> list[dict[str, str]]:
    length = survey.span[1] - survey.span[0]
    return [
        {
            "code": Finding(row["code"]).name,
            "severity": Severity(row["severity"]).name.lower(),
            "findings": count(row["findings"]),
            "count": count(row["count"]),
            "time": duration(max(row["time"], 0)),
            "share": share(max(row["time"], 0), length),
            "first": moment(row["first_ts"]),
        }
        for row in survey.quality.codes.iter_rows(named=True)
    ]


def _findings(survey: Survey) -> list[dict[str, str]]:
    return [
        {
            "code": Finding(row["code"]).name,
            "severity": Severity(row["severity"]).name.lower(),
            "from": moment(row["first_ts"]),
            "length": duration(max(row["last_ts"] - row["first_ts"], 0)),
            "events": f"{row['first_event_id']} – {row['last_event_id']}",
            "count": count(row["count"]),
            "detail": row["detail"],
        }
        for row in survey.quality.listed.iter_rows(named=True)
    ]


def _day(day: Mapping[str, Any]) -> dict[str, Any]:
    names = ("content", "events", "states", "keyframes", "quality", "minutes")
    files = documents.parse(day["files"])
    verdicts = verdicts_of(day)
    config = documents.parse(day["config"])
    start = partial_from(day)
    return {
        "dt": day["dt"],
        "span": f"{moment(day['first_ts'])[11:]} – {moment(day['last_ts'])[11:]}",
        "events": count(day["events"]),
        "states": count(day["states"]),
        "trades": count(day["trades"]),
        "messages": count(day["book_messages"]),
        "gaps": count(day["gaps"]),
        "doubt": duration(day["doubtful_ns"]),
        "warm_up": duration(day["warm_up_ns"]),
        "heard": _heard(Coverage.of(day["coverage"])),
        "bytes": size_of(sum(int(file[2]) for listed in files.values() for file in listed)),
        "provenance": day["provenance"],
        "strategy": day["strategy"],
        "ratio": "–" if verdicts.gap_ratio is None else _rate(verdicts.gap_ratio),
        "reasons": verdicts.reasons,
        "config": ", ".join(f"{key} {value}" for key, value in sorted(config.items())),
        "version": f"{day['lobproof_version']}, format {day['format_version']}",
        "partial": "" if start is None else moment(start),
        "carried": day["carried_from"],
        "hashes": [(name, day[f"{name}_hash"]) for name in names],
        "inputs": [(entry.name, size_of(entry.bytes), entry.sha256) for entry in inputs_of(day)],
    }


def _heard(coverage: Coverage) -> list[dict[str, str]]:
    """A row for each stream of a day that was heard."""
    return [
        {
            "stream": name,
            "span": f"{moment(stream.first)[11:]} – {moment(stream.last)[11:]}",
            "messages": count(stream.messages),
            "silences": count(stream.silences),
            "silent": duration(stream.silent_ns),
            "longest": duration(max((until - since for since, until in stream.listed), default=0)),
        }
        for name, stream in coverage.streams.items()
        if stream.messages
    ]


def _drift(survey: Survey) -> dict[str, Any] | None:
    compared = survey.minutes.filter(pl.col("drift_compared") > 0)
    if compared.is_empty():
        return None
    names = ("drift_compared", "drift_equal", "drift_ghosts", "drift_missing")
    totals = {name: int(compared[name].sum()) for name in names}
    differing = pl.col("drift_compared") - pl.col("drift_equal")
    others = pl.col("drift_ghosts") + pl.col("drift_missing")
    worst = (
        compared.filter(differing + others > 0)
        .sort(differing, "minute", descending=[True, False])
        .head(_WORST_MINUTES)
    )
    return {
        "minutes": count(len(compared)),
        "compared": count(totals["drift_compared"]),
        "equal": share(totals["drift_equal"], totals["drift_compared"]),
        "rows": [
            {
                "minute": moment(row["minute"], digits=0)[:16],
                "compared": count(row["drift_compared"]),
                "equal": share(row["drift_equal"], row["drift_compared"]),
                "ghosts": count(row["drift_ghosts"]),
                "missing": count(row["drift_missing"]),
                "price": _rmse(row["price_rmse_ticks"]),
                "size": _rmse(row["size_rmse_rel"]),
            }
            for row in worst.iter_rows(named=True)
        ],
    }


def _rmse(value: float) -> str:
    return "–" if value != value else short(value)


def _states_note(survey: Survey) -> str:
    without = [day["dt"] for day in survey.days if day["states"] == 0]
    if not without:
        return ""
    return (
        f"The store keeps no states for {', '.join(without)} (they were left out on purpose, or "
        "there was no book message). The pictures do not need them: they come from replaying the "
        "events."
    )
