"""A data set's boxes as Objectron recordings: a folder a session, with video, cameras and boxes.

Samples say in their attributes which session and frame they are and where the camera stood, as
`viewfinder session propagate` and `viewfinder render session` write it. A picture that doesn't say
becomes a session of its own, whose world is its camera's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import PlacedBox
from arsession.objectron_writer import NamedBox, write_objectron
from arsession.session import Plane, Session
from bootstrap.dataset import Dataset, Label
from bootstrap.dataset.schema import json_object
from bootstrap.label_files.lost import lost_fields
from runtime.camera import OPENCV_FROM_OPENGL, Camera, transform_points
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

_HELD = ("keypoints_px", "keypoints_camera_m", "box_px", "cuboid", "visibility", "attributes")
_ATTRIBUTES = frozenset({"category", "plane", "truncation"})
_PLANE_SIDE_M = 1.0
_RATE_HZ = 30.0


@dataclass(frozen=True)
class _Frame:
    """A sample with what places it."""

    sample_id: str
    camera: Camera
    world_from_camera: Array
    world_up: str
    timestamp_s: float


def write_objectron_layer(ds: Dataset, layer: str, out: Path) -> list[str]:
    """Write `out`/<session>/ with geometry.pbdata, the video and annotation.pbdata.

    Args:
        ds: with boxes in the camera's axes in that layer.
        layer: its name.
        out: must hold none of these recordings yet.

    Returns:
        What Objectron has no place for, a line each.

    Raises:
        ViewfinderError: no boxes, a damaged shard, or a folder that can't be written.
    """
    lost: Counter[str] = Counter()
    boxes: dict[str, list[Label]] = defaultdict(list)
    for label in ds.labels(layer):
        if label.cuboid is None or label.cuboid["frame"] != "camera":
            lost["labels that aren't boxes in the camera's axes"] += 1
        elif ds.camera(label.sample_id) is None:
            lost["boxes in pictures without a camera"] += 1
        else:
            lost.update(lost_fields(label, but=_HELD))
            lost["attributes"] += bool(set(label.attributes) - _ATTRIBUTES)
            lost["visibility of single keypoints"] += label.visibility is not None
            boxes[label.sample_id].append(label)
    if not boxes:
        raise ViewfinderError(
            "nothing to write", file=ds.root, field=layer, expected="boxes in the camera's axes"
        )
    sessions = _sessions(ds, boxes, lost)
    for name, frames in sorted(sessions.items()):
        session = _session(ds, out / name, frames, boxes)
        write_objectron(session, out / name, _named(frames, boxes))
    return [f"Objectron has no place for {what}: {n} left out" for what, n in lost.items() if n]


def _sessions(
    ds: Dataset, boxes: dict[str, list[Label]], lost: Counter[str]
) -> dict[str, list[_Frame]]:
    """Session -> its frames in order; those without a label are part of it."""
    sessions: dict[str, list[tuple[int, _Frame]]] = defaultdict(list)
    for sample_id in ds.samples()["sample_id"].tolist():
        camera = ds.camera(sample_id)
        facts = json_object(ds.row(sample_id)["attributes"])
        placed = _placed(facts)
        if camera is None or (placed is None and sample_id not in boxes):
            continue
        if placed is None:
            lost["which way is up, in pictures of no session"] += 1
            alone = _Frame(sample_id, camera, OPENCV_FROM_OPENGL, "+y", 0.0)
            sessions[sample_id].append((0, alone))
            continue
        frame = int(facts.get("frame", len(sessions[str(facts["session"])])))
        time_s = float(facts.get("timestamp_s", frame / _RATE_HZ))
        up = str(facts.get("world_up") or "+y")
        found = _Frame(sample_id, camera, placed, up, time_s)
        sessions[str(facts["session"])].append((frame, found))
    labelled = {
        name: [one for _, one in sorted(frames, key=lambda pair: pair[0])]
        for name, frames in sessions.items()
        if any(one.sample_id in boxes for _, one in frames)
    }
    for name in labelled:
        if not name or Path(name).name != name or name.startswith("."):
            raise ViewfinderError(
                "can't be a folder's name", file=ds.root, field="attributes.session", found=name
            )
    return labelled


def _placed(facts: dict[str, Any]) -> Array | None:
    pose = facts.get("world_from_camera")
    if "session" not in facts or pose is None:
        return None
    matrix = np.asarray(pose, dtype=np.float64)
    return matrix.reshape(4, 4) if matrix.size == 16 and np.isfinite(matrix).all() else None


def _session(
    ds: Dataset, path: Path, frames: Sequence[_Frame], boxes: dict[str, list[Label]]
) -> Session:
    sizes = {(one.camera.width, one.camera.height) for one in frames}
    if len(sizes) > 1:
        raise ViewfinderError(
            "a session's pictures must have one size", file=ds.root, field=path.name,
            found=", ".join(f"{w} x {h}" for w, h in sorted(sizes)),
        )  # fmt: skip
    times = np.array([one.timestamp_s for one in frames])
    planes = _planes(frames, boxes)
    return Session(
        format="data set",
        path=path,
        timestamps_s=times - times[0],
        world_from_camera=np.stack([one.world_from_camera for one in frames]),
        world_up=frames[0].world_up,
        cameras=tuple(one.camera for one in frames),
        pictures=_Pictures(ds, [one.sample_id for one in frames], sizes.pop()),
        start_s=float(times[0]),
        load_planes=lambda: planes,
    )


def _planes(frames: Sequence[_Frame], boxes: dict[str, list[Label]]) -> tuple[Plane, ...]:
    """What the boxes stand on, as the first label says that knows it."""
    for one in frames:
        for label in boxes.get(one.sample_id, []):
            plane = label.attributes.get("plane")
            if not isinstance(plane, dict) or label.cuboid is None:
                continue
            normal = np.asarray(plane["normal"], dtype=np.float64)
            centre = np.asarray(label.cuboid["translation_m"], dtype=np.float64)
            foot = centre + (float(plane["distance_m"]) - normal @ centre) * normal
            up = one.world_from_camera[:3, :3] @ normal
            at = transform_points(one.world_from_camera, foot)
            sides = np.linalg.svd(up[None])[2][1:] * _PLANE_SIDE_M / 2
            outline = at + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) @ sides
            return (Plane("plane", at, up, outline, "horizontal"),)
    return ()


def _named(frames: Sequence[_Frame], boxes: dict[str, list[Label]]) -> list[NamedBox]:
    found: dict[int, dict[int, PlacedBox]] = defaultdict(dict)
    seen: dict[int, Array] = defaultdict(lambda: np.zeros(len(frames)))
    categories: dict[int, str] = {}
    for number, one in enumerate(frames):
        for label in boxes.get(one.sample_id, []):
            found[label.subject_id][number] = _world_box(label, one.world_from_camera)
            seen[label.subject_id][number] = 1 - float(label.attributes.get("truncation", 0.0))
            categories.setdefault(label.subject_id, str(label.attributes.get("category", "")))
    return [
        NamedBox(next(iter(places.values())), categories[subject], seen[subject], places)
        for subject, places in sorted(found.items())
    ]


def _world_box(label: Label, world_from_camera: Array) -> PlacedBox:
    assert label.cuboid is not None
    turn = np.asarray(label.cuboid["rotation"], dtype=np.float64).reshape(3, 3)
    centre = np.asarray(label.cuboid["translation_m"], dtype=np.float64)
    return PlacedBox(
        world_from_camera[:3, :3] @ turn,
        transform_points(world_from_camera, centre),
        np.asarray(label.cuboid["size_m"], dtype=np.float64),
    )


class _Pictures:
    """A session's pictures in the data set."""

    quarter_turns = 0

    def __init__(self, ds: Dataset, samples: list[str], size: tuple[int, int]) -> None:
        self.size = size
        self._ds, self._samples = ds, samples

    def read(self, frame: int) -> NDArray[np.uint8]:
        return self._ds.read_image(self._samples[frame])

    def has(self, frame: int) -> bool:
        return True
