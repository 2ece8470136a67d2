"""Fidelity reports as files below their store: one a run and symbol-day, for `history`, `certify`.

``fidelity/exchange=…/symbol=…/dt=…/<time of the run>-<id>.json``. A report is written once and
never changed; its ``id`` is the SHA-256 of its content, the time of the run left out. Nothing else
in a store depends on these files.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

import lobproof
from lobproof import documents
from lobproof.documents import Count, content_digest
from lobproof.errors import LobproofError, StoreError
from lobproof.fidelity.exact.report import Check, Verdict
from lobproof.fidelity.gates.compared import number
from lobproof.fidelity.gates.report import Against, FidelityReport
from lobproof.fidelity.gates.settings import Level
from lobproof.fidelity.inference.equivalence import overall
from lobproof.fidelity.inference.signflip import ALPHA
from lobproof.fidelity.metrics.files import VERSION as METRICS_VERSION
from lobproof.files import below, make_folder, walk, write_whole
from lobproof.store import ALL, Partition, Scope
from lobproof.store.mirror import bring, share

FORMAT = "lobproof fidelity report"
VERSION = 1
FOLDER = "fidelity"
GATES = ("A", "B", "C", "D")
DIGITS = 12
"""Of a report's id so many stand in its name, and on screens."""
REMEDY = "delete it, and run `lobproof fidelity STORE --against GOLDEN` again"
_LIMIT = 8 << 20
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_OWN = ("id", "run_at")
"""What the id is not made of."""


class KeptFigure(msgspec.Struct, frozen=True):
    """A figure of a metric: its difference, the most that it may be (95 %), and its verdict."""

    name: str
    verdict: Verdict
    estimate: float | None
    upper: float | None = None
    margin: float | None = None

    @property
    def nearness(self) -> float:
        """The most that it may be, in margins; without one the difference itself."""
        return self.upper / self.margin if self.upper and self.margin else abs(self.estimate or 0.0)


class KeptMetric(msgspec.Struct, frozen=True):
    """A metric of gate C or D; ``needed_ns``: how much time would be enough to judge it."""

    name: str
    verdict: Verdict
    reason: str
    needed_ns: Count
    figures: tuple[KeptFigure, ...]


class KeptCheck(msgspec.Struct, frozen=True):
    """A check of gate A or B that had something to compare."""

    name: str
    gate: Literal["A", "B"]
    verdict: Verdict
    compared: Count
    equal: Count


class KeptGolden(msgspec.Struct, frozen=True):
    """The golden sample of a comparison: its folder's name, content, and time (ns)."""

    name: str
    content_hash: _Sha256
    first_ns: int
    last_ns: int


class KeptAgainst(msgspec.Struct, frozen=True):
    """What one golden sample showed. A gate that is not there was not run."""

    golden: KeptGolden
    verdict: Verdict
    gates: dict[Literal["A", "B", "C", "D"], Verdict]
    checks: tuple[KeptCheck, ...]
    metrics: tuple[KeptMetric, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of checks and metrics that fail; ``D`` where all metrics together do."""
        failing = [one.name for one in self.checks if one.verdict is Verdict.FAIL]
        failing += [one.name for one in self.metrics if one.verdict is Verdict.FAIL]
        return (*failing, *(["D"] if self.gates.get("D") is Verdict.FAIL else []))

    @property
    def worst(self) -> tuple[KeptMetric, KeptFigure] | None:
        """The metric and its figure that decide: what fails, else what is nearest to its margin."""
        rank = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1}
        found = [(metric, figure) for metric in self.metrics for figure in metric.figures]
        return min(
            found, key=lambda one: (rank.get(one[1].verdict, 2), -one[1].nearness), default=None
        )


class KeptReport(msgspec.Struct, frozen=True):
    """A report of one symbol-day, as it is kept.

    ``content_hash`` is of the day, ``days`` of all that were judged together; ``level`` is of gate
    C, None where it was not run.
    """

    format: Literal["lobproof fidelity report"]
    format_version: Literal[1]
    id: _Sha256
    run_at: datetime
    lobproof_version: str
    metrics_version: int
    settings_hash: _Sha256 | None
    level: Level | None
    exchange: str
    symbol: str
    dt: str
    provenance: str
    content_hash: _Sha256
    days: dict[str, str]
    verdict: Verdict
    against: tuple[KeptAgainst, ...]

    @property
    def partition(self) -> Partition:
        """Its symbol-day."""
        return Partition(self.exchange, self.symbol, self.dt)

    @property
    def file_name(self) -> str:
        """Its name in the day's folder."""
        return f"{self.run_at:%Y%m%dT%H%M%S.%fZ}-{self.id[:DIGITS]}.json"


@dataclass(frozen=True, slots=True)
class DamagedReport:
    """A file among the reports of a day that is none, or not what was written."""

    path: Path
    why: str

    def __str__(self) -> str:
        """Its name, what is wrong, and what can be done."""
        return f"{self.path} is damaged: {self.why}; {REMEDY}"


@dataclass(frozen=True, slots=True)
class KeptReports:
    """What is kept of a store: reports in order of day and run, and files that are none."""

    reports: tuple[KeptReport, ...]
    damaged: tuple[DamagedReport, ...]


def keep(root: Path, report: FidelityReport, *, run_at: datetime | None = None) -> list[Path]:
    """Write a report beside the store that it is of: a file for each day that was judged.

    Each appears whole or not at all. The same run twice gives files of the same content but for
    ``run_at``.

    Parameters
    ----------
    root
        The store.
    run_at
        When it was made, with a time zone; by default now.

    Raises
    ------
    PlaceError
        If the folder is a link, or cannot be written to.
    """
    at = (run_at or datetime.now(UTC)).astimezone(UTC)
    paths = []
    for kept in kept_of(report, at):
        folder = make_folder(root, f"{FOLDER}/{kept.partition.folder}")
        path = below(folder, kept.file_name)
        text = json.dumps(msgspec.to_builtins(kept), indent=1, ensure_ascii=False)
        write_whole(path, f"{text}\n".encode())
        share(root, path)
        paths.append(path)
    return paths


def kept_of(report: FidelityReport, run_at: datetime) -> Iterator[KeptReport]:
    """What is kept of a report, by day."""
    days = sorted({dt for one in report.against for dt in one.days})
    for dt in days:
        of_day = [one.on(dt) for one in report.against if dt in one.days]
        settings = {gate.settings for one in of_day for gate in (one.same, one.other) if gate}
        content = {
            "format": FORMAT,
            "format_version": VERSION,
            "lobproof_version": lobproof.__version__,
            "metrics_version": METRICS_VERSION,
            "settings_hash": next((one.hash for one in settings), None),
            "level": next((one.same.level for one in of_day if one.same), None),
            "exchange": report.exchange,
            "symbol": report.symbol,
            "dt": dt,
            "provenance": report.provenance,
            "content_hash": report.hashes[dt],
            "days": {name: report.hashes[name] for one in of_day for name in one.days},
            "verdict": overall(one.verdict for one in of_day),
            "against": [_against(one) for one in of_day],
        }
        plain = msgspec.to_builtins(content)
        identity = {"id": content_digest(plain), "run_at": f"{run_at:%Y-%m-%dT%H:%M:%S.%fZ}"}
        yield msgspec.convert({**plain, **identity}, KeptReport)


def read_report(path: Path) -> KeptReport:
    """A kept report.

    Raises
    ------
    StoreError
        If the file is none, or not what was written.
    OSError
        If it cannot be read.
    """
    document = documents.read(path, error=StoreError, hint=REMEDY, limit=_LIMIT)
    try:
        found = documents.as_shape(document, KeptReport)
        content = {key: value for key, value in document.items() if key not in _OWN}
        if content_digest(content) != found.id:
            raise ValueError("its id is not the hash of its content")
        if found.run_at.utcoffset() is None or path.name != found.file_name:
            raise ValueError("its name is not that of its time and id")
        if path.parent.as_posix().endswith(f"/{found.partition.folder}"):
            return found
        raise ValueError(f"it is of {found.partition}")
    except LobproofError as error:
        raise StoreError(f"{path} is damaged: {error.message}", hint=REMEDY) from error
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}", hint=REMEDY) from error


