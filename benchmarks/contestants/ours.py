"""Our runtime as a contestant: MediaPipe's released models, one thread, tracked."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from protocol import serve

from runtime.model import Model
from runtime.solutions import open_solution

# The clock that the whole frame is measured with, too: pauses of the machine count on neither side.
Model.clock = staticmethod(time.process_time)


class Ours:
    """A solution of `viewfinder run`."""

    def __init__(self, row: dict[str, Any]) -> None:
        settings = dict(row["ours"])
        self._solution = open_solution(settings.pop("solution"), models="mediapipe", **settings)

    def process(self, rgb: np.ndarray, timestamp_us: int) -> int:
        return len(self._solution.process(rgb, timestamp_us))

    def invoke_seconds(self) -> float:
        return sum(model.invoke_seconds for model in self._solution.models)

    def close(self) -> None:
        self._solution.close()


if __name__ == "__main__":
    serve(Ours)
