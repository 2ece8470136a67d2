"""The fuzz targets by name: what takes bytes, and the bytes to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from fuzz_bytes import decimals, frames, lines, tables


@dataclass(frozen=True, slots=True)
class Target:
    """``run`` raises for bytes that show something wrong; ``seeds`` makes the first inputs.

    No input is longer than ``longest``; ``tokens`` are what a mutation may put in.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterator[bytes]]
    longest: int
    tokens: tuple[bytes, ...] = ()


TARGETS: Mapping[str, Target] = {
    "recording": Target(lines.recording, lines.seeds, 8192, lines.TOKENS),
    "journal": Target(lines.journal, lines.journal_seeds, 8192, lines.TOKENS),
    "import": Target(lines.imported, lines.import_seeds, 8192, lines.TOKENS),
    "frames": Target(frames.raw, frames.raw_seeds, 4096, frames.TOKENS),
    "frames-damaged": Target(frames.damaged, frames.damaged_seeds, 512),
    "decimals": Target(decimals.decimals, decimals.seeds, 256, decimals.TOKENS),
    "parquet": Target(tables.written, tables.seeds, 1024),
    "parquet-changed": Target(tables.changed, tables.seeds, 1024),
    "parquet-noise": Target(tables.noise, tables.noise_seeds, 65536, (b"PAR1",)),
}
