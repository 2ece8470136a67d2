"""``lobproof golden check``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from lobproof.cli.console import Json, out, print_json, progress
from lobproof.errors import UsageError
from lobproof.sources.age import identities_of
from lobproof.sources.collection.check import Checked, check
from lobproof.sources.collection.found import find

_STYLES = {"whole": "green", "unproven": "yellow", "failed": "bold red"}


def check_(
    folders: list[Path],
    /,
    *,
    identity: Annotated[Sequence[Path], Parameter(negative=(), show_default=False)] = (),
    json_: Json = False,
) -> int:
    """Prove that no break of captures and golden samples is without a mark.

    Every journal is read: frames and their checksums, SHA-256, counts, and the ids of depth
    messages and trades against the lines that tell of gaps, resets and losses. Exit code 1 where
    something is not as it is said to be, 2 where evidence is incomplete, as of a capture that was
    killed, or that is encrypted and no identity decrypts.

    Parameters
    ----------
    folders
        Folders of captures and golden samples, or that hold such at any depth.
    identity
        File of an age identity, to decrypt encrypted captures with; may be given several times.
    json_
        Print one JSON document.
    """
    keys = identities_of(identity)
    checked: list[Checked] = []
    with progress("checking") as (bar, task):
        for found in find(folders):
            checked += check(found, lambda path: bar.update(task, detail=path.name), keys)
    if not checked:
        raise UsageError(
            "no capture and no golden sample is there",
            hint="name folders that `lobproof capture` or `lobproof import` made",
        )
    if json_:
        print_json({"checked": [one.to_dict() for one in checked]})
    else:
        for one in checked:
            _show(one)
    verdicts = {one.verdict for one in checked}
    return 1 if "failed" in verdicts else 2 if "unproven" in verdicts else 0


def _show(one: Checked) -> None:
    screen = out()
    told = f"{one.verdict}: {one.folder} {one.name}"
    if one.state:
        told += f" ({one.state}), {one.lines:,} lines, {one.marked:,} marked"
    screen.print(told, style=_STYLES[one.verdict], soft_wrap=True)
    for lines, style in ((one.failures, "red"), (one.unproven, "yellow"), (one.notes, "dim")):
        for line in lines:
            screen.print(f"  {line}", style=style, soft_wrap=True)
