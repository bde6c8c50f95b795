"""What a person sees of a run: frames with overlays, held on pause, looked back at, saved.

A viewer is a sink that draws each frame for its screens (a window, a web page) and does what their
keys and buttons ask for, all on the loop's own thread.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from runtime.drawing.against import difference_words
from runtime.drawing.result import Look, drawn_result
from runtime.drawing.strokes import Picture
from runtime.errors import ViewfinderError
from runtime.results import FrameResult
from runtime.sources import Frame
from runtime.viewing.controls import Action, Controls

MESSAGE_SECONDS = 2.5
_HISTORY_BYTES = 96_000_000
_HISTORY_FRAMES = 120
_LONGEST_PAUSE_S = 1.0  # between two frames of a video; longer gaps in timestamps are skipped

Save = Callable[[Frame, FrameResult], str]


@dataclass(frozen=True)
class Status:
    """What is said beside the picture.

    Attributes:
        result: of the frame shown.
        fps: frames shown a second, smoothed; 0 before there were two.
        dropped: frames skipped since the start.
        back: how many frames before the newest this one is.
        paused, overlays: as the controls have them.
        view: how two models are shown; "" for one.
        message: for the moment; "" for none.
        help: whether the keys are to be shown.
    """

    result: FrameResult
    fps: float
    dropped: int
    back: int
    paused: bool
    overlays: bool
    view: str
    message: str
    help: bool

    def parts(self) -> list[str]:
        """The status line's parts, the model first."""
        result = self.result
        parts = [result.model] if result.model else []
        if self.fps:
            parts.append(f"{self.fps:.0f} fps")
        parts.append(f"{result.spent_ms:.1f} ms")
        if result.against is not None:
            parts.append(f"against {result.against.spent_ms:.1f} ms")
        parts.append(f"frame {result.frame}")
        if self.dropped:
            parts.append(f"{self.dropped} dropped")
        if self.paused:
            parts.append(f"paused, {self.back} back" if self.back else "paused")
        if not self.overlays:
            parts.append("overlays off")
        return parts

    def difference(self) -> str:
        """What two models disagree about, in words; "" for one."""
        against = self.result.against
        return "" if against is None else difference_words(against.difference)


class Screen(Protocol):
    """Shows pictures and has keys or buttons."""

    def show(self, picture: Picture, status: Status) -> None:
        """Show a (H, W, 3) uint8 RGB picture, which stays as it is."""
        ...

    def actions(self) -> Iterable[Action]:
        """What was asked for since the last time."""
        ...

    def close(self) -> None:
        """Go away."""
        ...


@dataclass
class _History:
    """The newest frames, as many as fit, and which of them is shown."""

    entries: deque[tuple[Frame, FrameResult]] = field(default_factory=deque)
    back: int = 0
    _bytes: int = 0

    def add(self, frame: Frame, result: FrameResult) -> None:
        self.entries.append((frame, result))
        self._bytes += frame.rgb.nbytes
        while len(self.entries) > 1 and (
            self._bytes > _HISTORY_BYTES or len(self.entries) > _HISTORY_FRAMES
        ):
            self._bytes -= self.entries.popleft()[0].rgb.nbytes
        self.back = 0

    def move(self, by: int) -> bool:
        """Look further back (positive) or forward; False if there is no such frame."""
        if not 0 <= self.back + by < len(self.entries):
            return False
        self.back += by
        return True

    @property
    def shown(self) -> tuple[Frame, FrameResult]:
        return self.entries[-1 - self.back]


