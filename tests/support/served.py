"""``lobproof serve`` in a process of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from support.kills import COMMAND, ENVIRONMENT, running


@contextmanager
def served(*words: object) -> Iterator[str]:
    """The address of a simulated exchange, a process of its own."""
    environment = {**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}
    with running(COMMAND, "serve", "--simulate", *words, environment=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0]
                break