def kept_reports(root: Path, scope: Scope = ALL) -> KeptReports:
    """The reports that a store keeps, of all symbol-days or of some.

    Raises
    ------
    PlaceError
        If the folder holds a link.
    """
    bring(root, f"{FOLDER}/{scope.folder}".rstrip("/"), exact=True)
    found: list[KeptReport] = []
    damaged: list[DamagedReport] = []
    for path in walk(root, f"{FOLDER}/{scope.folder}".rstrip("/")):
        folder = path.parent.relative_to(root / FOLDER).as_posix()
        if scope != ALL and not (folder.count("/") == 2 and scope.holds(folder)):
            continue
        try:
            found.append(read_report(path))
        except StoreError as error:
            damaged.append(DamagedReport(path, error.message.partition(" is damaged: ")[2]))
        except OSError as error:
            damaged.append(DamagedReport(path, f"it cannot be read: {error.strerror}"))
    found.sort(key=lambda one: (one.partition, one.run_at, one.id))
    return KeptReports(tuple(found), tuple(damaged))


def _against(one: Against) -> dict[str, Any]:
    gates: dict[str, Verdict] = {}
    checks: Sequence[Check] = ()
    metrics: list[KeptMetric] = []
    if one.exact is not None:
        checks = [c for c in one.exact.checks if c.verdict is not Verdict.NOT_APPLICABLE]
        gates |= {gate: _gate(c for c in checks if c.gate == gate) for gate in ("A", "B")}
    if one.same is not None:
        gates["C"] = one.same.verdict
        metrics += [
            KeptMetric(
                found.metric.name,
                found.verdict,
                found.reason,
                round(found.needed_ns),
                tuple(
                    KeptFigure(
                        figure.name,
                        figure.verdict,
                        number(figure.estimate),
                        number(figure.upper),
                        figure.margin,
                    )
                    for figure in found.figures
                ),
            )
            for found in one.same.compared
        ]
    if one.gate_d is not None:
        gates["D"] = one.gate_d.verdict
    if one.across is not None:
        for day in one.across.days:
            if day.strangest is not None:
                figure = KeptFigure("times the usual distance", gates["D"], number(day.score))
                metrics.append(KeptMetric(day.strangest.name, gates["D"], "", 0, (figure,)))
    elif one.other is not None:
        result = one.other.result
        for metric, d, p in (
            zip(one.other.metrics, result.d, result.p_adjusted, strict=True)
            if result is not None
            else ()
        ):
            verdict = Verdict.FAIL if p <= ALPHA else Verdict.PASS
            figure = KeptFigure("K-S distance", verdict, float(d))
            metrics.append(KeptMetric(metric.name, verdict, "", 0, (figure,)))
    golden = KeptGolden(Path(one.golden).name, one.content_hash, *one.span_ns)
    kept_checks = [KeptCheck(c.name, c.gate, c.verdict, c.compared, c.equal) for c in checks]
    return {
        "golden": golden,
        "verdict": one.verdict,
        "gates": gates,
        "checks": kept_checks,
        "metrics": metrics,
    }


def _gate(checks: Iterable[Check]) -> Verdict:
    verdicts = {check.verdict for check in checks}
    return Verdict.EXACT if verdicts == {Verdict.EXACT} else overall(verdicts)
