"""The flow limiter: as many frames in flight as may be, the newest waits, the others are dropped.

Each frame that is offered ends as delivered or dropped, and is counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Packet = TypeVar("Packet")


@dataclass(frozen=True)
class Flow:
    """How many frames went where.

    Attributes:
        offered: all that came.
        delivered: those whose results were taken.
        dropped: those that never will be.
        in_flight: being worked on, or done and not yet taken.
        queued: waiting: 0 or 1.
        longest_queue: the most that ever waited.
    """

    offered: int = 0
    delivered: int = 0
    dropped: int = 0
    in_flight: int = 0
    queued: int = 0
    longest_queue: int = 0


class FlowLimiter(Generic[Packet]):
    """Counts frames in and out. Not for several threads at once: its owner has the lock.

    Args:
        max_in_flight: so many may be worked on at a time.
    """

    def __init__(self, max_in_flight: int = 1) -> None:
        self._most = max_in_flight
        self._waiting: Packet | None = None
        self._offered = self._delivered = self._dropped = self._in_flight = self._longest = 0

    @property
    def room(self) -> bool:
        """Whether the next frame can be worked on at once."""
        return self._in_flight < self._most

    @property
    def flow(self) -> Flow:
        """The counts at present: offered = delivered + dropped + in flight + queued."""
        return Flow(
            self._offered, self._delivered, self._dropped, self._in_flight,
            int(self._waiting is not None), self._longest,
        )  # fmt: skip

    def offer(self, packet: Packet) -> tuple[Packet | None, Packet | None]:
        """A frame comes; returns the one to start now, and the one it pushed out, if any."""
        self._offered += 1
        if self.room:
            self._in_flight += 1
            return packet, None
        pushed_out, self._waiting = self._waiting, packet
        self._dropped += pushed_out is not None
        self._longest = 1
        return None, pushed_out

    def refuse(self) -> None:
        """A frame came that can't be used: it counts as offered and dropped."""
        self._offered += 1
        self._dropped += 1

    def taken(self) -> Packet | None:
        """A result has been taken: returns the frame to start now, if one waits."""
        self._delivered += 1
        self._in_flight -= 1
        packet, self._waiting = self._waiting, None
        self._in_flight += packet is not None
        return packet

    def abandon(self) -> None:
        """Nothing further will be delivered: what is on its way counts as dropped."""
        self._dropped += self._in_flight + (self._waiting is not None)
        self._in_flight, self._waiting = 0, None
