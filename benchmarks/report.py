"""Figures as tables in words, and the file that holds them, section by section."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

PACKAGES = ("numpy", "numba", "pyarrow", "polars", "isal", "deltalake")
HEAD = """# Results

Written by `make bench` (and `make bench-memory`), one section a run. What each figure means and
how to repeat it: [docs/performance.md](../docs/performance.md). Timings are medians of the run's
repetitions, with the slowest and the fastest behind them; on shared machines they vary by half, so
ratios are taken repetition by repetition, between things that ran right after each other.
"""


@dataclass(frozen=True, slots=True)
class Spread:
    """Several measurements of one thing."""

    values: tuple[float, ...]

    @classmethod
    def rates(cls, count: float, seconds: Sequence[float], unit: float = 1e6) -> Spread:
        """``count`` per second, in millions unless ``unit`` says otherwise."""
        return cls(tuple(count / one / unit for one in seconds))

    def over(self, other: Spread) -> Spread:
        """Ratios, repetition by repetition."""
        return Spread(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))

    @property
    def median(self) -> float:
        """The middle value."""
        return median(self.values)

    def __str__(self) -> str:
        if len(self.values) == 1:
            return number(self.values[0])
        return f"**{number(self.median)}** ({number(min(self.values))}–{number(max(self.values))})"


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def timed(run: Callable[[], object]) -> float:
    """Seconds of one run on the clock."""
    start = perf_counter()
    run()
    return perf_counter() - start


def clocked(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one run on the clock, and of the processor in all threads."""
    start, used = perf_counter(), process_time()
    run()
    return perf_counter() - start, process_time() - used


@dataclass(frozen=True, slots=True)
class Budget:
    """What a figure is to reach: at least, or ``at_most``."""

    what: str
    limit: float
    unit: str
    figure: float
    at_most: bool = False

    def cells(self) -> list[str]:
        """The row of the table of budgets."""
        met = self.figure <= self.limit if self.at_most else self.figure >= self.limit
        sign = "≤" if self.at_most else "≥"
        limit = f"{self.limit:g}"
        return [
            self.what,
            f"{sign} {limit} {self.unit}",
            f"{number(self.figure)} {self.unit}",
            "met" if met else "**not met**",
        ]


@dataclass(slots=True)
class Section:
    """A part of the file: what was measured on, the budgets, and titled tables between words."""

    key: str
    title: str
    data: str
    lines: list[str] = field(default_factory=list)
    budgets: list[Budget] = field(default_factory=list)

    def text(self, *paragraphs: str) -> None:
        """Add paragraphs."""
        for paragraph in paragraphs:
            self.lines += ["", paragraph]

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; all columns but the first are aligned to the right."""
        self.lines += ["", f"### {title}", "", f"| {' | '.join(head)} |"]
        self.lines.append("|---|" + "---:|" * (len(head) - 1))
        self.lines += [f"| {' | '.join(map(str, row))} |" for row in rows]

    def finished(self) -> str:
        """The section, its budgets first."""
        opening = Section(self.key, self.title, self.data)
        if self.budgets:
            opening.table(
                "Budgets",
                ("what", "budget", "this run", ""),
                [budget.cells() for budget in self.budgets],
            )
        stamp = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; {machine()}; {versions()}."
        parts = [f"## {self.title}", "", self.data, "", stamp, *opening.lines, *self.lines]
        return "\n".join(parts)


def peak_mib() -> float:
    """The most memory that this process held."""
    found = held_mib("self")
    if found is not None:
        return found
    # Linux counts in KiB, macOS in bytes
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def held_mib(process: int | str) -> float | None:
    """The most memory that a process has held so far; None where Linux does not tell.

    ``ru_maxrss`` would count what its parent held before the program began.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 2**10 if found else None


def machine() -> str:
    """The machine in words: no name, no path."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        model = found[1].strip() if found else model
    words = [f"{os.cpu_count()} cores of {model}"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        words.append(f"{memory / 2**30:.0f} GiB of memory")
    words.append(platform.system())
    if hasattr(os, "getloadavg"):
        words.append(f"load {os.getloadavg()[0]:.1f} at the end of the run")
    return ", ".join(words)


def versions() -> str:
    """Python and the packages that the figures depend on."""
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"Python {platform.python_version()}, {packages}"


def write(path: Path, section: Section) -> None:
    """Put a section into the file, in place of its last version; others stay as they are."""
    text = path.read_text(encoding="utf-8") if path.is_file() else HEAD
    begin, end = f"<!-- {section.key} -->", f"<!-- end of {section.key} -->"
    block = f"{begin}\n{section.finished()}\n{end}"
    if begin in text and end in text:
        text = text[: text.index(begin)] + block + text[text.index(end) + len(end) :]
    else:
        text = f"{text.rstrip()}\n\n{block}\n"
    path.write_text(text, encoding="utf-8")
