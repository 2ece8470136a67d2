"""``Survey``: what must be known of a day's files before they are replayed.

It follows from their bytes alone: a killed run leaves it in its checkpoint, so that the next one
begins at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from lobproof.errors import GridError
from lobproof.instruments import Instrument
from lobproof.pipeline.told import Row, of_the_day
from lobproof.schema import Clock, Finding
from lobproof.sources.binance.profile import order_of
from lobproof.sources.cryptolake.footer import read_footer
from lobproof.sources.cryptolake.grid import infer_grid
from lobproof.sources.cryptolake.lag import Lag, measure_lag
from lobproof.sources.cryptolake.layout import TABLES
from lobproof.sources.cryptolake.times import Times, survey_times
from lobproof.store import CheckpointError, Partition, list_checkpoints, read_checkpoint


@dataclass(frozen=True, slots=True)
class Survey:
    """The decimal grid, and the times, of the files of a symbol-day.

    ``whole``: the grid is that of every value. Else it is that of a sample, and decoding all of
    the files is what shows that it holds them. ``lag``: of the deltas' clock behind the trades',
    where the venue's depth messages have two times; ``book_clock``: which one the files say it is.
    """

    instrument: Instrument
    times: Times
    whole: bool
    lag: Lag | None = None
    book_clock: Clock = "E"

    @classmethod
    def made(
        cls, files: Mapping[str, Sequence[Path]], exchange: str, symbol: str, dt: str = ""
    ) -> Self:
        """Look into the files of a day, by table; errors are those of the two surveys."""
        times = survey_times(files, dt)
        lag = measure_lag(files) if order_of(exchange).book_clock != "E" else None
        told = [read_footer(path, "book_delta_v2") for path in files.get("book_delta_v2", ())[:1]]
        clock: Clock = "T" if told and told[0] and told[0].book_clock == "T" else "E"
        try:
            grid, whole = infer_grid(files, exchange, symbol, whole=False), False
        except GridError:  # of the sample's first bad value, which need not be the day's
            grid, whole = infer_grid(files, exchange, symbol), True
        return cls(grid, times, whole, lag, clock)

    @classmethod
    def saved(cls, out: Path, where: Partition, content: Sequence[str]) -> Self | None:
        """What a killed run found in files of the same hashes; None without its checkpoint."""
        for path in list_checkpoints(out, where):
            try:
                saved = read_checkpoint(path)
            except CheckpointError:
                continue  # told where the run would go on from it
            if saved is not None and saved.document["content"] == list(content):
                values = saved.document["survey"]
                return cls(
                    Instrument.from_dict(values["instrument"]),
                    Times(**values["times"]),
                    values["whole"],
                    None if values["lag"] is None else Lag(**values["lag"]),
                    values["book_clock"],
                )
        return None

    def of_all_values(self, files: Mapping[str, Sequence[Path]]) -> Self:
        """The same with the grid of every value."""
        if self.whole:
            return self
        instrument = infer_grid(files, self.instrument.exchange, self.instrument.symbol)
        return replace(self, instrument=instrument, whole=True)

    def told(self, *, trades: int) -> tuple[Row, ...]:
        """What is known of the whole day before its replay; ``trades``: rows of that table."""
        off = self.times.off
        found = [
            of_the_day(Finding.CLOCK, 1, TABLES.index(name), off[name]) for name in sorted(off)
        ]
        if not trades:
            found.append(of_the_day(Finding.TRADES_ABSENT, 0, 1))
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "instrument": self.instrument.to_dict(),
            "times": asdict(self.times),
            "whole": self.whole,
            "lag": None if self.lag is None else asdict(self.lag),
            "book_clock": self.book_clock,
        }
