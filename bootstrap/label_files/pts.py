"""iBUG .pts files: one text file a face, beside its picture.

300-W, AFW, HELEN, LFPW and COFW come as these. The numbers count pixels from 1, as Matlab does, so
that the first pixel's centre is at 1 (0.5 in ours). The layout follows from the number of points.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.records import Label
from bootstrap.label_files.annotated import AnnotatedPicture, LabelFile, read_text
from bootstrap.label_files.lost import lost_fields
from bootstrap.label_files.naming import layout_of_count
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.image import PICTURE_EXTENSIONS

_ONE_TO_CORNER = 0.5  # Matlab's first pixel, 1, has its centre at 0.5 from the corner
_FORM = re.compile(r"\s*version:\s*\d+\s+n_points:\s*(\d+)\s*\{([^}]*)\}\s*", re.ASCII)


def read_pts(source: Path) -> LabelFile:
    """Every .pts file under a folder, or one such file; a picture may have several, named after it
    with a further number (`a.jpg`, `a_1.pts`).

    Raises:
        ViewfinderError: no such files, a damaged one, or one without a picture.
    """
    folder = source if source.is_dir() else source.parent
    files = sorted(source.rglob("*.pts")) if source.is_dir() else [source]
    if not files:
        raise ViewfinderError("no .pts files in this folder", file=source)
    pictures: dict[PurePosixPath, list[Label]] = {}
    for file in files:
        place = PurePosixPath(_picture_of(file).relative_to(folder).as_posix())
        faces = pictures.setdefault(place, [])
        faces.append(_label(file, len(faces)))
    listed = [AnnotatedPicture(place, tuple(faces)) for place, faces in pictures.items()]
    return LabelFile(listed, folder)


def write_pts(ds: Dataset, layer: str, out: Path) -> list[str]:
    """Write a .pts file beside each picture; further subjects as `<sample>_<subject>.pts`.

    Returns:
        What .pts has no place for, a line each.

    Raises:
        ViewfinderError: no such layer, a damaged shard, or a folder that can't be written.
    """
    lost: Counter[str] = Counter()
    named: set[str] = set()
    for label in ds.labels(layer):
        if label.keypoints_px is None:
            lost["subjects without keypoints"] += 1
            continue
        seen = np.isfinite(label.keypoints_px).all(axis=1)
        lost.update(lost_fields(label, but=("keypoints_px",)))
        lost["keypoints that aren't labelled, written as nan"] += int((~seen).sum())
        if not label.topology.startswith("face"):
            lost["names of keypoints other than faces'"] += 1
        stem = label.sample_id if label.sample_id not in named else _second(label)
        if label.sample_id not in named:
            member = ds.row(label.sample_id)["member"]
            write_bytes_durably(out / member, ds.read_image_bytes(label.sample_id))
        named.add(label.sample_id)
        write_bytes_durably(out / f"{stem}.pts", _text(label).encode())
    return [f".pts has no place for {what}: {n} left out" for what, n in lost.items() if n]


def _second(label: Label) -> str:
    return f"{label.sample_id}_{label.subject_id}"


def _text(label: Label) -> str:
    assert label.keypoints_px is not None
    points = label.keypoints_px.astype(np.float64) + _ONE_TO_CORNER
    lines = [f"{x:.6f} {y:.6f}" for x, y in points.tolist()]
    return "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""])


def _picture_of(file: Path) -> Path:
    stems = [file.stem, re.sub(r"_\d+$", "", file.stem)]
    for stem in stems:
        for extension in PICTURE_EXTENSIONS:
            for spelt in (extension, extension.upper()):
                if (path := file.with_name(stem + spelt)).is_file():
                    return path
    raise ViewfinderError(
        "no picture of this name lies beside", file=file, expected=" ".join(PICTURE_EXTENSIONS)
    )


def _label(file: Path, subject: int) -> Label:
    match = _FORM.fullmatch(read_text(file))
    if match is None:
        raise ViewfinderError(
            "isn't a .pts file", file=file, expected="version, n_points and a list in braces"
        )
    words = match[2].split()
    count = int(match[1][:6])
    if len(words) != 2 * count:
        raise ViewfinderError(
            "the list has another length than it says",
            file=file, field="n_points", expected=2 * count, found=len(words),
        )  # fmt: skip
    try:
        points = np.array([float(word) for word in words]).reshape(-1, 2) - _ONE_TO_CORNER
    except ValueError as error:
        raise ViewfinderError("isn't a number", file=file, found=str(error)[-40:]) from error
    layout = layout_of_count(count, file)
    known = np.isfinite(points).all(axis=1)
    return Label(
        sample_id="",
        subject_id=subject,
        topology=layout,
        keypoints_px=np.where(known[:, None], points, np.nan),
        visibility=np.where(known, 2, 0),
    )
