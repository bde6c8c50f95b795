"""COLMAP's sparse models, text and binary.

Facts from colmap.github.io/format.html and cameras.html: an image's quaternion w x y z and
translation take the world to the camera, OpenCV axes; a pixel's centre is at .5. A point's error is
its mean reprojection error in pixels over its track. The world's scale and up are arbitrary.
Binary files are little-endian; every list is led by its length as uint64.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import (
    MOST_FRAMES,
    check_rigid,
    checked_camera,
    contained,
    file_size,
    lines_of,
    transforms_from_quaternions,
)
from arsession.pictures import file_pictures
from arsession.session import Points, Session
from arsession.transforms_json import natural
from arsession.turning import fit_to_pictures
from runtime.camera import Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

_LARGEST_BINARY_BYTES = 2**31
_LONGEST_LINE = 2**25  # an image's observations stand on one line
_FRAMES_PER_SECOND = 30.0  # a model has no time
_NO_POINT = -1
_UNIT = 1e-2
"""How far a quaternion's length may be from 1, as everywhere."""
# Model id, name, and where each of fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6 stands among the parameters.
_MODELS = (
    (0, "SIMPLE_PINHOLE", 3, (0, 0, 1, 2)),
    (1, "PINHOLE", 4, (0, 1, 2, 3)),
    (2, "SIMPLE_RADIAL", 4, (0, 0, 1, 2, 3)),
    (3, "RADIAL", 5, (0, 0, 1, 2, 3, 4)),
    (4, "OPENCV", 8, (0, 1, 2, 3, 4, 5, 6, 7)),
    (6, "FULL_OPENCV", 12, tuple(range(12))),
)
_UNREAD = {
    5: "OPENCV_FISHEYE", 7: "FOV", 8: "SIMPLE_RADIAL_FISHEYE", 9: "RADIAL_FISHEYE",
    10: "THIN_PRISM_FISHEYE",
}  # fmt: skip
_BY_ID = {entry[0]: entry for entry in _MODELS}
_BY_NAME = {entry[1]: entry for entry in _MODELS}


@dataclass(frozen=True)
class ModelImage:
    """One image of a model.

    Attributes:
        name: of its file.
        camera: its number.
        quat_wxyz, translation_m: (4,), (3,) camera from world.
        observations_px: (M, 2) where features were seen.
        point_ids: (M,) the points they belong to, -1 for none.
    """

    name: str
    camera: int
    quat_wxyz: tuple[float, ...]
    translation_m: tuple[float, ...]
    observations_px: Array
    point_ids: NDArray[np.int64]


@dataclass(frozen=True)
class Model:
    """A sparse model: cameras by number, images in the order of their names."""

    cameras: dict[int, Camera]
    images: tuple[ModelImage, ...]


def read_colmap(images_file: Path) -> Session:
    """The session in a folder with a COLMAP model.

    Args:
        images_file: its images.txt or images.bin; cameras and points lie beside it, pictures in
            an `images` folder there or up to three folders above.

    Raises:
        ViewfinderError: a file that breaks the format, or a camera that is no pinhole.
    """
    model = read_model(images_file)
    folder = images_file.parent
    quat_wxyz = np.array([image.quat_wxyz for image in model.images])
    translation = np.array([image.translation_m for image in model.images])
    camera_from_world = transforms_from_quaternions(
        quat_wxyz[:, [1, 2, 3, 0]], translation, images_file
    )
    check_rigid(camera_from_world, images_file)
    cameras = tuple(model.cameras[image.camera] for image in model.images)
    if len({(camera.width, camera.height) for camera in cameras}) > 1:
        raise ViewfinderError("pictures of several sizes are no recording", file=images_file)
    pictures_folder = next(
        (p for up in (folder, *folder.absolute().parents[:3]) if (p := up / "images").is_dir()),
        folder / "images",
    )
    paths = [
        contained(pictures_folder, image.name, images_file, f"image {index}")
        for index, image in enumerate(model.images, 1)
    ]
    return fit_to_pictures(
        Session(
            format="colmap",
            path=images_file,
            timestamps_s=np.arange(len(paths)) / _FRAMES_PER_SECOND,
            world_from_camera=np.linalg.inv(camera_from_world),
            world_up="",
            cameras=cameras[:1] if len(set(cameras)) == 1 else cameras,
            pictures=file_pictures(paths, pictures_folder),
            timed=False,
            metric=False,
            load_points=lambda: read_points(folder / f"points3D{images_file.suffix}")[0],
        )
    )


