"""Processes of their own that tests start, watch and kill: one way for all of them."""

from __future__ import annotations

import importlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

Process = subprocess.Popen[str]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
COMMAND = "from lobproof.cli import main; main()"
"""A script: the command as a terminal starts it."""


def start(
    script: str, *arguments: object, environment: Mapping[str, str] = ENVIRONMENT, **options: Any
) -> Process:
    """Run a script of Python in a process of its own, with pipes to and from it."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@contextmanager
def running(script: str, *arguments: object, **options: Any) -> Iterator[Process]:
    """The process, killed at the end."""
    process = start(script, *arguments, **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(line: str, process: Process) -> None:
    """Read until the process has said so, or ends."""
    assert process.stdout is not None
    for said in process.stdout:
        if said.strip() == line:
            return


def let_go(process: Process) -> None:
    """Let a process go on that waits for a line."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def killed_at_random(process: Process, rng: random.Random, longest: float) -> None:
    """Kill it within ``longest`` seconds from now."""
    time.sleep(rng.uniform(0, longest))
    process.kill()
    process.communicate()


def killed_until_done(
    begin: Callable[[], AbstractContextManager[Process]],
    rng: random.Random,
    longest: float,
    look: Callable[[], None],
) -> int:
    """Start again and again, each time killed at a random instant within ``longest`` seconds.

    Those begin where it has ``begun``; or, one time in four, where it is ``ready``. Returns the
    kills; the last run was faster than its kill. ``look`` is called behind each kill.
    """
    kills = 0
    while True:
        with begin() as process:
            wait_for("ready" if rng.random() < 0.25 else "begun", process)
            try:
                _, errors = process.communicate(timeout=rng.uniform(0, longest))
            except subprocess.TimeoutExpired:
                kills += 1
            else:
                assert process.returncode == 0, errors
                return kills
        look()


def die_at(target: str, count: int, when: str) -> None:
    """In a child: it is to be killed ``before`` or ``after`` the nth call of a function.

    ``target`` is named as ``package.module:Class.method``.
    """
    module, _, name = target.partition(":")
    owner = importlib.import_module(module)
    *outer, name = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), itertools.count(1)  # several threads call

    def dying(*arguments: Any, **options: Any) -> Any:
        chosen = next(calls) == count
        if chosen and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*arguments, **options)
        if chosen:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


def died(process: Process) -> None:
    """Assert that it was killed by itself."""
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
