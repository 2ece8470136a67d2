"""The errors of lobproof: one root, each message ends in a ``Hint:`` that says what to do next."""

from __future__ import annotations

import errno
import os
import re
from importlib.util import find_spec
from typing import ClassVar
from unicodedata import category

EXTRAS = {
    "acquire": ("dotenv", "stamina"),
    "capture": ("aiohttp",),
    "encrypt": ("pyrage",),
    "fidelity": ("scipy",),
    "history": ("ruptures",),
    "report": ("jinja2", "matplotlib"),
    "s3": ("obstore",),
    "telemetry": ("opentelemetry",),
}
"""Extra of the installed package → the modules that it brings."""


ODD = re.compile(r"[^\n -~]")
"""The characters to look at more closely: all but those of ASCII that can be printed."""


def visible(text: str) -> str:
    r"""Text from outside in which nothing is left that a terminal, a log or a page would obey.

    Control characters (C0 but for line ends, C1), marks that turn the direction of writing or have
    no width, separators of lines, and what is no character are written out, as ``\x1b`` and
    ``\u202e``.
    """
    return ODD.sub(lambda odd: ascii(odd[0])[1:-1] if is_hidden(odd[0]) else odd[0], text)


def is_hidden(character: str) -> bool:
    """Whether a character, no line end, is one that `visible` writes out."""
    return not character.isprintable() and category(character) != "Zs"


class LobproofError(Exception):
    """Root of every error that lobproof raises on purpose. Its texts are made `visible`.

    Parameters
    ----------
    message
        What is wrong, naming the file and row where there is one.
    hint
        What the user can do about it.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        self.message = visible(message)
        self.hint = visible(hint)
        super().__init__(self.message, self.hint)

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


class PlaceError(LobproofError):
    """The operating system refuses to read or write somewhere: rights, a full disk, a folder."""


class RemoteError(LobproofError):
    """A request that did not give what was asked for; ``kind`` says why, for machines."""

    kind: ClassVar[str] = "refused"


class AccessDeniedError(RemoteError):
    """The store knows us, or nobody, and says no."""

    kind = "access denied"


class CredentialsError(RemoteError):
    """The store does not take the credentials: expired, unknown, or wrong."""

    kind = "credentials"


class NotFoundError(RemoteError):
    """There is no such object or bucket."""

    kind = "not found"


class ChangedError(RemoteError):
    """The object is another than the one asked for."""

    kind = "changed"


class LimitError(RemoteError):
    """The store answers with more than any real one has."""

    kind = "limit"


class TransientError(RemoteError):
    """What may well work when asked again."""


class NotWholeError(TransientError):
    """What came is not the whole object."""

    kind = "not whole"


class UnavailableError(TransientError):
    """The store is busy, or the line to it broke or is silent."""

    kind = "unavailable"


class UnreachableError(UnavailableError):
    """There is no connection to the store: refused, not resolved, not answered."""

    kind = "unreachable"


def shown(text: str, most: int = 120) -> str:
    """Text from outside as a screen can bear it: one line, of at most so many characters.

    What cannot be printed is escaped, as Python escapes it.
    """
    if not text.isprintable():
        text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 1]}…"


NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What only writing meets: a disk or a quota that is full."""
_NO_RIGHT = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_SUCH = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR)


def system_error(error: OSError) -> int:
    """The number of an error of the operating system; 0 where it has none.

    What comes from Delta has it in its text alone.
    """
    found = re.search(r"os error (\d+)", str(error))
    return error.errno or (int(found[1]) if found else 0)


def system_text(error: OSError) -> str:
    """What is wrong, in the words of the operating system; in its own where it has no number."""
    number = system_error(error)
    return os.strerror(number) if number else str(error) or type(error).__name__


def panicked(error: BaseException) -> bool:
    """Whether Polars or Delta came upon what its authors held impossible: a damaged file, mostly.

    Such an error is no ``Exception``, and its class is to be had from no module.
    """
    return type(error).__name__ == "PanicException"


def place_error(error: OSError | PlaceError) -> PlaceError:
    """What to say of an error of the operating system, in words and with what can be done."""
    if isinstance(error, PlaceError):
        return error
    number = system_error(error)
    told = system_text(error)
    where = " and ".join(str(name) for name in (error.filename, error.filename2) if name)
    if number in NO_ROOM:
        hint = "make room, or choose another place; then run the same command again"
    elif number in _NO_RIGHT:
        hint = "choose another place, or get the right to read and write there"
    elif number in _NO_SUCH:
        hint = "check the path: every part of it but the last has to be a folder"
    else:
        hint = "check the path, its permissions and the free space"
    return PlaceError(f"{where}: {told}" if where else told, hint=hint)


class ExtraError(LobproofError):
    """Something was asked for whose packages are not installed: an extra brings them."""


def _extra_error(extra: str, module: str) -> ExtraError:
    return ExtraError(
        f"this needs the package {module}, which is not installed",
        hint=f"pip install 'lobproof[{extra}]' (in a clone: pip install '.[{extra}]')",
    )


def need_extra(extra: str) -> None:
    """Raise ``ExtraError`` where a package of an extra is missing, before any work is done."""
    for module in EXTRAS[extra]:
        if find_spec(module) is None:
            raise _extra_error(extra, module)


def missing_extra(error: BaseException | None) -> ExtraError | None:
    """Return what to say where an error comes from a missing package of an extra, else None.

    Who imports on demand may wrap the error in one of its own, so its causes are looked at too.
    """
    while error is not None:
        if isinstance(error, ModuleNotFoundError):
            module = str(error.name).partition(".")[0]
            for extra, modules in EXTRAS.items():
                if module in modules:
                    return _extra_error(extra, module)
        error = error.__cause__ or error.__context__
    return None
