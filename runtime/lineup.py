"""The models that a run can show: one at a time, or two on the same frames."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.bundled import bundled
from runtime.compare import Against, compare
from runtime.errors import ViewfinderError
from runtime.model_store import find_model
from runtime.released import RELEASED_BY_NAME
from runtime.results import FrameResult, Subject
from runtime.sources import Frame
from runtime.viewing.controls import Controls

if TYPE_CHECKING:
    from runtime.solutions import Solution
    from runtime.solutions.options import SolutionOptions


@dataclass(frozen=True)
class Choice:
    """A way to run a solution, and what people call it."""

    label: str
    solution: str
    options: SolutionOptions

    def open(self, live: bool = False) -> Running:
        """Load the models, to run on a live source or not.

        Raises:
            ViewfinderError: they aren't there, are damaged or are for something else.
        """
        from runtime.solutions.registry import solution_entry
        from runtime.solutions.solution import GraphSolution

        opened = solution_entry(self.solution).load()(self.options)
        if live and isinstance(opened, GraphSolution):
            opened.prepare(live=True)
        return Running(self.label, opened, _sha256(self.options, opened))


class Running:
    """A solution at work.

    Args:
        label: what people call it.
        solution: what looks at pictures.
        sha256: of its model, or of all its models' hashes where it has several files.
    """

    def __init__(self, label: str, solution: Solution, sha256: str = "") -> None:
        self.label = label
        self.solution = solution
        self.sha256 = sha256
        self._last_us = -1

    def find(self, frame: Frame) -> tuple[list[Subject], float]:
        """What is in a frame, and how many milliseconds of wall time it took.

        A timestamp that doesn't rise starts anew: the same frame looked at again.
        """
        if frame.restarted or frame.timestamp_us <= self._last_us:
            self.solution.reset()
        self._last_us = frame.timestamp_us
        start = time.perf_counter()
        about = {} if frame.focal_px is None else {"focal_px": frame.focal_px}
        subjects = self.solution.process(frame.rgb, frame.timestamp_us, **about)
        return subjects, 1000 * (time.perf_counter() - start)

    def reset(self) -> None:
        """Forget the last frame."""
        self.solution.reset()
        self._last_us = -1


class Lineup:
    """Looks at frames with the model that is wanted, and with a second one beside it.

    A model other than the first is loaded when it is first wanted; one that can't be loaded is
    told of through the controls, and the one before goes on.

    Args:
        choices: to switch between, the first one loaded now.
        second: what each frame is looked at with, too.
        controls: whose `model` is obeyed.
        live: for a live source: graphs run in threads where they gain by it.

    Raises:
        ViewfinderError: the first or the second can't be loaded.
    """

    def __init__(
        self,
        choices: Sequence[Choice | Running],
        second: Choice | Running | None = None,
        controls: Controls | None = None,
        live: bool = False,
    ) -> None:
        self._choices = list(choices)
        self._live = live
        self._controls = controls or Controls(len(choices))
        self._wanted = 0
        self._lock = threading.Lock()
        self.first = self._opened(0)
        self.second = second.open(live) if isinstance(second, Choice) else second

    def look(self, frame: Frame) -> FrameResult:
        """Find what there is in a frame."""
        with self._lock:
            self._switch()
            subjects, spent_ms = self.first.find(frame)
            height, width = frame.rgb.shape[:2]
            against = None
            if self.second is not None:
                others, others_ms = self.second.find(frame)
                against = Against(
                    self.second.label, self.second.sha256, others_ms, subjects, others,
                    compare(subjects, others, width, height),
                )  # fmt: skip
            return FrameResult(
                frame.source, frame.index, frame.timestamp_us, width, height, frame.dropped,
                subjects, self.first.label, self.first.sha256, spent_ms, against,
            )  # fmt: skip

    def close(self) -> None:
        """Let go of what is open, threads among it."""
        for running in (*self._choices, self.second):
            if isinstance(running, Running) and hasattr(running.solution, "close"):
                running.solution.close()

    def _switch(self) -> None:
        wanted = self._controls.model
        if wanted == self._wanted:
            return
        self._wanted = wanted
        try:
            self.first = self._opened(wanted)
        except ViewfinderError as error:
            self._controls.say(str(error))
            return
        self.first.reset()
        self._controls.say(self.first.label)

    def _opened(self, index: int) -> Running:
        choice = self._choices[index]
        if isinstance(choice, Choice):
            self._choices[index] = choice = choice.open(self._live)
        return choice


def looking_with(solution: Solution, label: str = "") -> Lineup:
    """One solution that is open already."""
    return Lineup([Running(label, solution)])


def _sha256(options: SolutionOptions, solution: Solution) -> str:
    if options.model is not None:
        return hashlib.sha256(find_model(options.model).read_bytes()).hexdigest()
    names = sorted({model.name.removesuffix(".tflite") for model in solution.models})
    hashes = [RELEASED_BY_NAME[name].sha256 for name in names if name in RELEASED_BY_NAME]
    hashes += [
        bundle.sha256 for bundle in bundled() if any(name.startswith(bundle.name) for name in names)
    ]
    if len(hashes) == 1 == len(names):
        return hashes[0]
    return hashlib.sha256("\n".join([*names, *hashes]).encode()).hexdigest()
