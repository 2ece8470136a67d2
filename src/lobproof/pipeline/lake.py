"""Crypto Lake days as jobs: which there are, what they are made of, and how each is replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from lobproof.acquire.certificate_status import certificate_statuses
from lobproof.acquire.lake import Lake, LakeFile
from lobproof.acquire.manifest import Manifest
from lobproof.acquire.zones import MARK, LakeFolder, Zone
from lobproof.errors import GridError, InputError, UsageError
from lobproof.files import HashedFiles
from lobproof.paths import AnyPath, as_path, writing
from lobproof.pipeline.counts import DayCounts
from lobproof.pipeline.feed import Streams, apart
from lobproof.pipeline.job import Asked, ReconstructOptions, ReplayJob, Strategy
from lobproof.pipeline.rehearse import Rehearsal, Watch, rehearse
from lobproof.pipeline.results import Note, Progress, ReconstructResult
from lobproof.pipeline.start import PartialDay, closing_book, find_start, refuse_carry
from lobproof.pipeline.survey import Survey
from lobproof.pipeline.task import NoGoError, reconstruct_job, saved_strategy
from lobproof.pipeline.told import Row
from lobproof.replay import Policy
from lobproof.schema import EventBatch
from lobproof.schema.provenance import least_real
from lobproof.sources.cryptolake.decode import LakeSource, as_snapshots
from lobproof.sources.cryptolake.footer import in_order, read_footer
from lobproof.store import Partition, drop_checkpoints, symbol_lock

T = TypeVar("T")
_STRATEGIES: tuple[Strategy, ...] = ("full", "anchored", "time-sorted")


@dataclass(frozen=True, slots=True)
class LakeDay:
    """A symbol-day of Crypto Lake files.

    ``files``: table → files; ``names``: file → its key; ``hashes``: what was fetched, where a
    manifest says so; ``certified``: whether a certificate over real data covers all of it.
    """

    exchange: str
    symbol: str
    dt: str
    files: Mapping[str, tuple[Path, ...]]
    names: Mapping[Path, str]
    hashes: Mapping[Path, str]
    provenance: str
    certified: bool

    def __str__(self) -> str:
        return f"{self.exchange} {self.symbol} {self.dt}"

    @property
    def key(self) -> tuple[str, str, str]:
        """Exchange, symbol and day."""
        return self.exchange, self.symbol, self.dt

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(path.stat().st_size for path in self.names)


def lake_days(
    folder: AnyPath,
    *,
    symbols: Sequence[str] = (),
    exchange: str | None = None,
    start: date | str | None = None,
    end: date | str | None = None,
    zone: Zone | str | None = Zone.READY,
) -> list[LakeDay]:
    """The symbol-days of a folder that ``acquire download`` made, or of a plain one.

    Parameters
    ----------
    symbols, exchange
        As in the vendor's paths; none: all.
    start, end
        First day, and the first one no more.
    zone
        Which files count; ignored in a plain folder, whose days are not certified. None: of all
        zones, a file that lies in several counting in that which was judged furthest.

    Raises
    ------
    UsageError
        Where nothing matches.
    """
    folder = as_path(folder)
    lake = Lake(folder)
    chosen = [
        file
        for file in lake.files(exchange=exchange, start=start, end=end, zone=zone)
        if not symbols or file.key.symbol in symbols
    ]
    if zone is None:
        chosen = _furthest(chosen)
    missing = sorted(set(symbols) - {file.key.symbol for file in chosen})
    if not chosen or missing:
        raise _nothing(lake, folder, missing, exchange, start, end, zone)
    entries, covered = {}, frozenset[Any]()
    if (folder / MARK).is_file():
        owned = LakeFolder(folder)
        entries = Manifest(owned).entries()
        real = [
            one
            for one in certificate_statuses(owned)
            if one.verdict == "CERTIFIED" and not one.problem
        ]
        covered = frozenset().union(*(one.covered for one in real))
    groups: dict[tuple[str, str, str], list[LakeFile]] = {}
    for file in chosen:
        groups.setdefault(file.key.day, []).append(file)
    days = []
    for day, files in sorted(groups.items()):
        tables: dict[str, tuple[Path, ...]] = {}
        for table in sorted({file.key.table for file in files}):
            paths = [file.path for file in files if file.key.table == table]
            tables[table] = tuple(in_order(paths))
        facts = {file.path: entries.get(file.key) for file in files}
        days.append(
            LakeDay(
                *day,
                files=tables,
                names={file.path: file.key.path for file in files},
                hashes={p: e.fetched["sha256"] for p, e in facts.items() if e is not None},
                provenance=least_real(*(_provenance(file, facts[file.path]) for file in files)),
                certified=all(file.zone == Zone.READY and file.key in covered for file in files),
            )
        )
    return days


def reconstruct_day(
    day: LakeDay,
    out: AnyPath,
    options: ReconstructOptions | None = None,
    *,
    carry: bool = False,
    since: PartialDay | None = None,
    strict: bool = False,
    overwrite: bool = False,
    metrics: bool = True,
    batch_rows: int = 1 << 16,
    progress: Progress | None = None,
    note: Note | None = None,
) -> ReconstructResult:
    """Replay a symbol-day into the store ``out``; the lock of its day is held meanwhile.

    Parameters
    ----------
    options
        What shapes the content. With the strategy ``auto`` the day is replayed in full, and where
        its feed turns out too lossy for that, anew from snapshots; the seal has the reasons.
    carry
        Begin with the book that the day before closed with in ``out``; not with ``since``.
    since
        Make a partial day: from the last keyframe at or before a time on.
    metrics
        Keep the metrics of the day beside it, unless ``states`` are thinned.
    batch_rows
        Rows decoded at a time; no effect on the result.

    Raises
    ------
    InputError, GridError
        If a file is damaged, or holds what the decimal grid cannot.
    UsageError
        If the day is sealed from something else and ``overwrite`` is not set, or there is no day
        before to carry over from, or no keyframe to start at.
    StrictError
        In strict mode.
    """
    out, options = as_path(out), options or ReconstructOptions()
    refuse_carry(carry, since)
    say = note or (lambda _: None)
    with writing(out), symbol_lock(out, day.exchange, day.symbol, dt=day.dt, waiting=say):
        hashed = _hashed(day)
        where = Partition(day.exchange, day.symbol, day.dt)
        found = None if overwrite else Survey.saved(out, where, list(hashed.sums.values()))
        survey = found or Survey.made(day.files, day.exchange, day.symbol, day.dt)

        def based(survey: Survey) -> ReplayJob:
            job = _base(day, out, hashed, survey, carry=carry)
            return job if since is None else _from(job, since, out, options.strategy)

        for line in survey.notes():
            say(f"{day}: {line}")
        base = based(survey)
        saved = None if overwrite else saved_strategy(out, base, options)
        strategies, reasons = _strategies(day, options)
        if not day.files.get("trades"):
            say(f"{day}: there is no `trades`; the book is made without (TRADES_ABSENT).")
        if since is not None:
            strategies, reasons = (base.strategy,), list(base.reasons)
        earlier: tuple[Row, ...] = ()
        if saved is not None:
            strategies, reasons = strategies[strategies.index(saved[0]) :], list(saved[1])
            trades = survey.rows.get("trades", 0)
            earlier = tuple(saved[2])[len(survey.told(trades, strategies[0])) :]

        def run(job: ReplayJob) -> ReconstructResult:
            return reconstruct_job(
                job,
                out,
                options,
                strict=strict,
                overwrite=overwrite,
                metrics=metrics,
                progress=progress,
                note=note,
            )

        def anew() -> None:
            drop_checkpoints(out, where)

        return _best_of(
            day,
            _Plan(strategies, reasons, earlier),
            survey,
            based,
            options,
            batch_rows,
            run,
            say,
            anew,
        )


def rehearse_day(
    day: LakeDay,
    *,
    strategy: Asked = "auto",
    watch: Watch | None = None,
    batch_rows: int = 1 << 16,
    progress: Progress | None = None,
    note: Note | None = None,
) -> Rehearsal:
    """Replay a symbol-day as ``reconstruct_day`` does, and write nothing.

    Strategy and reasons are those that a reconstruction would come to: both take them from the
    same attempts.

    Parameters
    ----------
    strategy
        As for a reconstruction; by itself it finds the best.
    watch
        Makes what sees each chunk of a strategy's replay; the last one made is of the strategy
        that the day can bear.

    Raises
    ------
    InputError, GridError
        As :func:`reconstruct_day`.
    """
    hashed = _hashed(day)
    survey = Survey.made(day.files, day.exchange, day.symbol, day.dt)
    options = ReconstructOptions(strategy=strategy)
    tried: dict[Strategy, DayCounts] = {}

    def run(job: ReplayJob) -> Rehearsal:
        found = rehearse(job, watch, progress)
        tried[job.strategy] = found.counts
        if found.refused:
            raise NoGoError(found.refused, found.doubts)
        return replace(found, tried=dict(tried))

    strategies, reasons = _strategies(day, options)
    return _best_of(
        day,
        _Plan(strategies, reasons),
        survey,
        lambda known: _base(day, Path(), hashed, known, carry=False),
        options,
        batch_rows,
        run,
        note or (lambda _: None),
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """Strategies to try, the best first, why others are none, what earlier attempts found."""

    strategies: Sequence[Strategy]
    reasons: Sequence[str]
    earlier: tuple[Row, ...] = ()


def _best_of(
    day: LakeDay,
    plan: _Plan,
    survey: Survey,
    based: Callable[[Survey], ReplayJob],
    options: ReconstructOptions,
    batch_rows: int,
    run: Callable[[ReplayJob], T],
    say: Note,
    anew: Callable[[], None] = lambda: None,
) -> T:
    """What ``run`` makes of the day under the best strategy that the day bears.

    ``anew``: called where the day begins again, on a finer grid.
    """
    strategies, reasons, earlier = plan.strategies, list(plan.reasons), plan.earlier
    trades = survey.rows.get("trades", 0)
    while True:
        strategy, gate = strategies[0], len(strategies) > 1
        told = (*survey.told(trades, strategy), *earlier)
        if strategy != "full":  # which decodes every value
            survey = survey.of_all_values(day.files)
        job = _replayed(based(survey), survey, day, strategy, options, batch_rows)
        try:
            return run(replace(job, gate=gate, reasons=tuple(reasons), told=told))
        except NoGoError as error:
            strategies = strategies[1:]
            reasons.append(f"NO-GO for {strategy}: {error}")
            earlier = earlier or tuple(error.doubts)
            say(f"{day}: {reasons[-1]}; trying {strategies[0]}.")
        except GridError as error:
            finer = survey.of_all_values(day.files)
            if finer.instrument == survey.instrument:
                raise
            say(f"{day}: {error.message}; all values looked through, the day starts anew.")
            survey = finer
            anew()


def _hashed(day: LakeDay) -> HashedFiles:
    """The day's files, whose hashes must be those of what was fetched."""
    hashed = HashedFiles(day.names)
    for path, told in day.hashes.items():
        if hashed.sums[path] != told:
            raise InputError(
                f"{path}: sha256 {hashed.sums[path]}, and {told} was fetched",
                hint="`lobproof acquire status --check` finds changed files; download it again",
            )
    return hashed


