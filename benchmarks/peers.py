"""The peers' process: started once, told row by row what to run, so that runs interleave."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("peers_worker.py")


class PeerError(Exception):
    """A peer could not do what was asked; the text says why."""


class Peers:
    """Speaks with ``peers_worker.py``, which holds the rows of one stream."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.python = str(self._answer()["python"])

    def ask(self, **command: Any) -> dict[str, Any]:
        """Give a command and wait for its answer; :class:`PeerError` with the peer's reason."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(command)}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if not line.startswith("{"):  # what a peer prints by itself
                continue
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                raise PeerError(answer["error"])
            return answer
        raise PeerError("the peers' process ended")


@contextmanager
def peers(python: Path, rows: Path) -> Iterator[Peers]:
    """The peers' process with the rows of a file that ``data.Stream.save`` wrote."""
    process = subprocess.Popen(
        [str(python), "-P", str(WORKER), str(rows)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Peers(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
