"""The certificate of a dataset: which symbol-days of a store a model may be trained on, and why.

It is issued of days that are sealed, as they were sealed, and proved exact against golden samples;
what stands against it is listed, every reason. Its ``id`` is the SHA-256 of its content. The rule
is in ``docs/certificate.md``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import msgspec
import polars as pl

import lobproof
from lobproof import documents
from lobproof.acquire.certificate import DEMO, REAL, REFUSED, Refusal
from lobproof.acquire.certificate_status import certificate_statuses, is_intact, read_certificate
from lobproof.acquire.zones import MARK, LakeFolder
from lobproof.documents import content_digest
from lobproof.errors import InputError, UsageError, system_text
from lobproof.fidelity.exact.report import Verdict
from lobproof.fidelity.gates.settings import STANDARD
from lobproof.fidelity.metrics.files import VERSION as METRICS_VERSION
from lobproof.fidelity.reports import (
    DIGITS,
    FOLDER,
    KeptAgainst,
    KeptReport,
    KeptReports,
    kept_reports,
)
from lobproof.paths import AnyPath, as_path
from lobproof.progress import Progress
from lobproof.schema import Finding
from lobproof.schema.provenance import least_real
from lobproof.store import Partition, Store, as_store
from lobproof.store.catalog import Coverage
from lobproof.store.seal import inputs_of, partial_from, verdicts_of
from lobproof.timespan import covered_ns

FORMAT = "lobproof-dataset-certificate"
VERSION = 1
_GOOD = (Verdict.EXACT, Verdict.PASS)
_ROWS = ("events", "states", "trades", "book_messages")
_WHOLE = 0.999
"""Golden samples that cover so much of a day cover it all: clocks differ at its ends."""
_SHOWN = 3
REMEDIES = {
    "not-sealed": "`lobproof reconstruct` makes the day; or ask for others: --start, --end",
    "files-changed": "`lobproof reconstruct --overwrite` makes the day anew",
    "not-measured": "`lobproof fidelity STORE --against GOLDEN` measures it",
    "fidelity-stale": "`lobproof fidelity STORE --against GOLDEN` measures it as it is now",
    "fidelity-failed": "`lobproof fidelity history STORE` says in what; reconstruct the day anew, "
    "or leave it out: --start, --end",
    "not-exact": "a golden sample of the day's own time decides gates A and B: "
    "`lobproof fidelity STORE --against GOLDEN`",
    "report-damaged": "delete the file, and run `lobproof fidelity STORE --against GOLDEN` again",
}
"""A reason → what can be done about it."""


class _Report(msgspec.Struct):
    id: str
    file: str


class _Fidelity(msgspec.Struct):
    reports: list[_Report]


class _Day(msgspec.Struct):
    """What is read of a day; there is more."""

    exchange: str
    symbol: str
    dt: str
    content_hash: str
    fidelity: _Fidelity


class _Request(msgspec.Struct):
    symbols: list[str]
    start: str | None
    end: str | None


class _Shape(msgspec.Struct):
    """What every reader of a certificate counts on."""

    format: Literal["lobproof-dataset-certificate"]
    format_version: Literal[1]
    id: str
    verdict: str
    says: str
    request: _Request
    days: list[_Day]
    refusals: list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class DatasetCertificate:
    """A certificate's document: ``CERTIFIED``, ``DEMO`` of what is not real, or ``REFUSED``."""

    document: dict[str, Any]

    @property
    def verdict(self) -> str:
        """What it comes to."""
        return str(self.document["verdict"])

    @property
    def refusals(self) -> list[dict[str, str]]:
        """What stands against it."""
        return list(self.document["refusals"])


