"""Every document that is read from disk, mutated: whoever reads it ends in an error of ours.

``python -m fuzz.documents --mutations 100000`` has all kinds, ``--kind seal --seed 7`` one of them.
A document is changed by value (a node becomes something else, is gone, stands twice), by text (a
number that is none, nesting without end) or by bytes; where hashes or names follow from the content
they are made anew, as whoever forges one would.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import random
import shutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from rich.console import Console

from lobproof.acquire.audits import AUDITS, Audit, read_audit
from lobproof.acquire.certificate import certify, verify_certificate
from lobproof.acquire.certificate_status import (
    certificate_statuses,
    read_certificate,
)
from lobproof.acquire.manifest import Manifest, missing
from lobproof.acquire.months import status
from lobproof.cli.inspect import golden_summary, show_golden, show_store, store_summary
from lobproof.documents import content_digest, parse
from lobproof.errors import InputError, LobproofError
from lobproof.fidelity.history import history
from lobproof.fidelity.reports import keep, kept_reports
from lobproof.instruments import from_exchange_info
from lobproof.pipeline import derive_lake, reconstruct_sample
from lobproof.pipeline.certificate import certify_dataset, check_certificate
from lobproof.pipeline.prove import prove
from lobproof.pipeline.results import sealed_days
from lobproof.schema.tables import DAYS, EVENTS
from lobproof.sources.binance.journal import read_frames
from lobproof.sources.cryptolake.bucket.catalogue import RemoteObject
from lobproof.sources.cryptolake.bucket.listing import read_index
from lobproof.sources.cryptolake.bucket.transfer import part_length
from lobproof.sources.cryptolake.layout import LakeKey
from lobproof.sources.golden import GoldenSample
from lobproof.sources.recordings import import_recordings
from lobproof.sources.simulator import simulate
from lobproof.sources.simulator.provenance import simulation_of
from lobproof.store import read_checkpoint, sealed, write_checkpoint
from lobproof.store.catalog import Catalog
from lobproof.store.delta import listed_files, open_delta
from lobproof.store.parts import METADATA_KEY, stored_document
from lobproof.store.reader import open_store
from lobproof.store.seal import inputs_of, seal_name, verdicts_of
from support.acquired import validated_lake as made_lake

GIB = 1 << 30
_ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63),
    2**70,
    10**400,
    0.5,
    -0.0,
    1e308,
    "",
    "x",
    "0" * 64,
    "x" * 5000,
    "\x1b]0;evil\x07",
    "\u202e\u009b",
    "..",
    "../../../../outside/secret",
    "OUTSIDE",
    "a/b",
    "exchange=A/symbol=B/dt=2026-01-05/part-00000-0123456789abcdef.parquet",
    "2026-13-45",
    "1969-12-31",
    [],
    [[]],
    [None],
    [1, 2, 3],
    {},
    {"": 0},
    {"x": {"y": []}},
)
_UNFIT = (ValueError, AttributeError, TypeError, OverflowError, RecursionError)
"""What making a file anew of a mutated document may end in: it is then left as it was."""
_TEXTS = (
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b'"\\ud800"',
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b"[" * 40 + b"]" * 40,
    b'"' + b"y" * 300_000 + b'"',
    b"9" * 5000,
    b"\xff",
    b"\x00",
    b"01",
    b"",
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A document: its bytes, how they are put where it is read, and who reads it.

    ``put`` makes anew what follows from the content. ``lines``: a document a line.
    """

    name: str
    data: bytes
    put: Callable[[bytes], object]
    read: Callable[[], object]
    binary: bool = False
    lines: bool = False


def mutations(kind: Kind, seed: int) -> Iterator[bytes]:
    """Endless mutations of a document, the same for the same seed."""
    rng = random.Random(f"{kind.name} {seed}")
    while True:
        if kind.binary:
            yield _bytes(kind.data, rng)
        elif kind.lines:
            lines = kind.data.splitlines(keepends=True)
            at = rng.randrange(len(lines))
            changed = [*lines[:at], _json(lines[at].rstrip(b"\n"), rng) + b"\n", *lines[at + 1 :]]
            if rng.random() < 0.1:
                changed = rng.sample(lines, rng.randint(0, len(lines)))
            yield b"".join(changed)
        else:
            yield _json(kind.data, rng)


