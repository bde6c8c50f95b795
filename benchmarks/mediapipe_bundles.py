"""MediaPipe's .task bundles put together from its released parts, for MediaPipe's own Tasks.

Google distributes these bundles; the parts in them are those that `viewfinder models fetch` and
`add` bring. Member names are what the Tasks library of MediaPipe 1.2 looks for; parts that were
released without metadata get the one thing in it that Tasks asks for, the input's range.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from bootstrap import tflite_metadata
from runtime.model_store import missing_released, released_model

HAND = {"full": "hand_landmark_full", "lite": "hand_landmark_lite"}
PALM = {"full": "palm_detection_full", "lite": "palm_detection_lite"}


def _hand(variant: str) -> dict[str, str]:
    return {
        "hand_detector.tflite": PALM[variant],
        "hand_landmarks_detector.tflite": HAND[variant],
    }


def _pose(variant: str) -> dict[str, str]:
    return {
        "pose_detector.tflite": "pose_detection",
        "pose_landmarks_detector.tflite": f"pose_landmark_{variant}",
    }


Parts = Mapping[str, "str | Parts"]
BUNDLES: dict[str, Parts] = {
    "face_landmarker.task": {
        "face_detector.tflite": "face_detection_short_range",
        "face_landmarks_detector.tflite": "face_landmarks_detector_v2",
        "face_blendshapes.tflite": "face_blendshapes",
    },
    "hand_landmarker_full.task": _hand("full"),
    "hand_landmarker_lite.task": _hand("lite"),
    "gesture_recognizer.task": {
        "hand_landmarker.task": _hand("full"),
        "hand_gesture_recognizer.task": {
            "gesture_embedder.tflite": "gesture_embedder",
            "canned_gesture_classifier.tflite": "canned_gesture_classifier",
        },
    },
    "pose_landmarker_lite.task": _pose("lite"),
    "pose_landmarker_full.task": _pose("full"),
    "pose_landmarker_heavy.task": _pose("heavy"),
}
MEAN_AND_STD = {
    "pose_detection": (127.5, 127.5),
    **dict.fromkeys(
        (
            "pose_landmark_lite",
            "pose_landmark_full",
            "pose_landmark_heavy",
            "palm_detection_lite",
            "palm_detection_full",
            "hand_landmark_lite",
            "hand_landmark_full",
        ),
        (0.0, 255.0),
    ),
}
"""How bytes become a model's numbers, (byte - mean) / std: facts of MediaPipe's graphs."""
BARE = (
    "face_detection_short_range", "face_detection_full_range_sparse", "selfie_segmentation",
    "selfie_segmentation_landscape",
)  # fmt: skip


def write_bundles(folder: Path) -> dict[str, Path]:
    """Write every bundle whose parts are in the store; name -> file."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        name: _packed(parts) for name, parts in BUNDLES.items() if not missing_released(*_of(parts))
    }
    contents |= {
        f"{name}.tflite": released_model(name) for name in BARE if not missing_released(name)
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def _of(parts: Parts) -> list[str]:
    """Names of the released models in a bundle."""
    names = []
    for part in parts.values():
        names += [part] if isinstance(part, str) else _of(part)
    return names


def _packed(parts: Parts) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, part in parts.items():
            content = _for_tasks(part) if isinstance(part, str) else _packed(part)
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def _for_tasks(name: str) -> bytes:
    data = released_model(name)
    if tflite_metadata.NAME.encode() in data or name not in MEAN_AND_STD:
        return data
    mean, std = MEAN_AND_STD[name]
    return tflite_metadata.with_metadata(data, name, "", {}, mean, std)
