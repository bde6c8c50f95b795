"""What a training tells: a live line on the terminal, a log file of JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from runtime.errors import ViewfinderError


@dataclass(frozen=True)
class Status:
    """A moment of a training: one line of the log.

    Attributes:
        step: steps done.
        elapsed_s: seconds of training, earlier parts of a resumed one included.
        fraction: of its time or steps, 0..1.
        samples: crops seen.
        loss: mean of each part of the loss since the last line; "loss" is the weighted sum.
        learning_rate: now.
        samples_per_s: since the last line.
        loader_share: CPU time of making batches over the process's, since the last line.
        validation_error: mean 2D error over the normalising length, when it was measured.
    """

    step: int
    elapsed_s: float
    fraction: float
    samples: int
    loss: Mapping[str, float]
    learning_rate: float
    samples_per_s: float
    loader_share: float
    validation_error: float | None = None


class Reporter(Protocol):
    """Where a training's news go."""

    def update(self, status: Status) -> None:
        """Called a few times a second."""

    def message(self, text: str) -> None:
        """Something worth a line of its own."""


class Silent:
    """No news."""

    def update(self, status: Status) -> None:
        """Drop it."""

    def message(self, text: str) -> None:
        """Drop it."""


class LiveReport:
    """A progress bar on stderr with loss, validation error, speed and time left."""

    def __init__(self, title: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[news]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            refresh_per_second=4,
            disable=not self._console.is_terminal,  # a log gets lines, see `update`
        )
        self._task = self._progress.add_task(title, total=1.0, news="")
        self._error = ""
        self._quarter = 0

    def __enter__(self) -> LiveReport:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def update(self, status: Status) -> None:
        """Move the bar; without a terminal, print a line every quarter."""
        if status.validation_error is not None:
            self._error = f" · validation error {100 * status.validation_error:.2f} %"
        news = (
            f"loss {status.loss['loss']:.4f}{self._error} · "
            f"{status.samples_per_s:.0f} samples/s · step {status.step}"
        )
        self._progress.update(self._task, completed=status.fraction, news=news)
        if not self._console.is_terminal and int(4 * status.fraction) > self._quarter:
            self._quarter = int(4 * status.fraction)
            self._console.print(f"{100 * status.fraction:.0f} % · {news}", highlight=False)

    def message(self, text: str) -> None:
        """Print a line above the bar."""
        self._progress.print(text, highlight=False, markup=False)


class Log:
    """The JSON-lines file beside the checkpoint: a `Status` a line, for loss curves.

    Args:
        path: started anew, or
        kept_steps: continued after this many steps; lines that a killed run wrote past its last
            checkpoint are dropped.
    """

    def __init__(self, path: Path, kept_steps: int | None = None) -> None:
        kept = []
        if kept_steps is not None and path.is_file():
            kept = [line for line in read_log(path) if line["step"] <= kept_steps]
        try:
            self._file = path.open("w", encoding="utf-8")
        except OSError as error:
            raise ViewfinderError(f"can't be written: {error.strerror}", file=path) from error
        for line in kept:
            self._file.write(json.dumps(line) + "\n")

    def write(self, status: Status) -> None:
        """Append a line."""
        self._file.write(json.dumps(asdict(status)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@contextmanager
def on_board(folder: Path | None, inner: Reporter) -> Iterator[Reporter]:
    """A reporter that also draws TensorBoard's curves; `inner` itself without a folder.

    Raises:
        ViewfinderError: a folder that can't be written.
    """
    if folder is None:
        yield inner
        return
    from torch.utils.tensorboard import SummaryWriter

    try:
        writer = SummaryWriter(str(folder))
    except OSError as error:
        raise ViewfinderError(f"can't be written: {error.strerror}", file=folder) from error
    try:
        yield _Board(writer, inner)
    finally:
        writer.close()


class _Board:
    def __init__(self, writer: Any, inner: Reporter) -> None:
        self._writer, self._inner = writer, inner
        self.message = inner.message

    def update(self, status: Status) -> None:
        self._inner.update(status)
        curves = {f"loss/{name}": value for name, value in status.loss.items()}
        for name in ("learning_rate", "samples_per_s", "loader_share", "validation_error"):
            if (value := getattr(status, name)) is not None:
                curves[name] = value
        for name, value in curves.items():
            self._writer.add_scalar(name, value, status.step)
        self._writer.flush()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last line that was cut off is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            break
    return lines
