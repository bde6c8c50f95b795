"""MediaPipe's released models: which, from where, and the SHA-256 of each.

All are Google's, Apache-2.0. Most stand in packages of public registries: the `mediapipe` 0.10.14
wheel of the Python package index (the last series that carries models; sizes and hashes are those
of its manylinux cp311 build) and the npm packages `@mediapipe/pose` and `@mediapipe/objectron`.
Nothing of those packages is installed or run. Four stand in no package: people bring them, bare or
inside MediaPipe's `face_landmarker.task` and `gesture_recognizer.task`.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.errors import ViewfinderError

MEDIAPIPE_VERSION = "0.10.14"
WHEEL_PYTHON = "3.11"
WHEEL_ABI = "cp311"
WHEEL_PLATFORM = "manylinux2014_x86_64"


@dataclass(frozen=True)
class Source:
    """Where released models come from.

    Attributes:
        name: what `viewfinder models fetch` calls it.
        registry: "pip", "npm", or "" where no registry holds them.
        package, version: the exact release.
        holds: in a few words.
    """

    name: str
    registry: str
    package: str
    version: str
    holds: str

    @property
    def folder(self) -> str:
        """The folder's name in the store."""
        return f"{self.name}-{self.version}" if self.version else self.name

    @property
    def hint(self) -> str:
        """What a user does to get the models."""
        if self.registry:
            return f"viewfinder models fetch {self.name}"
        return f"viewfinder models add FILE, with {self.package}"


MEDIAPIPE = Source(
    "mediapipe", "pip", "mediapipe", MEDIAPIPE_VERSION, "faces, irises, hands, body, selfies"
)
MEDIAPIPE_POSE = Source(
    "mediapipe-pose", "npm", "@mediapipe/pose", "0.5.1675469404", "the body, lite and heavy"
)
MEDIAPIPE_OBJECTRON = Source(
    "mediapipe-objectron", "npm", "@mediapipe/objectron", "0.4.1675468480", "3D boxes"
)
MEDIAPIPE_TASKS = Source(
    "mediapipe-tasks", "", "MediaPipe's face_landmarker.task or gesture_recognizer.task", "",
    "478 face landmarks, blendshapes, gestures",
)  # fmt: skip
SOURCES = (MEDIAPIPE, MEDIAPIPE_POSE, MEDIAPIPE_OBJECTRON, MEDIAPIPE_TASKS)
SOURCES_BY_NAME = {source.name: source for source in SOURCES}


@dataclass(frozen=True)
class ReleasedModel:
    """A released file.

    Attributes:
        name: ours, mostly the file's without its ending.
        source: who brings it.
        member: path in the package's archive; "" where no package holds it.
        size, sha256: of the model.
        what: in a few words.
        start: bytes before it in the member, where a member holds more than the model.
    """

    name: str
    source: Source
    member: str
    size: int
    sha256: str
    what: str
    start: int = 0

    @property
    def file(self) -> str:
        """File name in the store."""
        return f"{self.name}.tflite"


def _in_wheel(module: str, name: str, size: int, sha256: str, what: str) -> ReleasedModel:
    member = f"mediapipe/modules/{module}/{name}.tflite"
    return ReleasedModel(name, MEDIAPIPE, member, size, sha256, what)


def _in_npm(source: Source, name: str, size: int, sha256: str, what: str) -> ReleasedModel:
    return ReleasedModel(name, source, f"package/{name}.tflite", size, sha256, what)


def _in_tasks(name: str, size: int, sha256: str, what: str) -> ReleasedModel:
    return ReleasedModel(name, MEDIAPIPE_TASKS, "", size, sha256, what)


