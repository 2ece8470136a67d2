"""``lobproof.reconstruct``: whatever was recorded, into sealed days of a store, by one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from html import escape
from pathlib import Path
from typing import Self

from lobproof.acquire.lake import is_lake
from lobproof.acquire.zones import Zone
from lobproof.errors import LobproofError, UsageError
from lobproof.options import names_of
from lobproof.paths import AnyPath, as_path, placing
from lobproof.pipeline.fleet import Outcome, reconstruct_days
from lobproof.pipeline.golden import reconstruct_sample
from lobproof.pipeline.job import Asked, ReconstructOptions, Resync, States
from lobproof.pipeline.lake import LakeDay, lake_days
from lobproof.pipeline.results import DayResult, Reached, ReconstructResult
from lobproof.pipeline.start import PartialDay
from lobproof.progress import Progress
from lobproof.schema.provenance import made_of
from lobproof.sources.golden import DOCUMENT
from lobproof.store import Store, check_folder, open_store
from lobproof.timespan import Time, show_ns, to_ns


@dataclass(frozen=True, slots=True, repr=False)
class Reconstruction:
    """What `reconstruct` made, or found made already.

    ``results`` has one entry a symbol of a golden sample, or a symbol-day of Crypto Lake;
    ``notes`` what there was to say of them on the way.
    """

    path: Path
    results: tuple[ReconstructResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def days(self) -> tuple[DayResult, ...]:
        """The sealed days."""
        return tuple(day for result in self.results for day in result.days)

    @property
    def store(self) -> Store:
        """The store, opened as it is now; it may hold other days too."""
        return open_store(self.path)

    def __repr__(self) -> str:
        """A line a day."""
        return "\n".join([f"Reconstructed into {self.path}", *self._lines()])

    def _repr_html_(self) -> str:
        """What ``repr`` says, as a list."""
        rows = "".join(f"<li>{escape(line)}</li>" for line in self._lines())
        return f"<p>Reconstructed into <code>{escape(str(self.path))}</code></p><ul>{rows}</ul>"

    def _lines(self) -> list[str]:
        lines = [
            f"{result.exchange} {result.symbol} {day.dt} ({made_of(result.provenance)}): "
            f"{'' if day.from_ns is None else f'partial, from {show_ns(day.from_ns)}, '}"
            f"{day.strategy}, {day.counts.events:,} events, {day.counts.gaps:,} gaps, "
            f"{day.counts.doubtful_ns / 1e9:,.1f} s in doubt"
            f"{', trades missing' if day.counts.trades_missing else ''}"
            f"{'' if day.committed else '; there already'}"
            for result in self.results
            for day in result.days
        ]
        return [*lines, *self.notes]


class ReconstructError(LobproofError):
    """Some symbol-days could not be reconstructed; the others are sealed.

    ``reconstruction`` has those, ``failures`` the sentence of each that failed.
    """

    reconstruction: Reconstruction
    failures: dict[str, str]

    @classmethod
    def of(cls, reconstruction: Reconstruction, failures: dict[str, str], hint: str) -> Self:
        """The error that names the first days that failed."""
        named = "; ".join(f"{day}: {why}" for day, why in list(failures.items())[:_NAMED])
        more = f"; and {len(failures) - _NAMED:,} more" if len(failures) > _NAMED else ""
        made = len(reconstruction.results)
        error = cls(
            f"{len(failures):,} of {len(failures) + made:,} symbol-days failed: {named}{more}",
            hint=hint,
        )
        error.reconstruction, error.failures = reconstruction, failures
        return error


_NAMED = 5
"""Of the days that failed so many are named."""


def reconstruct(
    source: AnyPath,
    out: AnyPath,
    *,
    states: States = "all",
    since: Time | None = None,
    base: AnyPath | None = None,
    strict: bool = False,
    overwrite: bool = False,
    symbols: str | Sequence[str] | None = None,
    exchange: str | None = None,
    start: date | str | None = None,
    end: date | str | None = None,
    zone: Zone | str | None = None,
    strategy: Asked | None = None,
    resync: Resync | None = None,
    size_limit: float | None = None,
    carry: bool = False,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Reconstruction:
    """Replay a golden sample, or Crypto Lake days, into the store ``out``.

    The same call goes on where it was stopped, and changes nothing where all is there. Crypto Lake
    days run side by side, each in a process of its own.

    Parameters
    ----------
    source
        Folder of a golden sample; or of Crypto Lake files, with zones or plain.
    out
        Folder of the store, made if missing.
    states
        Spacing of the rows of `states`: one at every book message (``"all"``), the first in each
        ``"100ms"`` or ``"1s"``, or ``"none"``.
    since, base
        Make a partial day: from the last keyframe at or before a time on, of the day that the store
        ``base`` holds.
    strict
        Raise instead of flagging the first gap or doubt.
    overwrite
        Write every day anew, also days that were sealed from other inputs or options.
    symbols, exchange, start, end, zone
        Of Crypto Lake: which days (``end`` is the first one no more); by default all of ``ready``.
    strategy, resync, size_limit
        Of Crypto Lake: see :class:`ReconstructOptions`.
    carry
        Of Crypto Lake: begin each day with the book that the day before closed with.
    workers
        Of Crypto Lake: processes side by side; by default one for two cores and 1.5 GiB of memory.
    progress
        Called now and then: what is worked at, rows done, rows in all (0: not known).

    Raises
    ------
    UsageError
        If ``source`` is neither; if nothing matches; if an option is for Crypto Lake alone; if a
        day is sealed from something else and ``overwrite`` is not set.
    InputError
        If a golden sample is damaged.
    ReconstructError
        If Crypto Lake days failed, after all others were made.
    StrictError
        In strict mode, of a golden sample.
    """
    source, out = as_path(source), as_path(out)
    check_folder(out)
    partial = None
    if since is not None:
        partial = PartialDay(to_ns(since), None if base is None else as_path(base))
    elif base is not None:
        raise UsageError("base without since", hint="since names the time to start at")
    names = () if symbols is None else names_of("symbols", symbols, "leave it out for all")
    if (source / DOCUMENT).is_file():
        asked: dict[str, object] = {
            "symbols": names or None,
            "exchange": exchange,
            "start": start,
            "end": end,
            "zone": zone,
            "strategy": strategy,
            "resync": resync,
            "size_limit": size_limit,
            "carry": carry or None,
            "workers": workers,
        }
        given = [name for name, value in asked.items() if value is not None]
        if given:
            raise UsageError(
                f"{source} is a golden sample, which {', '.join(given)} cannot be used with",
                hint="leave that out, or name a folder of Crypto Lake files",
            )
        return _of_sample(source, out, states, partial, strict, overwrite, progress)
    if not is_lake(source):
        raise UsageError(
            f"{source} is neither a golden sample nor a folder of Crypto Lake files",
            hint="make a golden sample of a recording with `import_recordings`",
        )
    found = lake_days(
        source,
        symbols=names,
        exchange=exchange,
        start=start,
        end=end,
        zone=Zone.READY if zone is None else zone,
    )
    if partial is not None:
        found = of_the_partial_day(found, names, partial)
    options = ReconstructOptions(states=states, strategy="auto" if strategy is None else strategy)
    if resync is not None:
        options = replace(options, resync=resync)
    if size_limit is not None:
        options = replace(options, size_limit=size_limit)
    watcher = _Told(progress)
    outcomes = reconstruct_days(
        found,
        out,
        options,
        carry=carry,
        since=partial,
        strict=strict,
        overwrite=overwrite,
        workers=workers,
        watcher=watcher,
    )
    made = tuple(outcome.result for outcome in outcomes if outcome.result is not None)
    result = Reconstruction(out.absolute(), made, tuple(watcher.notes))
    failed = {str(one.day): one.failure for one in outcomes if one.failure is not None}
    if failed:
        hints = list(dict.fromkeys(failure.hint for failure in failed.values()))
        why = {day: failure.message for day, failure in failed.items()}
        raise ReconstructError.of(result, why, "; ".join(hints[:_NAMED]))
    return result


def of_the_partial_day(
    days: list[LakeDay], symbols: Sequence[str], since: PartialDay
) -> list[LakeDay]:
    """Of the days that were chosen that of a partial one; `UsageError` where there is none."""
    found = [day for day in days if day.dt == since.dt]
    missing = sorted(set(symbols) - {day.symbol for day in found})
    if not found or missing:
        there = sorted({day.dt for day in days if not missing or day.symbol in missing})
        of = f" of {', '.join(missing)}" if missing else ""
        raise UsageError(
            f"{since.dt}, the day to start in, is not among the days{of} that were chosen",
            hint=f"those are {', '.join(there[:6])}{' …' if len(there) > 6 else ''}",
        )
    return found


def _of_sample(
    source: Path,
    out: Path,
    states: States,
    since: PartialDay | None,
    strict: bool,
    overwrite: bool,
    progress: Progress | None,
) -> Reconstruction:
    notes: list[str] = []
    total = 0

    def reached(at: Reached) -> None:
        nonlocal total
        total = max(at.of_rows, at.rows)
        if progress is not None:
            progress(str(source), at.rows, total)

    with placing(out):
        result = reconstruct_sample(
            source,
            out,
            ReconstructOptions(states=states),
            since=since,
            strict=strict,
            overwrite=overwrite,
            progress=reached,
            waiting=notes.append,
        )
    if progress is not None and total:
        progress(str(source), total, total)
    return Reconstruction(out.absolute(), (result,), tuple(notes))


class _Told:
    """What happens to the days, as progress and notes."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._totals: dict[str, int] = {}
        self.notes: list[str] = []

    def started(self, day: LakeDay) -> None:
        """Nothing is known yet."""

    def reached(self, day: LakeDay, reached: Reached) -> None:
        """How far it is."""
        self._totals[str(day)] = max(reached.of_rows, reached.rows)
        if self._progress is not None:
            self._progress(str(day), reached.rows, self._totals[str(day)])

    def noted(self, day: LakeDay, sentence: str) -> None:
        """Keep it."""
        self.notes.append(sentence if str(day) in sentence else f"{day}: {sentence}")

    def compiling(self, day: LakeDay, kernels: int) -> None:
        """No rows are read meanwhile."""

    def ended(self, outcome: Outcome) -> None:
        """All of a day that was made is read."""
        total = self._totals.get(str(outcome.day), 0)
        if self._progress is not None and outcome.result is not None and total:
            self._progress(str(outcome.day), total, total)
