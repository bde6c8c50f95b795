"""What a data set is made of: samples, labels and the description of the whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.camera import Camera
from runtime.errors import ViewfinderError
from runtime.topology import topology

FORMAT = "viewfinder-dataset"
FORMAT_VERSION = 1
IMAGE_EXTENSIONS = ("jpg", "png", "webp")
SPLITS = ("train", "val", "test")
DEFAULT_SHARD_SIZE = 256

# No dot in an id: WebDataset takes everything before a member's first dot as the sample's key.
_SAMPLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MEMBER_KIND = re.compile(r"[a-z0-9]+(\.[a-z0-9]+)*")
_LAYER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_@.+-]*(/[A-Za-z0-9][A-Za-z0-9_@.+-]*)?")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One picture and what was stored with it.

    Attributes:
        sample_id: letters, digits, - and _; unique in the data set. Renders: f"{i:08d}".
        image: the encoded picture.
        extension: jpg, png or webp.
        members: further files by kind, as {"depth.png": ..., "seg.png": ...}.
        width, height: of the picture in pixels.
        camera: intrinsics in pixels, if known.
        seed: of the generator that made the sample.
        split: train, val or test.
        tags: free words to filter by.
        attributes: JSON values about the picture (HDRI, file name, light ...).
    """

    sample_id: str
    image: bytes
    extension: str
    width: int
    height: int
    members: Mapping[str, bytes] = field(default_factory=dict)
    camera: Camera | None = None
    seed: int | None = None
    split: str = "train"
    tags: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise a ViewfinderError that names the first field that can't be stored."""
        check_sample_id(self.sample_id)
        if self.extension not in IMAGE_EXTENSIONS:
            raise _wrong(self.sample_id, "extension", " | ".join(IMAGE_EXTENSIONS), self.extension)
        if self.split not in SPLITS:
            raise _wrong(self.sample_id, "split", " | ".join(SPLITS), self.split)
        if self.width < 1 or self.height < 1:
            raise _wrong(self.sample_id, "width, height", "1 or more", (self.width, self.height))
        for kind in self.members:
            if not _MEMBER_KIND.fullmatch(kind) or kind == self.extension:
                raise _wrong(self.sample_id, "members", "a kind such as depth.png", repr(kind))


