"""``RunConfig``: what a run does, read from a TOML file that is checked before anything begins."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from lobproof.documents import read_bytes
from lobproof.errors import UsageError, shown, system_text
from lobproof.fidelity.gates.settings import STANDARD
from lobproof.instruments import NAME_HINT, is_name
from lobproof.paths import AnyPath, as_path
from lobproof.pipeline.job import Asked, ReconstructOptions, Resync, States
from lobproof.sources.cryptolake.layout import TABLES
from lobproof.timespan import DAY_NS

_LIMIT = 1 << 20
_HINT = "docs/run.md describes every key; `lobproof run --example` prints a file to begin with"
_PLACES = re.compile(r"\{(\w*)\}")

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
LogForm = Literal["human", "json", "none"]
Positive = Annotated[int, Meta(ge=1, le=1 << 31)]


class Accept(StrEnum):
    """The least that inputs and days must be for a unit to be done."""

    CERTIFIED = "certified"  # real, and nothing stands against them
    DEMO = "demo"  # simulated or derived data too
    UNCERTIFIED = "uncertified"  # anything; the results say so throughout


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file: no key that it does not know."""


class What(_Table, frozen=True):
    """``[run]``: which symbol-days. ``end`` is the first day that is not meant any more."""

    exchange: str
    symbols: Annotated[tuple[str, ...], Meta(min_length=1, max_length=10_000)]
    start: date
    end: date | None = None
    tables: tuple[str, ...] = TABLES

    def __post_init__(self) -> None:
        """Refuse names and spans that are none."""
        for name in (self.exchange, *self.symbols):
            if not is_name(name):
                raise ValueError(f"{shown(name, 60)!r} names nothing: {NAME_HINT}")
        if len(set(self.symbols)) < len(self.symbols):
            raise ValueError("a symbol is named twice")
        if self.end is not None and self.start >= self.end:
            raise ValueError(f"no day lies from {self.start} to before {self.end}")
        unknown = sorted(set(self.tables) - set(TABLES))
        if unknown or not self.tables:
            named = ", ".join(unknown) or "named"
            raise ValueError(f"there is no table {named}; choose from {', '.join(TABLES)}")


class Source(_Table, frozen=True):
    """``[source]``: where the inputs are: the vendor's bucket, its free sample, or a folder."""

    kind: Literal["bucket", "sample", "folder"] = "bucket"
    folder: str = ""
    bucket: str | None = None
    prefix: str | None = None
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    grace_days: Positive = 3
    """A day that the bucket lacks so long after its end is absent, and awaited before."""

    def __post_init__(self) -> None:
        """Refuse a folder without one, and a bucket with one."""
        if (self.kind == "folder") != bool(self.folder):
            raise ValueError('folder goes with kind = "folder", which needs it')


class Target(_Table, frozen=True):
    """``[store]``: a folder or ``s3://bucket/prefix``; and a folder of this machine to work in.

    ``{exchange}`` and ``{symbol}`` in ``url`` make a store for each.
    """

    url: str
    work: str
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    keep_inputs: bool = False

    def __post_init__(self) -> None:
        """Refuse places in the URL that nothing is known for."""
        odd = sorted(set(_PLACES.findall(self.url)) - {"exchange", "symbol"})
        if not self.url or not self.work or odd:
            raise ValueError("url and work name places; {exchange} and {symbol} may stand in url")

    @property
    def is_bucket(self) -> bool:
        """Whether the store is in a bucket."""
        return self.url.startswith("s3://")


class Assess(_Table, frozen=True):
    """``[assess]``: how much is looked at before a day is made, and what a GO needs."""

    level: Literal["none", "light", "full"] = "light"
    untrusted_share: Share = 0.2
    """A day in doubt for a larger share of its time is degraded."""


class Make(_Table, frozen=True):
    """``[make]``: how days are reconstructed; see `ReconstructOptions`."""

    states: States = "all"
    strategy: Asked = "auto"
    resync: Resync = "drift"
    size_limit: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.001
    carry: bool = False

    @property
    def options(self) -> ReconstructOptions:
        """As the pipeline takes them."""
        return ReconstructOptions(
            states=self.states,
            strategy=self.strategy,
            resync=self.resync,
            size_limit=self.size_limit,
        )


class Prove(_Table, frozen=True):
    """``[prove]``: what days are held against, and how thoroughly.

    ``golden``: folders of golden samples; ``vendor_book``: the day's own rows of `book`.
    """

    level: Literal["none", "light", "standard", "full"] = "light"
    golden: tuple[str, ...] = ()
    vendor_book: bool = True
    page: Literal["none", "failing", "all"] = "failing"


class Certify(_Table, frozen=True):
    """``[certify]``: the least that is accepted of inputs and of days."""

    accept: Accept = Accept.CERTIFIED


class Resources(_Table, frozen=True):
    """``[resources]``: where units are done, and how many at once; 0: as many as there is room."""

    executor: Literal["local", "ray"] = "local"
    address: str = ""
    workers: Annotated[int, Meta(ge=0, le=1 << 16)] = 0
    memory_gb: Annotated[float, Meta(ge=0.0)] = 0.0
    max_active: Annotated[int, Meta(ge=0, le=1 << 16)] = 0
    disk_reserve_gb: Annotated[float, Meta(ge=0.0)] = 2.0
    price_per_gb: Annotated[float, Meta(ge=0.0)] | None = None