class Viewer:
    """A sink for people.

    Args:
        controls: what they want; this viewer looks after its screens while the loop waits.
        screens: where frames are shown.
        look: how results are drawn.
        relook: looks at a frame again, when another model is chosen on pause.
        save: what the s key does; None where there is no data set to save to.
        pace: show a video no faster than it was taken.
    """

    def __init__(
        self,
        controls: Controls,
        screens: Sequence[Screen],
        look: Look,
        relook: Callable[[Frame], FrameResult] | None = None,
        save: Save | None = None,
        pace: bool = False,
    ) -> None:
        self._controls = controls
        self._screens = list(screens)
        self._look = look
        self._relook = relook
        self._save = save
        self._pace = pace
        self._history = _History()
        self._shown_version = -1
        self._message_shown = ""
        self._dropped = 0
        self._seconds_a_frame = 0.0
        self._last_at = 0.0
        self._last_us = -1
        self._was_held = False
        controls.while_waiting = self.attend

    def write(self, frame: Frame, result: FrameResult) -> bool:
        """Show a frame; False once the person has quit."""
        self._history.add(frame, result)
        self._dropped += result.dropped
        self._keep_pace(frame.timestamp_us)
        self._show()
        return not self._controls.quit

    def attend(self) -> None:
        """Do what keys and buttons ask for; the loop calls this while it waits."""
        for screen in self._screens:
            for action in screen.actions():
                self._do(action)
        self._was_held = self._was_held or self._controls.paused
        if not self._history.entries:
            return
        if self._controls.version != self._shown_version or self._message() != self._message_shown:
            self._show()

    def close(self, failed: bool = False) -> None:
        """Close the screens."""
        self._controls.while_waiting = lambda: None
        for screen in self._screens:
            screen.close()

    def _do(self, action: Action) -> None:
        controls, history = self._controls, self._history
        if action is Action.pause and controls.one_by_one:
            action = Action.forward
        if action is Action.save:
            self._save_shown()
        elif action is Action.back:
            if not history.move(1):
                controls.say("no frame before this one is kept")
        elif action in (Action.forward, Action.pause) and history.back:
            # From the past, forward leads to the present first, and going on goes on from there.
            history.move(-1 if action is Action.forward else -history.back)
            if action is Action.forward:
                controls.touch()
                return
        elif action is Action.against and not controls.two:
            controls.say("for two models, give --against MODEL")
        elif action is Action.model and controls.models < 2:
            controls.say("for other models, give --model more than once")
        controls.do(action)
        if action is Action.model and controls.paused and history.entries and self._relook:
            frame, _ = history.shown
            history.entries[-1 - history.back] = (frame, self._relook(frame))

    def _save_shown(self) -> None:
        if not self._history.entries:
            return
        if self._save is None:
            self._controls.say("give --save-to DIR to keep frames")
            return
        try:
            self._controls.say(self._save(*self._history.shown))
        except ViewfinderError as error:
            self._controls.say(str(error))

    def _show(self) -> None:
        controls = self._controls
        self._shown_version = controls.version
        self._message_shown = self._message()
        frame, result = self._history.shown
        if controls.overlays:
            picture = drawn_result(frame.rgb, result, self._look, controls.view)
        else:
            picture = frame.rgb[:, ::-1].copy() if self._look.mirrored else frame.rgb
        status = Status(
            result, self._frames_a_second(), self._dropped, self._history.back, controls.paused,
            controls.overlays, controls.view if result.against else "", self._message_shown,
            controls.help,
        )  # fmt: skip
        for screen in self._screens:
            screen.show(picture, status)

    def _frames_a_second(self) -> float:
        return 1 / max(self._seconds_a_frame, 1e-3) if self._seconds_a_frame else 0.0

    def _message(self) -> str:
        fresh = time.monotonic() - self._controls.message_at < MESSAGE_SECONDS
        return self._controls.message if fresh else ""

    def _keep_pace(self, timestamp_us: int) -> None:
        now = time.monotonic()
        if self._pace and self._last_us >= 0 and not self._was_held:
            gap = (timestamp_us - self._last_us) / 1e6
            due = self._last_at + min(gap, _LONGEST_PAUSE_S)
            while now < due and not self._controls.quit:
                time.sleep(min(due - now, 0.01))
                self.attend()
                now = time.monotonic()
        if self._last_at and not self._was_held:
            spent = now - self._last_at
            rate = 0.1 if self._seconds_a_frame else 1.0
            self._seconds_a_frame += rate * (spent - self._seconds_a_frame)
        self._last_at, self._last_us = now, timestamp_us
        self._was_held = False