def read_model(images_file: Path) -> Model:
    """Cameras and images of a model.

    Raises:
        ViewfinderError: a file that breaks the format; names file, line or image.
    """
    binary = images_file.suffix == ".bin"
    cameras_file = images_file.with_name("cameras" + images_file.suffix)
    cameras = dict(_binary_cameras(cameras_file) if binary else _text_cameras(cameras_file))
    images = list(_binary_images(images_file) if binary else _text_images(images_file))
    if not images:
        raise ViewfinderError("holds no images", file=images_file)
    names: set[str] = set()
    for index, image in enumerate(images, 1):
        numbers = [*image.quat_wxyz, *image.translation_m]
        turned = abs(math.hypot(*image.quat_wxyz) - 1) <= _UNIT
        if image.camera not in cameras or not np.isfinite(numbers).all() or not turned:
            raise ViewfinderError(
                "an image has no such camera, or no pose",
                file=images_file,
                field=f"image {index}",
                found=f"camera {image.camera}, pose {numbers}",
            )
        if image.name in names:
            raise ViewfinderError(
                "two images have one name", file=images_file, field=f"image {index}",
                found=repr(image.name)[:80],
            )  # fmt: skip
        names.add(image.name)
    images.sort(key=lambda image: natural(image.name))
    return Model(cameras, tuple(images))


def _camera(entry: tuple[int, str, int, tuple[int, ...]], size: tuple[int, int], parameters: Array,
            file: Path, field: str) -> Camera:  # fmt: skip
    values = parameters[list(entry[3])]
    if len(values) > 9 and values[9:].any():
        raise ViewfinderError(
            "a rational distortion model can't be read", file=file, field=field, found=entry[1]
        )
    return checked_camera(values[:4], size, file, field, tuple(map(float, values[4:9])))


def _unknown_model(file: Path, field: str, found: object) -> ViewfinderError:
    return ViewfinderError(
        "a camera model that can't be read",
        file=file,
        field=field,
        expected=" | ".join(_BY_NAME),
        found=found,
        hint="undistort with `colmap image_undistorter`",
    )


def _text_cameras(file: Path) -> Iterator[tuple[int, Camera]]:
    for number, line in lines_of(file):
        words, field = line.split(), f"line {number}"
        if len(words) > 1 and words[1] not in _BY_NAME:
            raise _unknown_model(file, field, words[1])
        try:
            entry = _BY_NAME[words[1]]
            identifier, size = int(words[0]), (int(words[2]), int(words[3]))
            parameters = np.array([float(word) for word in words[4:]])
        except (ValueError, IndexError, KeyError):
            raise _bad_line(file, number, line, "a camera") from None
        if len(parameters) != entry[2]:
            raise _bad_line(file, number, line, f"{entry[2]} parameters")
        yield identifier, _camera(entry, size, parameters, file, field)


def _text_images(file: Path) -> Iterator[ModelImage]:
    # Two lines an image; the second may be empty.
    lines = lines_of(file, _LONGEST_LINE, blank=True)
    for number, line in lines:
        if not line.strip():
            continue
        words = line.split(maxsplit=9)
        try:
            pose = tuple(float(word) for word in words[1:8])
            camera, name = int(words[8]), words[9].strip()
            seen = np.array(next(lines, (0, ""))[1].split(), dtype=np.float64)
            table = seen.reshape(-1, 3)
            if not np.isfinite(table).all() or (np.abs(table[:, 2]) >= 2**62).any():
                raise ValueError
        except (ValueError, IndexError, OverflowError):
            raise _bad_line(file, number, line, "an image and its observations") from None
        yield ModelImage(
            name, camera, pose[:4], pose[4:], table[:, :2], table[:, 2].astype(np.int64)
        )


def _bad_line(file: Path, number: int, line: str, expected: str) -> ViewfinderError:
    return ViewfinderError(
        "bad line", file=file, field=f"line {number}", expected=expected, found=repr(line[:60])
    )


class _Binary:
    """Numbers of a binary file in order; a read past its end is an error."""

    def __init__(self, file: Path) -> None:
        file_size(file, _LARGEST_BINARY_BYTES)
        self.file, self.data, self.at = file, file.read_bytes(), 0
        self.field = "header"

    def take(self, layout: str) -> tuple:
        start = self.skip(struct.calcsize(layout))
        return struct.unpack_from(layout, self.data, start)

    def skip(self, length: int) -> int:
        start = self.at
        if length > len(self.data) - start:
            raise ViewfinderError(
                "truncated, or a length is wrong",
                file=self.file,
                field=self.field,
                expected=f"{length:,} bytes more",
                found=f"{len(self.data) - start:,}",
            )
        self.at += length
        return start

    def count(self, least_bytes: int) -> int:
        (count,) = self.take("<Q")
        if count > (len(self.data) - self.at) // least_bytes:
            raise ViewfinderError(
                "truncated, or a length is wrong",
                file=self.file,
                field=self.field,
                expected=f"at most {(len(self.data) - self.at) // least_bytes:,} entries",
                found=f"{count:,}",
            )
        return int(count)

    def text(self) -> str:
        end = self.data.find(b"\0", self.at, self.at + 4096)
        if end < 0:
            raise ViewfinderError("a name without end", file=self.file, field=self.field)
        name = self.data[self.at : end].decode("utf-8", "replace")
        self.at = end + 1
        return name

    def entries(self, what: str, least_bytes: int, most: int = 2**31) -> Iterator[int]:
        for index in range(min(self.count(least_bytes), most)):
            self.field = f"{what} {index + 1}"
            yield index


