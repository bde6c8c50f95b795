"""The one exception that users see.

Whatever a person can cause (a bad file, a wrong option, a folder that can't be written) ends in a
`ViewfinderError`; the command line prints it as one line and exits with 1. Anything else that
escapes is our bug and keeps its traceback.
"""

from __future__ import annotations

from pathlib import Path


class ViewfinderError(Exception):
    """What went wrong, where, what was expected there and what was found.

    Args:
        problem: one short sentence without a full stop.
        file: the file or folder concerned.
        field: the field, member, column or option concerned.
        expected: what would have been right.
        found: what was there instead.
        hint: what the user can do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        field: str | None = None,
        expected: object = None,
        found: object = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.field = field
        self.expected = expected
        self.found = found
        self.hint = hint
        super().__init__(str(self))

    def __str__(self) -> str:
        where = " ".join(part for part in (self.file, self.field and f"[{self.field}]") if part)
        line = f"{where}: {self.problem}" if where else self.problem
        if self.expected is not None:
            line += f"; expected {self.expected}"
        if self.found is not None:
            line += f"; found {self.found}"
        if self.hint is not None:
            line += f" ({self.hint})"
        return " ".join(line.split())

    def __reduce__(self) -> tuple[object, ...]:
        # Worker processes send errors home; the keyword-only arguments need telling how.
        state = (self.problem, self.file, self.field, self.expected, self.found, self.hint)
        return _restore, state


class Notice(ViewfinderError):  # noqa: N818 - it is none
    """Something that was got over, such as a camera that was away: told, but no failure."""


def _restore(
    problem: str, file: str | None, field: str | None, expected: object, found: object, hint: str
) -> ViewfinderError:
    return ViewfinderError(
        problem, file=file, field=field, expected=expected, found=found, hint=hint
    )


def missing_extra(extra: str, module: str) -> ViewfinderError:
    """The error for a command whose optional packages aren't installed."""
    return ViewfinderError(
        f"this command needs the package {module}, which isn't installed",
        hint=f"pip install 'viewfinder-live[{extra}]'",
    )
