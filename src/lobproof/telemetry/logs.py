"""``LogLines``: what a run tells, a line each, to be read by people or by programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, TextIO

import msgspec

from lobproof.run.config import LogForm
from lobproof.run.events import (
    BreakerMoved,
    BreakerState,
    Event,
    RunEnded,
    RunStarted,
    StageEnded,
    UnitEnded,
    UnitNoted,
    UnitProgress,
    UnitStarted,
)
from lobproof.run.units import State

_ERRORS = (State.FAILED, State.QUARANTINED)
_KEPT = 20_000
"""Characters of a traceback in a line."""


class LogLines:
    """A sink of a run's events that writes a line each; how far a unit is gets none.

    Parameters
    ----------
    stream
        Where to.
    form
        ``"json"``: an object a line, with ``time``, ``level``, ``event``, ``run``, ``unit`` and
        what the event has beside; ``"human"``: the same in words.
    """

    def __init__(self, stream: TextIO, form: LogForm) -> None:
        self._stream = stream
        self._line: Callable[[Event], str] = as_json if form == "json" else as_words

    def __call__(self, event: Event) -> None:
        """Write what happened."""
        if not isinstance(event, UnitProgress):
            self._stream.write(f"{self._line(event)}\n")
            self._stream.flush()


def level_of(event: Event) -> str:
    """``info``, ``warning`` or ``error``."""
    if isinstance(event, UnitEnded) and event.reason is not None:
        return "error" if event.state in _ERRORS and not event.again else "warning"
    if isinstance(event, BreakerMoved):
        return {BreakerState.CLOSED: "info", BreakerState.WAITING: "warning"}.get(
            event.state, "error"
        )
    if isinstance(event, RunEnded):
        bad = event.stopped or any(event.states.get(state) for state in _ERRORS)
        return "error" if bad else "info"
    return "warning" if isinstance(event, UnitNoted) else "info"


def as_json(event: Event) -> str:
    """An event as a JSON object on one line."""
    fields: dict[str, Any] = {
        "time": f"{_time(event.at_ns):%Y-%m-%dT%H:%M:%S.%fZ}",
        "level": level_of(event),
        "event": _snake(type(event).__name__),
    }
    for name in event.__slots__:
        value = getattr(event, name)
        if name in ("at_ns", "document") or value in (None, ""):
            continue
        if name == "reason":
            fields |= {"code": value.code, "why": value.words, "remedy": value.remedy}
        elif name == "states":
            fields[name] = {state.value: count for state, count in value.items()}
        elif name == "trace":
            fields[name] = value[-_KEPT:]
        else:
            fields[name] = _plain(value)
    if isinstance(event, UnitEnded) and event.document is not None:
        figures = msgspec.to_builtins(event.document.figures)
        fields |= {key: value for key, value in figures.items() if value is not None}
    return json.dumps(fields, ensure_ascii=False)


def as_words(event: Event) -> str:
    """An event as a line of words."""
    return f"{_time(event.at_ns):%Y-%m-%d %H:%M:%S} {level_of(event):<7} {_words(event)}"


def _words(event: Event) -> str:
    match event:
        case RunStarted():
            return (
                f"run {event.run} begins: {event.units:,} units, {event.bytes_in / 1e9:,.1f} GB to "
                f"read, about {event.seconds / 3600:,.1f} h; {event.done_before:,} done before"
            )
        case UnitStarted():
            again = f", attempt {event.attempt}" if event.attempt > 1 else ""
            return f"{event.unit} begins{again}"
        case StageEnded():
            took = "there already" if event.reused else f"{event.seconds:,.1f} s"
            return f"{event.unit} {event.stage}: {took}"
        case UnitNoted():
            return f"{event.unit}: {event.sentence}"
        case UnitEnded():
            why = f": {event.reason.code}: {event.reason.words}" if event.reason else ""
            again = "; it is tried again" if event.again else ""
            return f"{event.unit} {event.state} after {event.seconds:,.1f} s{why}{again}"
        case BreakerMoved():
            does = {
                BreakerState.CLOSED: "goes on",
                BreakerState.WAITING: "waits",
                BreakerState.OPEN: "stops",
            }
            return f"the run {does[event.state]}: {event.why}"
        case RunEnded():
            counts = ", ".join(f"{count:,} {state}" for state, count in event.states.items())
            stopped = f"; stopped: {event.stopped}" if event.stopped else ""
            return (
                f"run {event.run} ends after {event.seconds:,.0f} s "
                f"({event.estimated:,.0f} s were estimated): {counts}{stopped}"
            )
        case UnitProgress():
            return f"{event.unit} {event.stage}: {event.rows:,} of {event.of_rows:,} rows"


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, int | float | str | bool) else str(value)


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _time(at_ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)
