"""One run by its seed: what is spoilt and how, the public path over it, and what came of it."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import numpy as np
import polars as pl

import lobproof
from fuzz import golden_faults, lake_faults
from fuzz.judge import PAUSE, SUBSTITUTE, Judged, Wrong, anchors, judge
from fuzz.oracle import DIGITS, RECORDINGS, Extract, Recording, extract, there
from fuzz.tape import Known
from lobproof.errors import LobproofError
from lobproof.pipeline import ReconstructOptions
from lobproof.schema import Kind
from lobproof.store import Store

UNDAMAGED = "undamaged"
LENGTHS = (120, 300, 600, 1200)
INSTANTS = 5


@dataclass(frozen=True)
class Plan:
    """What a seed stands for."""

    seed: int
    path: str
    """golden or lake."""
    recording: str
    start: int
    messages: int
    chain: tuple[tuple[int, str], ...]
    """Place in the chain, and mutation: what a mutation does follows from seed, place and name."""

    @classmethod
    def of(cls, seed: int, path: str, recordings: Sequence[str]) -> Plan:
        """Each mutation comes first in turn; others follow at random."""
        names = sorted(faults_of(path))
        rng = Random(f"plan {path} {seed}")
        recording = rng.choice(recordings)
        first = seed % (len(names) + 1)
        chain = [] if first == len(names) else [names[first]]
        if chain:
            chain += [rng.choice(names) for _ in range(rng.choice((0, 0, 1, 1, 2)))]
        return cls(
            seed,
            path,
            recording,
            rng.randrange(RECORDINGS[recording].starts),
            rng.choice(LENGTHS),
            tuple(enumerate(chain)),
        )

    @property
    def kinds(self) -> list[str]:
        return sorted({name for _, name in self.chain}) or [UNDAMAGED]

    @classmethod
    def read(cls, text: str) -> Plan:
        """Of what `spelled` gives."""
        path, recording, start, messages, seed, *chain = text.split("/")
        places = [one.partition(" ") for one in chain]
        named = tuple((int(place), name) for place, _, name in places)
        return cls(int(seed), path, recording, int(start), int(messages), named)

    @property
    def spelled(self) -> str:
        """In a text that stays right when there are more mutations than today."""
        chain = [f"{place} {name}" for place, name in self.chain]
        start = [self.path, self.recording, self.start, self.messages, self.seed]
        return "/".join(map(str, [*start, *chain]))

    @property
    def command(self) -> str:
        return f"""make fuzz FUZZ='--plan "{self.spelled}"'"""


def faults_of(path: str) -> Sequence[str]:
    """Names of the mutations of a path."""
    return list(golden_faults.MUTATIONS if path == "golden" else lake_faults.MUTATIONS)


@dataclass
class Outcome:
    """What a run came to.

    ``refused``: lobproof's own words. ``broken``: a traceback. ``limits``: wrong claims that a
    documented limit explains, by its name; ``wrong`` are the others.
    """

    plan: Plan
    told: list[str] = field(default_factory=list)
    refused: str = ""
    broken: str = ""
    judged: Judged = field(default_factory=Judged)
    limits: dict[str, int] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)
    strategy: str = ""

    @property
    def failed(self) -> bool:
        return bool(self.broken or self.wrong)

    def __str__(self) -> str:
        where = f"{self.plan.recording}, place {self.plan.start}, {self.plan.messages} messages"
        lines = [f"seed {self.plan.seed}, {self.plan.path}: {where}{self.strategy}"]
        lines += [f"  {one}" for one in self.told]
        if self.refused:
            lines.append(f"  refused: {self.refused}")
        if self.broken:
            lines.append(f"  TRACEBACK: {self.broken}")
        if self.wrong:
            lines += [f"  WRONG {len(self.wrong)}, the first: {self.wrong[0]}"]
        lines.append(f"  {self.judged.trusted} of {self.judged.rows} rows trusted")
        lines.append(f"  {self.plan.command}")
        return "\n".join(lines)


def run(plan: Plan, data: Path, folder: Path) -> Outcome:
    """Spoil, reconstruct, judge; the folder is emptied before and left as it is."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    outcome = Outcome(plan)
    whole = extract(data, plan.recording, plan.start, plan.messages)
    make = _golden if plan.path == "golden" else _lake
    try:
        known = make(outcome, whole, data, folder)
        outcome.judged = judge(folder / "store", known, Random(f"judge {plan.seed}"), INSTANTS)
    except LobproofError as error:
        outcome.refused = str(error).replace(str(folder), "")
        if not error.hint:
            outcome.broken = f"no hint: {error}"
    except Exception:
        outcome.broken = traceback.format_exc()
    else:
        explain = _explain_golden if plan.path == "golden" else lake_faults.explain
        explain_into(outcome, explain(folder / "store", known, outcome.judged.wrong))
    return outcome