def _base(
    day: LakeDay, out: Path, hashed: HashedFiles, survey: Survey, *, carry: bool
) -> ReplayJob:
    """All of a job but how it is replayed."""
    instrument, carried = survey.instrument, None
    if carry:
        carried, instrument = closing_book(out, day.exchange, day.symbol, day.dt, instrument)

    def nothing(_: int) -> Iterator[Any]:
        return iter(())

    return ReplayJob(
        where=str(day),
        instrument=instrument,
        provenance=day.provenance,
        certified=day.certified,
        inputs=[
            {"name": name, "bytes": path.stat().st_size, "sha256": hashed.sums[path]}
            for path, name in day.names.items()
        ],
        days=(day.dt,),
        receive_days=(day.dt,) if survey.receive_days else (),
        streams=Streams(
            apart(nothing, nothing),
            None,
            survey.offsets("full"),
            survey.receive_days,
            order=survey.order,
        ),
        policy=Policy(chainless=True),
        one_day=True,
        carried=carried,
        check_inputs=hashed.check,
        content=list(hashed.sums.values()),
        survey=survey.to_dict(),
    )


def _from(base: ReplayJob, since: PartialDay, out: Path, wanted: Asked) -> ReplayJob:
    """The job of a partial day: replayed as the sealed one was whose keyframe it starts at."""
    start, instrument = find_start(since, out, base.instrument, base.days, wanted, base.inputs)
    return replace(
        base,
        instrument=instrument,
        provenance=least_real(base.provenance, start.provenance),
        certified=base.certified and start.certified,
        strategy=start.strategy,
        reasons=start.reasons,
        start=start,
    )


