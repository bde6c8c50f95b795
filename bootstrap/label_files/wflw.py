"""WFLW's lists: a line a face, 98 points, a box, six attributes and the picture's name.

Wu et al. 2018, "Look at Boundary"; the columns are those of the data set's own readme: 196
coordinates, x and y of the box's corners, then pose, expression, illumination, make-up, occlusion
and blur as 0 or 1, then the file.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.records import Label
from bootstrap.label_files.annotated import (
    HALF_PIXEL,
    AnnotatedPicture,
    LabelFile,
    picture_path,
    read_text,
)
from bootstrap.label_files.lost import lost_fields
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError

_POINTS = 98
_FLAGS = ("large_pose", "expression", "illumination", "make_up", "occlusion", "blur")
_NUMBERS = 2 * _POINTS + 4 + len(_FLAGS)


def read_wflw(source: Path) -> LabelFile:
    """A list such as `list_98pt_rect_attr_test.txt`.

    Raises:
        ViewfinderError: a line that isn't one of WFLW's.
    """
    pictures: dict[PurePosixPath, list[Label]] = {}
    for number, line in enumerate(read_text(source).splitlines(), start=1):
        if not line.strip():
            continue
        words = line.split(maxsplit=_NUMBERS)
        where = f"line {number}"
        if len(words) != _NUMBERS + 1:
            raise ViewfinderError(
                "isn't a line of WFLW", file=source, field=where,
                expected=f"{_NUMBERS} numbers and a file", found=f"{len(words)} words",
            )  # fmt: skip
        try:
            values = np.array([float(word) for word in words[:-1]])
        except ValueError as error:
            raise ViewfinderError(
                "isn't a number", file=source, field=where, found=str(error)[-40:]
            ) from error
        faces = pictures.setdefault(picture_path(words[-1].strip(), source), [])
        faces.append(_label(values, len(faces)))
    if not pictures:
        raise ViewfinderError("this list is empty", file=source)
    return LabelFile([AnnotatedPicture(f, tuple(faces)) for f, faces in pictures.items()])


def write_wflw(ds: Dataset, layer: str, out: Path) -> list[str]:
    """Write `out`/list_98pt_rect_attr.txt and the pictures in `out`/WFLW_images.

    Only face98 labels whose points are all known have a line; attributes of other names are lost.

    Returns:
        What WFLW has no place for, a line each.

    Raises:
        ViewfinderError: no such layer, nothing to write, a damaged shard, or a folder that can't
            be written.
    """
    lost: Counter[str] = Counter()
    lines, written = [], set()
    for label in ds.labels(layer):
        points = label.keypoints_px
        if label.topology != "face98@1" or points is None or not np.isfinite(points).all():
            lost["labels that aren't 98 known points of a face"] += 1
            continue
        further = set(label.attributes) - set(_FLAGS)
        lost.update(lost_fields(label, but=("keypoints_px", "box_px", "attributes")))
        lost["attributes of other names"] += len(further)
        member = str(ds.row(label.sample_id)["member"])
        if member not in written:
            write_bytes_durably(out / "WFLW_images" / member, ds.read_image_bytes(label.sample_id))
            written.add(member)
        lines.append(_line(label, member))
    if not lines:
        raise ViewfinderError(
            "nothing to write", file=ds.root, field=layer, expected="face98@1 labels"
        )
    write_bytes_durably(out / "list_98pt_rect_attr.txt", "".join(lines).encode())
    return [f"WFLW has no place for {what}: {n} left out" for what, n in lost.items() if n]


def _label(values: np.ndarray, subject: int) -> Label:
    points = values[: 2 * _POINTS].reshape(-1, 2) + HALF_PIXEL
    x1, y1, x2, y2 = values[2 * _POINTS : 2 * _POINTS + 4].tolist()
    flags = values[2 * _POINTS + 4 :] != 0
    return Label(
        sample_id="",
        subject_id=subject,
        topology="face98@1",
        keypoints_px=points,
        visibility=np.full(_POINTS, 2),
        box_px=np.array([x1, y1, max(x2 - x1, 0.0), max(y2 - y1, 0.0)]),
        attributes={name: bool(flag) for name, flag in zip(_FLAGS, flags.tolist())},
    )


def _line(label: Label, member: str) -> str:
    assert label.keypoints_px is not None
    numbers = [f"{v:.6f}" for v in (label.keypoints_px.astype(np.float64) - HALF_PIXEL).ravel()]
    box = label.box_px
    if box is None:
        low, high = label.keypoints_px.min(axis=0), label.keypoints_px.max(axis=0)
        box = np.concatenate([low, high - low])
    corners = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
    flags = [str(int(bool(label.attributes.get(name)))) for name in _FLAGS]
    return " ".join([*numbers, *(f"{v:.6f}" for v in corners), *flags, member]) + "\n"
