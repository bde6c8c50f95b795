"""OneHand10K's own lists: 21 keypoints of a hand in a photograph, some not labelled.

Wang et al. 2019, "Mask-pose cascaded CNN". `Train/label_joint.txt` and `Test/label_joint.txt` have
a line a hand, with commas: the picture's name, its width and height, the number of the hand in it,
then x and y of each keypoint in hand21's order, -1 where it isn't labelled; pictures are
`Train/source/<name>`. The columns are those that three readers in public repositories agree on
(one of them puts the list's keypoints into MMPose's annotations as they stand, hence the order).
Whether a hand is a left one isn't said.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from bootstrap.dataset.records import Label
from bootstrap.label_files.annotated import (
    HALF_PIXEL,
    AnnotatedPicture,
    LabelFile,
    picture_path,
    read_text,
)
from runtime.errors import ViewfinderError

LIST = "label_joint.txt"
_POINTS = 21
_BEFORE = 4
_NOT_LABELLED = -1.0


def read_onehand10k(source: Path) -> LabelFile:
    """The unpacked folder; both lists, or the one that is there.

    Raises:
        ViewfinderError: not such a folder, or a line that isn't one of its lists'.
    """
    hands: dict[PurePosixPath, list[Label]] = {}
    left_out: Counter[str] = Counter()
    lists = [source / part / LIST for part in ("Train", "Test")]
    lists = [path for path in lists if path.is_file()]
    if not lists:
        raise ViewfinderError(
            "isn't OneHand10K's folder", file=source, expected=f"Train/{LIST}, Train/source/*.jpg"
        )
    for path in lists:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if not line.strip():
                continue
            name, label = _read(line, path, f"line {number}")
            here = hands.setdefault(PurePosixPath(path.parent.name, "source") / name, [])
            if label is None:
                left_out["hands without a labelled keypoint"] += 1
            else:
                here.append(label)
    if not hands:
        raise ViewfinderError("this list is empty", file=lists[0])
    pictures = [
        AnnotatedPicture(place, tuple(found), None, {"list": place.parts[0].lower()})
        for place, found in hands.items()
    ]
    return LabelFile(pictures, source, left_out)


def _read(line: str, path: Path, where: str) -> tuple[PurePosixPath, Label | None]:
    words = [word.strip() for word in line.split(",")]
    if len(words) != _BEFORE + 2 * _POINTS:
        raise ViewfinderError(
            "isn't a line of OneHand10K", file=path, field=where,
            expected=f"a name and {_BEFORE - 1 + 2 * _POINTS} numbers",
            found=f"{len(words)} columns",
        )  # fmt: skip
    try:
        values = [float(word) for word in words[_BEFORE:]]
    except ValueError as error:
        raise ViewfinderError(
            "isn't a number", file=path, field=where, found=str(error)[-40:]
        ) from error
    if not all(map(math.isfinite, values)):
        raise ViewfinderError("isn't a number", file=path, field=where, found="nan or inf")
    name = picture_path(words[0], path)
    points = np.array(values).reshape(_POINTS, 2)
    known = (points != _NOT_LABELLED).all(axis=1)
    if not known.any():
        return name, None
    label = Label(
        sample_id="",
        topology="hand21@1",
        keypoints_px=np.where(known[:, None], points + HALF_PIXEL, np.nan),
        visibility=np.where(known, 2, 0),
    )
    return name, label
