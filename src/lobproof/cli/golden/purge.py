"""``lobproof golden purge``."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lobproof.cli.console import Json, Switch, err, out, print_json, progress
from lobproof.errors import UsageError
from lobproof.sources.collection.purge import LOG, Plan, plan, purge
from lobproof.timespan import duration_ns


def purge_(
    folder: Path,
    /,
    *,
    older_than: str,
    dry_run: Switch = False,
    yes: Switch = False,
    json_: Json = False,
) -> int:
    """Delete the journals of captures that ended longer ago than that.

    Only files that a capture's `session.json` lists, with the bytes that it lists. That document
    stays, with a note; `purged.jsonl` in the folder says what was deleted, when and by which
    version, and why what is old enough was left. Golden samples, captures that run, and all else
    stay as they are. Exit code 1 where something that is old enough was left: it is not as its
    document says, or the disk refuses.

    Parameters
    ----------
    folder
        Folder of a capture, or of captures at any depth.
    older_than
        Age from which on they are deleted, by the time at which they ended, such as 90d.
    dry_run
        Only show what would be deleted.
    yes
        Do not ask.
    json_
        Print one JSON document.
    """
    now_ns = time.time_ns()
    with progress("hashing") as (bar, task):
        before_ns = now_ns - duration_ns(older_than)
        made = plan(folder, before_ns, lambda path: bar.update(task, detail=path.name))
    if not json_:
        _show(made)
    planned = len(made.kept), len(made.refused)
    if (made.due or made.refused) and not dry_run:
        if made.due and not yes and not _agreed(made):
            raise UsageError("nothing was deleted", hint="add --yes, or answer with y")
        purge(folder, made, now_ns)
    if json_:
        print_json({"dry_run": dry_run, **made.to_dict()})
    elif made.due:
        _show_left(made.kept[planned[0] :], made.refused[planned[1] :])
        told = "Nothing is deleted: --dry-run."
        if not dry_run:
            files = sum(len(one.files) for one in made.deleted)
            freed = sum(one.bytes for one in made.deleted)
            told = (
                f"Deleted {files:,} files, {freed:,} bytes, of {len(made.deleted):,} captures; "
                f"{folder / LOG} says which."
            )
        out().print(told, soft_wrap=True)
    return 1 if made.refused else 0


def _agreed(made: Plan) -> bool:
    """Whether somebody at a terminal agrees."""
    if not sys.stdin.isatty():
        return False
    files = sum(len(one.files) for one in made.due)
    err().print(f"Delete {files:,} files of {len(made.due):,} captures? [y/N] ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _show(made: Plan) -> None:
    screen = out()
    for due in made.due:
        told = f"to delete {due.session.folder}: {len(due.files):,} files, {due.bytes:,} bytes"
        screen.print(told, soft_wrap=True)
    _show_left(made.kept, made.refused)
    if not made.due and not made.refused:
        screen.print("No capture is old enough.", style="dim")


def _show_left(kept: Sequence[tuple[Path, str]], refused: Sequence[tuple[Path, str]]) -> None:
    for where, why in kept:
        out().print(f"kept {where}: {why}", style="dim", soft_wrap=True)
    for where, why in refused:
        out().print(f"refused {where}: {why}", style="red", soft_wrap=True)
