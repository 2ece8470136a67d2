"""``lobproof golden purge``."""

from __future__ import annotations

import sys
import time
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
    version. Golden samples, captures that run, and all else stay as they are. Exit code 1 where
    something that is old enough is not as its document says, and was left.

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
    if made.due and not dry_run:
        if not yes and not _agreed(made):
            raise UsageError("nothing was deleted", hint="add --yes, or answer with y")
        purge(folder, made, now_ns)
    if json_:
        print_json({"deleted": bool(made.due) and not dry_run, **made.to_dict()})
    elif made.due:
        told = (
            "Nothing is deleted: --dry-run." if dry_run else f"Deleted; {folder / LOG} says what."
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
        told = f"{due.session.folder}: {len(due.files):,} files, {due.bytes:,} bytes"
        screen.print(told, soft_wrap=True)
    for where, why in made.kept:
        screen.print(f"kept {where}: {why}", style="dim", soft_wrap=True)
    for where, why in made.refused:
        screen.print(f"refused {where}: {why}", style="red", soft_wrap=True)
    if not made.due:
        screen.print("No capture is old enough.", style="dim")
