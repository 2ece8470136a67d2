"""``lobproof capture``."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lobproof.capture.backfill import BackfillFigures
from lobproof.capture.clock import SERVERS
from lobproof.capture.keys import key_from
from lobproof.capture.metrics import MetricsFile
from lobproof.capture.rest import Answer
from lobproof.capture.schedule import next_window
from lobproof.capture.session import SBE, Session, SessionResult, SymbolFigures
from lobproof.capture.start import VenueError, check_start
from lobproof.cli import INTERRUPTED
from lobproof.cli.console import Json, Screen, Switch, clock, duration, err, out, print_json
from lobproof.errors import UsageError, shown
from lobproof.files import write_whole
from lobproof.sources.age import Recipients, recipients_of
from lobproof.sources.binance.venue import MarketName, Venue, venue_of
from lobproof.sources.captured import SESSION, capturing, check_free
from lobproof.timespan import duration_ns, to_ns

_MOST_SOCKETS = 8
_LINE_S = 60.0
"""Seconds between two lines where there is no terminal."""
_RATE_S = 5.0
"""Seconds that rates are taken over."""
_TICK_S = 1.0
now_ns: Callable[[], int] = time.time_ns


def capture(
    symbols: list[str],
    /,
    *,
    out_: Annotated[Path, Parameter(name="--out")],
    venue: MarketName = "spot",
    endpoint: str | None = None,
    duration: str | None = None,
    until: str | None = None,
    schedule: str | None = None,
    regime: str | None = None,
    redundancy: int = 1,
    snapshot_every: str = "15m",
    fast_depth: Switch = False,
    rpi: Switch = False,
    sbe: Switch = False,
    encrypt_to: Annotated[Sequence[str], Parameter(negative=(), show_default=False)] = (),
    metrics: Path | None = None,
    json_: Json = False,
) -> int:
    """Capture what Binance sends, byte for byte, with every loss known.

    Trades, depth every 100 ms and best bid and ask, on futures aggregate trades, mark prices and
    liquidations too, go into a journal for each symbol and hour, with snapshots whenever the book
    has to be anchored. Ctrl-C ends it: what came is on disk, and `lobproof import` takes it.

    Parameters
    ----------
    symbols
        As the venue writes them, such as BTCUSDT; of one market.
    out_
        Folder to make: one folder for each symbol, and `session.json`. With a schedule, a folder
        of such folders.
    venue
        The market: spot, USD-M or COIN-M futures.
    endpoint
        Another address than Binance's own, such as http://127.0.0.1:8080 of `lobproof serve`.
    duration
        How long to capture, such as 30m or 24h; by default until Ctrl-C.
    until
        When to end, UTC.
    schedule
        Capture within these windows only, each into a folder of its own: us-open (New York's 09:30
        to 16:00, Monday to Friday), weekend (Saturday and Sunday, UTC), or the times of each day
        in UTC, such as 13:30-20:00.
    regime
        What you call the market's state, such as high-volume; by default the schedule's name.
    redundancy
        Sockets side by side: what one loses, another brings.
    snapshot_every
        Time between snapshots that the book is checked against later.
    fast_depth
        Depth as soon as it changes, instead of every 100 ms; futures alone.
    rpi
        The book with RPI orders, too; USD-M alone.
    sbe
        The raw SBE frames too, as a third witness that `lobproof import` compares; spot alone. The
        Ed25519 API key is taken from the environment, LOBPROOF_BINANCE_API_KEY.
    encrypt_to
        Encrypt the journals to this recipient of age (age1…), or to those in a file; may be given
        several times. They are read again with an identity alone, which is not needed here.
    metrics
        File for the figures as Prometheus text, written anew every 15 s and at the end.
    json_
        Print the summary as JSON.
    """
    place = venue_of(venue, endpoint, fast_depth=fast_depth, rpi=rpi, sbe=sbe)
    if not 1 <= redundancy <= _MOST_SOCKETS:
        raise UsageError(
            f"{redundancy} sockets side by side", hint=f"give 1 to {_MOST_SOCKETS}; 2 lose little"
        )
    if regime is not None and not (regime.strip() and regime.isprintable()):
        raise UsageError(
            f"{shown(repr(regime), 60)} is no regime",
            hint="give one line of text, such as high-volume",
        )
    end_ns = _end(duration, until)
    if schedule is not None:
        opens = next_window(schedule, now_ns()).start_ns
        if end_ns is not None and opens >= end_ns:
            raise UsageError(
                f"the schedule's next window opens at {clock(opens)} UTC, and all ends before",
                hint="give a later --until, or a longer --duration",
            )
    if schedule is None or not out_.is_dir() or (out_ / SESSION).exists():
        check_free(out_)
    wanted = _Wanted(
        [name.upper() for name in symbols],
        place,
        out_,
        schedule,
        end_ns,
        regime or schedule or "",
        redundancy,
        duration_ns(snapshot_every) / 1e9,
        key_from(needed=sbe),
        recipients_of(encrypt_to) if encrypt_to else None,
        metrics,
    )
    if metrics is not None:
        write_whole(metrics, b"")  # where that fails, nothing has begun yet
    done = asyncio.run(_capture(wanted))
    sessions = [one.to_dict() for one in done]
    if json_:
        print_json({"sessions": sessions})
    else:
        for one in done:
            _show(one)
    if not any(sum(of.messages.values()) for one in done for of in one.result.symbols.values()):
        raise VenueError(
            f"no message of {', '.join(wanted.symbols)} came",
            hint=f"{done[-1].folder / SESSION} says what happened; capture for longer than that",
        )
    if not json_:
        name = wanted.symbols[0]
        folder = quote(str(done[-1].folder / name))
        key = "" if wanted.recipients is None else "--identity FILE "
        told = f"Next: lobproof import {folder} {key}--out GOLDEN"
        err().print(told, style="dim", soft_wrap=True)
    return 0


def _end(duration: str | None, until: str | None) -> int | None:
    """When to end; None: never."""
    ends = []
    if duration is not None:
        ends.append(now_ns() + duration_ns(duration))
    if until is not None:
        end = to_ns(until)
        if end <= now_ns():
            raise UsageError(f"{until} is over", hint="give a time to come, in UTC")
        ends.append(end)
    return min(ends, default=None)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What to capture, whence, where to, and when."""

    symbols: list[str]
    venue: Venue
    out: Path
    schedule: str | None
    end_ns: int | None
    regime: str
    redundancy: int
    snapshot_every_s: float
    key: str = field(repr=False)
    recipients: Recipients | None
    metrics: Path | None


