"""``Survey``: what must be known of a day's files before they are replayed.

It takes a look at all of them, and follows from their bytes alone: a killed run leaves it in its
checkpoint, so that the next one begins at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from lobproof.instruments import Instrument
from lobproof.sources.cryptolake.grid import infer_grid
from lobproof.sources.cryptolake.times import Times, survey_times
from lobproof.store import CheckpointError, Partition, list_checkpoints, read_checkpoint


@dataclass(frozen=True, slots=True)
class Survey:
    """The decimal grid, and the times, of the files of a symbol-day."""

    instrument: Instrument
    times: Times

    @classmethod
    def made(cls, files: Mapping[str, Sequence[Path]], exchange: str, symbol: str) -> Self:
        """Look through the files, by table; errors are those of the two surveys."""
        return cls(infer_grid(files, exchange, symbol), survey_times(files))

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
                return cls(Instrument.from_dict(values["instrument"]), Times(**values["times"]))
        return None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"instrument": self.instrument.to_dict(), "times": asdict(self.times)}