class Failures(_Table, frozen=True):
    """``[failures]``: when a unit is given up, and when the run is.

    A unit is quarantined after ``unit_attempts``. The run stops after ``same_reason`` units in a
    row that failed for the same reason, when ``share`` of the ``last`` units failed, and when a
    bucket or a disk stays away for ``outage_minutes``.
    """

    unit_attempts: Positive = 3
    same_reason: Positive = 5
    share: Share = 0.5
    last: Positive = 20
    outage_minutes: Annotated[float, Meta(ge=0.0)] = 30.0


class Telemetry(_Table, frozen=True):
    """``[telemetry]``: log lines, a port for Prometheus, an OTLP endpoint, a file of metrics."""

    log: LogForm = "human"
    port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    otlp: str = ""
    textfile: str = ""


class RunConfig(_Table, frozen=True):
    """All of a run's file."""

    run: What
    store: Target
    source: Source = Source()
    assess: Assess = Assess()
    make: Make = Make()
    prove: Prove = Prove()
    certify: Certify = Certify()
    resources: Resources = Resources()
    failures: Failures = Failures()
    telemetry: Telemetry = Telemetry()

    def __post_init__(self) -> None:
        """Refuse what contradicts itself across tables."""
        if self.resources.executor == "ray" and not self.store.is_bucket and self.resources.address:
            raise ValueError(
                "[store] url is a folder, which the machines of a Ray cluster do not share: "
                "name a bucket, or leave out [resources] address"
            )

    def store_of(self, exchange: str, symbol: str) -> str:
        """The URL of the store that a symbol's days go to."""
        return self.store.url.replace("{exchange}", exchange).replace("{symbol}", symbol)

    def hashes(self) -> dict[str, str]:
        """Stage → hash of the options that its outcome follows from, and of nothing else."""
        source = msgspec.to_builtins(self.source)
        for name in ("endpoint", "profile", "region", "grace_days"):
            del source[name]
        prove = msgspec.to_builtins(self.prove)
        del prove["page"]
        options: dict[str, Any] = {
            "acquire": [source, self.run.tables, self.certify.accept],
            "assess": msgspec.to_builtins(self.assess),
            "make": msgspec.to_builtins(self.make),
            "prove": [prove, STANDARD.hash],
            "certify": self.certify.accept,
        }
        return {stage: _digest(value) for stage, value in options.items()}

    @property
    def days(self) -> tuple[str, ...]:
        """The days that are asked for, in order; `[run]` has to have an end."""
        assert self.run.end is not None
        first, last = self.run.start.toordinal(), self.run.end.toordinal()
        return tuple(date.fromordinal(day).isoformat() for day in range(first, last))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_config(path: AnyPath, now_ns: int) -> RunConfig:
    """The configuration in a file, with an end: by default the day before today's, in UTC.

    Relative paths in it are below the file's own folder.

    Raises
    ------
    UsageError
        If it cannot be read, is no TOML, has a key that is unknown, or a value that is none; the
        message names the key, and the line where it can be told.
    """
    path = as_path(path)
    try:
        text = read_bytes(path, _LIMIT).decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {system_text(error)}", hint=_HINT) from error
    except ValueError as error:
        raise UsageError(f"{path} is no configuration: {error}", hint=_HINT) from error
    return parse_config(text, str(path), path.parent, now_ns)


def parse_config(text: str, name: str, folder: Path, now_ns: int) -> RunConfig:
    """As `read_config`, of a text; ``folder`` is what relative paths are below."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is no TOML: {error}", hint=_HINT) from error
    try:
        config = msgspec.convert(found, RunConfig)
    except msgspec.ValidationError as error:
        raise UsageError(f"{name}{_where(text, str(error))}", hint=_HINT) from error
    what = config.run
    if what.end is None:
        yesterday = date.fromordinal(date(1970, 1, 1).toordinal() + now_ns // DAY_NS)
        if what.start >= yesterday:
            raise UsageError(
                f"{name}: no day lies from {what.start} to before {yesterday}",
                hint="without an end the last day is yesterday, in UTC; name an earlier start",
            )
        what = msgspec.structs.replace(what, end=yesterday)
    store = msgspec.structs.replace(
        config.store,
        url=config.store.url if config.store.is_bucket else str(folder / config.store.url),
        work=str(folder / config.store.work),
    )
    source = config.source
    if source.folder:
        source = msgspec.structs.replace(source, folder=str(folder / source.folder))
    prove = msgspec.structs.replace(
        config.prove, golden=tuple(str(folder / one) for one in config.prove.golden)
    )
    return msgspec.structs.replace(config, run=what, store=store, source=source, prove=prove)


_PATH = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_FIELD = re.compile(r"unknown field `(?P<field>[^`]*)`")


def _where(text: str, wrong: str) -> str:
    """The line of what is wrong, its key, and the words: ``, line 7: [run] start: …``."""
    match = _PATH.search(wrong)
    said = wrong[: match.start()] if match else wrong
    keys = [key for key in (match["path"] if match else "").split(".") if key]
    unknown = _FIELD.search(said)
    if unknown:
        keys.append(unknown["field"])
        said = f"there is no key {unknown['field']!r}"
    if not keys:
        return f": {said}"
    table, *rest = keys
    key = rest[0].partition("[")[0] if rest else ""
    line = _line(text, table, key)
    named = f"[{table}] {key}".strip()
    return f"{'' if line is None else f', line {line}'}: {named}: {said}"


def _line(text: str, table: str, key: str) -> int | None:
    """The line on which a key of a table stands; that of the table, where the key is missing."""
    inside, found = False, None
    for number, line in enumerate(text.splitlines(), 1):
        plain = line.strip()
        if plain.startswith("["):
            inside = plain.strip("[] ").split("]")[0] == table
            if inside:
                found = number
        elif inside and key and re.match(rf"{re.escape(key)}\s*=", plain):
            return number
    return found
