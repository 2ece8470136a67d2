"""What a path is: a store, a golden sample, Crypto Lake files, a recording, a folder of those."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter, Token

from lobproof.acquire.lake import is_lake
from lobproof.errors import LobproofError, UsageError
from lobproof.sources.binance.journal import is_encrypted
from lobproof.sources.captured import SESSION, captured_journals
from lobproof.sources.cryptolake.layout import TABLES
from lobproof.sources.golden import DOCUMENT
from lobproof.store.layout import MARKER
from lobproof.store.mirror import mirror_at
from lobproof.store.place import SCHEME

_LOOKED_AT = 200
"""Entries of a folder that are looked at."""
_NAMED = 4
"""Of them so many are named."""


def _place(_: Any, tokens: Sequence[Token]) -> Path:
    """A path as it is given; of a store in a bucket the folder that mirrors it."""
    (token,) = tokens
    return mirror_at(token.value).root if token.value.startswith(SCHEME) else Path(token.value)


StorePath = Annotated[Path, Parameter(converter=_place)]
"""A folder, or ``s3://bucket/prefix`` where a store can stand."""


class Kind(Enum):
    """What commands read: one, several, what a folder holds that is one, and what makes one."""

    STORE = ("a store", "stores", MARKER, "lobproof reconstruct SOURCE --out STORE")
    GOLDEN = ("a golden sample", "golden samples", DOCUMENT, "lobproof import FILES --out GOLDEN")
    LAKE = (
        "a folder of Crypto Lake files",
        "folders of Crypto Lake files",
        f"{TABLES[0]}/exchange=…/symbol=…/dt=…/1.snappy.parquet",
        "lobproof acquire download --out LAKE",
    )
    RECORDING = ("a recording", "recordings", "file with lines of <receive time> <JSON>", "")

    def __init__(self, one: str, several: str, holds: str, maker: str) -> None:
        self.one = one
        self.several = several
        self.holds = holds
        self.maker = maker


_NEXT = {
    (Kind.RECORDING, Kind.GOLDEN): "import it first: `lobproof import {} --out GOLDEN`",
    (Kind.RECORDING, Kind.STORE): "import it, then reconstruct: `lobproof import {} --out GOLDEN`",
    (Kind.GOLDEN, Kind.STORE): "make a store of it first: `lobproof reconstruct {} --out STORE`",
    (Kind.LAKE, Kind.STORE): "make a store of it first: `lobproof reconstruct {} --out STORE`",
    (Kind.LAKE, Kind.RECORDING): "it needs no import: `lobproof reconstruct {} --out STORE`",
    (Kind.GOLDEN, Kind.RECORDING): "it is imported: `lobproof reconstruct {} --out STORE`",
    (Kind.GOLDEN, Kind.LAKE): "to make such files of it: `lobproof derive-lake {} --out LAKE`",
    (Kind.STORE, Kind.GOLDEN): "name what it was made from; `lobproof inspect {}` shows what it is",
}
"""What is there and what is wanted → what to do about it."""


def kind_of(path: Path) -> Kind | None:
    """What a file or a folder is; None for anything else."""
    if path.is_dir():
        if (path / DOCUMENT).is_file():
            return Kind.GOLDEN
        if (path / MARKER).is_file():
            return Kind.STORE
        return Kind.LAKE if is_lake(path) else None
    if not path.is_file():
        return None
    if is_encrypted(path):
        return Kind.RECORDING  # a journal; nobody without a key looks into it
    from lobproof.sources.recordings.reader import probe  # takes a second, and most need it not

    try:
        found = probe(path)
    except LobproofError:
        return None
    return None if found.stamps is None else Kind.RECORDING


