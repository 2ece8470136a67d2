"""Journals that grow: lines are taken at once, and a thread writes them, a frame each second."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from lobproof.sources.age import Recipients
from lobproof.sources.binance.journal import HOUR_NS, JournalFile, JournalWriter, hour_of

FLUSH_S = 1.0
"""Seconds after which a line that was taken is on disk, where the disk takes it."""
HELD_BYTES = 256 << 20
"""Bytes of lines that are held for a disk that does not take them; those beyond are lost."""
_EARLY_BYTES = 4 << 20
"""So many bytes of lines are written before a second has passed."""


@dataclass(slots=True)
class Lost:
    """Lines that could not be held: how many, their bytes, and when the first and last came."""

    lines: int = 0
    bytes: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def add(self, size: int, capture_ns: int) -> None:
        """Count a line."""
        self.first_ns = self.first_ns if self.lines else capture_ns
        self.last_ns = capture_ns
        self.lines += 1
        self.bytes += size


@dataclass(slots=True)
class _Growing:
    """A journal: its writer, and the lines to hand to it, runs of one hour each."""

    writer: JournalWriter
    lines: list[bytes] = field(default_factory=list)
    hour: int = -1
    runs: list[tuple[bytes, int]] = field(default_factory=list)
    lost: Lost = field(default_factory=Lost)
    untold: Lost = field(default_factory=Lost)

    def close_run(self) -> None:
        """Put the lines of the open hour behind the runs."""
        if self.lines:
            self.runs.append((b"".join(self.lines), self.hour * HOUR_NS))
            self.lines = []


class LiveJournals:
    """The journals of a session, one for each name, written by one thread.

    `put` costs a microsecond and never waits. What was put is on disk a second later, in frames
    that can be read whatever happens then: the process may be killed, and a disk that fills up
    leaves whole frames only. While the disk takes nothing, lines are held, up to ``held_bytes``;
    those beyond are lost, counted, and told by a line of the journal as soon as it goes on.

    Parameters
    ----------
    root
        Folder in which each journal has its own, made as the first line comes.
    flush_s
        Seconds between two writes.
    held_bytes
        Bytes of lines to hold at most, of all journals together.
    troubled
        Told once, by the thread, of each error of the disk as it begins, and of None as it ends.
    recipients
        Encrypt the journals to them.
    """

    def __init__(
        self,
        root: Path,
        *,
        flush_s: float = FLUSH_S,
        held_bytes: int = HELD_BYTES,
        troubled: Callable[[OSError | None], None] | None = None,
        recipients: Recipients | None = None,
    ) -> None:
        self._root = root
        self._flush_s = flush_s
        self._most = held_bytes
        self._troubled = troubled
        self._recipients = recipients
        self._journals: dict[str, _Growing] = {}
        self._held = 0  # bytes of lines that no writer has
        self._stuck = 0  # and of those that one has and could not write
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._trouble: OSError | None = None
        self._thread = threading.Thread(target=self._run, name="journals", daemon=True)
        self._thread.start()

    def put(self, name: str, line: bytes, capture_ns: int) -> bool:
        """Take a line, its end included, for the journal ``name``; False where it is lost."""
        with self._lock:
            journal = self._journals.get(name)
            if journal is None:
                journal = self._journals[name] = _Growing(
                    JournalWriter(self._root / name, synced=True, recipients=self._recipients)
                )
            if self.held + len(line) > self._most:
                journal.lost.add(len(line), capture_ns)
                journal.untold.add(len(line), capture_ns)
                return False
            hour = hour_of(capture_ns)
            if hour > journal.hour:
                journal.close_run()
                journal.hour = hour
            if journal.untold.lines:
                told = _loss_line(journal.untold, capture_ns)
                journal.untold = Lost()
                journal.lines.append(told)
                self._held += len(told)
            journal.lines.append(line)
            self._held += len(line)
            early = self._held >= _EARLY_BYTES
        if early:
            self._wake.set()
        return True

    @property
    def held(self) -> int:
        """Bytes of lines that are not yet on disk."""
        return self._held + self._stuck

    @property
    def trouble(self) -> OSError | None:
        """Why the disk takes nothing at the moment; None where it does."""
        return self._trouble

    def lost(self) -> dict[str, Lost]:
        """The lines that were lost, by journal."""
        with self._lock:
            return {name: one.lost for name, one in self._journals.items() if one.lost.lines}

    def close(self) -> dict[str, list[JournalFile]]:
        """Write what is held and end the thread; the files by journal.

        Raises
        ------
        OSError
            If the disk does not take the last lines. What was written before is whole.
        """
        self._closing = True
        self._wake.set()
        self._thread.join()
        if self._trouble is not None:
            raise self._trouble
        return {name: one.writer.close() for name, one in self._journals.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
            return
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._closing:
            due = max(due + self._flush_s, time.monotonic())
            self._wake.wait(max(due - time.monotonic(), 0.0))
            self._wake.clear()
            self._write()
            if self._trouble is not None and not self._closing:
                time.sleep(self._flush_s)  # with a full disk every line would wake the thread
        self._write()

    def _write(self) -> None:
        """Hand over what has come since, and flush it."""
        try:
            for journal in list(self._journals.values()):
                self._write_one(journal)
        except OSError as error:
            if self._trouble is None and self._troubled is not None:
                self._troubled(error)
            self._trouble = error
            return
        if self._trouble is not None and self._troubled is not None:
            self._troubled(None)
        self._trouble = None

    def _write_one(self, journal: _Growing) -> None:
        with self._lock:
            journal.close_run()
            runs = journal.runs
        done = 0
        try:
            while done < len(runs):
                lines, capture_ns = runs[done]
                # what an error leaves in the writer is written first, so that a run is taken once
                journal.writer.flush()
                done += 1
                journal.writer.append(lines, capture_ns)
            journal.writer.flush()
        finally:
            with self._lock:
                self._stuck = sum(one.writer.pending_bytes for one in self._journals.values())
                self._held -= sum(len(lines) for lines, _ in runs[:done])
                del runs[:done]


def _loss_line(lost: Lost, capture_ns: int) -> bytes:
    text = {
        "capture_ns": capture_ns,
        "stream": "control",
        "conn": 0,
        "event": "lost",
        "lines": lost.lines,
        "bytes": lost.bytes,
        "first_ns": lost.first_ns,
        "last_ns": lost.last_ns,
    }
    return json.dumps(text, separators=(",", ":")).encode() + b"\n"
