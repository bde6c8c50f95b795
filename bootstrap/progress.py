"""Progress on standard error, and the way long work stops when a person presses Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer


@contextmanager
def progress_bar(title: str, again: str) -> Iterator[Callable[[int, int], None]]:
    """A bar with the time left, on a terminal; on Ctrl-C, what to do to go on, and exit code 1.

    Args:
        title: what is being done.
        again: how to resume, said after Ctrl-C.

    Yields:
        a function to call with what is done and what there is in all.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    console = Console(stderr=True)
    # In a log the bar would be a line of its own, an empty one before an error.
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        try:
            yield advance
        except KeyboardInterrupt:
            bar.stop()
            typer.echo(f"stopped; {again}", err=True)
            raise typer.Exit(1) from None
