"""Check that no file of the project names a machine, a registry, or silences a checker.

Run by ``make lint`` over everything that git tracks or would track. Exit 1 with one line a finding.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

MAX_BYTES = 2_000_000

# Written so that this file passes its own check.
EVERYWHERE = {
    "absolute path of a machine": re.compile(r"(?<![\w.$~}])/(?:work|root|home|Users)/\w"),
    "package index": re.compile(
        r"pypi\.org|pythonhosted\.org|registry\.npmjs|crates\.io/api|deb\.debian\.org"
        r"|^\s*--(?:extra-)?index-url|^\s*--find-links|\bfile:/{2,3}\w"
    ),
}
IN_PYTHON = {
    "silenced checker": re.compile(r"#\s*(?:type:\s*ignore|no[q]a\b|pragma:\s*no\b)"),
    "unfinished work": re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X])\b"),
}


def findings(path: Path) -> list[str]:
    """Return what is wrong with one file, a line each."""
    data = path.read_bytes()
    found = []
    if len(data) > MAX_BYTES:
        found.append(f"{path}: {len(data):,} bytes, more than {MAX_BYTES:,}: it belongs elsewhere")
    if b"\0" in data:
        return found
    rules = EVERYWHERE | (IN_PYTHON if path.suffix == ".py" else {})
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), start=1):
        found += [
            f"{path}:{number}: {name}: {line.strip()[:100]}"
            for name, pattern in rules.items()
            if pattern.search(line)
        ]
    return found


def main() -> int:
    """Check every file; return the exit code."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    ).stdout
    paths = [Path(name.decode()) for name in listed.split(b"\0") if name]
    found = [line for path in paths if path.is_file() for line in findings(path)]
    for line in found:
        print(line)
    print(f"{len(paths)} files, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
