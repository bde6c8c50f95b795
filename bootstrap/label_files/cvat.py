"""CVAT's XML for images, version 1.1: skeletons, points, lines, boxes and cuboids.

A subject is a skeleton named after its layout, whose points are named as our keypoints; contours
and the box join it by CVAT's group. A box in space is CVAT's cuboid, which has eight corners in the
picture. Positions are measured from the picture's corner, as ours. Beside the XML lies
`labels.json`, with which CVAT's label editor ("Raw") makes the labels of a task.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.records import Label, canonical_json
from bootstrap.label_files.annotated import (
    AnnotatedPicture,
    LabelFile,
    picture_path,
    read_text,
)
from bootstrap.label_files.cvat_labels import label_specifications
from bootstrap.label_files.lost import lost_fields
from bootstrap.label_files.naming import layout_of_count, layout_of_names
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.topology import topology, topology_ids

# CVAT's corner names and ours (-+ in x, y, z), with x to CVAT's right, y up, z out of its front.
_CORNERS = {
    f"{y}{x}{face}": f"corner_{'-+'[x == 'r']}{'-+'[y == 't']}{'-+'[face == '1']}"
    for x in "lr"
    for y in "tb"
    for face in "12"
}
_WORDS = ("handedness", "gesture")
_CUBOID = "cuboid9@1"


def read_cvat(source: Path) -> LabelFile:
    """An `annotations.xml` of CVAT for images 1.1.

    Raises:
        ViewfinderError: not such a file, points that aren't numbers, or names no topology has.
    """
    text = read_text(source)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ViewfinderError("declares entities, which CVAT's files don't", file=source)
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise ViewfinderError("isn't XML", file=source, found=str(error)[:80]) from error
    if root.tag != "annotations":
        raise ViewfinderError(
            "isn't a CVAT file", file=source, expected="annotations", found=root.tag[:60]
        )
    left_out: Counter[str] = Counter()
    left_out["tracks of videos (export the task for images)"] = len(root.findall("track"))
    pictures = [
        AnnotatedPicture(
            picture_path(image.get("name"), source), tuple(_subjects(image, source, left_out))
        )
        for image in root.iter("image")
    ]
    return LabelFile(pictures, source.parent / "images", left_out)


def write_cvat(ds: Dataset, layer: str, out: Path) -> list[str]:
    """Write `out`/annotations.xml, `out`/labels.json and the pictures in `out`/images.

    Returns:
        What CVAT has no place for, a line each.

    Raises:
        ViewfinderError: no such layer, a damaged shard, or a folder that can't be written.
    """
    lost: Counter[str] = Counter()
    of_sample: dict[str, list[Label]] = defaultdict(list)
    for label in ds.labels(layer):
        of_sample[label.sample_id].append(label)
    root = ET.Element("annotations")
    ET.SubElement(root, "version").text = "1.1"
    for number, row in enumerate(ds.samples().to_dict("records")):
        sample_id, member = row["sample_id"], row["member"]
        write_bytes_durably(out / "images" / member, ds.read_image_bytes(sample_id))
        size = {"width": str(row["width"]), "height": str(row["height"])}
        image = ET.SubElement(root, "image", {"id": str(number), "name": member, **size})
        for label in of_sample[sample_id]:
            _write_subject(image, label, lost)
    ET.indent(root)
    data = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    write_bytes_durably(out / "annotations.xml", data + b"\n")
    labels = [label for group in of_sample.values() for label in group]
    specifications = canonical_json(label_specifications(labels), indent=2)
    write_bytes_durably(out / "labels.json", specifications.encode())
    return [f"CVAT has no place for {what}: {n} left out" for what, n in lost.items() if n]


def _write_subject(image: ET.Element, label: Label, lost: Counter[str]) -> None:
    if not label.topology:
        lost["statements that a picture shows no subject"] += 1
        return
    held = ("keypoints_px", "visibility", "contours", "box_px", *_WORDS)
    lost.update(lost_fields(label, but=held))
    shape = topology(label.topology)
    common = {"source": "manual", "z_order": "0", "group_id": str(label.subject_id + 1)}
    seen = label.visibility
    points = label.keypoints_px
    whole: ET.Element | None = None
    if points is not None and shape.id == _CUBOID and np.isfinite(points).all():
        by_name = dict(zip(shape.keypoint_names, points))
        corners = {
            f"{axis}{theirs}": _number(by_name[ours][place])
            for theirs, ours in _CORNERS.items()
            for place, axis in enumerate("xy")
        }
        whole = ET.SubElement(
            image, "cuboid", {"label": shape.id, "occluded": "0", **common, **corners}
        )
    elif points is not None:
        whole = ET.SubElement(image, "skeleton", {"label": shape.id, **common})
        for i, (name, point) in enumerate(zip(shape.keypoint_names, points)):
            known = bool(np.isfinite(point).all()) and (seen is None or seen[i] > 0)
            state = {
                "outside": str(int(not known)),
                "occluded": str(int(seen is not None and seen[i] == 1)),
            }
            where = _pairs(point[None]) if known else "0.000000,0.000000"
            ET.SubElement(whole, "points", {"label": name, **state, "points": where})
    for name in _WORDS if whole is not None else ():
        if (value := getattr(label, name)) is not None:
            assert whole is not None
            ET.SubElement(whole, "attribute", {"name": name}).text = value
    for name, line in label.contours.items():
        ET.SubElement(
            image, "polyline", {"label": name, "occluded": "0", **common, "points": _pairs(line)}
        )
    if label.box_px is not None:
        x, y, width, height = label.box_px.astype(np.float64).tolist()
        sides = zip(("xtl", "ytl", "xbr", "ybr"), (x, y, x + width, y + height))
        box = {"label": shape.id, "occluded": "0", **common}
        ET.SubElement(image, "box", box | {side: _number(value) for side, value in sides})


def _number(value: float) -> str:
    return f"{value:.6f}"


def _pairs(points: NDArray[Any]) -> str:
    return ";".join(f"{x:.6f},{y:.6f}" for x, y in np.asarray(points, np.float64).tolist())


def _subjects(image: ET.Element, file: Path, left_out: Counter[str]) -> list[Label]:
    """Shapes of one group are one subject; those without a group each stand alone."""
    groups: dict[str, list[ET.Element]] = defaultdict(list)
    for number, shape in enumerate(image):
        group = shape.get("group_id") or "0"
        groups[group if group != "0" else f"alone {number}"].append(shape)
    labels: list[Label] = []
    for group, shapes in groups.items():
        subject = int(group) - 1 if group.isdecimal() and len(group) < 9 else len(labels)
        label = _label(subject, shapes, file, left_out)
        if label is not None:
            labels.append(label)
    return labels


def _label(
    subject: int, shapes: Sequence[ET.Element], file: Path, left_out: Counter[str]
) -> Label | None:
    found: dict[str, Any] = {}
    contours: dict[str, NDArray[np.float32]] = {}
    for shape in shapes:
        if shape.tag == "skeleton":
            found |= _skeleton(shape, file)
        elif shape.tag == "points":
            found |= _unnamed(shape, file)
        elif shape.tag == "cuboid":
            found |= _cuboid(shape, file)
        elif shape.tag in ("polyline", "polygon"):
            contours[shape.get("label", "")] = _xy(shape.get("points"), file).astype(np.float32)
        elif shape.tag == "box":
            x, y, right, below = (
                _float(shape.get(side), file) for side in ("xtl", "ytl", "xbr", "ybr")
            )
            found["box_px"] = np.array([x, y, right - x, below - y], dtype=np.float32)
        else:
            left_out[f"shapes of the kind {shape.tag[:20]}"] += 1
    if "topology" not in found:
        left_out["shapes that belong to no keypoints"] += len(contours) + ("box_px" in found)
        return None
    words = {
        element.get("name", ""): element.text or ""
        for shape in shapes
        for element in shape.findall("attribute")
    }
    return Label(
        sample_id="",
        subject_id=subject,
        contours=contours,
        handedness=words.pop("handedness", None) or None,
        gesture=words.pop("gesture", None) or None,
        attributes=words,
        **found,
    )


def _skeleton(shape: ET.Element, file: Path) -> dict[str, Any]:
    points = shape.findall("points")
    called = shape.get("label", "")
    names = [point.get("label", "") for point in points]
    whole, places = layout_of_names(names, file, called if called in topology_ids() else "")
    xy = np.full((whole.size, 2), np.nan, dtype=np.float32)
    seen = np.zeros(whole.size, dtype=np.int8)
    for at, point in zip(places, points):
        if point.get("outside") == "1":
            continue
        pair = _xy(point.get("points"), file)
        if len(pair) != 1:
            raise ViewfinderError("wrong points", file=file, field=names[0], expected="one pair")
        xy[at], seen[at] = pair[0], 1 if point.get("occluded") == "1" else 2
    return {"topology": whole.id, "keypoints_px": xy, "visibility": seen}


def _unnamed(shape: ET.Element, file: Path) -> dict[str, Any]:
    xy = _xy(shape.get("points"), file).astype(np.float32)
    called = shape.get("label", "")
    known = called in topology_ids() and topology(called).size == len(xy)
    layout = called if known else layout_of_count(len(xy), file)
    seen = np.full(len(xy), 1 if shape.get("occluded") == "1" else 2)
    return {"topology": layout, "keypoints_px": xy, "visibility": seen}


def _cuboid(shape: ET.Element, file: Path) -> dict[str, Any]:
    layout = topology(_CUBOID)
    xy = np.full((layout.size, 2), np.nan, dtype=np.float32)
    for theirs, ours in _CORNERS.items():
        at = layout.keypoint_names.index(ours)
        xy[at] = [_float(shape.get(f"{axis}{theirs}"), file) for axis in "xy"]
    # The centre isn't stored: in perspective it lies where the box's diagonals cross.
    xy[0] = _crossing(xy)
    return {"topology": layout.id, "keypoints_px": xy, "visibility": np.full(layout.size, 2)}


def _crossing(corners: NDArray[np.float32]) -> NDArray[np.float64]:
    """(2,) the point nearest to the four diagonals, from (9, 2) keypoints."""
    total, right = np.zeros((2, 2)), np.zeros(2)
    for a in range(1, 5):
        start, end = (corners[i].astype(np.float64) for i in (a, 9 - a))
        length = np.linalg.norm(end - start)
        if length < 1e-9:
            continue
        along = (end - start) / length
        across = np.eye(2) - np.outer(along, along)
        total, right = total + across, right + across @ start
    if np.linalg.cond(total) > 1e9:
        return np.asarray(corners[1:].mean(axis=0), dtype=np.float64)
    return np.asarray(np.linalg.solve(total, right))


def _xy(text: str | None, file: Path) -> NDArray[np.float64]:
    pairs = [pair.split(",") for pair in (text or "").split(";")]
    if not all(len(pair) == 2 for pair in pairs):
        raise ViewfinderError("wrong points", file=file, expected="x,y;x,y", found=repr(text)[:60])
    return np.array([[_float(value, file) for value in pair] for pair in pairs])


def _float(text: str | None, file: Path) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise ViewfinderError("isn't a number", file=file, found=repr(text)[:40])
    return value
