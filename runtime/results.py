"""What a solution says about a frame, and the JSON line that other programs read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from runtime.compare import Against

Floats = NDArray[np.float32]
_DECIMALS = 7  # of a normalised coordinate: a thousandth of a pixel in a picture 10,000 wide


@dataclass(frozen=True)
class Subject:
    """A face or hand in a frame. Fields that a solution doesn't have are None.

    Attributes:
        id: of the same subject over frames; counted from 0 in each picture in static mode.
        topology: id of the keypoint layout; "" for a detection alone.
        score: 0..1, that it is there.
        keypoints: (N, 2|3), x and y by the picture's width and height, z in picture widths,
            nearer being smaller.
        box: x, y, width, height around the keypoints, by the picture's width and height.
        world_m: (N, 3) metres about the subject's centre, camera axes.
        visibility_score: (N,) probability that each keypoint is visible.
        handedness: "left" or "right", the person's own.
        gesture: {"name": ..., "score": ...}.
        blendshapes: name -> 0..1.
        iris: depths and diameters of both eyes, and what they rest on.
        cuboid: a box in 3D.
        mask: (H, W) of the whole picture, 0..1, how surely each pixel is the subject's.
    """

    id: int
    topology: str
    score: float
    keypoints: Floats
    box: tuple[float, float, float, float]
    world_m: Floats | None = None
    visibility_score: Floats | None = None
    handedness: str | None = None
    gesture: dict[str, Any] | None = None
    blendshapes: dict[str, float] | None = None
    iris: dict[str, Any] | None = None
    cuboid: dict[str, Any] | None = None
    mask: Floats | None = None

    def keypoints_px(self, width: int, height: int) -> Floats:
        """(N, D) keypoints in the pixels of a picture of that size, z in its pixels too."""
        scale = np.array([width, height, width], dtype=np.float32)
        return self.keypoints * scale[: self.keypoints.shape[1]]

    def to_json(self) -> dict[str, Any]:
        """The subject as DESIGN's JSON contract has it, what is None left out."""
        fields: dict[str, Any] = {
            "id": self.id,
            "topology": self.topology or None,
            "score": round(float(self.score), 6),
            "keypoints": _rounded(self.keypoints),
            "world_m": _rounded(self.world_m),
            "visibility_score": _rounded(self.visibility_score),
            "box": [round(float(value), _DECIMALS) for value in self.box],
            "handedness": self.handedness,
            "gesture": self.gesture,
            "blendshapes": self.blendshapes,
            "iris": self.iris,
            "cuboid": self.cuboid,
            "mask": None if self.mask is None else run_lengths(self.mask),
        }
        return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True)
class FrameResult:
    """A frame's subjects and where the frame came from.

    Attributes:
        source: the file, camera or address.
        frame: its number in the source, from 0.
        timestamp_us: microseconds since the source's start, growing from frame to frame.
        width, height: of the frame in pixels.
        dropped: frames that a live source gave since the last one and that were skipped.
        subjects: those found.
        model: what found them, for people.
        sha256: of that model's file, "" where there is no one file.
        spent_ms: wall time that it took.
        against: what a second model found in the same frame.
        interpolated: nobody looked at this frame: its subjects lie between those of the results
            before and after it.
    """

    source: str
    frame: int
    timestamp_us: int
    width: int
    height: int
    dropped: int
    subjects: Sequence[Subject]
    model: str = ""
    sha256: str = ""
    spent_ms: float = 0.0
    against: Against | None = None
    interpolated: bool = False

    def to_json_line(self) -> str:
        """One line of JSON without its newline."""
        fields: dict[str, Any] = {
            "source": self.source,
            "frame": self.frame,
            "timestamp_us": self.timestamp_us,
            "width": self.width,
            "height": self.height,
            "dropped": self.dropped,
            "subjects": [subject.to_json() for subject in self.subjects],
        }
        if self.against is not None:
            fields["against"] = self.against.to_json()
        if self.interpolated:
            fields["interpolated"] = True
        return json.dumps(fields, ensure_ascii=False)


def bounding_box(keypoints: Floats) -> tuple[float, float, float, float]:
    """x, y, width, height around (N, 2|3) points."""
    x0, y0 = np.minimum.reduce(keypoints[:, :2]).tolist()
    x1, y1 = np.maximum.reduce(keypoints[:, :2]).tolist()
    return x0, y0, x1 - x0, y1 - y0


def run_lengths(mask: Floats) -> dict[str, list[int]]:
    """A mask at 0.5 as COCO writes it without compression.

    Args:
        mask: (H, W) 0..1.

    Returns:
        {"size": [H, W], "counts": lengths of runs of 0, 1, 0 ... down the columns}.
    """
    inside = (mask > 0.5).ravel(order="F")
    changes = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    edges = [0, *changes.tolist(), inside.size]
    counts = [end - start for start, end in pairwise(edges)]
    return {"size": list(mask.shape), "counts": [0, *counts] if inside[0] else counts}


def _rounded(values: Floats | None) -> list | None:
    # In float64: float32's nearest to a rounded decimal prints with all its digits.
    return None if values is None else np.round(values.astype(np.float64), _DECIMALS).tolist()
