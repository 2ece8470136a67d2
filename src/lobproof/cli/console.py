"""What the commands share: where people read, where machines read, and progress."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TextIO

from cyclopts import Parameter
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.segment import Segment
from rich.text import Text

from lobproof.errors import ODD, is_hidden, visible

Json = Annotated[bool, Parameter(name="--json", negative=())]
"""A flag: print one JSON document on standard output, and nothing else there."""

Switch = Annotated[bool, Parameter(negative=())]
"""A flag without a ``--no-`` twin."""


class Screen(Console):
    """A console for texts that may come from outside: no markup, no emoji, nothing to be obeyed.

    Styles are given beside a text, never within it. Whatever is printed passes `visible`.
    """

    def __init__(self, file: TextIO) -> None:
        # colours are escape sequences: they go past the filter of what else is printed
        super().__init__(file=unfiltered(file), highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **how: Any) -> Text:
        """As a text; what is hidden is written out, where `Text` would leave some of it out."""
        return super().render_str(visible(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Segments, their texts made visible; a text as a whole, so that its width is right."""
        if isinstance(renderable, Text):
            plain = visible(renderable.plain)
            if plain != renderable.plain:
                renderable = renderable.blank_copy(plain)
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))


def unfiltered(file: TextIO) -> TextIO:
    """The stream that a filtering or a redirected one writes to in the end."""
    while (inner := getattr(file, "rich_proxied_file", None)) is not None:
        file = inner
    return file


def out() -> Screen:
    """Standard output, for people."""
    return Screen(sys.stdout)


def err() -> Screen:
    """Standard error: progress, warnings, notes."""
    return Screen(sys.stderr)


def show_next(*words: str | Path, also: str = "") -> None:
    """The command that comes next, and what else may, on standard error."""
    command = shlex.join(["lobproof", *map(str, words)])
    text = f"Next: {command}{f', or {also}' if also else ''}"
    err().print(text, style="dim", soft_wrap=True)


def print_json(document: Any) -> None:
    """One document on standard output; as JSON escapes it what is not `visible`, or no character.

    Every encoding but Unicode's own lacks some.
    """
    whole = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    text = json.dumps(document, indent=2, ensure_ascii=not whole, default=str)
    sys.stdout.write(ODD.sub(_escaped, text) + "\n")


def _escaped(odd: re.Match[str]) -> str:
    return json.dumps(odd[0])[1:-1] if is_hidden(odd[0]) else odd[0]


class _Time(ProgressColumn):
    """How long a task will take, where that can be told, or how long it has taken."""

    def render(self, task: Task) -> Text:
        left = task.time_remaining
        known = left is not None and not task.finished
        seconds = int((left if known else task.elapsed) or 0)
        return Text(f"{timedelta(seconds=seconds)}{' left' if known else ''}", "progress.elapsed")


_BAR = 16
"""Width of a bar: the words beside it are to fit into 80 columns."""
COMPILING = "Compiling kernels that this needs, once for this version: up to a minute ..."


@contextmanager
def progress(description: str) -> Iterator[tuple[Progress, TaskID]]:
    """A progress line on standard error; silent where that is no terminal.

    Kernels that are compiled meanwhile are told and counted.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(_BAR),
        TextColumn("{task.fields[detail]}", markup=False),
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
    """Say it, once in a process, and begin to compile what comes next."""
    if not _told:
        _told.append(console)
        console.print(COMPILING, style="dim", soft_wrap=True)
        from lobproof.cli import warm  # what needs no kernel does not load them

        warm.beside()


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


def partial_text(dt: str, from_ns: int) -> Text:
    """Says of a partial day that it is one."""
    return Text(f"{dt} is a partial day, from {clock(from_ns)} UTC on", "yellow")


def duration(ns: int) -> str:
    """A span of time in its natural unit."""
    from lobproof.timespan import show_length  # what --help does not need

    return show_length(ns)
