"""Where an item stands with the person who works on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runtime.errors import ViewfinderError

Status = Literal["open", "done", "skipped", "flagged"]
STATUSES: tuple[Status, ...] = ("open", "done", "skipped", "flagged")


@dataclass(frozen=True)
class SetStatus:
    """The document becomes open, done, skipped or flagged."""

    to: Status
    note: str = ""

    def check(self) -> None:
        """Raise a ViewfinderError where there is no such status."""
        if self.to not in STATUSES:
            raise ViewfinderError(
                "unknown status", field="status", expected=" | ".join(STATUSES), found=self.to
            )
