"""FreiHAND: 21 metric keypoints of right hands with the camera of each picture.

Zimmermann et al. 2019. `<split>_xyz.json` holds metres in the camera's axes, `<split>_K.json`
intrinsics, pictures are `<split>/rgb/<number>.jpg`; the training pictures come four times over
(other backgrounds) with the same labels: `dataset split --by shot` keeps them together. The
keypoints' order is that of hand21.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.records import Label
from bootstrap.label_files.annotated import AnnotatedPicture, LabelFile, read_json
from runtime.camera import Camera
from runtime.errors import ViewfinderError

SIZE = 224
"""Width and height of every picture."""


def read_freihand(source: Path) -> LabelFile:
    """The unpacked folder; every split that has labels.

    Raises:
        ViewfinderError: not such a folder, or numbers of another shape.
    """
    pictures: list[AnnotatedPicture] = []
    for split in ("training", "evaluation"):
        if not (source / f"{split}_xyz.json").is_file():
            continue
        points = _numbers(source / f"{split}_xyz.json", (21, 3))
        matrices = _numbers(source / f"{split}_K.json", (3, 3))
        if len(points) != len(matrices):
            raise ViewfinderError(
                "there are more hands than cameras or fewer", file=source / f"{split}_K.json",
                expected=len(points), found=len(matrices),
            )  # fmt: skip
        numbers = sorted(
            int(path.stem)
            for path in (source / split / "rgb").glob("*.jpg")
            if path.stem.isdecimal()
        )
        for number in numbers:
            place = PurePosixPath(f"{split}/rgb/{number:08d}.jpg")
            hand = number % len(points)  # the copies follow each other in blocks
            pictures.append(_picture(place, f"{split} {hand}", points[hand], matrices[hand]))
    if not pictures:
        raise ViewfinderError(
            "isn't FreiHAND's folder", file=source,
            expected="training_xyz.json, training_K.json, training/rgb/*.jpg",
        )  # fmt: skip
    return LabelFile(pictures, source)


def _numbers(file: Path, shape: tuple[int, int]) -> NDArray[np.float64]:
    try:
        values = np.asarray(read_json(file), dtype=np.float64).reshape(-1, *shape)
    except (TypeError, ValueError) as error:
        raise ViewfinderError(
            "wrong numbers", file=file, expected=f"a list of {shape[0]} x {shape[1]}"
        ) from error
    if not len(values) or not np.isfinite(values).all():
        raise ViewfinderError("wrong numbers", file=file, expected="finite numbers")
    return values


def _picture(
    place: PurePosixPath, shot: str, points_m: NDArray[np.float64], matrix: NDArray[np.float64]
) -> AnnotatedPicture:
    fx, fy, cx, cy = (float(matrix[at]) for at in ((0, 0), (1, 1), (0, 2), (1, 2)))
    camera = Camera(fx, fy, cx, cy, SIZE, SIZE)
    label = Label(
        sample_id="",
        topology="hand21@1",
        keypoints_px=camera.project(points_m).astype(np.float32),
        keypoints_camera_m=points_m.astype(np.float32),
        visibility=np.full(21, 2),
        handedness="right",
    )
    return AnnotatedPicture(place, (label,), camera, {"shot": shot})
