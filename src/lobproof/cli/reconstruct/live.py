"""``Live``: symbol-days under way, each with a bar, and one for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from lobproof.cli.console import clock, duration, err, tell_of_compiling
from lobproof.pipeline import LakeDay, Outcome, Reached


class Live:
    """Bars in a terminal; elsewhere a line for each day that is done."""

    def __init__(self, bars: Progress, days: Sequence[LakeDay]) -> None:
        self._bars = bars
        self._sizes = {day.key: day.bytes for day in days}
        self._shares = dict.fromkeys(self._sizes, 0.0)
        self._total = sum(self._sizes.values())
        self._tasks: dict[tuple[str, str, str], TaskID] = {}
        self._all = bars.add_task(f"{len(days):,} days", total=self._total, detail="")

    def started(self, day: LakeDay) -> None:
        """A bar without an end: how many rows there are is told with the first of them."""
        self._tasks[day.key] = self._bars.add_task(str(day), total=None, detail="reading")

    def reached(self, day: LakeDay, reached: Reached) -> None:
        """Move its bar, and that of the whole."""
        task = self._tasks[day.key]
        total = max(reached.of_rows, reached.rows)
        self._bars.update(task, completed=reached.rows, total=total)
        self._bars.update(task, detail=f"{self._rate([task])}, at {clock(reached.ts_order)}")
        self._shares[day.key] = reached.rows / max(total, 1)
        self._move()

    def noted(self, day: LakeDay, sentence: str) -> None:
        """Print it."""
        said = sentence if str(day) in sentence else f"{day}: {sentence}"
        self._bars.console.print(said, style="dim", soft_wrap=True)

    def compiling(self, day: LakeDay, kernels: int) -> None:
        """Say so, and count."""
        tell_of_compiling(self._bars.console)
        self._bars.update(self._tasks[day.key], detail=f"compiling: {kernels} kernels")

    def ended(self, outcome: Outcome) -> None:
        """Take its bar away; what was there already says nothing of the time that is left."""
        key = outcome.day.key
        if key in self._tasks:
            self._bars.remove_task(self._tasks.pop(key))
        if outcome.result is not None and not outcome.result.reused:
            self._shares[key] = 1.0
        else:
            self._total -= self._sizes[key]
            self._shares[key] = 0.0
        self._move()
        if self._bars.disable:
            self._bars.console.print(_line(outcome), soft_wrap=True)

    def _move(self) -> None:
        done = sum(share * self._sizes[key] for key, share in self._shares.items())
        rate = self._rate(list(self._tasks.values()))
        self._bars.update(self._all, completed=done, total=self._total, detail=rate)

    def _rate(self, tasks: Sequence[TaskID]) -> str:
        chosen = [task for task in self._bars.tasks if task.id in tasks]
        return f"{sum(task.speed or 0.0 for task in chosen) / 1e6:.2f} M rows/s"


@contextmanager
def live(days: Sequence[LakeDay]) -> Iterator[Live]:
    """Show days while they are reconstructed, on standard error."""
    console = err()
    bars = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bars:
        yield Live(bars, days)


def _line(outcome: Outcome) -> str:
    result = outcome.result
    took = duration(int(outcome.seconds * 1e9))
    if result is None:
        return f"{outcome.day}: failed after {took}"
    if result.reused:
        return f"{outcome.day}: there already"
    day = result.days[0]
    return f"{outcome.day}: {day.strategy}, {day.counts.events:,} events, {took}"