def certify_dataset(
    store: Store | AnyPath,
    *,
    symbols: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
    lake: AnyPath | None = None,
    progress: Progress | None = None,
) -> DatasetCertificate:
    """Issue the certificate of what a store holds, or of some of it. Nothing is written.

    Every file is held against its seal, byte by byte.

    Parameters
    ----------
    symbols
        Canonical or venue's names; none: all.
    start, end
        First day, and the first one no more (YYYY-MM-DD). Days between both that are not sealed are
        then a reason against it.
    lake
        A folder of `lobproof acquire download`: which of its certificates cover the inputs.
    progress
        Called with what is worked at, days done, and how many there are.

    Raises
    ------
    UsageError
        If the store has nothing of what is asked for.
    """
    store = as_store(store)
    seals = _chosen(store, symbols, start, end)
    certificates = {} if lake is None else _input_certificates(as_path(lake))
    kept = kept_reports(store.path, store.scope)
    holes = _holes(seals, start, end)
    refusals = [*_unsealed(store, seals, start, end, holes), *_damaged(store, kept, seals)]
    days = []
    for number, seal in enumerate(seals.iter_rows(named=True)):
        name = _name(seal)
        if progress is not None:
            progress(name, number, seals.height)
        refusals += _changed(store, seal)
        fidelity, against = _judged(seal, _of_day(kept, seal))
        refusals += against
        days.append(_described(store, seal, certificates, fidelity))
    refusals.sort(key=lambda one: (one.key, one.reason))
    made = [seal["provenance"] for seal in seals.iter_rows(named=True)]
    made += [report["provenance"] for day in days for report in day["fidelity"]["reports"]]
    provenance = least_real(*made)
    verdict = REFUSED if refusals else REAL if provenance == "real" else DEMO
    content = {
        "format": FORMAT,
        "format_version": VERSION,
        "lobproof_version": lobproof.__version__,
        "verdict": verdict,
        "provenance": provenance,
        "says": _says(days, holes) if verdict != REFUSED else "refused",
        "request": {"symbols": sorted(symbols), "start": start, "end": end},
        "settings_hash": STANDARD.hash,
        "missing_days": holes,
        "days": days,
        "refusals": [one.to_dict() for one in refusals],
    }
    issued = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return DatasetCertificate({"id": content_digest(content), "issued_at": issued, **content})


def read_dataset_certificate(path: AnyPath) -> dict[str, Any]:
    """The document of a certificate.

    Raises
    ------
    InputError
        When ``path`` is none.
    """
    path = as_path(path)
    hint = "`lobproof certify STORE --out FILE` writes one"
    try:
        return documents.parse(documents.read_bytes(path), _Shape)
    except OSError as error:
        why = system_text(error)
        raise InputError(f"{path} cannot be read: {why}", hint="check the file's name") from error
    except ValueError as error:
        raise InputError(f"{path} is no certificate of a dataset: {error}", hint=hint) from error


def check_certificate(
    path: AnyPath, store: Store | AnyPath, *, progress: Progress | None = None
) -> list[Refusal]:
    """Hold a certificate against a store: every difference, empty where it holds.

    Its own hash; every day, as the certificate describes it, and its files byte by byte; days that
    came since; the reports that it names; and reports since that fail.

    Raises
    ------
    InputError
        When ``path`` is no certificate.
    """
    document, store = read_dataset_certificate(path), as_store(store)
    found: list[Refusal] = []
    if document["verdict"] not in (REAL, DEMO):
        found.append(Refusal("verdict", f"the document says {document['verdict']}"))
    if not is_intact(document, document["id"]):
        found.append(Refusal("certificate-changed", "its id is not the hash of its content"))
    request = document["request"]
    try:
        seals = _chosen(store, request["symbols"], request["start"], request["end"])
    except UsageError as error:
        return [*found, Refusal("day-missing", error.message)]
    kept = kept_reports(store.path, store.scope)
    now = {_name(seal): seal for seal in seals.iter_rows(named=True)}
    told = {_name(day): day for day in document["days"]}
    for reason, detail, names in (
        ("day-missing", "the store has no such sealed day", told.keys() - now.keys()),
        ("day-added", "the certificate does not name it", now.keys() - told.keys()),
    ):
        found += [Refusal(reason, detail, name) for name in names]
    for number, (name, seal) in enumerate(now.items()):
        if name not in told:
            continue
        if progress is not None:
            progress(name, number, len(now))
        found += _changed(store, seal)
        found += _differences(store, seal, told[name], kept)
    return sorted(found, key=lambda one: (one.key, one.reason))


def _differences(
    store: Store, seal: Mapping[str, Any], told: Mapping[str, Any], kept: KeptReports
) -> Iterator[Refusal]:
    """What a day's certificate says that is not so any more."""
    name = _name(seal)
    described = _described(store, seal, {}, {})
    for field in told.keys() | described.keys():
        if field == "fidelity":
            continue
        was, now = told.get(field), described.get(field)
        if field == "inputs" and isinstance(was, dict) and isinstance(now, dict):
            was, now = ({**one, "certificates": None} for one in (was, now))
        if was != now:
            yield Refusal("day-changed", f"{field}: {_short(was)} in it, {_short(now)} now", name)
    reports = {one.id: one for one in _of_day(kept, seal)}
    for one in told["fidelity"]["reports"]:
        if one["id"] not in reports:
            yield Refusal("report-missing", f"{one['file']} is not there as it was", name)
    for proof in _evidence(seal, reports.values()):
        if proof.refutes:
            yield _failed(proof, name)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _name(day: Mapping[str, Any]) -> str:
    return f"{day['exchange']} {day['symbol']} {day['dt']}"


