"""MediaPipe 1.2's vision tasks as a contestant, in an environment of their own."""

from __future__ import annotations

from typing import Any

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from protocol import serve

_RESULTS = (
    "detections", "face_landmarks", "hand_landmarks", "pose_landmarks", "confidence_masks",
)  # fmt: skip


class Tasks:
    """A task of `mediapipe.tasks.python.vision` on a model file, in video mode."""

    def __init__(self, row: dict[str, Any]) -> None:
        name, model, arguments = row["tasks"]
        options = getattr(vision, f"{name}Options")(
            base_options=BaseOptions(model_asset_path=model),
            running_mode=vision.RunningMode.VIDEO,
            **arguments,
        )
        self._task = getattr(vision, name).create_from_options(options)
        segments = name == "ImageSegmenter"
        self._run = self._task.segment_for_video if segments else self._task.detect_for_video

    def process(self, rgb: np.ndarray, timestamp_us: int) -> int:
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb)
        result = self._run(image, timestamp_us // 1000)
        return len(next(getattr(result, name) for name in _RESULTS if hasattr(result, name)))

    def invoke_seconds(self) -> None:
        return None

    def close(self) -> None:
        self._task.close()


if __name__ == "__main__":
    serve(Tasks)
