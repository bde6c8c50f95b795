"""How long a person works: the time between signs of life, with pauses cut out."""

from __future__ import annotations

from collections.abc import Callable

IDLE_S = 20.0
"""Nobody looks at one item this long without moving mouse or keyboard: longer is a pause."""


class WorkedTime:
    """Seconds worked, in all and since the last edit.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._spent_s = self._worked_s = 0.0

    def present(self) -> None:
        """The person moved mouse or keyboard: time since the last such sign is work, up to
        `IDLE_S`; what is longer was a pause."""
        now = self._clock()
        worked = min(max(0.0, now - self._since), IDLE_S)
        self._since = now
        self._spent_s += worked
        self._worked_s += worked

    def begin(self) -> None:
        """Another item: what was spent on the one before is not this one's."""
        self.present()
        self._spent_s = 0.0

    def spent(self) -> float:
        """Seconds worked since this was asked last, or another item began."""
        self.present()
        spent, self._spent_s = self._spent_s, 0.0
        return spent

    def an_hour(self, finished: int) -> float | None:
        """Items an hour of work; None before the first is finished."""
        return finished * 3600 / self._worked_s if finished and self._worked_s > 0 else None
