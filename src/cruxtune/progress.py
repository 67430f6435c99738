"""Progress with time left, on the error stream: a bar in a terminal, a line a minute in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_SECONDS = 60.0
SPEED_SECONDS = 900.0
"""How far back the speed is measured from which the time left is told: one unit can take minutes."""


class Bar:
    """One running bar: `advance` moves it, `note` shows numbers beside it."""

    def __init__(self, progress: Progress, label: str, total: int, done: int) -> None:
        self._progress = progress
        self._label = label
        self._task = progress.add_task(label, total=total, completed=done, note="")
        self._last_line = time.monotonic()

    def advance(self, amount: int = 1) -> None:
        self._progress.advance(self._task, amount)
        self._say_if_due()

    def note(self, text: str) -> None:
        self._progress.update(self._task, note=text)
        self._say_if_due()

    def remove(self) -> None:
        self._progress.remove_task(self._task)

    def _say_if_due(self) -> None:
        """Where there is no terminal, a log shows that the work goes on."""
        now = time.monotonic()
        if not self._progress.disable or now - self._last_line < LINE_SECONDS:
            return
        self._last_line = now
        task = next(task for task in self._progress.tasks if task.id == self._task)
        facts = [f"{task.completed:,.0f} of {task.total:,.0f} in {duration(task.elapsed or 0)}"]
        facts += [f"{duration(task.time_remaining)} left"] if task.time_remaining else []
        facts += [task.fields["note"]] if task.fields["note"] else []
        print(f"{self._label}: {', '.join(facts)}", file=sys.stderr, flush=True)


_shown: list[Progress] = []
"""The bars that are on the screen."""


@contextmanager
def progress_bar(label: str, total: int, done: int = 0) -> Iterator[Bar]:
    """A bar of `total` units of which `done` were finished by an earlier run.

    Inside another one it is a line below it, while it lasts.
    """
    if _shown:
        bar = Bar(_shown[-1], label, total, done)
        try:
            yield bar
        finally:
            bar.remove()
        return
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(
        *columns,
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=SPEED_SECONDS,
    ) as progress:
        _shown.append(progress)
        try:
            yield Bar(progress, label, total, done)
        finally:
            _shown.remove(progress)


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> [duration(seconds) for seconds in (7.4, 60, 125, 7200, 3900)]
    ['7 s', '1 min', '2 min 5 s', '2 h', '1 h 5 min']
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    amounts = ((hours, "h"), (minutes, "min")) if hours else ((minutes, "min"), (rest, "s"))
    return " ".join(f"{amount} {unit}" for amount, unit in amounts if amount) or "0 s"