def _json(data: bytes, rng: random.Random) -> bytes:
    how = rng.random()
    if how < 0.15:
        return _bytes(data, rng)
    document = json.loads(data)
    for _ in range(1 if rng.random() < 0.7 else rng.randint(2, 5)):
        document = _changed(document, rng)
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "replace")
    if how < 0.3:
        text = json.dumps(_placed(document, "MARK", rng)).encode()
        text = text.replace(b'"MARK"', rng.choice(_TEXTS))
    elif how < 0.35:
        text = text.replace(b"{", b'{"format":1,"format":2,', 1)
    return text


def _bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        at = rng.randrange(len(changed) + 1)
        how = rng.randrange(6)
        if how == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            del changed[at:]
        elif how == 2:
            del changed[at : at + rng.choice((1, 2, 8, 100))]
        elif how == 3:
            changed[at:at] = rng.randbytes(rng.choice((1, 4, 8)))
        elif how == 4:
            changed[at : at + 4] = rng.choice((b"\xff\xff\xff\x7f", b"\xff" * 4, b"\0" * 4))
        else:
            changed[at:at] = changed[at : at + rng.choice((1, 16, 400))]
    return bytes(changed)


def _paths(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(document, dict):
        items = iter(document.items())
    elif isinstance(document, list):
        items = iter(list(enumerate(document))[:20])
    for key, value in items:
        yield from _paths(value, (*path, key))


def _placed(document: Any, value: Any, rng: random.Random) -> Any:
    """The document with a node of it replaced."""
    path = rng.choice(list(_paths(document)))
    if not path:
        return value
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return document


def _changed(document: Any, rng: random.Random) -> Any:
    path = rng.choice(list(_paths(document)))
    if not path or rng.random() < 0.6:
        return _placed(document, deepcopy(rng.choice(_ODD)), rng)
    at = document
    for key in path[:-1]:
        at = at[key]
    how = rng.randrange(4)
    if how == 0:
        del at[path[-1]]
    elif how == 1 and isinstance(at, dict):
        at[rng.choice(("x", "", "..", "format"))] = at.pop(path[-1])
    elif how == 2 and isinstance(at, list):
        at += deepcopy(at[:50])
    elif isinstance(at[path[-1]], int):
        at[path[-1]] += rng.choice((1, -1, 10**9, -(10**12)))
    else:
        at[path[-1]] = [at[path[-1]]]
    return document


# the kinds ---------------------------------------------------------------------------------------


class World:
    """A golden sample, tables derived of it, a store and a folder of acquired data, all small."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.quiet = Console(file=io.StringIO(), width=200)
        (root / "outside").mkdir()
        (root / "outside" / "secret").write_text("precious")
        made = simulate(root / "sim", minutes=0.05, seed=5, snapshot_every=1.0)
        self.golden = import_recordings(list(made.recordings), root / "golden").path
        derive_lake(self.golden, root / "derived")
        reconstruct_sample(self.golden, root / "store")
        self.lake = made_lake(root / "acquired")
        self.certificate = certify(self.lake, allow_synthetic=True)

    def kinds(self) -> dict[str, Kind]:
        """Every document by name."""
        found = [
            self._file("golden", self.golden / "golden.json", self._golden),
            self._file("derived", self.root / "derived" / "derived.json", self._derived),
            self._file("simulation", self.root / "sim" / "simulation.json", self._simulation),
            self._file("marker", self.root / "store" / "lobproof-store.json", self._store),
            self._certificate(),
            self._report(),
            self._dataset(),
            self._manifest(),
            self._audit(),
            self._note(),
            self._seal(),
            *self._logs(),
            self._leaves(),
            self._checkpoint(),
            self._index(),
            self._exchange_info(),
            self._journal(),
        ]
        return {kind.name: kind for kind in found}

    def _file(
        self,
        name: str,
        path: Path,
        read: Callable[[], object],
        *,
        binary: bool = False,
        lines: bool = False,
    ) -> Kind:
        return Kind(name, path.read_bytes(), path.write_bytes, read, binary, lines)

    def _golden(self) -> None:
        sample = GoldenSample.load(self.golden)
        sample.findings(), sample.receive_days, sample.journals, sample.snapshots_of_nobody
        json.dumps(golden_summary(sample)).encode()
        show_golden(self.quiet, sample)

    def _derived(self) -> None:
        derive_lake(self.golden, self.root / "derived")

    def _simulation(self) -> None:
        simulation_of(self.root / "sim")
        simulate(self.root / "sim", minutes=0.05, seed=5, snapshot_every=1.0)

    def _store(self, name: str = "store") -> None:
        root = self.root / name
        rows = sealed(root)
        for row in rows.iter_rows(named=True):
            verdicts_of(row), inputs_of(row)
        sealed_days(rows, str(rows["task_id"][0]) if len(rows) else "")
        catalog = Catalog(root)
        for day in catalog.days:
            catalog.paths(day, EVENTS)
        store = open_store(root)
        store.coverage()
        json.dumps(store_summary(store), default=str).encode()
        show_store(self.quiet, store_summary(store))

    def _certificate(self) -> Kind:
        path = self.certificate.path
        assert path is not None
        place = path

        def put(data: bytes) -> None:
            try:
                document = json.loads(data)
                own = {k: v for k, v in document.items() if k not in ("id", "issued_at")}
                document["id"] = content_digest(own)
                data = json.dumps(document).encode()
            except _UNFIT:
                pass
            place.write_bytes(data)

        def read() -> None:
            read_certificate(place)
            certificate_statuses(self.lake)
            verify_certificate(place, quick=True)

        return Kind("certificate", place.read_bytes(), put, read)

    def _report(self) -> Kind:
        store = self.root / "store"
        place, *_ = keep(store, prove(store, self.golden))

        def put(data: bytes) -> None:
            name = place.name
            try:
                document = json.loads(data)
                own = {k: v for k, v in document.items() if k not in ("id", "run_at")}
                document["id"] = content_digest(own)
                data = json.dumps(document).encode()
                name = f"{name.partition('-')[0]}-{document['id'][:12]}.json"
            except _UNFIT:
                pass
            for old in place.parent.iterdir():
                old.unlink()
            place.with_name(name).write_bytes(data)

        def read() -> None:
            for damaged in kept_reports(store).damaged:
                str(damaged).encode()
            json.dumps(history(store).to_dict(), default=str).encode()
            json.dumps(certify_dataset(store).document).encode()

        return Kind("fidelity-report", place.read_bytes(), put, read)

    def _dataset(self) -> Kind:
        store, place = self.root / "store", self.root / "dataset.json"
        document = certify_dataset(store).document

        def put(data: bytes) -> None:
            try:
                changed = json.loads(data)
                own = {k: v for k, v in changed.items() if k not in ("id", "issued_at")}
                changed["id"] = content_digest(own)
                data = json.dumps(changed).encode()
            except _UNFIT:
                pass
            place.write_bytes(data)

        def read() -> None:
            for refusal in check_certificate(place, store):
                json.dumps(refusal.to_dict()).encode()

        return Kind("dataset-certificate", json.dumps(document).encode(), put, read)

    def _manifest(self) -> Kind:
        path = self.lake.root / "manifest.jsonl"

        def put(data: bytes) -> None:
            before, number, lines = "0" * 64, 0, []
            for line in data.splitlines(keepends=True):
                text = line
                try:
                    record = json.loads(line)
                    record["prev"], record["n"] = before, number
                    text = json.dumps(record).encode() + b"\n"
                except _UNFIT:
                    pass
                lines.append(text)
                before, number = hashlib.sha256(text).hexdigest(), number + 1
            path.write_bytes(b"".join(lines))

        def read() -> None:
            manifest = Manifest(self.lake)
            manifest.entries(), missing(manifest)
            for month in status(self.lake):
                vars_of(month)
            certificate_statuses(self.lake)

        return Kind("manifest", path.read_bytes(), put, read, lines=True)

    def _audit(self) -> Kind:
        path = next((self.lake.root / AUDITS).rglob("*.json"))
        key = LakeKey.parse(path.relative_to(self.lake.root / AUDITS).as_posix()[: -len(".json")])
        assert key is not None
        of = key

        def read() -> None:
            audit = Audit(of, read_audit(path))
            vars_of(audit)
            audit.with_cross_file({}, {}).sha256.encode()

        return self._file("audit", path, read)

    def _note(self) -> Kind:
        key = LakeKey("trades", "BINANCE", "SIM-USDT", "2026-01-05", "1.snappy.parquet")
        part = self.root / "half.part"
        part.write_bytes(b"half")
        note = {"size": 4, "etag": "e", "last_modified": "m", "boot": "b"}
        (self.root / "half.part.json").write_text(json.dumps(note))
        found = RemoteObject(key, 4, "e", "m")
        place = self.root / "half.part.json"
        return self._file("note", place, lambda: part_length(part, place, found))

    def _seal(self) -> Kind:
        """The seal's documents as one JSON; the file, its name and the log follow from them."""
        root = self.root / "store" / "days"
        (path, *_) = sorted(root.rglob("part-*.parquet"))
        log = root / "_delta_log"
        commits = {entry: entry.read_text() for entry in log.glob("*.json")}
        listed = path.stat().st_size
        (row,) = pq.read_table(path, partitioning=None).to_pylist()
        texts = ("instrument", "files", "inputs", "config", "verdicts", "coverage")
        nullable = pa.schema([field.with_nullable(True) for field in DAYS.schema])
        data = json.dumps({k: json.loads(v) if k in texts else v for k, v in row.items()}).encode()

        def put(changed: bytes) -> None:
            try:
                document = json.loads(changed)
                given = {
                    k: json.dumps(v) if k in texts and not isinstance(v, str) else v
                    for k, v in document.items()
                }
                table = pa.Table.from_pylist([given], schema=nullable)
                (stored,) = table.to_pylist()
            except (*_UNFIT, pa.ArrowException):
                return
            try:
                new = path.with_name(seal_name(stored))
            except UnicodeError:
                return
            for old in path.parent.glob("part-*.parquet"):
                old.unlink()
            pq.write_table(table, new)
            told, size = (f'"size":{number}' for number in (listed, new.stat().st_size))
            for entry, text in commits.items():
                entry.write_text(text.replace(path.name, new.name).replace(told, size))

        return Kind("seal", data, put, self._store)

    def _logs(self) -> Iterator[Kind]:
        # of a store of their own: a mutated seal is written into the log, too
        shutil.copytree(self.root / "store", self.root / "logged")
        logged = partial(self._store, "logged")
        for table in (DAYS, EVENTS):
            log = self.root / "logged" / table.name / "_delta_log"
            for path in sorted(log.glob("*.json"))[:2]:
                yield self._file(f"log-{table.name}-{int(path.stem)}", path, logged, lines=True)
        delta = open_delta(self.root / "store", EVENTS)
        assert delta is not None
        copy = self.root / "saved" / EVENTS.name
        shutil.copytree(self.root / "store" / EVENTS.name, copy)
        DeltaTable(str(copy)).create_checkpoint()
        (saved,) = (copy / "_delta_log").glob("*.parquet")

        def read() -> None:
            listed_files(open_delta(self.root / "saved", EVENTS))

        yield self._file("log-saved", saved, read, binary=True)
        yield self._file("log-last", copy / "_delta_log" / "_last_checkpoint", read)

    def _leaves(self) -> Kind:
        path = next((self.root / "store" / "events").rglob("part-*.parquet"))
        data = (pq.read_metadata(path).metadata or {})[METADATA_KEY]
        held: list[bytes] = [data]

        class Metadata:
            @property
            def metadata(self) -> dict[bytes, bytes]:
                return {METADATA_KEY: held[0]}

        def read() -> None:
            try:
                document, leaves = stored_document(Metadata())
            except ValueError as error:  # which those that call it tell
                raise InputError(str(error), hint="-") from error
            (document["dt"], document["part"], len(leaves))

        return Kind("leaves", data, lambda changed: held.__setitem__(0, changed), read)

    def _checkpoint(self) -> Kind:
        path = self.root / "saved" / ".checkpoints" / f"A.B.2026-01-05.{'0' * 16}.ckpt"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(path, {"rows": [1, 2]}, {"book": np.arange(100)})
        return self._file("checkpoint", path, lambda: read_checkpoint(path), binary=True)

    def _index(self) -> Kind:
        names = [f"trades/exchange=A/symbol=B/dt=2026-01-{n:02}/1.parquet" for n in range(1, 29)]
        held = [b""]
        data = json.dumps({"objects": names}).encode()
        return Kind(
            "index",
            data,
            lambda changed: held.__setitem__(0, gzip.compress(changed, 1)),
            lambda: read_index(held[0], ""),
        )

    def _exchange_info(self) -> Kind:
        symbol = {
            "symbol": "BTCUSDT",
            "baseAsset": "BTC",
            "quoteAsset": "USDT",
            "filters": [
                {"filterType": "PRICE_FILTER", "tickSize": "0.01"},
                {"filterType": "LOT_SIZE", "stepSize": "0.00001"},
            ],
        }
        held = [b""]

        def read() -> None:
            try:
                document = parse(held[0])
            except ValueError as error:  # which the command tells
                raise InputError(str(error), hint="-") from error
            from_exchange_info(document, "BTCUSDT")

        return Kind(
            "exchange-info",
            json.dumps({"symbols": [symbol]}).encode(),
            lambda changed: held.__setitem__(0, changed),
            read,
        )

    def _journal(self) -> Kind:
        (path, *_) = GoldenSample.load(self.golden).journals
        copy = self.root / "copy.jsonl.zst"
        shutil.copy(path, copy)
        return self._file("journal", copy, lambda: list(read_frames(copy)), binary=True)


def vars_of(found: object) -> None:
    """Have everything of a result computed that is shown of it."""
    for name in dir(found):
        if not name.startswith("_"):
            getattr(found, name)


# running -----------------------------------------------------------------------------------------

_opened: list[str] = []
_watching = [False]


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching[0] and event == "open":
        _opened.append(str(arguments[0]))


@contextmanager
def watched() -> Iterator[list[str]]:
    """The paths that Python opens meanwhile."""
    _opened.clear()
    _watching[0] = True
    try:
        yield _opened
    finally:
        _watching[0] = False


sys.addaudithook(_hook)


def run(kind: Kind, seed: int, count: int, tally: Counter[str]) -> list[str]:
    """So many mutations; what went wrong, told."""
    wrong = []
    for number, data in zip(range(count), mutations(kind, seed), strict=False):
        kind.put(data)
        began = time.monotonic()
        with watched() as opened:
            try:
                kind.read()
                ended = "read"
            except LobproofError as error:
                ended = type(error).__name__
                if not error.hint or len(error.message) > 5000:
                    wrong.append(f"{kind.name} {seed}:{number}: {error.message[:300]}")
            except OSError as error:  # which a command tells too
                ended = type(error).__name__
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                ended = "traceback"
                told = "".join(traceback.format_exception(error)[-3:])
                wrong.append(f"{kind.name} {seed}:{number}: {told}\n{data[:600]!r}")
        outside = [path for path in opened if "outside" in path or path == "/etc/passwd"]
        if outside:
            wrong.append(f"{kind.name} {seed}:{number}: opened {outside[0]}")
        if time.monotonic() - began > 20:
            wrong.append(f"{kind.name} {seed}:{number}: took {time.monotonic() - began:.0f} s")
        tally[f"{kind.name}: {ended}"] += 1
    kind.put(kind.data)
    return wrong


class Memory:
    """The most that this process has had in memory since, beyond what it had then."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        self._before = _status("VmRSS")

    @property
    def peak(self) -> int:
        """In bytes."""
        return _status("VmHWM") - self._before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def main() -> int:
    """Run from the command line; 1 where anything went wrong."""
    arguments = argparse.ArgumentParser(prog="python -m fuzz.documents")
    arguments.add_argument("--mutations", type=int, default=100_000, help="of all kinds together")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--kind", action="append", help="only this one")
    given = arguments.parse_args()
    tally: Counter[str] = Counter()
    wrong: list[str] = []
    with TemporaryDirectory() as folder:
        kinds: Mapping[str, Kind] = World(Path(folder)).kinds()
        memory = Memory()
        chosen = [kinds[name] for name in given.kind or kinds]
        for kind in chosen:
            began = time.monotonic()
            wrong += run(kind, given.seed, -(-given.mutations // len(chosen)), tally)
            print(f"{kind.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    peak = memory.peak
    for name, count in sorted(tally.items()):
        print(f"{count:>8,}  {name}")
    print(f"{peak / 1e6:,.0f} MB at most, {sum(tally.values()):,} mutations, {len(wrong)} wrong")
    for told in wrong[:20]:
        print(told)
    if peak > GIB:
        print("more than 1 GiB")
    return 1 if wrong or peak > GIB else 0


if __name__ == "__main__":
    sys.exit(main())