@dataclass(frozen=True, kw_only=True, eq=False)
class Label:
    """One subject in one picture, or with topology "" the statement that there is none.

    Arrays may be given as anything NumPy takes; they are kept as the types below. A position may
    be NaN only where its keypoint's visibility is 0.

    Attributes:
        sample_id: the picture.
        subject_id: tells subjects of one picture apart.
        topology: as "face478@1"; "" for a negative.
        keypoints_px: (N, 2) float32, pixels from the picture's top-left corner.
        keypoints_camera_m: (N, 3) float32, metres in the camera's axes (x right, y down, z ahead).
        visibility: (N,) int8: 0 not labelled, 1 occluded, 2 visible.
        contours: name -> (K, 2) float32 pixels.
        box_px: (4,) float32 x, y, width, height.
        detector_keypoints_px: (K, 2) float32, the few points a detector learns.
        cuboid: {"rotation": 9, "translation_m": 3, "size_m": 3, "frame": str}, rotation row-major.
        handedness: left or right, the person's own, in an unmirrored picture.
        gesture: name of the hand's gesture.
        score: of the model that predicted it, 0..1.
        weight: in training.
        attributes: JSON values about the subject (pose, gaze, tone, age ...).
        source: what made it, with version or model sha256.
        annotator, time: who and when (ISO 8601); only in human/ layers.
    """

    sample_id: str
    subject_id: int = 0
    topology: str = ""
    keypoints_px: NDArray[np.float32] | None = None
    keypoints_camera_m: NDArray[np.float32] | None = None
    visibility: NDArray[np.int8] | None = None
    contours: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    box_px: NDArray[np.float32] | None = None
    detector_keypoints_px: NDArray[np.float32] | None = None
    cuboid: Mapping[str, Any] | None = None
    handedness: str | None = None
    gesture: str | None = None
    score: float | None = None
    weight: float = 1.0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    annotator: str | None = None
    time: str | None = None

    def __post_init__(self) -> None:
        for name, columns in _ARRAY_COLUMNS.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, self._array(name, value, columns))
        contours = {k: self._array("contours", v, 2) for k, v in self.contours.items()}
        object.__setattr__(self, "contours", contours)
        if self.visibility is not None:
            visibility = np.asarray(self.visibility).reshape(-1)
            if not np.isin(visibility, np.arange(-128, 128)).all():
                raise _wrong(self.sample_id, "visibility", "0, 1 or 2", visibility[:4].tolist())
            object.__setattr__(self, "visibility", visibility.astype(np.int8))

    def _array(self, name: str, value: Any, columns: int) -> NDArray[np.float32]:
        array = np.asarray(value, dtype=np.float32)
        if array.size % columns:
            raise _wrong(self.sample_id, name, f"(N, {columns})", array.shape)
        return array.reshape(-1) if name == "box_px" else array.reshape(-1, columns)

    def check(self) -> None:
        """Raise a ViewfinderError that names the first field that breaks the format."""
        check_sample_id(self.sample_id)
        self._check_kinds()
        count = topology(self.topology).size if self.topology else 0
        for name in ("keypoints_px", "keypoints_camera_m", "visibility"):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise _wrong(self.sample_id, name, f"{count} of {self.topology!r}", len(value))
        if self.visibility is not None and not np.isin(self.visibility, (0, 1, 2)).all():
            raise _wrong(self.sample_id, "visibility", "0, 1 or 2", set(self.visibility.tolist()))
        self._check_finite()
        if self.handedness not in (None, "left", "right"):
            raise _wrong(self.sample_id, "handedness", "left | right", self.handedness)
        if self.box_px is not None and (self.box_px.shape != (4,) or (self.box_px[2:] < 0).any()):
            raise _wrong(self.sample_id, "box_px", "x, y, width, height", self.box_px.tolist())
        if self.cuboid is not None:
            _check_cuboid(self.sample_id, self.cuboid)

    def _check_kinds(self) -> None:
        for name in ("handedness", "gesture", "annotator", "time"):
            if not isinstance(getattr(self, name), str | None):
                raise _wrong(self.sample_id, name, "a text", repr(getattr(self, name))[:60])
        for name in ("topology", "source"):
            if not isinstance(getattr(self, name), str):
                raise _wrong(self.sample_id, name, "a text", repr(getattr(self, name))[:60])
        for name in ("score", "weight"):
            value = getattr(self, name)
            if value is None and name == "score":
                continue
            if not isinstance(value, int | float | np.number) or not np.isfinite(value):
                raise _wrong(self.sample_id, name, "a number", repr(value)[:60])
        if not 0 <= self.subject_id < 2**31:
            raise _wrong(self.sample_id, "subject_id", "0 .. 2^31 - 1", self.subject_id)

    def _check_finite(self) -> None:
        for name in ("keypoints_px", "keypoints_camera_m"):
            value = getattr(self, name)
            if value is None:
                continue
            known = value if self.visibility is None else value[self.visibility > 0]
            if not np.isfinite(known).all():
                raise _wrong(self.sample_id, name, "finite where visibility > 0", "NaN or infinity")
        rest = [self.box_px, self.detector_keypoints_px, *self.contours.values()]
        if not all(np.isfinite(value).all() for value in rest if value is not None):
            raise _wrong(self.sample_id, "box or contours", "finite", "NaN or infinity")


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What dataset.json says: how the data set came to be, enough to make it again.

    Attributes:
        name: of the data set.
        generator: what made it, with version ("viewfinder render hands 0.1.0").
        settings: every setting of the generator, JSON values.
        licences_inherited: licences that pictures carry on (HDRIs, head models, photographs).
        topologies: ids that labels may use.
        classes: segmentation class -> id in <id>.seg.png.
        tool_versions: package -> version that the bytes depend on.
        device: "cpu", or the GPU that rendered (then bytes may differ between machines).
        shard_size: samples in a full shard.
    """

    name: str
    generator: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    licences_inherited: tuple[str, ...] = ()
    topologies: tuple[str, ...] = ()
    classes: Mapping[str, int] = field(default_factory=dict)
    tool_versions: Mapping[str, str] = field(default_factory=dict)
    device: str = "cpu"
    shard_size: int = DEFAULT_SHARD_SIZE

    def to_json(self) -> dict[str, Any]:
        """The content of dataset.json, JSON types only."""
        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)}
        result: dict[str, Any] = json.loads(canonical_json(content))
        return result

    @classmethod
    def from_json(cls, content: Any, file: str) -> DatasetInfo:
        """The inverse of `to_json`, checked.

        Raises:
            ViewfinderError: not a data set of this format, or a field of the wrong kind.
        """
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise ViewfinderError("isn't a Viewfinder data set", file=file, field="format")
        if content.get("format_version") != FORMAT_VERSION:
            raise ViewfinderError(
                "the data set has another format version",
                file=file,
                field="format_version",
                expected=FORMAT_VERSION,
                found=content.get("format_version"),
            )
        values: dict[str, Any] = {}
        for entry in fields(cls):
            kind = _INFO_KINDS[entry.name]
            value: Any = content.get(entry.name)
            texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
            if not isinstance(value, kind) or (kind is list and not texts):
                raise ViewfinderError(
                    "wrong or missing value",
                    file=file,
                    field=entry.name,
                    expected=kind.__name__,
                    found=repr(value)[:80],
                )
            values[entry.name] = tuple(value) if isinstance(value, list) else value
        if values["shard_size"] < 1:
            raise ViewfinderError("must be 1 or more", file=file, field="shard_size")
        return cls(**values)


_ARRAY_COLUMNS = {
    "keypoints_px": 2,
    "keypoints_camera_m": 3,
    "box_px": 1,
    "detector_keypoints_px": 2,
}
_INFO_KINDS: dict[str, type] = {
    "name": str,
    "generator": str,
    "settings": dict,
    "licences_inherited": list,
    "topologies": list,
    "classes": dict,
    "tool_versions": dict,
    "device": str,
    "shard_size": int,
}


def canonical_json(value: Any, indent: int | None = None) -> str:
    """JSON text that equal values always share: keys sorted, NumPy values as plain ones.

    Raises:
        ViewfinderError: NaN, infinity, or a value that JSON has no form for.
    """
    try:
        return json.dumps(
            value,
            sort_keys=True,
            ensure_ascii=False,
            allow_nan=False,
            indent=indent,
            separators=None if indent else (",", ":"),
            default=_plain,
        )
    except (TypeError, ValueError) as error:
        raise ViewfinderError("can't be stored as JSON", found=str(error)) from error


def check_sample_id(sample_id: str) -> None:
    """Raise a ViewfinderError unless the id can name a member of a shard."""
    if not isinstance(sample_id, str) or not _SAMPLE_ID.fullmatch(sample_id):
        raise ViewfinderError(
            "a sample id can't be that",
            field="sample_id",
            expected="1 to 64 letters, digits, - or _",
            found=repr(sample_id)[:80],
        )


def check_layer(layer: str) -> None:
    """Raise a ViewfinderError unless a layer can have that name (and folder)."""
    if not _LAYER.fullmatch(layer):
        raise ViewfinderError(
            "a label layer can't be called that",
            field="layer",
            expected="synthetic | predicted@<sha> | propagated | human/<annotator> | consensus",
            found=repr(layer)[:80],
        )


def is_human(layer: str) -> bool:
    """Whether a layer records who made each label and when."""
    return layer.startswith("human/")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} {value!r:.60}")


def _check_cuboid(sample_id: str, cuboid: Mapping[str, Any]) -> None:
    for name, count in (("rotation", 9), ("translation_m", 3), ("size_m", 3)):
        values = np.asarray(cuboid.get(name, ()), dtype=np.float64)
        if values.size != count or not np.isfinite(values).all():
            raise _wrong(sample_id, f"cuboid.{name}", f"{count} numbers", values.tolist())
    if not isinstance(cuboid.get("frame"), str):
        raise _wrong(sample_id, "cuboid.frame", "a name", cuboid.get("frame"))


def _wrong(sample_id: str, name: str, expected: object, found: object) -> ViewfinderError:
    return ViewfinderError(
        f"sample {sample_id} can't be stored", field=name, expected=expected, found=found
    )
