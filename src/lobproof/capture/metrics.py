"""A session's figures as Prometheus text, in a file that appears whole or not at all."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from lobproof import __version__
from lobproof.capture.session import Session
from lobproof.errors import PlaceError, system_text
from lobproof.files import write_whole

EVERY_S = 15.0
"""Seconds between two writes."""
_PREFIX = "lobproof_capture_"
_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


class Sample(NamedTuple):
    """A value, by its metric's name without the prefix, and its labels."""

    name: str
    labels: Mapping[str, str]
    value: float


_METRICS = {
    "info": "What is captured, and by which version.",
    "up": "1 while the session captures, 0 before it and when it has ended.",
    "start_time_seconds": "When the session began.",
    "update_time_seconds": "When these figures were taken.",
    "messages_total": "Messages that came, copies not counted.",
    "payload_bytes_total": "Bytes of their payloads.",
    "last_message_time_seconds": "When the last message came, by our clock.",
    "depth_lag_seconds": "Our clock less the venue's as the last depth message came.",
    "clock_offset_seconds": "What is to be added to our clock, by a server or the venue.",
    "clock_answer_time_seconds": "When that server gave its last answer.",
    "gaps_total": "Gaps in the ids that no socket filled.",
    "late_total": "Messages whose ids brought nothing new.",
    "resets_total": "How often the venue began its ids of depth anew.",
    "snapshots_total": "Snapshots that came.",
    "stale_snapshots_total": "Snapshots that were older than what is kept.",
    "backfill_trades_total": "Trades of gaps that REST was asked for, brought, or will not bring.",
    "lost_lines_total": "Lines that we could not hold for a disk that took nothing.",
    "held_bytes": "Bytes of lines that are not yet on disk.",
    "disk_free_bytes": "Bytes that are free where the capture is written.",
    "socket_open": "1 where the socket is open.",
    "socket_age_seconds": "For how long it has been open; 0 where it is not.",
    "socket_first_total": "Messages that it brought first.",
    "socket_copies_total": "Messages that another had brought.",
    "socket_missed_total": "Messages that came while it was open, and never on it.",
    "socket_differing_total": "Messages that it brought with other bytes.",
    "events_total": "Lines of the stream control, by event.",
}
"""The metrics in their order, and what each says. Those that end in ``_total`` are counters."""


def samples_of(session: Session, folder: Path, *, up: bool) -> Iterator[Sample]:
    """All figures of a session, in any order."""
    venue = session.market
    here = {"venue": venue}
    info = {"version": __version__, "provenance": session.provenance, "regime": session.regime}
    yield Sample("info", here | info | {"folder": str(folder)}, 1)
    yield Sample("up", here, up)
    yield Sample("start_time_seconds", here, session.started_ns / 1e9)
    yield Sample("update_time_seconds", here, time.time())
    lost = session.lost
    for name, one in session.figures.items():
        of = here | {"symbol": name}
        for kind, count in one.messages.items():
            yield Sample("messages_total", of | {"stream": kind}, count)
        for kind, last_ns in one.last_ns.items():
            yield Sample("last_message_time_seconds", of | {"stream": kind}, last_ns / 1e9)
        for kind in ("depth", "trade"):
            yield Sample("gaps_total", of | {"stream": kind}, one.gaps[kind])
            yield Sample("late_total", of | {"stream": kind}, one.late[kind])
        if one.lag_ns:
            yield Sample("depth_lag_seconds", of, one.lag_ns / 1e9)
        yield Sample("payload_bytes_total", of, one.bytes)
        yield Sample("resets_total", of, one.resets)
        yield Sample("snapshots_total", of, one.snapshots)
        yield Sample("stale_snapshots_total", of, one.stale)
        for what, count in asdict(one.backfill).items():
            yield Sample("backfill_trades_total", of | {"what": what}, count)
        lines = lost.get(f"{name}/journal")
        yield Sample("lost_lines_total", of, 0 if lines is None else lines.lines)
    for server, said in session.clocks.items():
        if "offset_ns" in said:
            of = here | {"server": server}
            yield Sample("clock_offset_seconds", of, said["offset_ns"] / 1e9)
            yield Sample("clock_answer_time_seconds", of, said["at_ns"] / 1e9)
    for socket in session.sockets:
        of = here | {"lane": socket.name, "path": socket.path}
        yield Sample("socket_open", of, socket.open_s is not None)
        yield Sample("socket_age_seconds", of, socket.open_s or 0)
        yield Sample("socket_first_total", of, socket.figures.first)
        yield Sample("socket_copies_total", of, socket.figures.copies)
        yield Sample("socket_missed_total", of, socket.figures.missed)
        yield Sample("socket_differing_total", of, socket.figures.differing)
    for event, count in session.events.items():
        yield Sample("events_total", here | {"event": event}, count)
    yield Sample("held_bytes", here, session.held_bytes)
    try:
        yield Sample("disk_free_bytes", here, shutil.disk_usage(folder).free)
    except OSError:
        return  # no figure: 0 would be one


def exposition(samples: Iterator[Sample]) -> bytes:
    """Samples in Prometheus' text format, version 0.0.4: each metric with its help and type."""
    by_name: dict[str, list[Sample]] = {name: [] for name in _METRICS}
    for sample in samples:
        by_name[sample.name].append(sample)
    lines: list[str] = []
    for name, of in by_name.items():
        if not of:
            continue
        full = f"{_PREFIX}{name}"
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {full} {_METRICS[name]}", f"# TYPE {full} {kind}"]
        for one in of:
            labels = ",".join(
                f'{key}="{value.translate(_ESCAPES)}"' for key, value in one.labels.items()
            )
            value = int(one.value) if float(one.value).is_integer() else float(one.value)
            lines.append(f"{full}{{{labels}}} {value}")
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


class MetricsFile:
    """Writes a session's figures now and then.

    Parameters
    ----------
    path
        The file, such as one in the folder of node_exporter's textfile collector.
    told
        Told once, in words, when it cannot be written any more. A capture goes on all the same.
    """

    def __init__(self, path: Path, told: Callable[[str], None]) -> None:
        self._path = path
        self._told = told
        self._due = 0.0
        self._failed = False

    async def tick(self, session: Session, folder: Path) -> None:
        """Write, where it is time to."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + EVERY_S
            await self.write(session, folder, up=True)

    async def write(self, session: Session, folder: Path, *, up: bool) -> None:
        """Write the figures as they are now."""
        text = exposition(samples_of(session, folder, up=up))
        try:
            await asyncio.to_thread(write_whole, self._path, text)
        except (OSError, PlaceError) as error:
            if not self._failed:
                why = error.message if isinstance(error, PlaceError) else system_text(error)
                self._told(f"{self._path} is not written: {why}; the capture goes on.")
            self._failed = True
        else:
            self._failed = False
