"""COCO keypoint files, in and out.

COCO's keypoints are pixel indices, ours are continuous (a pixel's centre is at .5): half a pixel
is taken off on the way out and added on the way in. Boxes are continuous in both.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.photos import photo_ids, read_photo
from bootstrap.dataset.records import DatasetInfo, Label, canonical_json, is_human
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.topology import Topology, topology, topology_ids

HALF_PIXEL = 0.5
_MAX_FILE_BYTES = 2**30
_LOST = {
    "keypoints_camera_m": "positions in metres",
    "contours": "contours",
    "detector_keypoints_px": "detector keypoints",
    "cuboid": "cuboids",
}


def export_coco(ds: Dataset, layer: str, out: Path) -> list[str]:
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


def import_coco(
    file: Path, images: Path | None, out: Path, layer: str = "human/imported"
) -> tuple[int, list[str]]:
    """Read a COCO keypoint file into a layer.

    Args:
        file: the JSON.
        images: folder of its pictures; None when `out` is a data set that has them already,
            whose sample ids are then the file names without extension.
        out: the data set to add a layer to, or to make.
        layer: its name.

    Returns:
        Number of labels written, and warnings, a line each.

    Raises:
        ViewfinderError: not a COCO file, keypoint names that no topology has, pictures that are
            missing or damaged, or a folder that can't be written.
    """
    content = _read(file)
    by_category = _topologies(content, file)
    names = {_field(image, "id", int, file): image for image in content["images"]}
    if images is None:
        ds = Dataset.open(out)
        ids = {number: _stem(image, file) for number, image in names.items()}
    else:
        ds, ids = _pack_images(file, images, out, names)
    known = set(ds.samples()["sample_id"])
    labels, warnings = [], Counter[str]()
    subjects: Counter[str] = Counter()
    for annotation in content["annotations"]:
        sample_id = ids.get(_field(annotation, "image_id", int, file))
        shape = by_category.get(_field(annotation, "category_id", int, file))
        if sample_id not in known or sample_id is None:
            warnings["annotations of pictures that aren't in the data set"] += 1
        elif shape is None:
            warnings["annotations without keypoints"] += 1
        else:
            labels.append(_label(annotation, sample_id, subjects[sample_id], shape, layer, file))
            subjects[sample_id] += 1
            if annotation.get("segmentation"):
                warnings["segmentations"] += 1
    ds.write_layer(layer, _with_own_subject_ids(labels))
    return len(labels), [f"{what}: {count} left out" for what, count in warnings.items()]


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
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise ViewfinderError("is too large", file=file, expected=f"{_MAX_FILE_BYTES} bytes")
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise ViewfinderError("can't be read", file=file, found=error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise ViewfinderError("isn't JSON", file=file, found=str(error)[:80]) from error
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
        shapes = [topology(name) for name in topology_ids()]
        fits = [shape for shape in shapes if set(names) <= set(shape.keypoint_names)]
        if not fits:
            raise ViewfinderError(
                "no topology has these keypoints",
                file=file,
                field=str(category.get("name"))[:60],
                expected=" | ".join(topology_ids()),
                found=", ".join(map(str, names[:4])) + " ...",
            )
        # The one the file names, else the smallest that has all.
        shape = min(fits, key=lambda shape: (shape.id != category.get("name"), shape.size))
        places = [shape.keypoint_names.index(name) for name in names]
        found[_field(category, "id", int, file)] = (shape, places)
    return found


def _label(
    annotation: Mapping[str, Any],
    sample_id: str,
    subject_id: int,
    shape: tuple[Topology, list[int]],
    layer: str,
    file: Path,
) -> Label:
    whole, places = shape
    flat = annotation.get("keypoints")
    box = annotation.get("bbox")
    try:
        triples = np.asarray(flat, dtype=np.float64).reshape(len(places), 3)
        box = None if box is None else np.asarray(box, dtype=np.float32).reshape(4)
    except (TypeError, ValueError) as error:
        raise ViewfinderError(
            "wrong number of keypoints or corners",
            file=file,
            field=f"annotation {annotation.get('id')}",
            expected=f"{len(places)} keypoint triples, 4 of a box",
        ) from error
    points = np.full((whole.size, 2), np.nan)
    seen = np.zeros(whole.size, dtype=np.int8)
    seen[places] = np.clip(triples[:, 2], -1, 9).astype(np.int8)
    points[places] = triples[:, :2] + HALF_PIXEL
    points[seen == 0] = np.nan
    attributes = annotation.get("attributes")
    attributes = dict(attributes) if isinstance(attributes, dict) else {}
    own = {name: attributes.pop(name, None) for name in ("handedness", "gesture", "source")}
    person = {name: attributes.pop(name, None) for name in ("annotator", "time")}
    subject = attributes.pop("subject_id", subject_id)
    return Label(
        sample_id=sample_id,
        subject_id=subject if isinstance(subject, int) else subject_id,
        topology=whole.id,
        keypoints_px=points,
        visibility=seen,
        box_px=box,
        handedness=own["handedness"],
        gesture=own["gesture"],
        score=annotation.get("score"),
        attributes=attributes,
        source=own["source"] or f"COCO {file.name}",
        annotator=(person["annotator"] or layer.split("/")[-1]) if is_human(layer) else None,
        time=person["time"] if is_human(layer) else None,
    )


def _with_own_subject_ids(labels: list[Label]) -> list[Label]:
    """Other tools copy attributes along with a subject: the second of an id gets a free one."""
    taken: dict[str, set[int]] = {}
    result = []
    for label in labels:
        ids = taken.setdefault(label.sample_id, set())
        number = label.subject_id if label.subject_id not in ids else max(ids) + 1
        ids.add(number)
        result.append(label if number == label.subject_id else replace(label, subject_id=number))
    return result


def _pack_images(
    file: Path, images: Path, out: Path, names: Mapping[int, Mapping[str, Any]]
) -> tuple[Dataset, dict[int, str]]:
    relative = {number: Path(_file_name(image, file)) for number, image in names.items()}
    files = sorted(set(relative.values()), key=lambda path: path.as_posix())
    id_of = dict(zip(files, photo_ids(files)))
    info = DatasetInfo(
        name=file.stem,
        generator="viewfinder dataset import",
        settings={"format": "coco", "files": [path.as_posix() for path in files]},
        shard_size=64,
    )
    ds = Dataset.create(out, info)
    committed = ds.committed_shards()
    for shard, first in enumerate(range(0, len(files), info.shard_size)):
        if shard in committed:
            continue
        part = files[first : first + info.shard_size]
        ds.write_shard(shard, [read_photo(images / f, id_of[f], f.as_posix()) for f in part])
    return ds, {number: id_of[path] for number, path in relative.items()}


def _file_name(image: Mapping[str, Any], file: Path) -> str:
    name: str = _field(image, "file_name", str, file)
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ViewfinderError("a picture outside the folder", file=file, field=name[:80])
    return name


def _stem(image: Mapping[str, Any], file: Path) -> str:
    return PurePosixPath(_file_name(image, file)).stem


def _field(row: Mapping[str, Any], name: str, kind: type, file: Path) -> Any:
    value = row.get(name)
    if not isinstance(value, kind):
        raise ViewfinderError(
            "wrong or missing value", file=file, field=name, expected=kind.__name__, found=value
        )
    return value
