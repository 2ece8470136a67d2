"""The commands run in this process: their exit codes and what they write, also on a terminal."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from threading import Thread
from typing import Any, Self

from lobproof.cli import filtered, run

PASS, FAIL, INCONCLUSIVE, ERROR = 0, 1, 2, 3
"""Exit codes."""

_END = b"\0END\0"


@dataclass(frozen=True, slots=True)
class Said:
    """What a command gave: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Its JSON."""
        found: dict[str, Any] = json.loads(self.out)
        return found


def command(*arguments: object) -> Said:
    """Run a command as ``lobproof`` would; anything raised here would be a traceback there."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Said(code, out.getvalue(), err.getvalue())


def refused(pattern: str, *arguments: object) -> str:
    """Run a command that must end in an error with these words, and a hint; the error."""
    said = command(*arguments)
    assert said.code == ERROR, said
    # before it, whoever comes first is told that kernels are compiled, and what files are taken for
    assert re.match(r"((Compiling kernels|reading )[^\n]*\n)*error: ", said.err), said.err
    assert re.search(pattern, said.err), said.err
    hint = said.err.partition("\nHint: ")[2].strip()
    assert hint
    assert "\n" not in hint
    return said.err


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
