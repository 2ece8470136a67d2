"""A terminal to write to, and the commands on one."""

from __future__ import annotations

import os
import sys
from threading import Thread
from typing import Self

from lobproof.cli import filtered, run

_END = b"\0END\0"


class Terminal:
    """A terminal to write to, read as it is written: it holds a few KB."""

    def __enter__(self) -> Self:
        self._ours, self.descriptor = os.openpty()
        self._came = bytearray()
        self._reader = Thread(target=self._read)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.write(self.descriptor, _END)  # processes that were started may keep it open
        self._reader.join()
        os.close(self.descriptor)
        os.close(self._ours)

    def _read(self) -> None:
        while not self._came.endswith(_END):
            self._came += os.read(self._ours, 1 << 12)

    @property
    def shown(self) -> str:
        return self._came.removesuffix(_END).decode()


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