def _strategies(day: LakeDay, options: ReconstructOptions) -> tuple[Sequence[Strategy], list[str]]:
    """The strategies to try, the best first, and why others are none of them."""
    if options.strategy != "auto":
        return (options.strategy,), []
    lacking = [table for table in ("book_delta_v2", "book") if not day.files.get(table)]
    wanted, reasons = list(_STRATEGIES), []
    if lacking:
        wanted.remove("full")
        reasons.append(f"NO-GO for full: there is no {' and no '.join(lacking)}")
    if "book" in lacking and not day.files.get("trades"):
        raise InputError(
            f"{day}: there is no book and no trades, and book_delta_v2 alone shows no loss",
            hint="`lobproof acquire download` fetches all three tables",
        )
    if "book" in lacking:
        wanted.remove("anchored")
        reasons.append("NO-GO for anchored: there is no book")
    return wanted, reasons


def _replayed(
    base: ReplayJob,
    survey: Survey,
    day: LakeDay,
    strategy: Strategy,
    options: ReconstructOptions,
    batch_rows: int,
) -> ReplayJob:
    """The job under a strategy."""
    source = LakeSource(day.files, base.instrument, batch_rows=batch_rows)
    trades = survey.in_order(source.trades, batch_rows)

    def snapshots(start: int) -> Iterator[EventBatch]:
        for vendor_rows in source.books(start):
            yield as_snapshots(vendor_rows, clear=True)

    if strategy != "full":
        waits: Any = "snapshots" if strategy == "anchored" else "nothing"
        return replace(
            base,
            strategy=strategy,
            policy=Policy(chainless=True, trades_wait_for=waits),
            rows=survey.rows.get("book", 0) + survey.rows.get("trades", 0),
            streams=replace(
                base.streams,
                both=apart(snapshots, trades),
                offsets=survey.offsets(strategy),
                by_message=True,
            ),
        )
    return replace(
        base,
        strategy=strategy,
        policy=Policy(chainless=True, correct=options.resync, size_limit=options.size_limit),
        streams=replace(base.streams, both=apart(source.deltas, trades), vendor_rows=source.books),
        most_messages=survey.rows.get("book_delta_v2", 0),
        rows=sum(survey.rows.values()),
    )


