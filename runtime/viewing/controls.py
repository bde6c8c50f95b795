"""What the person who watches wants: shared by the loop, the window and the web page.

The loop asks `wait` before it takes a frame; whoever has keys or buttons calls `do`. Any thread may
do that; only the loop's own thread waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from enum import StrEnum

_LOOK_AFTER_KEYS_S = 0.02


class Action(StrEnum):
    """What keys and buttons ask for."""

    pause = "pause"
    forward = "forward"
    back = "back"
    model = "model"
    overlays = "overlays"
    against = "against"
    save = "save"
    help = "help"
    quit = "quit"


class AgainstView(StrEnum):
    """How two models' answers are shown."""

    overlaid = "overlaid"
    beside = "beside"
    first = "first"
    second = "second"


_KEYS = {
    " ": Action.pause,
    ".": Action.forward,
    ",": Action.back,
    "m": Action.model,
    "o": Action.overlays,
    "b": Action.against,
    "s": Action.save,
    "h": Action.help,
    "?": Action.help,
    "q": Action.quit,
    "\x1b": Action.quit,
}

HELP = (
    ("space", "pause, go on"),
    (". or right", "one frame forward"),
    (", or left", "one frame back"),
    ("m", "next model"),
    ("o", "overlays on, off"),
    ("b", "two models: overlaid, beside, each alone"),
    ("s", "save the frame for annotation"),
    ("h or ?", "this help"),
    ("q or Esc", "quit"),
)
"""Keys and what they do, for people."""


def action_of_key(key: str) -> Action | None:
    """What a key asks for: a character, or "left" and "right" for the arrows."""
    if key in ("left", "right"):
        return Action.back if key == "left" else Action.forward
    return _KEYS.get(key.lower())


class Controls:
    """The present wishes.

    Args:
        models: how many models there are to switch between.
        one_by_one: stop after each frame until the next is asked for (pictures).
        two: whether two models run on each frame.
        stay: keep showing the last frame when the source has ended.

    Attributes:
        paused: no frame is taken but those asked for one by one.
        model: index of the model wanted, counted round by `Action.model`.
        overlays: whether what was found is drawn.
        view: how two models are shown.
        help: whether the keys are shown.
        quit: stop; never taken back.
        models, one_by_one, two, stay: as given.
        message: the newest thing to tell the person, and `message_at`, when (time.monotonic).
        while_waiting: called on the loop's thread every 20 ms while it waits: a window looks after
            its keys here.
    """

    def __init__(
        self, models: int = 1, one_by_one: bool = False, two: bool = False, stay: bool = False
    ) -> None:
        self.paused = one_by_one
        self.stay = stay
        self.model = 0
        self.overlays = True
        self.view = AgainstView.overlaid if two else AgainstView.first
        self.help = False
        self.quit = False
        self.message = ""
        self.message_at = float("-inf")
        self.while_waiting: Callable[[], None] = lambda: None
        self.models = models
        self.two = two
        self.one_by_one = one_by_one
        self._steps = 1 if one_by_one else 0
        self._changed = threading.Condition()
        self._version = 0

    def do(self, action: Action) -> None:
        """Take a wish; `back` and `save` are for who shows frames, and change nothing here."""
        with self._changed:
            if action is Action.pause:
                self.paused = not self.paused
                self._steps = 0
            elif action is Action.forward:
                self.paused = True
                self._steps += 1
            elif action is Action.back:
                self.paused = True
            elif action is Action.model:
                self.model = (self.model + 1) % self.models
            elif action is Action.overlays:
                self.overlays = not self.overlays
            elif action is Action.against and self.two:
                self.view = _following(list(AgainstView), self.view)
            elif action is Action.help:
                self.help = not self.help
            elif action is Action.quit:
                self.quit = True
            self._version += 1
            self._changed.notify_all()

    @property
    def version(self) -> int:
        """Grows with every wish, so that who shows frames knows when to draw again."""
        return self._version

    def touch(self) -> None:
        """Have the present frame drawn again."""
        with self._changed:
            self._version += 1

    def say(self, message: str) -> None:
        """Tell the person something, for a moment."""
        with self._changed:
            self.message, self.message_at = message, time.monotonic()
            self._version += 1

    def source_ended(self) -> None:
        """The loop tells that there are no more frames: returns once the person has seen the last.

        That is at once, unless `stay` is set: then when they quit.
        """
        with self._changed:
            self.paused = self.paused or self.stay
            self._version += 1
        while self.stay and not self.quit:
            self.while_waiting()
            time.sleep(_LOOK_AFTER_KEYS_S)

    def wait(self) -> bool:
        """Return once the next frame may be taken; the loop calls this before each.

        Returns:
            False if the loop is to stop.
        """
        while True:
            self.while_waiting()
            with self._changed:
                if self.quit:
                    return False
                if not self.paused:
                    return True
                if self._steps:
                    self._steps -= 1
                    return True
                self._changed.wait(_LOOK_AFTER_KEYS_S)


def _following(values: Sequence[AgainstView], value: AgainstView) -> AgainstView:
    return values[(values.index(value) + 1) % len(values)]
