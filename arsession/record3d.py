"""Record3D's `.r3d` recordings: a ZIP archive, or the folder that it unpacks to.

Facts from marek-simonik/record3d's users (nerfstudio's record3d_utils, viser's record3d loader):
`metadata` is JSON. `poses` is a quaternion x y z w and a translation a frame, camera-to-world with
OpenGL axes (which are ARKit's: x right, y up, z backward) of the picture as it is stored. `K` is
column-major for pictures of `w` x `h`; `perFrameIntrinsicCoeffs` holds fx, fy, cx, cy a frame.
`rgbd/N.jpg` are the pictures, `rgbd/N.depth` float32 metres of `dw` x `dh`, packed with LZFSE.
The app's export as EXR and JPG says the same in `metadata.json`, with pictures in `rgb/N.jpg`; its
depth images are OpenEXR, and not read.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import (
    LARGEST_JSON_BYTES,
    check_rigid,
    checked_camera,
    file_size,
    json_numbers,
    json_object,
    since_start,
    transforms_from_quaternions,
)
from arsession.lzfse import PackedError, UnknownBlockError, unpack
from arsession.pictures import LARGEST_MEMBER_BYTES, EncodedPictures, zip_member
from arsession.session import Session
from arsession.turning import fit_to_pictures
from runtime.camera import OPENCV_FROM_OPENGL, Camera
from runtime.errors import ViewfinderError

_LARGEST_ARCHIVE_BYTES = 2**38
_MOST_DEPTH_SIDE = 4096
_METADATA, _EXPORTED = "metadata", "metadata.json"


def read_record3d(archive: Path) -> Session:
    """The session in a `.r3d` file.

    Args:
        archive: that file, or the `metadata` of one that was unpacked, or an export's
            `metadata.json`.

    Raises:
        ViewfinderError: no such archive, or one that breaks the format.
    """
    file_size(archive, _LARGEST_ARCHIVE_BYTES)
    member, shown = _METADATA, "rgbd"
    if archive.name in (_METADATA, _EXPORTED):
        member, archive = archive.name, archive.parent
        shown = "rgb" if member == _EXPORTED else shown
    packed = _member(archive, member, _METADATA, LARGEST_JSON_BYTES)
    if packed is None:
        raise ViewfinderError(
            "no Record3D archive", file=archive, expected="a member called metadata"
        )
    metadata = json_object(packed, archive, "metadata")
    poses = json_numbers(metadata.get("poses"), None, archive, "metadata.poses")
    if len(poses) == 0 or len(poses) % 7:
        raise ViewfinderError(
            "not as many numbers as belong here",
            file=archive,
            field="metadata.poses",
            expected="7 a frame",
            found=len(poses),
        )
    poses = poses.reshape(-1, 7)
    world_from_arkit = transforms_from_quaternions(poses[:, :4], poses[:, 4:], archive)
    check_rigid(world_from_arkit, archive)
    times, timed = _times(metadata, len(poses), archive)
    names = set(_names(archive, shown))
    pictures = None
    if any(f"{shown}/{frame}.jpg" in names for frame in range(len(poses))):
        pictures = EncodedPictures(
            lambda frame: _member(archive, f"{shown}/{frame}.jpg", f"frame {frame + 1}"),
            lambda frame: f"{shown}/{frame}.jpg" in names,
            lambda frame: f"{archive}/{shown}/{frame}.jpg",
            len(poses),
        )
    has_depth = any(f"rgbd/{frame}.depth" in names for frame in range(len(poses)))
    turns = pictures.quarter_turns if pictures is not None else 0
    return fit_to_pictures(
        Session(
            format="record3d",
            path=archive,
            timestamps_s=since_start(times, archive),
            world_from_camera=world_from_arkit @ OPENCV_FROM_OPENGL,
            world_up="+y",
            cameras=_cameras(metadata, len(poses), archive),
            pictures=pictures,
            depths=_PackedDepths(archive, metadata, turns) if has_depth else None,
            start_s=float(times[0]),
            timed=timed,
        )
    )


def _member(
    archive: Path, member: str, field: str, most: int = LARGEST_MEMBER_BYTES
) -> bytes | None:
    if not archive.is_dir():
        return zip_member(archive, member, field, most)
    file = archive / member
    if not file.is_file():
        return None
    file_size(file, most)
    return file.read_bytes()


def _names(archive: Path, folder: str) -> list[str]:
    if archive.is_dir():
        return [f"{folder}/{file.name}" for file in (archive / folder).glob("*")]
    with zipfile.ZipFile(archive) as opened:  # it has just been read
        return opened.namelist()


def _times(
    metadata: dict[str, Any], frames: int, archive: Path
) -> tuple[NDArray[np.float64], bool]:
    stamps = metadata.get("frameTimestamps")
    if stamps:
        return json_numbers(stamps, frames, archive, "metadata.frameTimestamps"), True
    fps = json_numbers(metadata.get("fps"), 1, archive, "metadata.fps")[0]
    if not 0 < fps <= 1000:
        raise ViewfinderError(
            "not a frame rate", file=archive, field="metadata.fps", found=f"{fps:g}"
        )
    return np.arange(frames) / fps, True


def _cameras(metadata: dict[str, Any], frames: int, archive: Path) -> tuple[Camera, ...]:
    size = (metadata.get("w"), metadata.get("h"))
    rows = metadata.get("perFrameIntrinsicCoeffs")
    if rows:
        field = "metadata.perFrameIntrinsicCoeffs"
        numbers = json_numbers(rows, 4 * frames, archive, field).reshape(-1, 4)
        return tuple(
            checked_camera(row, size, archive, f"{field}, frame {index}")
            for index, row in enumerate(numbers, 1)
        )
    k = json_numbers(metadata.get("K"), 9, archive, "metadata.K").reshape(3, 3, order="F")
    return (checked_camera(k[[0, 1, 0, 1], [0, 1, 2, 2]], size, archive, "metadata.K, w, h"),)


class _PackedDepths:
    """Depth images of a `.r3d` archive."""

    def __init__(self, archive: Path, metadata: dict[str, Any], quarter_turns: int) -> None:
        width, height = metadata.get("dw"), metadata.get("dh")
        for side, name in ((width, "dw"), (height, "dh")):
            if not isinstance(side, int) or not 0 < side <= _MOST_DEPTH_SIDE:
                raise ViewfinderError(
                    "not the size of a depth image",
                    file=archive,
                    field=f"metadata.{name}",
                    found=repr(side)[:20],
                )
        self._archive, self._turns = archive, quarter_turns
        self._shape = (int(height or 0), int(width or 0))

    def read(self, frame: int) -> NDArray[np.float32] | None:
        """(H, W) metres, 0 where there is none; None for a frame without depth."""
        packed = _member(self._archive, f"rgbd/{frame}.depth", f"frame {frame + 1}")
        if packed is None:
            return None
        wanted = 4 * self._shape[0] * self._shape[1]
        unpacked = unpack_depth(packed, wanted, self._archive, frame)
        if len(unpacked) != wanted:
            raise ViewfinderError(
                "not a depth image of the size in the metadata",
                file=self._archive,
                field=f"frame {frame + 1}, depth",
                expected=f"{wanted} bytes",
                found=len(unpacked),
            )
        depth_m = np.frombuffer(unpacked, dtype="<f4").reshape(self._shape)
        depth_m = np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.float32(0))
        return np.ascontiguousarray(np.rot90(depth_m, -self._turns))


def unpack_depth(packed: bytes, most: int, archive: Path, frame: int) -> bytes:
    """What LZFSE packed; small images, which it packs another way, need its library.

    Raises:
        ViewfinderError: damaged, more than `most` bytes, or the library is needed and not there.
    """
    try:
        return unpack(packed, most)
    except UnknownBlockError as problem:
        try:
            import liblzfse  # type: ignore[import-not-found]
        except ImportError:
            raise ViewfinderError(
                "this depth image is packed in a way that needs LZFSE's own library",
                file=archive,
                field=f"frame {frame + 1}, depth",
                found=problem,
                hint="pip install pyliblzfse",
            ) from None
        try:
            unpacked: bytes = liblzfse.decompress(packed)
        except liblzfse.error as error:
            raise _damaged(archive, frame, error) from None
        return unpacked
    except PackedError as error:
        raise _damaged(archive, frame, error) from None


def _damaged(archive: Path, frame: int, how: Exception) -> ViewfinderError:
    return ViewfinderError(
        "this depth image is truncated or damaged",
        file=archive,
        field=f"frame {frame + 1}, depth",
        found=how,
    )
