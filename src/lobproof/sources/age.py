"""age: bytes that are encrypted to recipients, each of whom reads them with an identity.

A recipient (``age1…``) is public and only encrypts; an identity (``AGE-SECRET-KEY-1…``) decrypts.
Of both the kind X25519 is known, which ``age-keygen`` makes. No message of ours repeats an
identity, or what stands in a file of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lobproof import documents
from lobproof.errors import InputError, UsageError, need_extra, shown

BEGINS = b"age-encryption.org/v1\n"
"""How whatever is encrypted begins."""
_PUBLIC, _SECRET = "age1", "AGE-SECRET-KEY-"
_ENCRYPTED = (BEGINS, b"-----BEGIN AGE ENCRYPTED FILE-----")
_MAX_BYTES = 1 << 16
_PUBLIC_HINT = "a recipient is `age1` and 58 letters and digits; `age-keygen -y FILE` shows it"
_SECRET_HINT = "name a file that `age-keygen` made"


class Recipients:
    """Those who are to read what is encrypted; ``names`` are their public keys."""

    def __init__(self, names: Sequence[str], keys: Sequence[Any]) -> None:
        from pyrage import encrypt

        self.names = list(names)
        self._keys = list(keys)
        self._encrypt = encrypt

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt; the same bytes come out differently each time."""
        encrypted: bytes = self._encrypt(data, self._keys)
        return encrypted


class Identities:
    """Secret keys, of which each decrypts what was encrypted to its recipient."""

    def __init__(self, keys: Sequence[Any]) -> None:
        from pyrage import DecryptError, decrypt

        self._keys = list(keys)
        self._decrypt = decrypt
        self._failed = DecryptError

    def decrypt(self, data: bytes) -> bytes:
        """Decrypt; ValueError where no identity fits, or a byte is not as it was."""
        try:
            plain: bytes = self._decrypt(data, self._keys)
        except self._failed as error:
            raise ValueError(f"it cannot be decrypted: {error}") from error
        return plain


def recipients_of(given: Sequence[str]) -> Recipients:
    """Recipients, or files with one in each line; blank lines and those with ``#`` say nothing.

    Raises
    ------
    UsageError
        If a secret key is given, or nothing.
    InputError
        If one is no recipient, or a file has none or cannot be read.
    ExtraError
        Without the extra ``encrypt``.
    """
    need_extra("encrypt")
    from pyrage import RecipientError, x25519

    found: dict[str, Any] = {}
    for text in given:
        where, names = "", [("", text)]
        if not text.startswith(_PUBLIC):
            _refuse_secret(text, "its recipient, age1…: `age-keygen -y FILE` shows it")
            where = text
            names = list(_lines(Path(text), "write recipients into it, one in each line"))
        for place, name in names:
            if name.upper().startswith(_SECRET):
                raise UsageError(
                    f"{where}{place} is a secret key, not a recipient", hint=_PUBLIC_HINT
                )
            try:
                found[name] = x25519.Recipient.from_str(name)
            except RecipientError:
                told = f"{where}{place}" if where else shown(name)
                raise InputError(f"{told} is no recipient of age", hint=_PUBLIC_HINT) from None
    if not found:
        raise UsageError("no recipient is given", hint=_PUBLIC_HINT)
    return Recipients(list(found), list(found.values()))


def identities_of(files: Sequence[Path]) -> Identities | None:
    """The identities in files that ``age-keygen`` made; None without a file.

    Raises
    ------
    UsageError
        If a secret key itself is given.
    InputError
        If a file is missing, has no identity, or a line that is none.
    ExtraError
        Without the extra ``encrypt``.
    """
    if not files:
        return None
    need_extra("encrypt")
    from pyrage import IdentityError, x25519

    keys = []
    for path in files:
        _refuse_secret(str(path), "the file that it stands in")
        for place, text in _lines(path, _SECRET_HINT):
            try:
                keys.append(x25519.Identity.from_str(text))
            except IdentityError:
                told = f"{path}{place} is no identity of age"
                raise InputError(told, hint=_SECRET_HINT) from None
    return Identities(keys)


def _refuse_secret(text: str, instead: str) -> None:
    """UsageError for a secret key on a command line, where others can see it."""
    if Path(text).name.upper().startswith(_SECRET):
        raise UsageError(
            "a secret key stands on the command line, and is not repeated here",
            hint=f"give {instead}; whoever can list processes may have seen the key: make another",
        )


def _lines(path: Path, hint: str) -> Iterator[tuple[str, str]]:
    """The lines of a file that say something, each behind its place."""
    try:
        data = documents.read_bytes(path, _MAX_BYTES)
        if data.startswith(_ENCRYPTED):
            raise InputError(
                f"{path} is encrypted itself",
                hint="decrypt it by `age -d`, to a place that only you can read",
            )
        lines = data.decode().splitlines()
    except FileNotFoundError:
        raise InputError(f"{path} does not exist", hint=hint) from None
    except UnicodeDecodeError:  # whose text repeats bytes
        raise InputError(f"{path} is no text", hint=hint) from None
    except ValueError as error:
        raise InputError(f"{path}: {error}", hint=hint) from None
    told = [(n, text) for n, line in enumerate(lines, 1) if (text := line.strip())]
    said = [(f", line {n}", text) for n, text in told if not text.startswith("#")]
    if not said:
        raise InputError(f"{path} has no key", hint=hint)
    yield from said
