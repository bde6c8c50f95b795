"""What MediaPipe's GestureRecognizer says of pictures. Runs in MediaPipe 1.2.2's own environment,
where nothing of ours is:

    python gesture_reference.py gesture_recognizer.task PICTURE.npy...

Pictures are (H, W, 3) uint8 RGB. Prints {"hands": [...]} as tests/runtime/data has it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision


def said_of(recogniser: vision.GestureRecognizer, picture: Path) -> list[dict]:
    """One entry a hand."""
    rgb = np.load(picture)
    result = recogniser.recognize(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb))
    hands = zip(
        result.gestures, result.handedness, result.hand_landmarks, result.hand_world_landmarks
    )
    return [
        {
            "picture": picture.stem,
            "size": [rgb.shape[1], rgb.shape[0]],
            "label": handedness[0].category_name,
            "score": handedness[0].score,
            "gesture": [gestures[0].category_name, gestures[0].score],
            "keypoints": [_exact(point) for point in keypoints],
            "world": [_exact(point) for point in world],
        }
        for gestures, handedness, keypoints, world in hands
    ]


def _exact(point: object) -> list[float]:
    # Nine digits bring back a float32.
    return [float(f"{getattr(point, axis):.9g}") for axis in "xyz"]


def main() -> None:
    """Parse and print."""
    bundle, *pictures = sys.argv[1:]
    options = vision.GestureRecognizerOptions(
        base_options=BaseOptions(model_asset_path=bundle), num_hands=4
    )
    with vision.GestureRecognizer.create_from_options(options) as recogniser:
        hands = [hand for picture in pictures for hand in said_of(recogniser, Path(picture))]
    sys.stdout.write(json.dumps({"hands": hands}) + "\n")


if __name__ == "__main__":
    main()
