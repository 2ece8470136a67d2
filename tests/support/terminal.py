"""A terminal to write to, and the commands on one."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from threading import Thread
from typing import Self

from lobproof.cli import filtered, run


class Terminal:
    """A terminal to write to, read as it is written: it holds a few KB."""

    def __enter__(self) -> Self:
        self._ours, self.descriptor = os.openpty()
        self._pieces: list[bytes] = []
        self._reader = Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)
        self._reader.join()
        os.close(self._ours)

    def _read(self) -> None:
        with suppress(OSError):  # the other side is closed
            while piece := os.read(self._ours, 1 << 12):
                self._pieces.append(piece)

    @property
    def shown(self) -> str:
        return b"".join(self._pieces).decode()


def on_terminal(*arguments: object) -> tuple[int, str]:
    """Run a command with both outputs on a terminal, as `main` does; its code, and what came."""
    before = sys.stdout, sys.stderr
    with (
        Terminal() as terminal,
        os.fdopen(os.dup(terminal.descriptor), "w", encoding="utf-8") as to,
    ):
        sys.stdout = sys.stderr = filtered(to, terminal.descriptor)
        try:
            code = run([str(argument) for argument in arguments])
            sys.stdout.flush()
        finally:
            sys.stdout, sys.stderr = before
    return code, terminal.shown
