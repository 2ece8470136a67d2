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
from lobproof.sources.cryptolake.grid import infer_grid
from lobproof.sources.cryptolake.times import Times, survey_times
from lobproof.store import CheckpointError, Partition, list_checkpoints, read_checkpoint


@dataclass(frozen=True, slots=True)
class Survey:
    """The decimal grid, and the times, of the files of a symbol-day.

    ``whole``: the grid is that of every value. Else it is that of a sample, and decoding all of
    the files is what shows that it holds them.
    """

    instrument: Instrument
    times: Times
    whole: bool

    @classmethod
    def made(cls, files: Mapping[str, Sequence[Path]], exchange: str, symbol: str) -> Self:
        """Look into the files, by table; errors are those of the two surveys."""
        times = survey_times(files)
        try:
            return cls(infer_grid(files, exchange, symbol, whole=False), times, whole=False)
        except GridError:  # of the sample's first bad value, which need not be the day's
            return cls(infer_grid(files, exchange, symbol), times, whole=True)

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
                )
        return None

    def of_all_values(self, files: Mapping[str, Sequence[Path]]) -> Self:
        """The same with the grid of every value."""
        if self.whole:
            return self
        instrument = infer_grid(files, self.instrument.exchange, self.instrument.symbol)
        return replace(self, instrument=instrument, whole=True)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "instrument": self.instrument.to_dict(),
            "times": asdict(self.times),
            "whole": self.whole,
        }