def _chosen(
    store: Store, symbols: Sequence[str], start: str | None, end: str | None
) -> pl.DataFrame:
    """The seals that are asked for, by exchange, symbol and day."""
    for given in (start, end):
        try:
            plain = given is None or date.fromisoformat(given).isoformat() == given
        except ValueError:
            plain = False
        if not plain:
            raise UsageError(f"{given!r} is no day", hint="write it like 2026-03-01")
    names = [store.instrument(one).symbol for one in symbols]
    seals = store.days().filter(_within(start, end))
    if names:
        seals = seals.filter(pl.col("symbol").is_in(names))
    if not seals.height:
        raise UsageError(
            f"{store.path} has no sealed day of what is asked for.",
            hint="`lobproof inspect STORE` shows what there is",
        )
    return seals.sort("exchange", "symbol", "dt")


def _within(start: str | None, end: str | None) -> pl.Expr:
    """Whether ``dt`` is in the range: days written so sort as text."""
    return (pl.col("dt") >= (start or "")) & (pl.col("dt") < (end or "9999-99-99"))


def _holes(seals: pl.DataFrame, start: str | None, end: str | None) -> dict[str, list[str]]:
    """Symbol → days without a seal, from the first to the last that is asked for, or is there."""
    found = {}
    for (exchange, symbol), days in seals.group_by("exchange", "symbol", maintain_order=True):
        there = set(days["dt"])
        day = date.fromisoformat(start or min(there))
        stop = date.fromisoformat(end or max(there))
        lacking = []
        while day < stop:
            if day.isoformat() not in there:
                lacking.append(day.isoformat())
            day += timedelta(days=1)
        if lacking:
            found[f"{exchange} {symbol}"] = lacking
    return found


def _unsealed(
    store: Store, seals: pl.DataFrame, start: str | None, end: str | None, holes: Mapping[str, Any]
) -> Iterator[Refusal]:
    """Days without a seal: those that a table speaks of, and those that both ends ask for."""
    known = {tuple(names) for names in seals.select("exchange", "symbol").unique().iter_rows()}
    said = set()
    for one in store.unsealed():
        of = one.partition
        if (of.exchange, of.symbol) in known and (start or "") <= of.dt < (end or "9999-99-99"):
            said.add(str(of))
            yield Refusal("not-sealed", one.why, str(of))
    if start is not None and end is not None:
        for symbol, days in holes.items():
            for dt in days:
                if f"{symbol} {dt}" not in said:
                    yield Refusal("not-sealed", "the store has no such day", f"{symbol} {dt}")


def _damaged(store: Store, kept: KeptReports, seals: pl.DataFrame) -> Iterator[Refusal]:
    """Files among the reports of the days that are none."""
    names = {
        Partition(row["exchange"], row["symbol"], row["dt"]).folder: _name(row)
        for row in seals.iter_rows(named=True)
    }
    for one in kept.damaged:
        name = names.get(one.path.parent.relative_to(store.path / FOLDER).as_posix())
        if name is not None:
            yield Refusal("report-damaged", f"{one.path.name}: {one.why}", name)


def _changed(store: Store, seal: Mapping[str, Any]) -> Iterator[Refusal]:
    """Files of a day that are not as they were sealed, by every byte."""
    audit = store.audit(seal["symbol"], exchange=seal["exchange"], dt=seal["dt"], content=False)
    for damage in audit.damage[:_SHOWN]:
        where = f"{damage.table}/{damage.file}" if damage.file else damage.table
        yield Refusal("files-changed", f"{where}: {damage.what}", _name(seal))
    if len(audit.damage) > _SHOWN:
        more = f"and {len(audit.damage) - _SHOWN:,} more"
        yield Refusal("files-changed", more, _name(seal))


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What one report says of a day against one golden sample."""

    report: KeptReport
    against: KeptAgainst

    @property
    def is_exact(self) -> bool:
        """Whether gates A and B were run, and passed."""
        return {self.against.gates.get("A"), self.against.gates.get("B")} <= set(_GOOD)

    @property
    def is_of_another_time(self) -> bool:
        """Whether gate D alone was run: a failure may be another regime of a right market."""
        return self.against.gates.keys() == {"D"}

    @property
    def refutes(self) -> bool:
        """Whether it shows that the day's rows are wrong."""
        return self.against.verdict is Verdict.FAIL and not self.is_of_another_time

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        report, against = self.report, self.against
        return {
            "id": report.id,
            "file": f"{FOLDER}/{report.partition.folder}/{report.file_name}",
            "run_at": f"{report.run_at:%Y-%m-%dT%H:%M:%SZ}",
            "lobproof_version": report.lobproof_version,
            "metrics_version": report.metrics_version,
            "settings_hash": report.settings_hash,
            "level": report.level,
            "provenance": report.provenance,
            "golden": {"name": against.golden.name, "content_hash": against.golden.content_hash},
            "verdict": against.verdict.value,
            "gates": {str(name): verdict.value for name, verdict in against.gates.items()},
            "inconclusive": [
                one.name for one in against.metrics if one.verdict is Verdict.INCONCLUSIVE
            ],
            "needed_ns": max((one.needed_ns for one in against.metrics), default=0),
        }


