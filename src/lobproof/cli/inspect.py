"""``lobproof inspect``: a store or a golden sample on one screen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lobproof import documents
from lobproof.cli.console import Json, clock, duration, out, partial_text, print_json
from lobproof.cli.places import Kind, StorePath, expect
from lobproof.documents import QUOTED
from lobproof.errors import shown
from lobproof.schema import Finding
from lobproof.schema.provenance import made_of
from lobproof.sources.cryptolake.lag import Lag
from lobproof.sources.golden import GoldenSample
from lobproof.store import Store, open_store, partial_from
from lobproof.store.catalog import told_unsealed
from lobproof.timespan import HOUR_NS

_SHOWN_FINDINGS = 12
_SHOWN_OUTAGES = 5
_SHOWN_DAMAGED = 5
"""Days whose files are gone, or of another size."""
_PACED = ("depth", "trades", "book")
"""Streams whose silences are shown: a snapshot comes when it is asked for."""


def inspect(path: StorePath, /, *, json_: Json = False) -> int:
    """Show what a store or a golden sample holds, on one screen.

    Of a store's files only names and sizes are held against the seals; `lobproof verify` reads
    them. Exit code 0; 1 where files are gone or of another size; 2 where days have no seal, which
    are named and left out.

    Parameters
    ----------
    path
        Folder of a store or of a golden sample.
    json_
        Print it as JSON.
    """
    if expect(path, Kind.STORE, Kind.GOLDEN) is Kind.GOLDEN:
        sample = GoldenSample.load(path)
        if json_:
            print_json(golden_summary(sample))
        else:
            show_golden(out(), sample)
        return 0
    summary = store_summary(open_store(path))
    if json_:
        print_json(summary)
    else:
        show_store(out(), summary)
    if summary["damage"]:
        return FAIL
    return LEFT_OUT if summary["unsealed"] else 0


FAIL, LEFT_OUT = 1, 2
"""Exit codes: files are not as they were sealed; days have no seal."""


def golden_summary(sample: GoldenSample) -> dict[str, Any]:
    """``golden.json`` without the lists of files."""
    return {"path": str(sample.path), **sample.document}


def show_golden(console: Console, sample: GoldenSample) -> None:
    """A golden sample as a table."""
    document = sample.document
    instrument = sample.instrument
    table = Table(
        title=f"Golden sample {sample.path}", title_justify="left", show_header=False, box=None
    )
    table.add_column(style="dim")
    table.add_column()
    span = document["span"]
    chain, ids = document["chain"], document["trade_ids"]
    table.add_row(
        "symbol",
        f"{instrument.symbol} ({instrument.venue_symbol} on {instrument.exchange}, "
        f"{sample.market}, {sample.provenance})",
    )
    table.add_row(
        "exchange time", f"{clock(span['first_event_ns'])} to {clock(span['last_event_ns'])} UTC"
    )
    table.add_row("length", duration(span["last_event_ns"] - span["first_event_ns"]))
    counts = document["counts"]
    table.add_row("messages", _messages_text(counts))
    if any(counts.get(key) for key in _OTHERS):
        table.add_row("other lines", _others_text(counts))
    if changes := counts.get("level_changes"):
        table.add_row("level changes", f"{changes:,}")
    table.add_row(
        "grid", f"price {instrument.price_exponent}, size {instrument.size_exponent} decimals"
    )
    tick, lot = instrument.price_text(instrument.tick), instrument.size_text(instrument.lot)
    table.add_row("rules", f"tick {tick}, lot {lot} ({document['rules_from']})")
    table.add_row("depth chain", _audit_text(chain))
    table.add_row("trade ids", _audit_text(ids))
    if "backfill" in document:
        table.add_row("backfill", _backfill_text(document["backfill"]))
    offset = f"receive time - exchange time: {sample.clock_offset_ns / 1e6:,.1f} ms"
    if abs(sample.clock_offset_ns) >= HOUR_NS:
        way = "after" if sample.clock_offset_ns > 0 else "before"
        offset = (
            f"receive times are {duration(abs(sample.clock_offset_ns))} {way} exchange times: the "
            "recorder's clock is wrong, or lobproof serve was captured, whose time is its own "
            "(--start)"
        )
    elif sample.clock_offset_ns < 0:
        offset += " (the recorder's clock is behind the exchange's, whose times give the order)"
    table.add_row("clock", offset)
    if "witness" in document:
        for told in _witness_text(document["witness"]):
            table.add_row("SBE", told)
    for note in document["notes"]:
        table.add_row(Text("note", "yellow"), note)
    for line in _findings_text(sample):
        table.add_row(Text("finding", "yellow"), line)
    console.print(table)


_OTHERS = {
    "other": "of other streams",
    "other_symbol": "of other symbols",
    "invalid": "unreadable",
    "blank": "without a message (blank, a heading, a capture's notes or copies)",
}
"""Counts of ``golden.json`` that are not of the streams lobproof uses, as the screen tells them."""


def _messages_text(counts: Mapping[str, int]) -> str:
    """How many messages there are of each stream."""
    return ", ".join(
        f"{name} {count:,}"
        for name, count in counts.items()
        if count and name not in _OTHERS and name != "level_changes"
    )


def _others_text(counts: Mapping[str, int]) -> str:
    """How many lines are of no such stream, and what they are."""
    return ", ".join(f"{counts[key]:,} {what}" for key, what in _OTHERS.items() if counts.get(key))


def _backfill_text(told: Mapping[str, Any]) -> str:
    """How many of the lost trades REST brought, and what it brought of others."""
    text = f"{told['backfilled']:,} of {told['lost']:,} lost trades brought by REST"
    for name, what in (
        ("late", "came late after all"),
        ("contradicting", "contradicting"),
        ("untimed", "left out: receive times order their day"),
    ):
        if told[name]:
            text += f"; {told[name]:,} {what}"
    return text


def _witness_text(witness: Mapping[str, Any]) -> list[Text]:
    """What SBE says of JSON: a line a stream, and the first difference of each."""
    lines = []
    for name in ("trades", "depth", "touch"):
        told = witness[name]
        if name == "depth":
            what, rest = " levels", f"{told['messages_alone']:,} messages not compared"
        else:
            what = ""
            rest = f"{told['json_alone']:,} in JSON alone, {told['sbe_alone']:,} in SBE alone"
        lines.append(Text(f"{name}: {told['equal']:,} of {told['compared']:,}{what} equal, {rest}"))
        if told["differing"]:
            first = told["first_differing"][0]
            at = first["final"] if name == "depth" else first["id"]
            style = "yellow" if name == "touch" else "red"
            lines.append(Text(f"{told['differing']:,} differ; first at id {at}", style))
    if unread := sum(witness["unread"].values()):
        lines.append(Text(f"{unread:,} frames cannot be read", "yellow"))
    return lines


def _findings_text(sample: GoldenSample) -> list[str]:
    """What was wrong with the input: the first findings with their places, how many more there are.

    Files that break off come first: unreadable lines are often many.
    """
    single = [finding for finding in sample.findings() if finding.file]
    single.sort(key=lambda finding: finding.code != Finding.TRUNCATED_INPUT)
    lines = []
    for one in single[:_SHOWN_FINDINGS]:
        line = f", line {one.line:,}" if one.line else ""
        lines.append(f"{shown(one.file, QUOTED)}{line}: {one.detail}")
    more = sum(finding.count for finding in sample.findings()) - len(lines)
    if more:
        listed = len(single) - len(lines)
        told = f", of which golden.json lists {listed:,}" if listed < more else " in golden.json"
        lines.append(f"and {more:,} more{told}")
    return lines


def _audit_text(audit: dict[str, Any]) -> Text:
    gaps = int(audit["gaps"])
    broken = {name: int(audit[name]) for name in ("duplicates", "late", "overlaps", "resets")}
    text = (
        Text("no gap")
        if gaps == 0
        else Text.assemble((f"{gaps:,} {'gap' if gaps == 1 else 'gaps'}", "red"))
    )
    for name, count in broken.items():
        if count:
            text.append(", ").append(f"{count:,} {name}", "yellow")
    return text


def store_summary(store: Store) -> dict[str, Any]:
    """Seals of a store, its findings by code; days without a seal; files that are not as sealed."""
    days = []
    for row in store.days().iter_rows(named=True):
        files = documents.parse(row["files"])
        days.append(
            {
                **{key: value for key, value in row.items() if key not in ("files", "sealed_at")},
                "instrument": documents.parse(row["instrument"]),
                "inputs": documents.value_of(row["inputs"]),
                "config": documents.parse(row["config"]),
                "verdicts": documents.parse(row["verdicts"]),
                "coverage": documents.parse(row["coverage"]),
                "from_ns": partial_from(row),
                "bytes": sum(int(entry[2]) for parts in files.values() for entry in parts),
            }
        )
    unsealed = [{**one.partition.values(), "why": one.why} for one in store.unsealed()]
    damage = [
        {"partition": one.partition, "table": one.table, "file": one.file, "what": one.what}
        for one in store.glance()
    ]
    return {
        "path": str(store.path),
        "days": days,
        "unsealed": unsealed,
        "left_out": told_unsealed(store.unsealed()),
        "damage": damage,
    }


def _show_damage(console: Console, damage: Sequence[Mapping[str, Any]]) -> None:
    """By day the first file that is not as it was sealed, and how many more."""
    by_day: dict[str, list[str]] = {}
    for one in damage:
        told = f"{one['partition']}, {one['table']}/{one['file']}: {one['what']}"
        by_day.setdefault(one["partition"], []).append(told)
    for found in list(by_day.values())[:_SHOWN_DAMAGED]:
        more = f", and {len(found) - 1:,} more" if len(found) > 1 else ""
        console.print(f"{found[0]}{more}", style="red", soft_wrap=True)
    if len(by_day) > _SHOWN_DAMAGED:
        console.print(f"and {len(by_day) - _SHOWN_DAMAGED:,} more days", style="red")
    if damage:
        console.print(
            f"{len(by_day):,} {'day is' if len(by_day) == 1 else 'days are'} not as sealed, by "
            "names and sizes alone: `lobproof verify` reads every byte, with --audit every value; "
            "`lobproof reconstruct --overwrite` makes a day anew.",
            soft_wrap=True,
        )


def show_store(console: Console, summary: Mapping[str, Any]) -> None:
    """Days, sizes and findings of a store, from `store_summary`."""
    console.print(f"Store {summary['path']}", style="bold", soft_wrap=True)
    _show_damage(console, summary["damage"])
    if summary["unsealed"]:
        console.print(summary["left_out"], style="yellow", soft_wrap=True)
    elif not summary["days"]:
        console.print("It holds no sealed day: `lobproof reconstruct` makes one.", style="yellow")
    by_symbol: dict[str, list[dict[str, Any]]] = {}
    for day in summary["days"]:
        head = f"{day['exchange']} {day['symbol']} ({made_of(day['provenance'])})"
        by_symbol.setdefault(head, []).append(day)
    for head, days in by_symbol.items():
        table = Table(title=head, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("day")
        for name in ("events", "trades", "states", "gaps", "doubtful"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("content hash", no_wrap=True)  # which is all that 80 columns hold
        for day in days:
            table.add_row(
                str(day["dt"]),
                *(f"{day[name]:,}" for name in ("events", "trades", "states")),
                Text(f"{day['gaps']:,}", "red" if day["gaps"] else ""),
                duration(day["doubtful_ns"]),
                day["content_hash"][:12],
            )
        console.print(table)
        for day in days:
            size = f"{day['bytes'] / 1e6:,.1f} MB"
            console.print(f"{day['dt']} covered: {covered_text(day)}; {size}", soft_wrap=True)
            if "lag" in day["verdicts"]:
                console.print(
                    f"{day['dt']} {documents.as_shape(day['verdicts']['lag'], Lag)}", soft_wrap=True
                )
            for line in heard_text(day):
                console.print(Text.assemble(f"{day['dt']}: ", line), soft_wrap=True)
            if day["from_ns"] is not None:
                console.print(partial_text(day["dt"], day["from_ns"]), soft_wrap=True)
            if not day["config"].get("chained", True):
                console.print(f"{day['dt']} strategy {day['strategy']}", soft_wrap=True)
            for reason in day["verdicts"].get("reasons", []):
                console.print(Text.assemble(f"{day['dt']} ", (reason, "yellow")), soft_wrap=True)
        findings: Counter[str] = Counter()
        for day in days:
            findings.update(day["verdicts"].get("findings", {}))
        text = ", ".join(f"{name} {count:,}" for name, count in sorted(findings.items()))
        console.print(f"findings: {text or 'none'}")


def covered_text(day: Mapping[str, Any]) -> str:
    """From when to when a day was heard, and how long that is, without its outages."""
    if not day["first_ts"]:
        return "nothing"
    outages = sum(until - since for since, until in day["coverage"]["outages"])
    first, last = (clock(day[name])[11:19] for name in ("first_ts", "last_ts"))
    return f"{first}–{last}, {duration(day['last_ts'] - day['first_ts'] - outages)} of the day"


def heard_text(day: Mapping[str, Any]) -> list[Text]:
    """What there is to say of a day's coverage: outages, silences, the time before its book."""
    coverage = day["coverage"]
    lines = [
        Text(
            f"nothing was heard from {clock(since)} to {clock(until)} ({duration(until - since)})",
            "red",
        )
        for since, until in coverage["outages"][:_SHOWN_OUTAGES]
    ]
    more = len(coverage["outages"]) - _SHOWN_OUTAGES
    if more > 0:
        lines.append(Text(f"{more:,} more outages", "red"))
    silent = [
        f"{name} silent {stream['silences']:,} x, {duration(stream['silent_ns'])} in all"
        for name, stream in coverage["streams"].items()
        if stream["silences"] and name in _PACED
    ]
    if silent:
        lines.append(Text("; ".join(silent), "dim"))
    if day["warm_up_ns"]:
        told = f"warm-up {duration(day['warm_up_ns'])}, before the first anchor"
        lines.append(Text(told, "dim"))
    return lines
