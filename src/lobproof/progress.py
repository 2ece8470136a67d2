"""``Progress``: how long work tells how far it is, in one form everywhere."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called now and then: what is worked at, how much of it is done, of how much (0: not known).

What is counted depends on the work: bytes, rows, events, files.
"""