def explain_into(outcome: Outcome, reasons: Sequence[str]) -> None:
    """Sort wrong claims by what explains them; "" nothing does."""
    for one, explained in zip(outcome.judged.wrong, reasons, strict=True):
        said = [what for what in (SUBSTITUTE, PAUSE) if one.what.startswith(what)]
        reason = said[0] if said else explained
        if reason:
            outcome.limits[reason] = outcome.limits.get(reason, 0) + 1
        else:
            outcome.wrong.append(one)


def _golden(outcome: Outcome, whole: Extract, data: Path, folder: Path) -> Known:
    tape, outcome.told = golden_faults.spoilt(whole, outcome.plan.seed, outcome.plan.chain)
    files = tape.write(folder / "in")
    golden = lobproof.import_recordings(files, folder / "golden", **tape.options)
    lobproof.reconstruct(golden.path, folder / "store")
    return tape.known


def _explain_golden(store: Path, known: Known, wrong: Sequence[Wrong]) -> list[str]:
    """A lie inside a chained message, or in a snapshot where nothing vouches for the book."""
    if known.unseen:
        return ["a lie that nothing contradicts"] * len(wrong)
    if not wrong or not known.lies:
        return [""] * len(wrong)
    opened = lobproof.open(store)
    inserted = anchors(opened)
    reasons = []
    for one in wrong:
        day = pl.col("dt").cast(pl.String)
        before = inserted.filter(
            (day < one.dt) | ((day == one.dt) & (pl.col("event_id") <= one.event_id))
        )
        lies = before.filter(pl.col("sequence").is_in(list(known.lies)))
        reason = ""
        if before.height and lies.height and before["sequence"][-1] in known.lies:
            if not lies["vouched"][-1]:
                reason = "anchored on a lie"
            elif lies.height > 1:
                reason = "outvoted by lies"
        if not reason and lies.height and _rests_on_a_lie(opened, one, before, known):
            reason = "anchored on a lie"
        reasons.append(reason)
    return reasons


def _rests_on_a_lie(store: Store, one: Wrong, before: pl.DataFrame, known: Known) -> bool:
    """Whether no true snapshot lists the level, of those since trust was restored.

    Then a lie is all that vouches for it: the one that restored trust, or one that widened it. A
    true one sets right what it lists, and says nothing of what lies beyond.
    """
    restored = np.flatnonzero(~before["vouched"].to_numpy())
    if not one.price or not len(restored):
        return False
    last = int(restored[-1])
    start = (
        int(before["event_id"][last - 1]) + 1 if last and before["dt"][last - 1] == one.dt else 0
    )
    sign = 1 if one.side == 0 else -1
    at = sign * one.price // 10 ** (DIGITS - store.instrument().price_exponent)
    since = pl.col("event_id").is_between(start, one.event_id)
    lists = (pl.col("side") == one.side + 1) & (sign * pl.col("price") <= at)
    listed = store.events(numbers="grid", raw=True).filter(
        since & lists & (pl.col("dt").cast(pl.String) == one.dt),
        pl.col("kind") == int(Kind.SNAPSHOT),
        ~pl.col("sequence").is_in(list(known.lies)),
    )
    return bool(before["dt"][last] == one.dt) and listed.collect().is_empty()


def _lake(outcome: Outcome, whole: Extract, data: Path, folder: Path) -> Known:
    plan = outcome.plan
    lake, outcome.told = lake_faults.spoilt(whole, plan.seed, plan.chain, data, plan.start)
    rng = Random(f"options {plan.seed}")
    options = ReconstructOptions(
        strategy=rng.choice(("auto", "auto", "auto", "full", "full", "anchored", "time-sorted")),
        resync=rng.choice(("drift", "drift", "drift", "drift", "always", "never")),
    )
    outcome.told.append(f"strategy {options.strategy}, resync {options.resync}")
    lake.reconstruct(folder, options)
    return lake.known


def shrunk(outcome: Outcome, data: Path, folder: Path) -> Outcome:
    """The same failure with mutations left out, one by one, as long as it fails."""
    plan, best = outcome.plan, outcome
    while len(plan.chain) > 1:
        for k in range(len(plan.chain)):
            fewer = replace(plan, chain=plan.chain[:k] + plan.chain[k + 1 :])
            tried = run(fewer, data, folder)
            if tried.failed:
                plan, best = fewer, tried
                break
        else:
            break
    return best


def recordings_in(data: Path) -> list[str]:
    """Names of the recordings that are there."""
    return there(data)


def simulated(folder: Path) -> list[str]:
    """Names of recordings of a simulated exchange, made below ``folder``: for whom has no real."""
    for name in ("spot", "futures"):
        made = lobproof.simulate(
            folder / name, market=name, minutes=3, seed=3, start="2026-01-05T09:00:00Z"
        )
        files = tuple(str(file.relative_to(folder)) for file in made.recordings)
        RECORDINGS[name] = Recording(name, files)
    return ["spot", "futures"]
