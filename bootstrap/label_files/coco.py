"""COCO keypoint files, in and out.

COCO's keypoints are pixel indices, ours are continuous (a pixel's centre is at .5): half a pixel
is taken off on the way out and added on the way in. Boxes are continuous in both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.records import Label, canonical_json
from bootstrap.label_files.annotated import (
    HALF_PIXEL,
    AnnotatedPicture,
    LabelFile,
    field_of,
    picture_path,
    read_json,
)
from bootstrap.label_files.naming import layout_of_names
from bootstrap.label_files.whole_body import points_and_visibility, whole_body
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.topology import Topology, topology

_LOST = {
    "keypoints_camera_m": "positions in metres",
    "contours": "contours",
    "detector_keypoints_px": "detector keypoints",
    "cuboid": "cuboids",
}


def write_coco(ds: Dataset, layer: str, out: Path) -> list[str]:
    """Write `out`/annotations.json and the pictures, unchanged, in `out`/images.

    Handedness, gesture, subject id, source and attributes go into COCO's "attributes", where CVAT
    keeps its own.

    Returns:
        What COCO has no place for, a line each.

    Raises:
        ViewfinderError: no such layer, a damaged shard, or a folder that can't be written.
    """
    labels = ds.labels(layer)
    samples = ds.samples()
    numbers = {sample_id: i + 1 for i, sample_id in enumerate(samples["sample_id"])}
    used = sorted({label.topology for label in labels if label.topology})
    images = []
    for row in samples.to_dict("records"):
        name = row["member"]
        write_bytes_durably(out / "images" / name, ds.read_image_bytes(row["sample_id"]))
        number = numbers[row["sample_id"]]
        size = {"width": row["width"], "height": row["height"]}
        images.append({"id": number, "file_name": name, **size})
    lost: Counter[str] = Counter()
    annotations = [
        _annotation(i + 1, numbers[label.sample_id], used.index(label.topology) + 1, label, lost)
        for i, label in enumerate(one for one in labels if one.topology)
    ]
    negatives = sum(not label.topology for label in labels)
    if negatives:
        lost["statements that a picture shows no subject"] = negatives
    if samples["camera"].notna().any():
        lost["cameras"] = int(samples["camera"].notna().sum())
    content = {
        "info": {"description": ds.info.name, "layer": layer, "generator": ds.info.generator},
        "licenses": [
            {"id": i + 1, "name": name} for i, name in enumerate(ds.info.licences_inherited)
        ],
        "images": images,
        "categories": [_category(i + 1, topology(name)) for i, name in enumerate(used)],
        "annotations": annotations,
    }
    write_bytes_durably(out / "annotations.json", canonical_json(content).encode())
    return [f"COCO has no place for {what}: {count} left out" for what, count in lost.items()]


def read_coco(file: Path) -> LabelFile:
    """A COCO keypoint file, COCO-WholeBody's included, whose faces and hands become subjects of
    their own.

    Raises:
        ViewfinderError: not a COCO file, or keypoint names that no topology has.
    """
    content = _read(file)
    by_category = _topologies(content, file)
    pictures = {
        field_of(image, "id", int, file): picture_path(image.get("file_name"), file)
        for image in content["images"]
    }
    labels: dict[PurePosixPath, list[Label]] = {place: [] for place in pictures.values()}
    left_out: Counter[str] = Counter()
    for annotation in content["annotations"]:
        place = pictures.get(field_of(annotation, "image_id", int, file))
        shape = by_category.get(field_of(annotation, "category_id", int, file))
        if place is None:
            left_out["annotations of pictures that the file doesn't list"] += 1
            continue
        found = whole_body(annotation, file)
        if shape is not None and annotation.get("keypoints"):
            found.append(_label(annotation, shape, file))
        if not found:
            left_out["annotations without keypoints"] += 1
            continue
        here = labels[place]
        for label in found:
            here.append(label if label.subject_id >= 0 else replace(label, subject_id=len(here)))
        left_out["segmentations"] += bool(annotation.get("segmentation"))
    listed = [AnnotatedPicture(place, tuple(found)) for place, found in labels.items()]
    return LabelFile(listed, None, left_out)


def _annotation(
    number: int, image_id: int, category_id: int, label: Label, lost: Counter[str]
) -> dict[str, Any]:
    for name, what in _LOST.items():
        value = getattr(label, name)
        lost[what] += value is not None and len(value) > 0
        if not lost[what]:
            del lost[what]
    count = topology(label.topology).size
    points = np.zeros((count, 2)) if label.keypoints_px is None else label.keypoints_px
    seen = label.visibility
    if seen is None:
        seen = np.full(count, 0 if label.keypoints_px is None else 2)
    if (np.isfinite(points) & (points != 0)).all(axis=1)[seen == 0].any():
        lost["positions of keypoints that aren't labelled"] += 1
    flat: list[float] = []
    for (x, y), v in zip(points.astype(np.float64).tolist(), seen.tolist()):
        flat += [x - HALF_PIXEL, y - HALF_PIXEL, v] if v else [0, 0, 0]
    annotation: dict[str, Any] = {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "keypoints": flat,
        "num_keypoints": int((seen > 0).sum()),
        "iscrowd": 0,
        "attributes": {
            **label.attributes,
            "subject_id": label.subject_id,
            "source": label.source,
            **_given(label, ("handedness", "gesture", "annotator", "time")),
        },
    }
    box = label.box_px
    if box is None and (seen > 0).any():
        low, high = points[seen > 0].min(axis=0), points[seen > 0].max(axis=0)
        box = np.concatenate([low, high - low])
    if box is not None:
        annotation["bbox"] = box.astype(np.float64).tolist()
        annotation["area"] = float(box[2]) * float(box[3])
    return annotation | _given(label, ("score",))


def _given(label: Label, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(label, name)) is not None}


def _category(number: int, shape: Topology) -> dict[str, Any]:
    return {
        "id": number,
        "name": shape.id,
        "supercategory": shape.name,
        "keypoints": list(shape.keypoint_names),
        "skeleton": [[a + 1, b + 1] for a, b in shape.edges],
    }


def _read(file: Path) -> dict[str, Any]:
    content = read_json(file)
    for name in ("images", "annotations", "categories"):
        rows = content.get(name) if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ViewfinderError("isn't a COCO file", file=file, field=name, expected="a list")
    return dict(content)


def _topologies(content: Mapping[str, Any], file: Path) -> dict[int, tuple[Topology, list[int]]]:
    """Category id -> topology, and where each of the category's keypoints stands in it."""
    found = {}
    for category in content["categories"]:
        names = category.get("keypoints")
        if not names:
            continue
        name = str(category.get("name"))
        number = field_of(category, "id", int, file)
        found[number] = layout_of_names([str(one) for one in names], file, name)
    return found


def _label(annotation: Mapping[str, Any], shape: tuple[Topology, list[int]], file: Path) -> Label:
    whole, places = shape
    box = annotation.get("bbox")
    try:
        triples = np.asarray(annotation["keypoints"], dtype=np.float64).reshape(len(places), 3)
        box = None if box is None else np.asarray(box, dtype=np.float32).reshape(4)
    except (TypeError, ValueError) as error:
        raise ViewfinderError(
            "wrong number of keypoints or corners",
            file=file,
            field=f"annotation {annotation.get('id')}",
            expected=f"{len(places)} keypoint triples, 4 of a box",
        ) from error
    attributes = annotation.get("attributes")
    attributes = dict(attributes) if isinstance(attributes, dict) else {}
    own = {
        name: attributes.pop(name, None)
        for name in ("handedness", "gesture", "annotator", "time", "source", "subject_id")
    }
    subject = own.pop("subject_id")
    return Label(
        sample_id="",
        subject_id=subject if isinstance(subject, int) else -1,
        topology=whole.id,
        box_px=box,
        score=annotation.get("score"),
        attributes=attributes,
        **{**own, "source": own["source"] or f"COCO {file.name}"},
        **points_and_visibility(triples, places, whole),
    )