def _of_day(kept: KeptReports, seal: Mapping[str, Any]) -> list[KeptReport]:
    """The reports of a day, the newest last."""
    partition = Partition(seal["exchange"], seal["symbol"], seal["dt"])
    return [one for one in kept.reports if one.partition == partition]


def _evidence(seal: Mapping[str, Any], reports: Iterable[KeptReport]) -> list[_Evidence]:
    """Of each golden sample and level the newest report that counts, see `_why_not`.

    So a lighter one never covers up what another found.
    """
    newest: dict[tuple[str, str | None], _Evidence] = {}
    for report in reports:
        if not _why_not(seal, report):
            for against in report.against:
                newest[against.golden.content_hash, report.level] = _Evidence(report, against)
    return list(newest.values())


def _why_not(seal: Mapping[str, Any], report: KeptReport) -> str:
    """Why a report does not count; empty where it does."""
    if report.content_hash != seal["content_hash"]:
        return f"the report is of content {report.content_hash[:DIGITS]}"
    if report.metrics_version != METRICS_VERSION:
        return f"the report is of version {report.metrics_version} of the metrics"
    if report.settings_hash != STANDARD.hash:
        return f"the report is by other settings, {str(report.settings_hash)[:DIGITS]}"
    return ""


def _judged(
    seal: Mapping[str, Any], reports: Sequence[KeptReport]
) -> tuple[dict[str, Any], list[Refusal]]:
    """What fidelity says of a day, and what stands against it."""
    name, found = _name(seal), _evidence(seal, reports)
    against = [_failed(one, name) for one in found if one.refutes]
    exact = [one for one in found if one.is_exact]
    if not reports:
        against.append(Refusal("not-measured", "there is no fidelity report of it", name))
    elif not found:
        now = f"the day has {seal['content_hash'][:DIGITS]} now"
        against.append(Refusal("fidelity-stale", f"{_why_not(seal, reports[-1])}; {now}", name))
    elif not exact and not against:
        ran = any({"A", "B"} <= set(one.against.gates) for one in found)
        why = "are inconclusive" if ran else "were not run: no golden sample is of its time"
        against.append(Refusal("not-exact", f"gates A and B {why}", name))
    share = _share(seal, exact)
    says = "refused" if against else _words(found, share)
    shown = [one.to_dict() for one in found]
    return {"says": says, "compared_share": share, "reports": shown}, against


def _failed(one: _Evidence, name: str) -> Refusal:
    failed = one.against.failed
    more = f" and {len(failed) - _SHOWN:,} more" if len(failed) > _SHOWN else ""
    what = f"{', '.join(failed[:_SHOWN])}{more}" or "see the report"
    detail = f"report {one.report.id[:DIGITS]} against {one.against.golden.name}: {what}"
    return Refusal("fidelity-failed", detail, name)


def _share(seal: Mapping[str, Any], exact: Sequence[_Evidence]) -> float:
    """How much of the day's time the golden samples of gates A and B cover."""
    first, last = int(seal["first_ts"]), int(seal["last_ts"])
    spans = [(one.against.golden.first_ns, one.against.golden.last_ns) for one in exact]
    covered, _ = covered_ns((max(first, begin), min(last, end)) for begin, end in spans)
    return round(covered / (last - first), 6) if last > first else float(bool(exact))