def _binary_cameras(file: Path) -> Iterator[tuple[int, Camera]]:
    binary = _Binary(file)
    for _ in binary.entries("camera", 24):
        identifier, model, width, height = binary.take("<IiQQ")
        if model not in _BY_ID:
            raise _unknown_model(file, binary.field, _UNREAD.get(model, f"model {model}"))
        entry = _BY_ID[model]
        parameters = np.array(binary.take(f"<{entry[2]}d"))
        yield identifier, _camera(entry, (width, height), parameters, file, binary.field)


_OBSERVATION = np.dtype([("xy", "<f8", 2), ("point", "<i8")])


def _binary_images(file: Path) -> Iterator[ModelImage]:
    binary = _Binary(file)
    for _ in binary.entries("image", 73, MOST_FRAMES):
        values = binary.take("<I7dI")
        name = binary.text()
        count = binary.count(_OBSERVATION.itemsize)
        start = binary.skip(count * _OBSERVATION.itemsize)
        seen = np.frombuffer(binary.data, _OBSERVATION, count, start)
        yield ModelImage(name, values[8], values[1:5], values[5:8], seen["xy"], seen["point"])


def read_points(file: Path) -> tuple[Points, Array]:
    """A model's points and their errors in pixels as the file states them.

    Returns:
        Points, and (P,) pixels; none where the model has no such file.
    """
    if not file.exists() or file.stat().st_size == 0:
        return Points(np.empty((0, 3)), np.empty(0, np.int64)), np.empty(0)
    rows: Callable[[Path], Iterator[tuple]] = (
        _binary_points if file.suffix == ".bin" else _text_points
    )
    ids: list[int] = []
    values: list[tuple[float, ...]] = []
    for identifier, *numbers in rows(file):
        ids.append(identifier)
        values.append(tuple(numbers))
    table = np.array(values, dtype=np.float64).reshape(-1, 4)
    finite = np.isfinite(table[:, :3]).all(axis=1)
    if not finite.all():
        raise ViewfinderError(
            "a point isn't a number", file=file, field=f"point {int(np.argmin(finite)) + 1}"
        )
    return Points(table[:, :3], np.array(ids, dtype=np.uint64).astype(np.int64)), table[:, 3]


def _text_points(file: Path) -> Iterator[tuple]:
    for number, line in lines_of(file, _LONGEST_LINE):
        words = line.split(maxsplit=8)
        try:
            identifier = int(words[0])
            if not 0 <= identifier < 2**63:
                raise ValueError
            yield identifier, *(float(words[i]) for i in (1, 2, 3, 7))
        except (ValueError, IndexError):
            raise _bad_line(file, number, line, "a point") from None


def _binary_points(file: Path) -> Iterator[tuple]:
    binary = _Binary(file)
    for _ in binary.entries("point", 51):
        identifier, x, y, z, _, _, _, error = binary.take("<Q3d3Bd")
        binary.skip(8 * binary.count(8))
        yield identifier, x, y, z, error


def reprojection_errors(images_file: Path) -> tuple[Array, Array]:
    """Mean reprojection error of every point, computed and as the file states it.

    Args:
        images_file: images.txt or images.bin of a model with observations.

    Returns:
        Two (P,) arrays in pixels in the order of the points file; NaN for a point never seen.
    """
    model = read_model(images_file)
    points, stated = read_points(images_file.with_name("points3D" + images_file.suffix))
    order = np.argsort(points.ids)
    total, seen = np.zeros(len(order)), np.zeros(len(order))
    for image in model.images:
        used = np.isin(image.point_ids, points.ids) & (image.point_ids != _NO_POINT)
        at = order[np.searchsorted(points.ids[order], image.point_ids[used])]
        quat = np.array(image.quat_wxyz)[None, [1, 2, 3, 0]]
        pose = transforms_from_quaternions(quat, np.array([image.translation_m]), images_file)[0]
        in_camera = points.positions_world_m[at] @ pose[:3, :3].T + pose[:3, 3]
        off = model.cameras[image.camera].project(in_camera) - image.observations_px[used]
        np.add.at(total, at, np.linalg.norm(off, axis=1))
        np.add.at(seen, at, 1)
    with np.errstate(invalid="ignore"):
        return total / seen, stated