RELEASED = (
    _in_wheel(
        "face_detection", "face_detection_short_range", 229714,
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        "face detector, faces within about 2 m",
    ),
    _in_wheel(
        "face_detection", "face_detection_full_range_sparse", 676746,
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        "face detector, faces within about 5 m",
    ),
    _in_wheel(
        "face_landmark", "face_landmark", 1242398,
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        "468 face landmarks",
    ),
    _in_wheel(
        "face_landmark", "face_landmark_with_attention", 2495106,
        "e06a804e0144f9929eda782122916b35d60c697c3c9344013ca2bbe76a6ce2b4",
        "478 face landmarks, with MediaPipe's custom operators",
    ),
    _in_wheel(
        "iris_landmark", "iris_landmark", 2640568,
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
        "71 eye and 5 iris landmarks",
    ),
    _in_wheel(
        "palm_detection", "palm_detection_lite", 1985440,
        "e9a4aaddf90dda56a87235303cf00e4c2d3fb28725f68fd88772997dac905c18",
        "palm detector, lite",
    ),
    _in_wheel(
        "palm_detection", "palm_detection_full", 2339846,
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
        "palm detector, full",
    ),
    _in_wheel(
        "hand_landmark", "hand_landmark_lite", 2071597,
        "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
        "21 hand landmarks, lite",
    ),
    _in_wheel(
        "hand_landmark", "hand_landmark_full", 5478917,
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
        "21 hand landmarks, full",
    ),
    _in_wheel(
        "holistic_landmark", "hand_recrop", 123792,
        "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",
        "hand region from a body's wrist",
    ),
    _in_wheel(
        "pose_detection", "pose_detection", 2959046,
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        "body detector",
    ),
    _in_wheel(
        "pose_landmark", "pose_landmark_full", 6440512,
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        "33 body landmarks, full",
    ),
    _in_wheel(
        "selfie_segmentation", "selfie_segmentation", 249505,
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "person mask, 256 x 256",
    ),
    _in_wheel(
        "selfie_segmentation", "selfie_segmentation_landscape", 250145,
        "a77d03f4659b9f6b6c1f5106947bf40e99d7655094b6527f214ea7d451106edd",
        "person mask, 256 x 144",
    ),
    _in_npm(
        MEDIAPIPE_POSE, "pose_landmark_lite", 2819824,
        "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61",
        "33 body landmarks, lite",
    ),
    _in_npm(
        MEDIAPIPE_POSE, "pose_landmark_heavy", 27709200,
        "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
        "33 body landmarks, heavy",
    ),
    ReleasedModel(
        "object_detection_ssd_mobilenetv2_oidv4_fp16", MEDIAPIPE_OBJECTRON,
        "package/objectron_solution_packed_assets.data", 9987728,
        "d0a5255bf8c4f5a0bc4240741a76c41d5e939f7655078f945f50ab53a9375da6",
        "object detector, 24 classes",
        # A list of labels stands before it, as the package's assets loader says.
        start=184,
    ),
    _in_npm(
        MEDIAPIPE_OBJECTRON, "object_detection_3d_cup", 5221872,
        "c4f4ea8def16bd191d11279f754e6f3f2a9d94839a956b975e5697e943157ac7",
        "3D box of a cup",
    ),
    _in_npm(
        MEDIAPIPE_OBJECTRON, "object_detection_3d_camera", 5222560,
        "f66e92e81ed3f4698f74d565a7668e016e2288ea92fb42938e33b778bd1e110d",
        "3D box of a camera",
    ),
    _in_npm(
        MEDIAPIPE_OBJECTRON, "object_detection_3d_chair", 5222528,
        "190e4ea49ba891ed242ddc73703e03d70164c27f3da07492d7010379e24f2a6b",
        "3D box of a chair",
    ),
    _in_npm(
        MEDIAPIPE_OBJECTRON, "object_detection_3d_sneakers", 5222064,
        "4eb1633d646a43ae979ba497487e95dbf89f97406ed02200ae39ae46b0a0543d",
        "3D box of a shoe",
    ),
    _in_tasks(
        "face_landmarks_detector_v2", 2553590,
        "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
        "478 face landmarks, without custom operators",
    ),
    _in_tasks(
        "face_blendshapes", 955312,
        "4f36dded049db18d76048567439b2a7f58f1daabc00d78bfe8f3ad396a2d2082",
        "52 facial expressions from landmarks",
    ),
    _in_tasks(
        "gesture_embedder", 546000,
        "54abe78de1d1cd5e3cdaa0dab01db18e3ec7e09a76e7c3b5fa278572f7a60977",
        "a hand's pose as a vector",
    ),
    _in_tasks(
        "canned_gesture_classifier", 7741,
        "2fc7e279966a7a9e15fc869223793e390791fc61fdc0062f9bc7d0eef6be98a2",
        "seven gestures from that vector",
    ),
)  # fmt: skip

RELEASED_BY_NAME = {model.name: model for model in RELEASED}
RELEASED_BY_SHA256 = {model.sha256: model for model in RELEASED}
RELEASED_HASHES = frozenset(RELEASED_BY_SHA256)


def released_from(source: Source) -> tuple[ReleasedModel, ...]:
    """The models of that source."""
    return tuple(model for model in RELEASED if model.source == source)


def source_named(name: str) -> Source:
    """The source that `viewfinder models fetch` calls so.

    Raises:
        ViewfinderError: there is none.
    """
    if name not in SOURCES_BY_NAME:
        raise ViewfinderError(
            "no such models to fetch", expected=" | ".join(SOURCES_BY_NAME), found=repr(name)
        )
    return SOURCES_BY_NAME[name]