@dataclass(frozen=True, slots=True)
class _Done:
    """A session that has ended."""

    folder: Path
    provenance: str
    regime: str
    started_ns: int
    ended_ns: int
    result: SessionResult

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "folder": str(self.folder),
            "provenance": self.provenance,
            "regime": self.regime,
            "from": clock(self.started_ns),
            "to": clock(self.ended_ns),
            **self.result.to_dict(),
        }


async def _capture(wanted: _Wanted) -> list[_Done]:
    """Capture, window by window, until all is over or somebody interrupts."""
    stop = asyncio.Event()
    done: list[_Done] = []
    with _screen() as screen, ExitStack() as held:

        def interrupted() -> None:
            if stop.is_set():  # whoever asks twice does not want to wait
                screen.close()
                os._exit(INTERRUPTED)
            stop.set()
            screen.say("Ending: what came is being written. Again Ctrl-C ends it at once.")

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupted)
        info: Answer | None = await _unless(
            stop, check_start(wanted.venue, wanted.symbols, wanted.key)
        )
        if wanted.schedule is not None:
            wanted.out.mkdir(parents=True, exist_ok=True)
            held.enter_context(capturing(wanted.out))  # another's windows would have these names
        while not stop.is_set():
            end_ns = wanted.end_ns
            folder = wanted.out
            if wanted.schedule is not None:
                window = next_window(wanted.schedule, now_ns())
                if end_ns is not None and window.start_ns >= end_ns:
                    break
                if window.start_ns > now_ns():
                    info = None  # by then it may be another
                    if not await _opens(window.start_ns, stop, screen):
                        break
                end_ns = min(window.end_ns, end_ns or window.end_ns)
                began = datetime.fromtimestamp(now_ns() // 1_000_000_000, UTC)
                folder /= f"{began:%Y-%m-%dT%H%M%SZ}"
            done.append(await _one(wanted, info, folder, end_ns, stop, screen))
            info = None
            if wanted.schedule is None or (wanted.end_ns or now_ns() + 1) <= now_ns():
                break
    if not done:
        raise KeyboardInterrupt
    return done


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What is to be done first; interrupted, it is not."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not task.done():
        task.cancel()
        raise KeyboardInterrupt
    return task.result()


async def _opens(start_ns: int, stop: asyncio.Event, screen: _Screen) -> bool:
    """Wait until a window opens, by the clock on the wall; False where somebody interrupts."""
    screen.say(f"Waiting: the window opens at {clock(start_ns)} UTC.")
    while (left := start_ns - now_ns()) > 0:
        if await _stopped(stop, min(left / 1e9, _TICK_S)):
            return False
        screen.waits(start_ns)
    return not stop.is_set()


async def _stopped(stop: asyncio.Event, seconds: float) -> bool:
    """Wait so long, or until somebody interrupts: whether that was so."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def _one(
    wanted: _Wanted,
    info: Answer | None,
    folder: Path,
    end_ns: int | None,
    stop: asyncio.Event,
    screen: _Screen,
) -> _Done:
    """Run one session to its end."""
    session = Session(
        wanted.symbols,
        wanted.venue,
        folder,
        lanes=wanted.redundancy,
        regime=wanted.regime,
        snapshot_every_s=wanted.snapshot_every_s,
        time_servers=SERVERS if wanted.venue.rest.startswith("https:") else (),
        key=wanted.key,
        recipients=wanted.recipients,
        info=info,
    )
    started = now_ns()
    figures = None if wanted.metrics is None else MetricsFile(wanted.metrics, screen.say)
    running = asyncio.create_task(session.run())
    stopped = asyncio.create_task(stop.wait())
    screen.begins(folder, wanted.venue)
    while not running.done():
        left = None if end_ns is None else (end_ns - now_ns()) / 1e9
        if stop.is_set() or (left is not None and left <= 0):
            session.stop()
            await asyncio.wait({running})
            break
        tick = _TICK_S if left is None else min(left, _TICK_S)
        await asyncio.wait({running, stopped}, timeout=tick, return_when=asyncio.FIRST_COMPLETED)
        screen.shows(session, end_ns)
        if figures is not None:
            await figures.tick(session, folder)
    stopped.cancel()
    if figures is not None:
        await figures.write(session, folder, up=False)
    result = running.result()
    return _Done(folder, session.provenance, wanted.regime, started, now_ns(), result)


# what is shown ----------------------------------------------------------------------------------


class _Screen:
    """Tables that are drawn anew each second; where there is no terminal, a line a minute."""

    def __init__(self, console: Screen, live: Live | None) -> None:
        self._console = console
        self._live = live
        self._folder = Path()
        self._market = ""
        self._counts: deque[tuple[float, dict[str, int]]] = deque()
        self._line_due = 0.0

    def say(self, text: str) -> None:
        """Print a line above the tables."""
        self._console.print(text, style="dim", soft_wrap=True)

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()

    def waits(self, start_ns: int) -> None:
        """Show that a window has not opened yet."""
        if self._live is not None:
            left = timedelta(seconds=(start_ns - now_ns()) // 1_000_000_000)
            self._live.update(Text(f"the window opens in {left}"), refresh=True)

    def begins(self, folder: Path, venue: Venue) -> None:
        """A session begins."""
        self._folder, self._market = folder, venue.profile.market
        self._counts.clear()
        self._line_due = time.monotonic() + _LINE_S

    def shows(self, session: Session, end_ns: int | None) -> None:
        """Show how a session is."""
        now = time.monotonic()
        figures = session.figures
        counts = {name: sum(one.messages.values()) for name, one in figures.items()}
        self._counts.append((now, counts))
        while len(self._counts) > 2 and self._counts[1][0] <= now - _RATE_S:
            self._counts.popleft()
        since, before = self._counts[0]
        span = max(now - since, 1e-9)
        rates = {name: (count - before[name]) / span for name, count in counts.items()}
        if self._live is not None:
            self._live.update(self._drawn(session, figures, rates, end_ns), refresh=True)
        elif now >= self._line_due:
            self._line_due = now + _LINE_S
            self._console.print(self._line(session, figures, rates, end_ns), soft_wrap=True)

    def _line(
        self,
        session: Session,
        figures: Mapping[str, SymbolFigures],
        rates: Mapping[str, float],
        end_ns: int | None,
    ) -> str:
        sockets = session.sockets
        several = figures.values()
        parts = [
            f"{clock(now_ns())[:-4]} UTC: {sum(rates.values()):,.0f} messages/s",
            f"{sum(one.gaps.total() for one in several):,} gaps",
            f"{sum(one.late.total() for one in several):,} late",
            f"{sum(one.snapshots for one in several):,} snapshots",
            _size(sum(one.bytes for one in several)),
            f"{sum(one.open_s is not None for one in sockets)} of {len(sockets)} sockets open",
            f"disk {_size(_free(self._folder))} free",
        ]
        if told := _backfilled(*(one.backfill for one in several)):
            parts.append(told)
        return ", ".join([*parts, _left(end_ns)] if end_ns is not None else parts)

    def _drawn(
        self,
        session: Session,
        figures: Mapping[str, SymbolFigures],
        rates: Mapping[str, float],
        end_ns: int | None,
    ) -> RenderableType:
        real = session.provenance == "real"
        rows = max(self._console.height - len(session.sockets) - 12, 3)
        shown = list(figures)[: rows if len(figures) > rows else None]
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        table.add_column("symbol", overflow="ellipsis", no_wrap=True, max_width=16)
        for name in ("messages/s", "depth lag", "gaps", "late", "snapshots", "bytes"):
            table.add_column(name, justify="right", no_wrap=True)
        for name in shown:
            one = figures[name]
            gaps = one.gaps.total()
            table.add_row(
                name,
                f"{rates[name]:,.0f}",
                _lag(one.lag_ns) if real else "-",
                Text(f"{gaps:,}", "yellow" if gaps else ""),
                f"{one.late.total():,}",
                f"{one.snapshots:,}",
                _size(one.bytes),
            )
        sockets = Table(box=SIMPLE_HEAD, pad_edge=False)
        sockets.add_column("socket", no_wrap=True)
        sockets.add_column("state", no_wrap=True)
        for name in ("open for", "came first", "missed"):
            sockets.add_column(name, justify="right", no_wrap=True)
        for socket in session.sockets:
            is_open = socket.open_s is not None
            age = timedelta(seconds=int(socket.open_s or 0))
            sockets.add_row(
                f"{socket.name} {socket.path}",
                Text("open" if is_open else "connecting", "" if is_open else "yellow"),
                str(age) if is_open else "-",
                f"{socket.figures.first:,}",
                f"{socket.figures.missed:,}",
            )
        more = len(figures) - len(shown)
        rest = sum(rate for name, rate in rates.items() if name not in shown)
        provenance = "" if real else f" ({session.provenance or 'asking the venue'})"
        lines: list[RenderableType] = [
            f"Capturing {self._market}{provenance} into {self._folder}, {_left(end_ns)}",
            table,
            *([f"and {more} more symbols: {rest:,.0f} messages/s"] if more else []),
            sockets,
            *([told] if (told := _backfilled(*(of.backfill for of in figures.values()))) else []),
            f"disk {_size(_free(self._folder))} free. Ctrl-C ends the capture.",
        ]
        if real:
            note = "Depth lag is our clock less the venue's: our clock's own offset is in it."
            lines.append(Text(note, "dim"))
        return Group(*lines)


@contextmanager
def _screen() -> Iterator[_Screen]:
    console = err()
    if not console.is_terminal:
        yield _Screen(console, None)
        return
    with Live(console=console, auto_refresh=False, transient=True) as live:
        yield _Screen(console, live)


def _backfilled(*figures: BackfillFigures) -> str:
    """What REST made of the trades of gaps; empty where none was lost."""
    asked, got, refused = (
        sum(getattr(one, name) for one in figures) for name in ("asked", "got", "refused")
    )
    if not asked and not refused:
        return ""
    return f"lost trades: {asked:,} asked of REST, {got:,} got, {refused:,} refused"


def _left(end_ns: int | None) -> str:
    if end_ns is None:
        return "until Ctrl-C"
    return f"{timedelta(seconds=max(end_ns - now_ns(), 0) // 1_000_000_000)} left"


def _lag(ns: int) -> str:
    if not ns:
        return "-"
    return f"{ns / 1e6:,.0f} ms" if abs(ns) < 10_000_000_000 else f"{ns / 1e9:,.0f} s"


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"


def _free(folder: Path) -> int:
    """Bytes that the disk of a folder has left; 0 where nobody can say."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def _show(done: _Done) -> None:
    """What a session captured, on standard output."""
    screen, result = out(), done.result
    length = duration(done.ended_ns - done.started_ns)
    real = "" if done.provenance == "real" else f" ({done.provenance or 'of an unknown venue'})"
    regime = f", {done.regime}" if done.regime else ""
    screen.print(f"Captured {length}{real}{regime} into {done.folder}", soft_wrap=True)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("symbol", overflow="ellipsis", no_wrap=True, max_width=14)
    names = ("messages", "gaps", "late", "snapshots", "bytes", "on disk", "regime")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    for name, one in result.symbols.items():
        files = result.files.get(f"{name}/journal", [])
        table.add_row(
            name,
            f"{one.messages.total():,}",
            f"{one.gaps.total():,}",
            f"{one.late.total():,}",
            f"{one.snapshots:,}",
            _size(one.bytes),
            _size(sum(file.bytes for file in files)),
            str(one.minutes.to_dict()["detected"]),
        )
    screen.print(table)
    for socket in result.sockets:
        lane = socket.figures
        named = "the SBE socket" if socket.name == SBE else f"socket {socket.name}"
        screen.print(
            f"{named}: first {lane.first:,}, copies {lane.copies:,}, "
            f"missed {lane.missed:,}, differing {lane.differing:,}",
            soft_wrap=True,
        )
    frames = {name: one.sbe.total() for name, one in result.symbols.items()}
    if result.sbe:
        told = ", ".join(f"{name} {count:,}" for name, count in frames.items())
        style = "" if all(frames.values()) else "yellow"
        screen.print(f"SBE frames: {told}", style=style, soft_wrap=True)
    if unread := result.events["sbe_unread"]:
        screen.print(f"SBE frames that cannot be read: {unread:,}", style="yellow")
    for name, one in result.symbols.items():
        if told := _backfilled(one.backfill):
            style = "yellow" if one.backfill.refused else ""
            screen.print(f"{name}: {told}", style=style, soft_wrap=True)
        if one.resets:
            screen.print(f"{name}: the venue counted anew {one.resets:,} times", style="yellow")
    for name, lost in result.lost.items():
        screen.print(
            f"{lost.lines:,} lines of {name} were lost: the disk did not take them",
            style="bold red",
            soft_wrap=True,
        )
