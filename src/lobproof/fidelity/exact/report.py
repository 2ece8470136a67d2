"""What `verify` says: verdicts, checks, the first divergence; and when a rate of mismatches fails.

A rate is judged by its one-sided 95 % bounds. With no mismatch among ``n`` the upper one is 3/n.
Otherwise mismatches come in bursts, so their rate is bounded by the spread between blocks of time,
not as if they were independent: p ± t·√(B/(B−1)·Σ(m_b − n_b·p)²)/n over B blocks with m_b
mismatches among n_b.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from html import escape
from statistics import NormalDist
from textwrap import wrap
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lobproof.schema.provenance import made_of

GATE_A = ("schema", "chain", "states", "uncrossed", "grid", "order", "trade_ids", "untrusted_share")
GATE_B = (
    "level_changes",
    "trades",
    "book_ticker_same_id",
    "book_ticker_last",
    "snapshots",
    "partial_depth",
    "vendor_book",
    "vendor_trades",
)
LISTED = 100
"""So many findings of a check are listed one by one; all are counted."""

BLOCK_NS = 600_000_000_000
"""Ten minutes; shorter where the span would have fewer than ``BLOCKS`` of them."""
BLOCKS = 40
MIN_BLOCKS = 10
"""With fewer blocks than this their spread says nothing."""

_WIDTH, _UNDER = 80, " " * 6
"""Columns of a report as text, and how far a reason stands in."""

_Z = NormalDist().inv_cdf(0.95)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Verdict(StrEnum):
    """Of a check, or (without ``EXACT`` and ``NOT_APPLICABLE``) of a whole report."""

    EXACT = "exact"  # all that was compared is equal; counts as pass
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not_applicable"  # nothing to compare; shown, decides nothing


class Class(StrEnum):
    """Kind of a divergence."""

    SEED = "seed"  # a stored snapshot is not the recorded one
    MISSING = "missing"  # recorded, not stored
    EXTRA = "extra"  # stored, not recorded
    CHANGED = "changed"  # stored with another value
    ORDER = "order"  # at another place, id or time
    ROUNDING = "rounding"  # off by no more than one step of the decimal grid
    # no fault of the store, and not counted:
    BURST = "burst"  # a ticker's level that the next depth message names 0
    BEYOND_RANGE = "beyond_range"  # the touch has left the range that snapshots cover


@dataclass(frozen=True, slots=True)
class Episode:
    """A run of consecutive messages that differ; quantities are absolute, so such runs heal."""

    first_id: int
    last_id: int
    messages: int
    levels: int  # rows that differ
    largest_size_difference: Decimal

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "first_id": self.first_id,
            "last_id": self.last_id,
            "messages": self.messages,
            "levels": self.levels,
            "largest_size_difference": plain(self.largest_size_difference),
        }


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first place where a check fails.

    ``id`` is an update id or a trade id; ``event_id`` and ``dt`` locate the stored row, where
    there is one. ``time_ns`` is the exchange's time, or ``ts_order`` of the stored row.
    """

    check: str
    kind: Class
    id: int | None
    time_ns: int
    detail: str
    dt: str | None = None
    event_id: int | None = None
    missing_ids: tuple[int, int] | None = None  # first and last, of a gap
    expected: Mapping[str, Any] | None = None
    found: Mapping[str, Any] | None = None
    episode: Episode | None = None

    @classmethod
    def at(
        cls, check: str, kind: Class, row: Mapping[str, Any], detail: str, **more: Any
    ) -> Divergence:
        """One at a stored row, of which ``sequence, ts_order, dt, event_id`` are taken."""
        return cls(
            check,
            kind,
            int(row["sequence"]),
            int(row["ts_order"]),
            detail,
            dt=row["dt"],
            event_id=int(row["event_id"]),
            **more,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "check": self.check,
            "class": self.kind.value,
            "id": self.id,
            "time": show_time(self.time_ns),
            "time_ns": self.time_ns,
            "dt": self.dt,
            "event_id": self.event_id,
            "missing_ids": list(self.missing_ids) if self.missing_ids else None,
            "detail": self.detail,
            "expected": plain(self.expected),
            "found": plain(self.found),
            "episode": self.episode.to_dict() if self.episode else None,
        }


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what could be compared, what was, what is equal.

    ``bound`` is the one-sided 95 % upper bound of the rate of what is not equal, None where the
    check is no sample of anything; ``limit`` the rate that it must stay below, 0 for zero
    tolerance.
    """

    name: str
    verdict: Verdict
    comparable: int = 0
    compared: int = 0
    equal: int = 0
    bound: float | None = None
    limit: float = 0.0
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    first: Divergence | None = None

    @property
    def gate(self) -> Literal["A", "B"]:
        """Of whose checks it is one."""
        return "A" if self.name in GATE_A else "B"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "gate": self.gate,
            "verdict": self.verdict.value,
            "comparable": self.comparable,
            "compared": self.compared,
            "equal": self.equal,
            "bound95": self.bound,
            "limit": self.limit,
            "reason": self.reason,
            "details": plain(self.details),
            "first_divergence": self.first.to_dict() if self.first else None,
        }


@dataclass(frozen=True, slots=True, repr=False)
class VerifyReport:
    """The outcome of `verify`.

    ``provenance`` is the least real of all that was compared, ``against`` what the store was held
    against, in words; ``coverage`` says how much of both sides was compared.
    """

    exchange: str
    symbol: str
    provenance: str
    checks: tuple[Check, ...]
    coverage: Mapping[str, Any]
    against: str = ""

    def __repr__(self) -> str:
        """The verdict, what was compared, a line a check, and why where one is not passed."""
        lines = [f"{self.verdict.value.upper()} {self.title}"]
        for name, *cells in self._rows():
            lines.append(f"  {name}: {', '.join(cells)}")
            lines += wrap(self._why(name), _WIDTH, initial_indent=_UNDER, subsequent_indent=_UNDER)
        for reason, names in self._nothing().items():
            told = f"not applicable, {reason}: {', '.join(names)}"
            lines += wrap(told, _WIDTH, initial_indent="  ", subsequent_indent=_UNDER)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """What ``repr`` says, as a table."""
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in (*row, self._why(row[0])))}</tr>"
            for row in self._rows()
        )
        title = f"<b>{self.verdict.value.upper()}</b> {escape(self.title)}"
        rest = "".join(
            f"<p>not applicable, {escape(reason)}: {', '.join(names)}</p>"
            for reason, names in self._nothing().items()
        )
        return f"<p>{title}</p><table>{rows}</table>{rest}"

    def _why(self, name: str) -> str:
        """The reason of a check that is neither exact nor passed; else empty."""
        check = self.check(name)
        if check.verdict in (Verdict.EXACT, Verdict.PASS):
            return ""
        return check.reason or (check.first.detail if check.first else "")

    def _nothing(self) -> dict[str, list[str]]:
        """Why checks had nothing to compare → their names."""
        found: dict[str, list[str]] = {}
        for check in self.checks:
            if check.verdict is Verdict.NOT_APPLICABLE:
                found.setdefault(check.reason, []).append(check.name)
        return found

    def _rows(self) -> list[tuple[str, ...]]:
        """Name, verdict, what was compared and what differs, of each check that had something."""
        had = [check for check in self.checks if check.verdict is not Verdict.NOT_APPLICABLE]
        return [
            (
                check.name,
                check.verdict.value,
                f"{check.compared:,} compared",
                f"{check.compared - check.equal:,} differ",
            )
            for check in had
        ]

    @property
    def title(self) -> str:
        """What was compared with what, in words."""
        days = self.coverage.get("days", [])
        named = ", ".join(days)
        if len(days) > 1:
            named = f"{len(days):,} days, {days[0]} to {days[-1]}"
        of = f"{self.exchange} {self.symbol} ({made_of(self.provenance)})"
        return f"{of}\n{named} against {self.against}"

    @property
    def verdict(self) -> Verdict:
        """Fail if any check fails; inconclusive if any is, or if no check of Gate B was decided.

        Integrity alone is no proof: nothing was held against what happened.
        """
        verdicts = {check.verdict for check in self.checks}
        exactness = {check.verdict for check in self.checks if check.gate == "B"}
        if Verdict.FAIL in verdicts:
            return Verdict.FAIL
        if Verdict.INCONCLUSIVE in verdicts or not exactness & {Verdict.PASS, Verdict.EXACT}:
            return Verdict.INCONCLUSIVE
        return Verdict.PASS

    @property
    def first_divergence(self) -> Divergence | None:
        """The earliest by time among the failing checks; of one time, the first check's.

        The share of doubt comes last: it is a sum, and its first doubtful state may be normal.
        """
        found = [c.first for c in self.checks if c.verdict is Verdict.FAIL and c.first]
        return min(
            found, key=lambda first: (first.check == "untrusted_share", first.time_ns), default=None
        )

    def check(self, name: str) -> Check:
        """The check of that name."""
        return next(check for check in self.checks if check.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        first = self.first_divergence
        return {
            "verdict": self.verdict.value,
            "exchange": self.exchange,
            "symbol": self.symbol,
            "provenance": self.provenance,
            "against": self.against,
            "coverage": plain(self.coverage),
            "checks": [check.to_dict() for check in self.checks],
            "first_divergence": first.to_dict() if first else None,
        }


def unreadable(count: int, lines: int, first: str) -> str:
    """How many of a sample's lines the plain decoder could not read, in words."""
    return f"{count:,} of the sample's {lines:,} lines cannot be read; the first is {first}"