def _furthest(files: Sequence[LakeFile]) -> list[LakeFile]:
    """Each file once."""
    order = (None, Zone.READY, Zone.VALIDATED, Zone.RAW, Zone.QUARANTINE)
    ranked = sorted(files, key=lambda file: (file.key, -order.index(file.zone)))
    return list({file.key: file for file in ranked}.values())


def _provenance(file: LakeFile, entry: Any) -> str:
    if entry is not None:
        return str(entry.fetched["provenance"])
    footer = read_footer(file.path, file.key.table)
    said = footer.provenance if footer is not None else ""
    # a file of unknown origin cannot make itself real
    return said if said in ("derived", "synthetic") else "unknown"


def _nothing(
    lake: Lake,
    folder: Path,
    missing: Sequence[str],
    exchange: str | None,
    start: date | str | None,
    end: date | str | None,
    zone: Zone | str | None,
) -> UsageError:
    """The error for a request that matches nothing, or not all that it names."""
    what = ", ".join(missing) if missing else "no symbol-day"
    zoned = (folder / MARK).is_file()
    elsewhere = lake.files(exchange=exchange, start=start, end=end)
    where = sorted(
        {
            str(file.zone)
            for file in elsewhere
            if file.zone is not None and (not missing or file.key.symbol in missing)
        }
    )
    if zoned and where:
        hint = (
            f"such files are in zone {', '.join(where)}: certify them, or name it: zone= (--zone) "
            f"{where[0]} (the result is then marked uncertified)"
        )
    else:
        there = sorted({f"{f.key.exchange} {f.key.symbol} {f.key.dt}" for f in elsewhere})
        hint = (
            f"there is {', '.join(there[:6])}{' …' if len(there) > 6 else ''}"
            if there
            else "`lobproof acquire download` fetches days into it"
        )
    return UsageError(
        f"{folder} has {what if not missing else 'nothing of ' + what}"
        f"{f' in zone {zone}' if zoned else ''} in that range",
        hint=hint,
    )
