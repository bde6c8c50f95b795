"""labelme's JSON: a file a picture, beside it.

A subject is a group: its keypoints are points named as ours, its contours lines or polygons, its
box a rectangle named after its layout. Positions are measured from the picture's corner, as ours.
What labelme has flags for is kept there: "occluded" of a point, "handedness:left" of a rectangle.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.records import Label, canonical_json
from bootstrap.label_files.annotated import (
    AnnotatedPicture,
    LabelFile,
    field_of,
    picture_path,
    read_json,
)
from bootstrap.label_files.lost import lost_fields
from bootstrap.label_files.naming import layout_of_names
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.topology import topology, topology_ids

VERSION = "5.5.0"
"""Of labelme, whose files these are."""

_OCCLUDED = "occluded"
_WORDS = ("handedness", "gesture")


def read_labelme(source: Path) -> LabelFile:
    """Every labelme file under a folder, or one.

    Raises:
        ViewfinderError: no such files, or a damaged one.
    """
    folder = source if source.is_dir() else source.parent
    files = sorted(source.rglob("*.json")) if source.is_dir() else [source]
    if not files:
        raise ViewfinderError("no .json files in this folder", file=source)
    left_out: Counter[str] = Counter()
    return LabelFile([_picture(file, folder, left_out) for file in files], folder, left_out)


def write_labelme(ds: Dataset, layer: str, out: Path) -> list[str]:
    """Write a .json file beside each picture.

    Returns:
        What labelme has no place for, a line each.

    Raises:
        ViewfinderError: no such layer, a damaged shard, or a folder that can't be written.
    """
    lost: Counter[str] = Counter()
    of_sample: dict[str, list[Label]] = defaultdict(list)
    for label in ds.labels(layer):
        of_sample[label.sample_id].append(label)
    for row in ds.samples().to_dict("records"):
        sample_id, member = row["sample_id"], row["member"]
        write_bytes_durably(out / member, ds.read_image_bytes(sample_id))
        shapes: list[dict[str, Any]] = []
        for label in of_sample[sample_id]:
            shapes += _shapes(label, lost)
        content = {
            "version": VERSION,
            "flags": {},
            "shapes": shapes,
            "imagePath": member,
            "imageData": None,
            "imageHeight": row["height"],
            "imageWidth": row["width"],
        }
        write_bytes_durably(out / f"{sample_id}.json", canonical_json(content, indent=2).encode())
    return [f"labelme has no place for {what}: {n} left out" for what, n in lost.items() if n]


def _shapes(label: Label, lost: Counter[str]) -> list[dict[str, Any]]:
    if not label.topology:
        lost["statements that a picture shows no subject"] += 1
        return []
    held = ("keypoints_px", "visibility", "contours", "box_px", *_WORDS)
    lost.update(lost_fields(label, but=held))
    shape = topology(label.topology)
    words = [f"{name}:{getattr(label, name)}" for name in _WORDS if getattr(label, name)]
    box = label.box_px
    if box is None and label.keypoints_px is not None:
        low = np.nanmin(label.keypoints_px, axis=0)
        box = np.concatenate([low, np.nanmax(label.keypoints_px, axis=0) - low])
    result = []
    if box is not None:
        corners = np.stack([box[:2], box[:2] + box[2:]])
        flags = dict.fromkeys(words, True)
        result.append(_shape(shape.id, "rectangle", corners, label.subject_id, flags))
    points = label.keypoints_px if label.keypoints_px is not None else np.zeros((0, 2))
    for i, (name, point) in enumerate(zip(shape.keypoint_names, points)):
        seen = 2 if label.visibility is None else int(label.visibility[i])
        if seen and np.isfinite(point).all():
            flags = {_OCCLUDED: seen == 1}
            result.append(_shape(name, "point", point[None], label.subject_id, flags))
    for name, line in label.contours.items():
        closed = name in shape.contours and shape.contours[name].closed
        kind = "polygon" if closed and len(line) > 2 else "linestrip"
        result.append(_shape(name, kind, line, label.subject_id, {}))
    return result


def _shape(
    name: str, kind: str, points: NDArray[Any], group: int, flags: Mapping[str, bool]
) -> dict[str, Any]:
    return {
        "label": name,
        "points": np.asarray(points, dtype=np.float64).tolist(),
        "group_id": group,
        "description": "",
        "shape_type": kind,
        "flags": dict(flags),
    }


def _picture(file: Path, folder: Path, left_out: Counter[str]) -> AnnotatedPicture:
    content = read_json(file)
    shapes = content.get("shapes") if isinstance(content, dict) else None
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise ViewfinderError("isn't a labelme file", file=file, field="shapes", expected="a list")
    here = PurePosixPath(file.parent.relative_to(folder).as_posix())
    place = here / picture_path(content.get("imagePath"), file).name
    groups: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for shape in shapes:
        group = shape.get("group_id")
        groups[group if isinstance(group, int) and group >= 0 else 0].append(shape)
    labels = [_label(number, group, file, left_out) for number, group in groups.items()]
    return AnnotatedPicture(place, tuple(label for label in labels if label is not None))


def _label(
    subject: int, shapes: list[dict[str, Any]], file: Path, left_out: Counter[str]
) -> Label | None:
    points = {}
    contours, box, called, flags = {}, None, "", {}
    for shape in shapes:
        kind, name = shape.get("shape_type", "polygon"), field_of(shape, "label", str, file)
        xy = _points(shape, file)
        if kind == "point" and len(xy) == 1:
            points[name] = (xy[0], 1 if _flags(shape).get(_OCCLUDED) else 2)
        elif kind == "rectangle" and len(xy) == 2:
            low, high = xy.min(axis=0), xy.max(axis=0)
            box, flags = np.concatenate([low, high - low]), _flags(shape)
            called = name if name in topology_ids() else ""
        elif kind in ("linestrip", "polygon", "line"):
            contours[name] = xy
        else:
            left_out[f"shapes of the kind {kind}"] += 1
    if not points:
        left_out["shapes that belong to no keypoints"] += len(contours) + (box is not None)
        return None
    whole, places = layout_of_names(list(points), file, called)
    xy_all = np.full((whole.size, 2), np.nan)
    seen = np.zeros(whole.size, dtype=np.int8)
    for at, (xy, visible) in zip(places, points.values()):
        xy_all[at], seen[at] = xy, visible
    words = dict(flag.split(":", 1) for flag, on in flags.items() if on and ":" in flag)
    return Label(
        sample_id="",
        subject_id=subject,
        topology=whole.id,
        keypoints_px=xy_all.astype(np.float32),
        visibility=seen,
        contours={name: line.astype(np.float32) for name, line in contours.items()},
        box_px=None if box is None else box.astype(np.float32),
        handedness=words.get("handedness"),
        gesture=words.get("gesture"),
    )


def _flags(shape: Mapping[str, Any]) -> dict[str, Any]:
    flags = shape.get("flags")
    return flags if isinstance(flags, dict) else {}


def _points(shape: Mapping[str, Any], file: Path) -> NDArray[np.float64]:
    try:
        xy = np.asarray(shape.get("points"), dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as error:
        raise ViewfinderError(
            "wrong points", file=file, field=str(shape.get("label"))[:60], expected="pairs"
        ) from error
    if not np.isfinite(xy).all():
        raise ViewfinderError("wrong points", file=file, field=str(shape.get("label"))[:60])
    return xy