def not_applicable(name: str, reason: str, **details: Any) -> Check:
    """A check with nothing to compare."""
    return Check(name, Verdict.NOT_APPLICABLE, reason=reason, details=details)


def show_time(ns: int) -> str:
    """UTC as ISO 8601 with nanoseconds."""
    seconds, fraction = divmod(ns, 10**9)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def plain(value: Any) -> Any:
    """Values as JSON has them; decimals become text, exact and without trailing zeros."""
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Rate:
    """A mismatch rate with its one-sided 95 % bounds; None where there is none to be had."""

    mismatches: int
    compared: int
    lower: float | None
    upper: float | None

    def verdict(self, limit: float) -> Verdict:
        """Exact without a mismatch; else pass below the limit, fail above it, or neither."""
        if self.compared == 0:
            return Verdict.NOT_APPLICABLE
        if self.mismatches == 0:
            return Verdict.EXACT
        if self.lower is None or self.upper is None:
            # too few blocks for a spread: only the plain rate is left to judge by
            over = self.mismatches > limit * self.compared
            return Verdict.FAIL if over else Verdict.INCONCLUSIVE
        if self.upper < limit:
            return Verdict.PASS
        return Verdict.FAIL if self.lower > limit else Verdict.INCONCLUSIVE


def block_rate(mismatches: NDArray[np.int64], compared: NDArray[np.int64]) -> Rate:
    """Rate over blocks: mismatches and comparisons of each; blocks without any are left out."""
    used = compared > 0
    m, n = mismatches[used].astype(np.float64), compared[used].astype(np.float64)
    bad, total, blocks = int(m.sum()), int(n.sum()), len(n)
    if bad == 0:
        return Rate(0, total, 0.0, min(3.0 / total, 1.0) if total else None)
    if blocks < MIN_BLOCKS:
        return Rate(bad, total, None, None)
    rate = bad / total
    spread = float(np.sqrt(blocks / (blocks - 1) * np.sum((m - n * rate) ** 2))) / total
    margin = student_95(blocks - 1) * spread
    return Rate(bad, total, max(rate - margin, 0.0), min(rate + margin, 1.0))


