"""``Reason``: why a unit was not done, as a code to decide by and as words to read.

`CODES` is the one place that says what a code is, what follows from it, and what can be done.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import msgspec

from lobproof.errors import (
    NO_ROOM,
    AccessDeniedError,
    ChangedError,
    CredentialsError,
    ExtraError,
    GridError,
    InputError,
    LobproofError,
    NotFoundError,
    PlaceError,
    RemoteError,
    StoreError,
    TransientError,
    UsageError,
    system_error,
)

_WORDS = 600
"""Characters of a reason that are kept."""


class Kind(StrEnum):
    """What follows from a reason."""

    PASSING = "passing"  # asked again after a while; no attempt of the unit
    ROOM = "room"  # the run waits until there is room; no attempt of the unit
    MEMORY = "memory"  # tried again alone, with more room
    DATA = "data"  # the same input cannot do better: tried once more, then quarantined
    FAULT = "fault"  # tried again up to the limit, then quarantined
    SYSTEM = "system"  # every unit would fail so: the run stops
    LATER = "later"  # the source does not have it yet
    NEVER = "never"  # the source lacks it for good
    STOPPED = "stopped"  # somebody stopped it, or does it elsewhere; no failure


@dataclass(frozen=True, slots=True)
class Code:
    """A code: what follows from it, what it means, and what to do."""

    kind: Kind
    means: str
    remedy: str


CODES = {
    "bucket-away": Code(
        Kind.PASSING,
        "The bucket does not answer, is busy, or sent less than it said.",
        "Nothing: it is asked again, and the run waits while nothing comes.",
    ),
    "changed": Code(
        Kind.PASSING,
        "An object was replaced while it was fetched.",
        "Nothing: the new one is fetched.",
    ),
    "disk-full": Code(
        Kind.ROOM,
        "A disk or a quota is full.",
        "Make room on the disk that is named; the run goes on by itself.",
    ),
    "memory": Code(
        Kind.MEMORY,
        "The machine's memory ran out while the unit was worked at.",
        "Give fewer workers or more memory: [resources] workers, memory_gb.",
    ),
    "killed": Code(
        Kind.MEMORY,
        "The unit's process was killed from outside, as the system does where memory runs out.",
        "Look who killed it; give fewer workers where it was the system.",
    ),
    "input": Code(
        Kind.DATA,
        "A file of the day is damaged, or is not what it claims to be.",
        "See the file and row that it names; download the day again once the vendor has mended it.",
    ),
    "grid": Code(
        Kind.DATA,
        "A price or size fits no decimal grid of the instrument.",
        "See the file and row that it names.",
    ),
    "uncertified": Code(
        Kind.DATA,
        "The inputs of the day got no certificate that [certify] accepts.",
        "See the refusals; `lobproof acquire certify` says them too. Or accept less: [certify].",
    ),
    "no-go": Code(
        Kind.DATA,
        "The day was assessed, and no strategy can be trusted with it.",
        "See the reasons; `lobproof doctor` shows the day. Or change [assess].",
    ),
    "fidelity": Code(
        Kind.DATA,
        "The reconstructed day differs from the market that it was held against.",
        "`lobproof explain` with the unit names the gate and the report.",
    ),
    "store": Code(
        Kind.FAULT,
        "The store holds something else than its seals say.",
        "`lobproof inspect STORE --check` names the files; reconstruct those days anew.",
    ),
    "fault": Code(
        Kind.FAULT,
        "An error that nobody foresaw: a fault of lobproof.",
        "Report it with the traceback in the log.",
    ),
    "place": Code(
        Kind.SYSTEM,
        "The operating system refuses to read or write somewhere.",
        "Check the path and the rights that are named, then run the same command again.",
    ),
    "credentials": Code(
        Kind.SYSTEM,
        "The bucket does not take the credentials, or does not let them in.",
        "Renew them, then run the same command again.",
    ),
    "request": Code(
        Kind.SYSTEM,
        "What is asked for does not fit: an unknown name, options that contradict each other.",
        "Mend the configuration, then run the same command again.",
    ),
    "extra": Code(
        Kind.SYSTEM,
        "A package that is needed is not installed.",
        "Install the extra that is named, then run the same command again.",
    ),
    "versions": Code(
        Kind.SYSTEM,
        "A worker runs another version of lobproof, or of its kernels, than the driver.",
        "Install the same version everywhere.",
    ),
    "not-published": Code(
        Kind.LATER,
        "The source does not have the day yet, or not all of its tables.",
        "Nothing: the next run asks again.",
    ),
    "absent": Code(
        Kind.NEVER,
        "The source lacks the day, or one of its tables, longer than it takes to publish one.",
        "Leave the day out, or ask the vendor; `lobproof run retry UNIT` asks again.",
    ),
    "taken": Code(
        Kind.STOPPED,
        "Another run works at the unit, or took it over.",
        "Nothing: its result counts.",
    ),
    "stopped": Code(
        Kind.STOPPED,
        "The run was stopped while the unit was worked at.",
        "Run the same command again: it goes on where it was.",
    ),
}
"""Every code that a unit can end with."""


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a unit was not done: a code of `CODES`, what happened, what to do."""

    code: str
    words: str
    remedy: str = ""

    def __post_init__(self) -> None:
        """Refuse codes that are none."""
        if self.code not in CODES:
            raise ValueError(f"there is no code {self.code!r}")

    @classmethod
    def of(cls, code: str, words: str, remedy: str = "") -> Self:
        """A reason; its words are cut to what is kept, and the code has a remedy where none is."""
        short = words if len(words) <= _WORDS else f"{words[: _WORDS - 1]}…"
        return cls(code, short, remedy or CODES[code].remedy)

    @property
    def kind(self) -> Kind:
        """What follows from it."""
        return CODES[self.code].kind


