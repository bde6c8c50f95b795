"""MediaPipe's released models: which, from where, and the SHA-256 of each.

The files are Google's, Apache-2.0. They stand in the `mediapipe` 0.10.14 wheel of the Python
package index (the last series that carries models) under mediapipe/modules/; sizes and hashes were
taken from its manylinux cp311 build. Nothing of that package is installed or run.
"""

from __future__ import annotations

from dataclasses import dataclass

MEDIAPIPE_VERSION = "0.10.14"
WHEEL_PYTHON = "3.11"
WHEEL_ABI = "cp311"
WHEEL_PLATFORM = "manylinux2014_x86_64"


@dataclass(frozen=True)
class ReleasedModel:
    """A released file: its folder in the wheel, bytes, SHA-256 and what it is."""

    name: str
    module: str
    size: int
    sha256: str
    what: str

    @property
    def file(self) -> str:
        """File name in the wheel and in the store."""
        return f"{self.name}.tflite"

    @property
    def wheel_member(self) -> str:
        """Path inside the wheel."""
        return f"mediapipe/modules/{self.module}/{self.file}"


RELEASED = (
    ReleasedModel(
        "face_detection_short_range", "face_detection", 229714,
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        "face detector, faces within about 2 m",
    ),
    ReleasedModel(
        "face_detection_full_range_sparse", "face_detection", 676746,
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        "face detector, faces within about 5 m",
    ),
    ReleasedModel(
        "face_landmark", "face_landmark", 1242398,
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        "468 face landmarks",
    ),
    ReleasedModel(
        "face_landmark_with_attention", "face_landmark", 2495106,
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
        "478 face landmarks, with MediaPipe's custom operators",
    ),
    ReleasedModel(
        "iris_landmark", "iris_landmark", 2640568,
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
        "71 eye and 5 iris landmarks",
    ),
    ReleasedModel(
        "palm_detection_lite", "palm_detection", 1985440,
        "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
        "palm detector, lite",
    ),
    ReleasedModel(
        "palm_detection_full", "palm_detection", 2339846,
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
        "palm detector, full",
    ),
    ReleasedModel(
        "hand_landmark_lite", "hand_landmark", 2071597,
        "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
        "21 hand landmarks, lite",
    ),
    ReleasedModel(
        "hand_landmark_full", "hand_landmark", 5478917,
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        "21 hand landmarks, full",
    ),
    ReleasedModel(
        "hand_recrop", "holistic_landmark", 123792,
        "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",
        "hand region from a body's wrist",
    ),
    ReleasedModel(
        "pose_detection", "pose_detection", 2959046,
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        "body detector",
    ),
    ReleasedModel(
        "pose_landmark_full", "pose_landmark", 6440512,
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        "33 body landmarks, full",
    ),
    ReleasedModel(
        "selfie_segmentation", "selfie_segmentation", 249505,
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "person mask, 256 x 256",
    ),
    ReleasedModel(
        "selfie_segmentation_landscape", "selfie_segmentation", 250145,
        "a77d03f4659b9f6b6c1f5106947bf40e99d7655094b6527f214ea7d451106edd",
        "person mask, 256 x 144",
    ),
)  # fmt: skip

RELEASED_BY_NAME = {model.name: model for model in RELEASED}
RELEASED_HASHES = frozenset(model.sha256 for model in RELEASED)
