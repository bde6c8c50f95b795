"""BOP's scenes: boxes in space as poses of objects whose sizes a table gives.

The format of the BOP benchmark (Hodan et al. 2018): a scene is a folder with `rgb/<image>.jpg|png`,
`scene_camera.json` and `scene_gt.json`; `models/models_info.json` beside or above it holds the
objects' boxes. Millimetres, OpenCV's camera axes, and a principal point that counts pixels' centres
as whole numbers (half a pixel from ours).
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
from bootstrap.label_files.annotated import HALF_PIXEL, AnnotatedPicture, LabelFile, read_json
from bootstrap.label_files.lost import lost_fields
from runtime.camera import Camera
from runtime.cuboid import Cuboid
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.image import image_size

_MM = 1000.0
_AXES = "xyz"
_HELD = ("keypoints_px", "keypoints_camera_m", "box_px", "cuboid", "visibility")


def read_bop(source: Path) -> LabelFile:
    """A scene's folder.

    Raises:
        ViewfinderError: not such a folder, no table of objects, or numbers of another shape.
    """
    poses = _object(source / "scene_gt.json")
    cameras = _object(source / "scene_camera.json")
    objects = _object(_models_of(source))
    pictures = []
    for name, rows in sorted(poses.items(), key=lambda pair: pair[0].zfill(12)):
        place = _picture(source, name)
        camera = _camera(source, name, cameras, place)
        if not isinstance(rows, list):
            raise ViewfinderError("wrong rows", file=source / "scene_gt.json", field=name)
        labels = [_label(source, name, i, row, objects, camera) for i, row in enumerate(rows)]
        pictures.append(AnnotatedPicture(place, tuple(labels), camera))
    if not pictures:
        raise ViewfinderError("this scene has no pictures", file=source / "scene_gt.json")
    return LabelFile(pictures, source)


def write_bop(ds: Dataset, layer: str, out: Path) -> list[str]:
    """Write the scene `out`/000000 and `out`/models/models_info.json.

    Boxes of the same category and size, to a tenth of a millimetre, are one object.

    Returns:
        What BOP has no place for, a line each.

    Raises:
        ViewfinderError: no such layer, no boxes in it, a damaged shard, or a folder that can't be
            written.
    """
    lost: Counter[str] = Counter()
    of_sample: dict[str, list[Label]] = defaultdict(list)
    for label in ds.labels(layer):
        if label.cuboid is None or label.cuboid["frame"] != "camera":
            lost["labels that aren't boxes in the camera's axes"] += 1
        elif ds.camera(label.sample_id) is None:
            lost["boxes in pictures without a camera"] += 1
        else:
            lost.update(lost_fields(label, but=(*_HELD, "attributes")))
            lost["attributes"] += bool(set(label.attributes) - {"category"})
            of_sample[label.sample_id].append(label)
    if not of_sample:
        raise ViewfinderError(
            "nothing to write", file=ds.root, field=layer, expected="boxes in the camera's axes"
        )
    numbers: dict[tuple[object, ...], int] = {}
    cameras, poses = {}, {}
    for i, (sample_id, labels) in enumerate(sorted(of_sample.items())):
        member = str(ds.row(sample_id)["member"])
        name = f"{i:06d}{Path(member).suffix}"
        write_bytes_durably(out / "000000" / "rgb" / name, ds.read_image_bytes(sample_id))
        camera = ds.camera(sample_id)
        assert camera is not None
        cameras[str(i)] = {"cam_K": _matrix(camera), "depth_scale": 1.0}
        poses[str(i)] = [_row(label, numbers) for label in labels]
    lost["sample ids, which become numbers"] = len(of_sample)
    for where, content in (
        ("000000/scene_camera.json", cameras),
        ("000000/scene_gt.json", poses),
        ("models/models_info.json", {str(n): _info(key) for key, n in numbers.items()}),
    ):
        write_bytes_durably(out / where, canonical_json(content, indent=1).encode())
    return [f"BOP has no place for {what}: {n} left out" for what, n in lost.items() if n]


def _matrix(camera: Camera) -> list[float]:
    matrix = camera.matrix.copy()
    matrix[:2, 2] -= HALF_PIXEL
    return [float(value) for value in matrix.ravel()]


def _row(label: Label, numbers: dict[tuple[object, ...], int]) -> dict[str, Any]:
    cuboid = label.cuboid
    assert cuboid is not None
    size_mm = np.asarray(cuboid["size_m"], dtype=np.float64) * _MM
    key = (str(label.attributes.get("category", "")), *size_mm.round(1).tolist())
    position_mm = np.asarray(cuboid["translation_m"], dtype=np.float64) * _MM
    return {
        "cam_R_m2c": np.asarray(cuboid["rotation"], dtype=np.float64).ravel().tolist(),
        "cam_t_m2c": position_mm.tolist(),
        "obj_id": numbers.setdefault(key, len(numbers) + 1),
    }


def _info(key: tuple[object, ...]) -> dict[str, Any]:
    category, *sizes = key
    size = np.array(sizes, dtype=np.float64)
    box = {f"size_{axis}": value for axis, value in zip(_AXES, size.tolist())}
    low = {f"min_{axis}": -value / 2 for axis, value in zip(_AXES, size.tolist())}
    return {**box, **low, "diameter": float(np.linalg.norm(size)), "category": category}


def _object(file: Path) -> dict[str, Any]:
    content = read_json(file)
    if not isinstance(content, dict):
        raise ViewfinderError("isn't one of BOP's files", file=file, expected="an object")
    return content


def _models_of(source: Path) -> Path:
    for folder in (source, source.parent, source.parent.parent):
        for name in ("models", "models_eval"):
            if (path := folder / name / "models_info.json").is_file():
                return path
    raise ViewfinderError(
        "no table of objects beside or above this scene", file=source,
        expected="models/models_info.json",
    )  # fmt: skip


def _picture(source: Path, name: str) -> PurePosixPath:
    if name.isdecimal() and len(name) < 9:
        for extension in ("jpg", "png"):
            place = PurePosixPath(f"rgb/{int(name):06d}.{extension}")
            if (source / place).is_file():
                return place
    raise ViewfinderError("no such picture", file=source / "rgb", found=name[:20])


def _camera(source: Path, name: str, cameras: Mapping[str, Any], place: PurePosixPath) -> Camera:
    row = cameras.get(name)
    matrix = _numbers(row, "cam_K", 9, source / "scene_camera.json", name).reshape(3, 3)
    path = source / place
    width, height = image_size(path.read_bytes(), str(path))
    fx, fy = float(matrix[0, 0]), float(matrix[1, 1])
    cx, cy = (matrix[:2, 2] + HALF_PIXEL).tolist()
    return Camera(fx, fy, cx, cy, width, height)


def _numbers(row: Any, field: str, count: int, file: Path, where: str) -> NDArray[np.float64]:
    try:
        values = np.asarray(row[field], dtype=np.float64).ravel()
    except (KeyError, TypeError, ValueError) as error:
        raise ViewfinderError(
            "wrong or missing value", file=file, field=f"{where} {field}"
        ) from error
    if len(values) != count or not np.isfinite(values).all():
        raise ViewfinderError(
            "wrong or missing value", file=file, field=f"{where} {field}",
            expected=f"{count} numbers", found=len(values),
        )  # fmt: skip
    return values


def _label(
    source: Path,
    name: str,
    subject: int,
    row: Any,
    objects: Mapping[str, Any],
    camera: Camera,
) -> Label:
    file = source / "scene_gt.json"
    rotation = _numbers(row, "cam_R_m2c", 9, file, name).reshape(3, 3)
    origin_m = _numbers(row, "cam_t_m2c", 3, file, name) / _MM
    number = str(row.get("obj_id"))
    facts = objects.get(number)
    sizes, lows = (
        np.array([_numbers(facts, f"{kind}_{a}", 1, _models_of(source), number)[0] for a in _AXES])
        for kind in ("size", "min")
    )
    centre_m = origin_m + rotation @ ((lows + sizes / 2) / _MM)
    corners = Cuboid(rotation, centre_m, sizes / _MM).vertices()
    pixels = camera.project(corners)
    seen = np.where(np.isfinite(pixels).all(axis=1), 2, 0)
    return Label(
        sample_id="",
        subject_id=subject,
        topology="cuboid9@1",
        keypoints_px=pixels.astype(np.float32),
        keypoints_camera_m=corners.astype(np.float32),
        visibility=seen,
        cuboid={
            "rotation": rotation.ravel(),
            "translation_m": centre_m,
            "size_m": sizes / _MM,
            "frame": "camera",
        },
        attributes={"category": str(objects[number].get("category") or f"object {number}")},
    )
