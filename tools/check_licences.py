"""Check the licences of all packages that are installed here, from what they say of themselves.

Run by ``make lint`` in the environment of the lock, which has every dependency of the project, its
tests and its linters. Exit 1 with one line a finding: a package of a licence that is not accepted,
or of one that cannot be told.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from email import message_from_string
from email.message import Message
from importlib.metadata import distributions

ACCEPTED = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "HPND",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "MPL-2.0",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        "Zlib",
    }
)
"""SPDX identifiers, some with an exception: permissive ones, and MPL, which binds its own files."""
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "zlib/libpng License": "Zlib",
}
"""What a classifier says -> SPDX; any other is not accepted, OSI approved or not."""
TEXTS = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "mit license": "MIT",
    "python software foundation license": "PSF-2.0",
}
"""What the free field says, in lower case -> SPDX; it counts where nothing else is said."""
READ = {"pyrage": "MIT"}
"""Packages that say it in no field -> SPDX, by the text of the licence that they bring."""
_NAMED = "License :: "
_TOKEN = re.compile(r"[()]|[^\s()]+")


def problem(metadata: Message) -> str:
    """What is wrong with a package's licence; empty where it is accepted."""
    expression = metadata.get("License-Expression")
    if expression:
        return "" if accepted(expression) else f"its licence is {expression}"
    named = [
        text.rpartition(" :: ")[2]
        for text in metadata.get_all("Classifier") or ()
        if text.startswith(_NAMED) and text != "License :: OSI Approved"
    ]
    if named:
        # several are all true at once, or a choice: which of both nobody says
        bad = [name for name in named if CLASSIFIERS.get(name) not in ACCEPTED]
        return f"its licence is {', '.join(bad)}" if bad else ""
    text = " ".join((metadata.get("License") or "").split())
    text = text or READ.get(str(metadata.get("Name")), "")
    if not text:
        return "it does not say what its licence is"
    told = TEXTS.get(text.lower(), text)
    return "" if accepted(told) else f"its licence is {text[:60]!r}, which is not known here"


def accepted(expression: str) -> bool:
    """Whether an SPDX expression allows a use under accepted licences alone."""
    tokens = _TOKEN.findall(expression)
    try:
        value, rest = _either(tokens)
    except IndexError:
        return False
    return value and not rest


def _either(tokens: list[str]) -> tuple[bool, list[str]]:
    value, rest = _all(tokens)
    while rest and rest[0].upper() == "OR":
        other, rest = _all(rest[1:])
        value = value or other
    return value, rest


def _all(tokens: list[str]) -> tuple[bool, list[str]]:
    value, rest = _one(tokens)
    while rest and rest[0].upper() == "AND":
        other, rest = _one(rest[1:])
        value = value and other
    return value, rest


def _one(tokens: list[str]) -> tuple[bool, list[str]]:
    if tokens[0] == "(":
        value, rest = _either(tokens[1:])
        return value and rest[0] == ")", rest[1:]
    name, rest = tokens[0], tokens[1:]
    if rest and rest[0].upper() == "WITH":
        name, rest = f"{name} WITH {rest[1]}", rest[2:]
    return name in ACCEPTED, rest


def findings(packages: Iterable[Message]) -> list[str]:
    """A line for each package whose licence is not accepted, by its name."""
    told = ((str(metadata.get("Name")), problem(metadata)) for metadata in packages)
    return sorted(f"{name}: {wrong}" for name, wrong in told if wrong)


def main() -> int:
    """Check what is installed; return the exit code."""
    packages = [
        message_from_string(found.read_text("METADATA") or found.read_text("PKG-INFO") or "")
        for found in distributions()
    ]
    found = findings(packages)
    for line in found:
        print(line)
    print(f"{len(packages)} packages, {len(found)} findings")
    return 1 if found or not packages else 0


if __name__ == "__main__":
    sys.exit(main())
