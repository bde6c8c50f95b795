"""A session's frames as a data set, its boxes in the layer `propagated`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arsession.cuboid_evidence import PlacedBox
from arsession.placing import Placed
from arsession.propagate import NOT_THERE, Propagated, hidden_by_depth, propagate
from arsession.session import Pictures, Session
from arsession.views import Views
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.dataset.photos import PHOTO_SHARD_SIZE
from runtime.errors import ViewfinderError
from runtime.image import encode_image

Array = NDArray[np.float64]

LAYER = "propagated"
"""Of a file of boxes; people who place boxes by hand have one each: `layer_of`."""
SOURCE = "viewfinder session propagate"
_JPEG_QUALITY = 95


def layer_of(annotator: str) -> str:
    """The layer of one person's boxes, which nobody else writes: `propagated@ada`."""
    return f"{LAYER}@{annotator}"


@dataclass
class PropagationReport:
    """What was written: frames in the data set, of which packed now; labels; frames with one."""

    frames: int = 0
    packed: int = 0
    labels: int = 0
    labelled_frames: int = 0


def write_propagated(
    session: Session,
    placed: Placed,
    out: Path,
    every: int = 1,
    shard_size: int = PHOTO_SHARD_SIZE,
    progress: Callable[[int, int], None] = lambda done, total: None,
    layer: str = LAYER,
) -> PropagationReport:
    """Pack a session's frames and label the boxes in all of them.

    Pictures are packed once; run again after an edit, only the labels are written anew. A run that
    was stopped goes on at the next missing shard.

    Args:
        session: with pictures.
        placed: its boxes.
        out: folder of the data set.
        every: take every so manieth frame.
        shard_size: frames in a shard.
        progress: called with frames done and in all.
        layer: of the labels; others stay as they are.

    Raises:
        ViewfinderError: no pictures, or another data set in `out`.
    """
    pictures = session.pictures
    if pictures is None:
        raise ViewfinderError(
            "the recording has no pictures to label",
            file=session.path,
            expected="a video or images",
        )
    frames = [f for f in range(0, len(placed.views), every) if pictures.has(f)]
    seen = [
        propagate(cuboid.box, placed.views, covariance)
        for cuboid, covariance in zip(placed.cuboids, placed.covariances)
        if cuboid.box is not None
    ]
    ds = Dataset.create(out, _info(session, frames, every, shard_size))
    committed = ds.committed_shards()
    report = PropagationReport(frames=len(frames))
    for shard in range((len(frames) + shard_size - 1) // shard_size):
        part = frames[shard * shard_size : (shard + 1) * shard_size]
        labels = [label for f in part for label in _labels(session, placed, seen, f)]
        if shard in committed:
            ds.write_layer_shard(layer, shard, labels)
        else:
            ds.write_shard(shard, [_sample(session, pictures, f) for f in part], {layer: labels})
            report.packed += len(part)
        report.labels += len(labels)
        report.labelled_frames += len({label.sample_id for label in labels})
        progress(min((shard + 1) * shard_size, len(frames)), len(frames))
    return report


def _info(session: Session, frames: list[int], every: int, shard_size: int) -> DatasetInfo:
    poses = hashlib.sha256(np.ascontiguousarray(session.world_from_camera).tobytes())
    return DatasetInfo(
        name=session.path.resolve().stem,
        generator=SOURCE,
        settings={
            "format": session.format,
            "frames": len(frames),
            "every": every,
            "poses_sha256": poses.hexdigest(),
        },
        topologies=("cuboid9@1",),
        shard_size=shard_size,
    )


def _sample(session: Session, pictures: Pictures, frame: int) -> Sample:
    rgb = pictures.read(frame)
    height, width = rgb.shape[:2]
    return Sample(
        sample_id=f"{frame:08d}",
        image=encode_image(rgb, ".jpg", _JPEG_QUALITY),
        extension="jpg",
        width=width,
        height=height,
        camera=session.camera_at(frame),
        attributes={
            "session": session.path.resolve().name,
            "frame": frame,
            "timestamp_s": float(session.timestamps_s[frame]),
            "world_from_camera": session.world_from_camera[frame].ravel().tolist(),
            "world_up": session.world_up,
        },
    )


def _labels(session: Session, placed: Placed, seen: list[Propagated], frame: int) -> list[Label]:
    labels = []
    boxed = [i for i, cuboid in enumerate(placed.cuboids) if cuboid.box is not None]
    for i, propagated in zip(boxed, seen):
        if not propagated.seen[frame]:
            continue
        cuboid, views = placed.cuboids[i], placed.views
        assert cuboid.box is not None
        visibility = propagated.visibility[frame]
        if session.depths is not None:
            visibility = hidden_by_depth(propagated, frame, session.depths, views)
        labels.append(
            box_label(
                f"{frame:08d}", cuboid.id, cuboid.box, views, propagated, frame, visibility,
                _attributes(session, placed, i, propagated, frame), SOURCE,
            )
        )  # fmt: skip
    return labels


def box_label(
    sample_id: str,
    subject_id: int,
    box: PlacedBox,
    views: Views,
    seen: Propagated,
    frame: int,
    visibility: NDArray[np.int8],
    attributes: dict[str, Any],
    source: str,
) -> Label:
    """The label of a box in one frame.

    Args:
        sample_id, subject_id: of the label.
        box: in the session's world.
        views: the session's cameras.
        seen: `propagate(box, views)`.
        frame: number in `views`.
        visibility: (9,) of the keypoints.
        attributes, source: of the label.
    """
    px = seen.keypoints_px[frame].copy()
    px[visibility == NOT_THERE] = np.nan
    return Label(
        sample_id=sample_id,
        subject_id=subject_id,
        topology="cuboid9@1",
        keypoints_px=px,
        keypoints_camera_m=seen.keypoints_camera_m[frame],
        visibility=visibility,
        box_px=seen.box_px[frame],
        cuboid={
            "rotation": (views.turns[frame] @ box.rotation).ravel(),
            "translation_m": seen.keypoints_camera_m[frame, 0],
            "size_m": box.size_m,
            "frame": "camera",
        },
        attributes=attributes,
        source=source,
    )


def plane_in_camera(views: Views, frame: int, up_world: Array, height_m: float) -> dict[str, Any]:
    """A level plane as a label's attribute `plane`: normal @ p = distance_m, in camera axes."""
    normal = views.turns[frame] @ up_world
    return {
        "normal": normal.tolist(),
        "distance_m": height_m + float(normal @ views.shifts[frame]),
    }


def _attributes(
    session: Session, placed: Placed, i: int, propagated: Propagated, frame: int
) -> dict[str, Any]:
    cuboid, snap, up = placed.cuboids[i], placed.planes[i], session.up_world
    attributes: dict[str, Any] = {
        "category": cuboid.category,
        "truncation": round(float(propagated.truncation[frame]), 4),
    }
    expected = propagated.expected_px[frame]
    if np.isfinite(expected).any():
        attributes["expected_px"] = round(float(np.sqrt(np.nanmean(expected**2))), 3)
    if snap is not None and up is not None:
        attributes["plane"] = plane_in_camera(placed.views, frame, up, snap.height_m)
    return attributes
