"""What the commands share: where people read, where machines read, and progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Json = Annotated[bool, Parameter(name="--json", negative=())]
"""A flag: print one JSON document on standard output, and nothing else there."""

Switch = Annotated[bool, Parameter(negative=())]
"""A flag without a ``--no-`` twin."""


def out() -> Console:
    """Standard output, for people."""
    return Console(highlight=False)


def err() -> Console:
    """Standard error: progress, warnings, notes."""
    return Console(stderr=True, highlight=False)


def print_json(document: Any) -> None:
    """One document on standard output."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


@contextmanager
def progress(description: str) -> Iterator[tuple[Progress, Any]]:
    """A progress line on standard error; silent where that is no terminal."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    console = err()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        yield bar, bar.add_task(description, total=None, detail="")


def clock(ns: int) -> str:
    """A time as people read it, UTC, to the millisecond."""
    if ns <= 0:
        return "-"
    moment = datetime.fromtimestamp(ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ns // 1_000_000 % 1000:03d}"


def partial_text(dt: str, from_ns: int) -> str:
    """Says of a partial day that it is one."""
    return f"[yellow]{dt} is a partial day, from {clock(from_ns)} UTC on[/yellow]"


def duration(ns: int) -> str:
    """A span of time in its natural unit."""
    seconds = ns / 1e9
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def first_use_note() -> None:
    """Say that kernels are being compiled, where they are not yet: it takes half a minute."""
    from lobproof.jit import cache_folder

    if not cache_folder().exists():
        err().print("[dim]First use: compiling kernels, once (about half a minute).[/dim]")
