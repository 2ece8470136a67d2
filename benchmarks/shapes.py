"""Import: what each shape of a recording costs beside the plain one, and Binance's downloads."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.data import samples
from benchmarks.report import Budget, Section, Spread, clocked

from lobproof.sources.recordings import import_recordings
from support.shapes import SHAPES, Line, Shape, lines_of

DATA = (
    "Data: the first file of `btc`, recorded where recordings are there, else simulated: the same "
    "messages in each shape that tests/support/shapes.py writes. Processor time of the import, all "
    "threads; each shape right after the plain one, ratios repetition by repetition."
)
PACKED = ("gzip", "zstd", "xz", "bzip2", "zip")
JSON = "JSON"


def measure(scratch: Path, repeats: int, say: Callable[[str], None]) -> Section:
    """All of it."""
    section = Section("shapes", "Import: the shapes of recordings", DATA)
    lines = lines_of(gzip.decompress(samples(scratch)[0].files[0].read_bytes()))
    _import(scratch, "plain", SHAPES[0].write(lines))  # loads the kernels
    rows: list[list[object]] = []
    slowest, plainest = 0.0, []
    for shape in SHAPES:
        say(shape.name)
        plain, other = _beside(scratch, lines, shape, repeats)
        rate = Spread.rates(len(lines), other, 1e3)
        ratio = Spread(tuple(b / a for a, b in zip(plain, other, strict=True)))
        rows.append([shape.name, rate, ratio])
        plainest += plain
        if JSON in shape.name:
            slowest = max(slowest, ratio.median)
    section.table("A second of processor time", ("shape", "k messages", "÷ plain"), rows)
    section.text(f"What unpacks {', '.join(PACKED)} is in the time of those.")
    section.budgets += [
        Budget("plain", 350, "k messages/s", Spread.rates(len(lines), plainest, 1e3).median),
        Budget("slowest JSON ÷ plain", 2, "×", slowest, at_most=True),
    ]
    downloads: list[list[object]] = []
    for name, made in (("BTCUSDT-trades-2024-08-08", _trades(lines)), ("T_DEPTH", _depth(lines))):
        say(name)
        count = made.count(b"\n")
        taken = [_import(scratch, f"{name}.csv", made) for _ in range(repeats + 1)][1:]
        downloads.append([name, f"{count:,}", Spread.rates(count, taken, 1e3)])
    section.table("Binance's downloads", ("file", "rows", "k rows"), downloads)
    return section


def _beside(
    scratch: Path, lines: list[Line], shape: Shape, repeats: int
) -> tuple[list[float], list[float]]:
    """Seconds of the plain shape and of another one, in turns."""
    plain, other = SHAPES[0].write(lines), shape.write(lines)
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        taken[0].append(_import(scratch, "plain", plain))
        taken[1].append(_import(scratch, "other", other))
    return taken


def _import(scratch: Path, name: str, data: bytes) -> float:
    """Seconds of the processor that the import of a file takes."""
    file, golden = scratch / name, scratch / "golden-of-a-shape"
    file.write_bytes(data)
    seconds = clocked(lambda: import_recordings([file], golden))[1]
    shutil.rmtree(golden)
    return seconds


def _messages(lines: Sequence[Line], event: str) -> list[dict[str, object]]:
    found = (json.loads(line.text) for line in lines if f'"{event}"' in line.text)
    return [one.get("data", one) for one in found]


def _trades(lines: Sequence[Line]) -> bytes:
    """The trades as rows of a download of spot."""
    rows = (
        f"{one['t']},{one['p']},{one['q']},1.0,{one['T']},{one['m']},True\n"
        for one in _messages(lines, "trade")
    )
    return "".join(rows).encode()


def _depth(lines: Sequence[Line]) -> bytes:
    """The changes of the book as rows of T_DEPTH."""
    rows = []
    previous = 0
    for one in _messages(lines, "depthUpdate"):
        for side in "ba":
            rows += [
                f"{one['s']},{one['E']},{one['U']},{one['u']},{side},set,{price},{size},{previous}\n"
                for price, size in one[side]
            ]
        previous = one["u"]
    return "".join(rows).encode()