class TimeRate:
    """Rate over comparisons in blocks of wall-clock time, which are all that is kept of long spans.

    Blocks begin at the earliest time; of what spans less than ``BLOCKS`` times ``BLOCK_NS`` they
    are so much shorter, and until then each comparison is kept.
    """

    def __init__(self) -> None:
        self._times = np.zeros(0, np.int64)
        self._mismatch = np.zeros(0, np.bool_)
        self._start = 0
        self._compared: Counter[int] = Counter()  # by block
        self._wrong: Counter[int] = Counter()

    def add(self, times: NDArray[np.int64], mismatch: NDArray[np.bool_]) -> None:
        """More comparisons, at ``times`` (ns, any order)."""
        if not len(times):
            return
        if not self._compared:
            self._times = times = np.concatenate([self._times, times])
            self._mismatch = mismatch = np.concatenate([self._mismatch, mismatch])
            self._start = int(times.min())
            if int(times.max()) - self._start < BLOCKS * BLOCK_NS:
                return
            self._times, self._mismatch = self._times[:0], self._mismatch[:0]
        self._count(times, mismatch, BLOCK_NS)

    def _count(self, times: NDArray[np.int64], mismatch: NDArray[np.bool_], length: int) -> None:
        blocks = (times - self._start) // length
        for which, counts in ((blocks, self._compared), (blocks[mismatch], self._wrong)):
            found = np.unique(which, return_counts=True)
            counts.update(dict(zip(*(one.tolist() for one in found), strict=True)))

    def rate(self) -> Rate:
        """The rate of all that was added; it can be taken once."""
        if len(self._times):
            span = int(self._times.max()) - self._start + 1
            self._count(self._times, self._mismatch, -(-span // BLOCKS))
        elif not self._compared:
            return Rate(0, 0, None, None)
        compared = np.array(list(self._compared.values()), np.int64)
        return block_rate(np.array([self._wrong[at] for at in self._compared], np.int64), compared)


def time_rate(times: NDArray[np.int64], mismatch: NDArray[np.bool_]) -> Rate:
    """Rate over comparisons at ``times`` (ns, any order), in blocks of wall-clock time."""
    rate = TimeRate()
    rate.add(times, mismatch)
    return rate.rate()


def student_95(freedom: int) -> float:
    """The 95 % point of Student's t, by the Cornish-Fisher series: four digits from 9 on."""
    z, n = _Z, float(freedom)
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + g1 / n + g2 / n**2 + g3 / n**3 + g4 / n**4
