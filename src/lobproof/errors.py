"""The errors of lobproof: one root, each message ends in a ``Hint:`` that says what to do next."""

from __future__ import annotations


class LobproofError(Exception):
    """Root of every error that lobproof raises on purpose.

    Parameters
    ----------
    message
        What is wrong, naming the file and row where there is one.
    hint
        What the user can do about it.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        self.message = message
        self.hint = hint
        super().__init__(message, hint)

    def __str__(self) -> str:
        return f"{self.message}\nHint: {self.hint}"


class InputError(LobproofError):
    """A file, a message or a row that cannot be what it claims to be."""


class GridError(LobproofError):
    """A price or size that the instrument's decimal grid cannot represent, or that overflows."""


class StrictError(LobproofError):
    """Strict mode met a gap or a doubt that would otherwise have been flagged."""


class StoreError(LobproofError):
    """A store that is missing, half-written, or not what its seal says."""


class UsageError(LobproofError):
    """A request that does not fit: unknown symbol, time outside the data, contradicting options."""