def expect(path: Path, *wanted: Kind) -> Kind:
    """What ``path`` is, when it is one of the kinds that a command reads.

    Raises
    ------
    UsageError
        Otherwise: it says what is there instead, and names the next command or path.
    """
    told = _either(wanted)
    hint = _makers(wanted)
    if not path.exists():
        raise UsageError(f"{path} does not exist", hint=f"check the path; {hint}")
    found = kind_of(path)
    if found in wanted:
        return found
    if found is not None:
        raise UsageError(f"{path} is {found.one}, not {told}", hint=_next([path], found, wanted))
    if path.is_file():
        raise UsageError(f"{path} is a file, not {told}", hint=hint)
    _refuse_parts(path, wanted)
    if (path / SESSION).is_file():
        raise UsageError(
            f"{path} is a capture, not {told}",
            hint=f"import a symbol of it first: `lobproof import {_quoted(path / 'SYMBOL')} --out "
            "GOLDEN`",
        )
    held = _held(path)
    if held:
        raise _holding(path, held, wanted)
    if Kind.LAKE in wanted:
        _refuse_other_tables(path)
    lacks = " and no ".join(kind.holds for kind in wanted)
    what = f"holds no {lacks}" if any(path.iterdir()) else "is empty"
    raise UsageError(f"{path} {what}: it is not {told}", hint=hint)


def recordings(files: Sequence[Path]) -> None:
    """Raise `UsageError` where a folder that is no capture's stands among files to import."""
    for path in files:
        if path.is_dir() and not captured_journals(path):
            expect(path, Kind.RECORDING)


def _refuse_parts(path: Path, wanted: Sequence[Kind]) -> None:
    """Raise for a folder within one that is wanted."""
    for parent in path.absolute().parents:
        found = kind_of(parent)
        if found is not None and found in wanted:
            raise UsageError(f"{path} lies in {found.one}", hint=f"name that: {_quoted(parent)}")


def _refuse_other_tables(path: Path) -> None:
    """Raise for a folder of Parquet files that is laid out otherwise, or of tables of others."""
    ours = f"{', '.join(TABLES[:-1])} and {TABLES[-1]}"
    others = sorted(entry.name for entry in path.iterdir() if any(entry.glob("exchange=*")))
    if others:
        raise UsageError(
            f"{path} holds {', '.join(others)} of Crypto Lake, and none of {ours}",
            hint="`lobproof acquire download` fetches the tables that an order book is made of",
        )
    if any(path.glob("*.parquet")):
        raise UsageError(
            f"{path} holds Parquet files that no folders tell apart",
            hint=f"put each where the vendor has it: {Kind.LAKE.holds}; the tables are {ours}",
        )


def _held(path: Path) -> dict[Kind, list[Path]]:
    """What a folder holds, by kind."""
    held: dict[Kind, list[Path]] = {}
    shown = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    for entry in shown[:_LOOKED_AT]:
        kind = kind_of(entry)
        if kind is not None:
            held.setdefault(kind, []).append(entry)
    return held


def _holding(path: Path, held: Mapping[Kind, Sequence[Path]], wanted: Sequence[Kind]) -> UsageError:
    """For a folder of such: which of them to name, or what to do with them."""
    ours = [one for kind in wanted for one in held.get(kind, ())]
    shown = [kind for kind in wanted if kind in held] or list(held)[:1]
    what = " and ".join(
        f"{len(held[kind])} {kind.several}" if len(held[kind]) > 1 else kind.one for kind in shown
    )
    if not ours:
        there = held[shown[0]] if shown[0] is Kind.RECORDING else held[shown[0]][:1]
        hint = _next(there, shown[0], wanted)
    elif wanted[0] is Kind.RECORDING:
        hint = f"name the files of one symbol: `lobproof import {_quoted(*ours)} --out GOLDEN`"
    else:
        hint = f"name {'one of them' if len(ours) > 1 else 'that'}: {_quoted(*ours)}"
    return UsageError(f"{path} is not {_either(wanted)}, but holds {what}", hint=hint)


def _next(paths: Sequence[Path], found: Kind, wanted: Sequence[Kind]) -> str:
    for kind in wanted:
        if (found, kind) in _NEXT:
            return _NEXT[found, kind].format(_quoted(*paths))
    return _makers(wanted)


def _makers(kinds: Sequence[Kind]) -> str:
    makers = ", ".join(f"`{kind.maker}` makes {kind.one}" for kind in kinds if kind.maker)
    return makers or f"name {_either(kinds)}"


def _either(kinds: Sequence[Kind]) -> str:
    return " or ".join(kind.one for kind in kinds)


def _quoted(*paths: Path) -> str:
    """Paths for a command line; of many the first."""
    more = " …" if len(paths) > _NAMED else ""
    return shlex.join(str(path) for path in paths[:_NAMED]) + more
