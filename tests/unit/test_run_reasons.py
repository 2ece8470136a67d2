"""Every error that a unit can end with has a code, and every code says what to do."""

from __future__ import annotations

import errno

import pytest

from lobproof import errors
from lobproof.errors import InputError, place_error
from lobproof.run.reasons import CODES, Kind, Reason, UnitError, reason_of, reason_of_exit
from lobproof.run.units import Unit


def subclasses(of: type[errors.LobproofError]) -> set[type[errors.LobproofError]]:
    found = {of}
    for one in of.__subclasses__():
        found |= subclasses(one)
    return found


def test_every_error_of_ours_has_a_code_of_its_own_kind() -> None:
    known = {errors.StrictError}  # a run has no strict mode
    for error in subclasses(errors.LobproofError) - {errors.LobproofError, UnitError} - known:
        if error.__module__ == errors.__name__:
            assert reason_of(error("what", hint="so")).code != "fault", error


@pytest.mark.parametrize(
    ("error", "code", "kind"),
    [
        (errors.UnreachableError("away", hint="h"), "bucket-away", Kind.PASSING),
        (errors.CredentialsError("old", hint="h"), "credentials", Kind.SYSTEM),
        (errors.AccessDeniedError("no", hint="h"), "credentials", Kind.SYSTEM),
        (errors.NotFoundError("gone", hint="h"), "absent", Kind.NEVER),
        (InputError("row 7", hint="h"), "input", Kind.DATA),
        (UnitError("no-go", "none"), "no-go", Kind.DATA),
        (OSError(errno.ENOSPC, "full"), "disk-full", Kind.ROOM),
        (OSError(errno.EACCES, "no"), "place", Kind.SYSTEM),
        (OSError("Generic error: os error 28)"), "disk-full", Kind.ROOM),
        (MemoryError(), "memory", Kind.MEMORY),
        (KeyboardInterrupt(), "stopped", Kind.STOPPED),
        (ZeroDivisionError("x"), "fault", Kind.FAULT),
    ],
)
def test_what_follows_from_an_error(error: BaseException, code: str, kind: Kind) -> None:
    found = reason_of(error)
    assert (found.code, found.kind) == (code, kind)
    assert found.words
    assert found.remedy


def test_a_full_disk_is_one_however_it_is_wrapped() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    wrapped = place_error(full)
    wrapped.__cause__ = full
    assert reason_of(wrapped).code == "disk-full"


def test_processes_that_are_gone() -> None:
    assert "SIGKILL" in reason_of_exit(-9).words
    assert reason_of_exit(-9).kind is Kind.MEMORY
    assert reason_of_exit(-9, out_of_memory=True).code == "memory"
    assert "ended with 1" in reason_of_exit(1).words
    assert "signal 99" in reason_of_exit(-99).words


def test_reasons_are_of_known_codes_and_bounded() -> None:
    with pytest.raises(ValueError, match="no code"):
        Reason("odd", "words")
    assert len(Reason.of("input", "x" * 9_999).words) == 600
    assert all(code.means and code.remedy for code in CODES.values())


@pytest.mark.parametrize("text", ["BINANCE/BTC-USDT", "a/b/c", "A/../2026-01-01", "A/B/2026-1-1"])
def test_names_of_no_unit(text: str) -> None:
    with pytest.raises(errors.UsageError):
        Unit.parse(text)


def test_a_unit_is_named_as_it_is_written() -> None:
    unit = Unit("BINANCE", "BTC-USDT", "2026-01-01")
    assert Unit.parse(str(unit)) == unit