def _words(found: Sequence[_Evidence], share: float) -> str:
    """What a trainer has to know of a day that nothing stands against."""
    exact = [one for one in found if one.is_exact]
    rows = {one.against.gates[gate] for one in exact for gate in ("A", "B")}
    first = "exact" if rows == {Verdict.EXACT} else "right row by row, within 0.1 %"
    if share < _WHOLE:
        first += f" in {share:.1%} of its time, the rest not compared"
    unlike = sum(one.is_of_another_time and one.against.verdict is Verdict.FAIL for one in found)
    other = f"; unlike {unlike} golden sample(s) of other times" if unlike else ""
    return f"{first}; {_distributions(exact)}{other}"


def _distributions(exact: Sequence[_Evidence]) -> str:
    """What gate C says; one sample that passes is enough, as none fails."""
    c = [one for one in exact if one.against.gates.get("C") is not Verdict.PASS]
    if len(c) < len(exact):
        return "distributions pass"
    metrics = min((one.to_dict() for one in c), key=lambda one: len(one["inconclusive"]))
    needed = metrics["needed_ns"] / 3.6e12
    hours = f", {needed:,.1f} h of data would do" if needed else ""
    return f"distributions inconclusive: {len(metrics['inconclusive'])} metrics{hours}"


def _described(
    store: Store,
    seal: Mapping[str, Any],
    certificates: Mapping[str, set[str]],
    fidelity: Mapping[str, Any],
) -> dict[str, Any]:
    """What the certificate says of a day."""
    inputs = inputs_of(seal)
    covering = sorted({one for file in inputs for one in certificates.get(file.sha256, ())})
    return {
        "exchange": seal["exchange"],
        "symbol": seal["symbol"],
        "dt": seal["dt"],
        "content_hash": seal["content_hash"],
        "provenance": seal["provenance"],
        "sealed_by": seal["lobproof_version"],
        "strategy": seal["strategy"],
        "partial_from_ns": partial_from(seal),
        "first_ts": seal["first_ts"],
        "last_ts": seal["last_ts"],
        "rows": {name: seal[name] for name in _ROWS},
        "quality": _quality(store, seal),
        "inputs": {
            "certified": seal["certified"],
            "certificates": covering,
            "files": [
                {"name": one.name, "bytes": one.bytes, "sha256": one.sha256} for one in inputs
            ],
        },
        "fidelity": fidelity,
    }


def _quality(store: Store, seal: Mapping[str, Any]) -> dict[str, Any]:
    """What was found of a day while it was replayed."""
    where = (seal["dt"], seal["symbol"])
    length = pl.col("last_ts") - pl.col("first_ts")
    flags = (
        store.stored("quality", *where, exchange=seal["exchange"])
        .group_by("code")
        .agg(findings=pl.len(), count=pl.col("count").sum(), ns=length.clip(0).sum())
        .sort("code")
        .collect()
    )
    span, verdicts = int(seal["last_ts"]) - int(seal["first_ts"]), verdicts_of(seal)
    return {
        "untrusted_ns": seal["doubtful_ns"],
        "untrusted_share": round(seal["doubtful_ns"] / span, 9) if span else None,
        "warm_up_ns": seal["warm_up_ns"],
        "gaps": seal["gaps"],
        "gap_ratio": verdicts.gap_ratio,
        "outages_ns": [list(one) for one in Coverage.of(seal["coverage"]).outages],
        "flags": {
            Finding(row["code"]).name: {name: row[name] for name in ("findings", "count", "ns")}
            for row in flags.iter_rows(named=True)
        },
        "reasons": verdicts.reasons,
    }


def _input_certificates(lake: Path) -> dict[str, set[str]]:
    """SHA-256 of an input file → ids of the certificates of `acquire certify` that hold it."""
    if not (lake / MARK).is_file():
        raise UsageError(
            f"{lake} is no folder of acquired data: it has no certificates",
            hint="name the folder of `lobproof acquire download`, or leave out lake= (--lake)",
        )
    folder = LakeFolder(lake)
    holding = {status.name for status in certificate_statuses(folder) if status.holds}
    found: dict[str, set[str]] = {}
    for path in folder.certificates():
        if path.stem in holding:
            for entry in read_certificate(path)["objects"]:
                found.setdefault(str(entry["sha256"]), set()).add(path.stem)
    return found


def _says(days: Sequence[Mapping[str, Any]], holes: Mapping[str, Sequence[str]]) -> str:
    """What all days come to, in a sentence or two."""
    counts = Counter(day["fidelity"]["says"] for day in days)
    told = [f"{many:,} {'day' if many == 1 else 'days'} {what}" for what, many in counts.items()]
    if holes:
        told.append(f"no data on {sum(map(len, holes.values())):,} days between")
    return "; and ".join(told)
