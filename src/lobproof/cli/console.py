"""What the commands share: where people read, where machines read, and progress."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

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


def show_next(*words: str | Path, also: str = "") -> None:
    """The command that comes next, and what else may, on standard error."""
    command = shlex.join(["lobproof", *map(str, words)])
    text = f"Next: {command}{f', or {also}' if also else ''}"
    err().print(text, style="dim", markup=False, soft_wrap=True)


def print_json(document: Any) -> None:
    """One document on standard output."""
    json.dump(document, sys.stdout, indent=2, ensure_ascii=False, default=str)
    sys.stdout.write("\n")


class _Time(ProgressColumn):
    """How long a task will take, where that can be told, or how long it has taken."""

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        known = left is not None and not task.finished
        seconds = int((left if known else task.elapsed) or 0)
        return Text(f"{timedelta(seconds=seconds)}{' left' if known else ''}", "progress.elapsed")


_BAR = 16
"""Width of a bar: the words beside it are to fit into 80 columns."""
COMPILING = "Compiling kernels, once for this version: up to a minute of one core ..."


@contextmanager
def progress(description: str) -> Iterator[tuple[Progress, TaskID]]:
    """A progress line on standard error; silent where that is no terminal.

    Kernels that are compiled meanwhile are told and counted.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(_BAR),
        TextColumn("{task.fields[detail]}"),
        _Time(),
    )
    console = err()
    with (
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
        _compiling(bar),
    ):
        yield bar, bar.add_task(description, total=None, detail="")


_told: list[Console] = []


def tell_of_compiling(console: Console) -> None:
    """Say it, once in a process."""
    if not _told:
        _told.append(console)
        console.print(COMPILING, style="dim", soft_wrap=True)


@contextmanager
def _compiling(bar: Progress) -> Iterator[None]:
    """Say that kernels are compiled before the first is; then show how many were."""
    if "numba" not in sys.modules:  # a command that has loaded no kernel: nor does this
        yield
        return
    from lobproof.jit import compiling

    task: TaskID | None = None

    def told(count: int, under_way: bool) -> None:
        nonlocal task
        tell_of_compiling(bar.console)
        if task is None:
            task = bar.add_task("compiling", total=None, detail="")
        bar.update(task, visible=under_way, detail=f"{count} kernels")

    with compiling(told):
        yield


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
    from lobproof.store.timespan import show_length  # what --help does not need

    return show_length(ns)
