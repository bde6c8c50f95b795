"""MediaPipe 0.10.14's Python solutions as a contestant, in an environment of their own."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from protocol import serve

_RESULTS = (
    "detections", "multi_face_landmarks", "multi_hand_landmarks", "pose_landmarks",
    "segmentation_mask", "detected_objects",
)  # fmt: skip


class Solutions:
    """A class of `mediapipe.solutions`, as "module.Class" with its arguments."""

    def __init__(self, row: dict[str, Any]) -> None:
        name, arguments = row["solutions"]
        module, _, kind = name.partition(".")
        self._solution = getattr(
            importlib.import_module(f"mediapipe.python.solutions.{module}"), kind
        )(**arguments)

    def process(self, rgb: np.ndarray, timestamp_us: int) -> int:
        result = self._solution.process(rgb)
        found = next(getattr(result, name) for name in _RESULTS if hasattr(result, name))
        if found is None:
            return 0
        return 1 if isinstance(found, np.ndarray) or not hasattr(found, "__len__") else len(found)

    def invoke_seconds(self) -> None:
        return None

    def close(self) -> None:
        self._solution.close()


if __name__ == "__main__":
    serve(Solutions)