class UnitError(LobproofError):
    """A unit that a stage does not let pass; ``code`` is one of `CODES`."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint or CODES[code].remedy)
        self.code = code


_BY_CLASS: tuple[tuple[type[LobproofError], str], ...] = (
    (CredentialsError, "credentials"),
    (AccessDeniedError, "credentials"),
    (NotFoundError, "absent"),
    (TransientError, "bucket-away"),
    (ChangedError, "changed"),
    (RemoteError, "request"),
    (GridError, "grid"),
    (InputError, "input"),
    (StoreError, "store"),
    (ExtraError, "extra"),
    (UsageError, "request"),
    (PlaceError, "place"),
)
"""The first that an error is one of counts: the narrower before the wider."""


def reason_of(error: BaseException) -> Reason:
    """Why a unit was not done that ended with ``error``."""
    if any(system_error(one) in NO_ROOM for one in _causes(error) if isinstance(one, OSError)):
        return Reason.of("disk-full", *_said(error))
    if isinstance(error, UnitError):
        return Reason.of(error.code, *_said(error))
    for known, code in _BY_CLASS:
        if isinstance(error, known):
            return Reason.of(code, *_said(error))
    if isinstance(error, MemoryError):
        return Reason.of("memory", "out of memory")
    if isinstance(error, KeyboardInterrupt):
        return Reason.of("stopped", "stopped")
    return Reason.of("place" if isinstance(error, OSError) else "fault", *_said(error))


def reason_of_exit(code: int | None, *, out_of_memory: bool = False) -> Reason:
    """Why a unit was not done whose process is gone.

    Parameters
    ----------
    code
        As `multiprocessing` has it: negative for the signal that ended it.
    out_of_memory
        Whether the system says that it killed for want of memory.
    """
    if code is not None and code < 0:
        try:
            by = f"its process was killed by {signal.Signals(-code).name}"
        except ValueError:
            by = f"its process was killed by signal {-code}"
    else:
        by = f"its process ended with {code}"
    return Reason.of("memory" if out_of_memory else "killed", by)


def _said(error: BaseException) -> tuple[str, str]:
    """What an error says, and its hint."""
    if isinstance(error, LobproofError):
        return error.message, error.hint
    return f"{type(error).__name__}: {error}", ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and those that it comes from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
