"""What MediaPipe's Tasks say of pictures; run in MediaPipe's own environment, not in ours.

    python tests/runtime/mediapipe_tasks.py REQUEST.json ANSWER.json

The request: {"pictures": {name: file.npy}, "tasks": {name: [class, bundle, options]}}. The answer:
{task: {picture: [subject]}}, a subject having keypoints [x, y, z] as MediaPipe gives them and what
else the task says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision


def _subjects(kind: str, result: Any) -> list[dict[str, Any]]:
    landmarks = {
        "FaceLandmarker": "face_landmarks",
        "PoseLandmarker": "pose_landmarks",
    }.get(kind, "hand_landmarks")
    subjects: list[dict[str, Any]] = [
        {"keypoints": [[point.x, point.y, point.z] for point in points]}
        for points in getattr(result, landmarks)
    ]
    for index, subject in enumerate(subjects):
        if kind == "FaceLandmarker" and result.face_blendshapes:
            subject["blendshapes"] = {
                one.category_name: one.score for one in result.face_blendshapes[index]
            }
        if kind in ("HandLandmarker", "GestureRecognizer"):
            subject["handedness"] = result.handedness[index][0].category_name
            world = result.hand_world_landmarks[index]
            subject["world_m"] = [[point.x, point.y, point.z] for point in world]
        if kind == "GestureRecognizer" and result.gestures[index]:
            best = result.gestures[index][0]
            subject["gesture"] = {"name": best.category_name, "score": best.score}
        if kind == "PoseLandmarker":
            world = result.pose_world_landmarks[index]
            subject["world_m"] = [[point.x, point.y, point.z] for point in world]
    return subjects


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Run every task on every picture."""
    answer: dict[str, Any] = {}
    for name, (kind, bundle, options) in request["tasks"].items():
        settings = getattr(vision, f"{kind}Options")(
            base_options=BaseOptions(model_asset_path=bundle), **options
        )
        with getattr(vision, kind).create_from_options(settings) as task:
            run = task.recognize if kind == "GestureRecognizer" else task.detect
            answer[name] = {
                picture: _subjects(
                    kind, run(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.load(file)))
                )
                for picture, file in request["pictures"].items()
            }
    return answer


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    Path(sys.argv[2]).write_text(json.dumps(main(given)), encoding="utf-8")
