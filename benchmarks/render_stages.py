"""Where the time of `render hands` goes: a clock around each step of a renderer, and its memory."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bootstrap.dataset import Label, Sample
from render.job import Renderer
from render.settings import RenderSettings

REST = "encoding"
"""What `HandRenderer.render` does between its steps: JPEG and PNGs, normals, the sample's facts."""

STEPS = {
    "draw": "drawing the scene",
    "prepared": "meshes and colours",
    "place": "handing over to Blender",
    "cycles": "Cycles and its passes",
    "develop": "background and camera",
    "labels": "labels",
    REST: "encoding",
}


def resident_bytes() -> int:
    """Memory of this process now, as Linux counts it."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


class StageClock:
    """CPU-seconds of a `HandRenderer` by step, counted from the clock's making on."""

    def __init__(self, renderer: Any) -> None:
        self.seconds = dict.fromkeys(STEPS, 0.0)
        for step in ("draw", "prepared", "place", "develop", "labels"):
            setattr(renderer, step, self._timed(getattr(renderer, step), step))
        renderer.scene.render = self._timed(renderer.scene.render, "cycles")
        renderer.render = self._timed(renderer.render, REST)

    def _timed(self, function: Callable[..., Any], step: str) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            began, others = time.process_time(), sum(self.seconds.values())
            try:
                return function(*arguments)
            finally:
                spent = time.process_time() - began
                # What steps within this one took is counted there already.
                self.seconds[step] += spent - (sum(self.seconds.values()) - others)

        return timed


class RecordedHands:
    """A hand renderer that writes down what each of its pictures took, and its memory."""

    EVERY = 25  # pictures between two lines of the record

    def __init__(self, settings: RenderSettings, record: Path, threads: int) -> None:
        from render.hand_render import HandRenderer

        self._renderer: Renderer = HandRenderer(settings, threads)
        self._clock = StageClock(self._renderer)
        self._file = (record / f"{os.getpid()}.jsonl").open("a", encoding="ascii")
        self._rendered = 0

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        """Sample `index` and its labels."""
        result = self._renderer.render(index)
        self._rendered += 1
        if self._rendered % self.EVERY == 0:
            self._write()
        return result

    def _write(self) -> None:
        line = {
            "rendered": self._rendered,
            "resident_bytes": resident_bytes(),
            "process_s": time.process_time(),
            "steps_s": self._clock.seconds,
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the record and the renderer."""
        self._write()
        self._file.close()
        self._renderer.close()


def read_record(record: Path) -> list[list[dict[str, Any]]]:
    """The lines of every worker's record."""
    return [
        [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
        for path in sorted(record.glob("*.jsonl"))
    ]


def table(seconds: dict[str, float], rendered: int) -> str:
    """Milliseconds a picture and share of every step, as lines of text."""
    whole = sum(seconds.values())
    return "".join(
        f"  {STEPS.get(step, step):<26}{1000 * spent / rendered:>9.1f} ms{spent / whole:>8.1%}\n"
        for step, spent in seconds.items()
    )
