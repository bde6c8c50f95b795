"""Timestamps that rise, whatever the clock of a source does."""

from __future__ import annotations

_LONGEST_STEP_US = 1_000_000


class RisingTime:
    """Makes a source's timestamps rise.

    One that repeats the last is refused. One that lies before it means that the clock was set or
    the source began anew: from there on timestamps go on from the last one given.

    Attributes:
        repeated: how many were refused.
        stepped_back: how often the clock did.
    """

    def __init__(self) -> None:
        self.repeated = 0
        self.stepped_back = 0
        self._last_us: int | None = None
        self._step_us = 1
        self._offset_us = 0

    def next(self, timestamp_us: int) -> tuple[int, bool] | None:
        """The timestamp to use, and whether the clock stepped back; None for a repeated one."""
        last = self._last_us
        if last is None:
            self._last_us = timestamp_us
            return timestamp_us, False
        if timestamp_us == last:
            self.repeated += 1
            return None
        stepped_back = timestamp_us < last
        if stepped_back:
            self.stepped_back += 1
            # As far from the last one as that was from the one before.
            self._offset_us += last + self._step_us - timestamp_us
        else:
            self._step_us = min(timestamp_us - last, _LONGEST_STEP_US)
        self._last_us = timestamp_us
        return timestamp_us + self._offset_us, stepped_back


class Pace:
    """At most so many timestamps a second.

    Args:
        hz: how many; infinity for all.
    """

    def __init__(self, hz: float) -> None:
        self._period_us = 1e6 / hz
        self._due_us: float | None = None

    def due(self, timestamp_us: int) -> bool:
        """Whether this one is among them; timestamps rise from call to call."""
        if self._due_us is None or timestamp_us - self._due_us > self._period_us:
            self._due_us = float(timestamp_us)
        if timestamp_us < self._due_us:
            return False
        self._due_us += self._period_us
        return True

    def reset(self) -> None:
        """Forget earlier timestamps."""
        self._due_us = None
