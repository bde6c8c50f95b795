"""Pictures and depth images of a recording, from files, a ZIP archive or a video, one at a time.

A container's seek lands where its index says, which need not be the frame asked for. So a video is
decoded forward, each frame's time is noted on the way, and a step back seeks and then looks for
that time; where it isn't found, decoding starts again from the first frame.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from arsession.boundary import file_size
from runtime.errors import ViewfinderError
from runtime.exif import read_exif
from runtime.image import MAX_PIXELS, decode_image, image_size, read_image_file
from runtime.native_output import captured_stderr

LARGEST_MEMBER_BYTES = 256 * 1024 * 1024
_KEPT_FRAMES = 8
_MOST_SOUGHT = 300  # frames after a seek
_TURNS_OF_EXIF = {1: 0, 3: 2, 6: 1, 8: 3}
_MILLIMETRES_PER_METRE = 1000.0


class EncodedPictures:
    """Pictures that are single JPEG or PNG files somewhere.

    Args:
        load: gives the bytes of frame i, None where that frame has no picture.
        has: whether frame i has one.
        name: what errors call frame i.
        count: number of frames; the first that has a picture is looked into for size and turn.

    Raises:
        ViewfinderError: no frame has a picture, or the first one's header is damaged.
    """

    def __init__(
        self,
        load: Callable[[int], bytes | None],
        has: Callable[[int], bool],
        name: Callable[[int], str],
        count: int,
    ) -> None:
        self._load, self._has, self._name = load, has, name
        first = next((load(i) for i in range(count) if has(i)), None)
        if first is None:
            raise ViewfinderError("no frame has a picture", file=name(0))
        width, height = image_size(first, name(0))
        orientation = read_exif(first, width, height).orientation
        if orientation not in _TURNS_OF_EXIF:
            raise ViewfinderError(
                "a mirrored picture has no place in a recording",
                file=name(0),
                field="EXIF orientation",
                expected="1, 3, 6 or 8",
                found=orientation,
            )
        self.quarter_turns = _TURNS_OF_EXIF[orientation]
        self.raster = (width, height)
        self.size = (height, width) if self.quarter_turns % 2 else (width, height)

    def read(self, frame: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright."""
        data = self._load(frame)
        if data is None:
            raise ViewfinderError(
                "this frame has no picture", file=self._name(frame), field=f"frame {frame + 1}"
            )
        rgb = decode_image(data, self._name(frame))
        return _of_size(rgb, self.size, self._name(frame), frame)

    def has(self, frame: int) -> bool:
        """Whether that frame has a picture."""
        return self._has(frame)


def file_pictures(paths: Sequence[Path | None], folder: Path) -> EncodedPictures | None:
    """Pictures in files, None where there is not one.

    Args:
        paths: one a frame, already known to lie in the recording's folder.
        folder: what errors name where a frame has no file.
    """
    there = [path if path is not None and path.is_file() else None for path in paths]
    if not any(there):
        return None

    def load(frame: int) -> bytes | None:
        path = there[frame]
        return None if path is None else read_image_file(path)

    return EncodedPictures(
        load,
        lambda frame: there[frame] is not None,
        lambda frame: str(paths[frame] or folder),
        len(there),
    )


class VideoPictures:
    """Frames of a video file.

    Args:
        video: the file.
        frames: its frame number for each frame of the recording, rising; below 0 for one that
            the video doesn't have.
        quarter_turns: how the raster that the intrinsics describe is turned to give the video's
            shown picture; None for what the video's own rotation metadata says.

    Attributes:
        count: its frames as its header states them, hidden ones too; 0 for unknown.

    Raises:
        ViewfinderError: it can't be opened, or holds fewer frames than are asked for.
    """

    def __init__(
        self, video: Path, frames: NDArray[np.int64], quarter_turns: int | None = None
    ) -> None:
        file_size(video, 2**40)
        self._video, self._frames = video, frames
        self._capture: cv2.VideoCapture | None = None
        self._times_ms: list[float] = []
        self._at = -1  # the frame grabbed last
        self._kept: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        capture = self._open()
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if not 0 < width * height <= MAX_PIXELS:
            raise ViewfinderError(
                "this video has pictures of no usable size",
                file=video,
                expected=f"at most {MAX_PIXELS:,} pixels",
                found=f"{width} x {height}",
            )
        self._turns = _video_turns(capture)
        self.size = (height, width) if self._turns % 2 else (width, height)
        self.quarter_turns = self._turns if quarter_turns is None else quarter_turns
        self.count = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.fps = float(capture.get(cv2.CAP_PROP_FPS))
        if 0 < self.count < int(frames[-1]) + 1:
            raise ViewfinderError(
                "the video is shorter than the recording",
                file=video,
                expected=f"{int(frames[-1]) + 1} frames",
                found=self.count,
            )

    def read(self, frame: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, upright."""
        if frame in self._kept:
            self._kept.move_to_end(frame)
            return self._kept[frame]
        wanted = int(self._frames[frame])
        if wanted < 0:
            raise ViewfinderError(
                "this frame has no picture", file=self._video, field=f"frame {frame + 1}"
            )
        with captured_stderr():
            capture, grabbed = self._at_frame(wanted)
            good, bgr = capture.retrieve() if grabbed else (False, None)
        if not good:
            raise ViewfinderError(
                "this video is truncated or damaged",
                file=self._video,
                field=f"frame {frame + 1}",
                expected=f"{wanted + 1} frames in it",
                found=len(self._times_ms),
            )
        rgb = np.ascontiguousarray(np.rot90(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), -self._turns))
        self._kept[frame] = _of_size(rgb, self.size, str(self._video), frame)
        while len(self._kept) > _KEPT_FRAMES:
            self._kept.popitem(last=False)
        return rgb

    def _at_frame(self, wanted: int) -> tuple[cv2.VideoCapture, bool]:
        capture = self._capture
        if capture is not None and self._at >= wanted and self._sought(capture, wanted):
            return capture, True
        if capture is None or self._at >= wanted:
            capture, self._at = self._open(), -1
            self._capture = capture
        while self._at < wanted:
            if not capture.grab():
                return capture, False
            self._at += 1
            if self._at == len(self._times_ms):
                self._times_ms.append(capture.get(cv2.CAP_PROP_POS_MSEC))
        return capture, True

    def _sought(self, capture: cv2.VideoCapture, wanted: int) -> bool:
        # Only for frames seen before, whose time is known and unlike its neighbours'.
        time_ms = self._times_ms[wanted]
        if wanted == 0 or time_ms <= self._times_ms[wanted - 1]:
            return False
        capture.set(cv2.CAP_PROP_POS_FRAMES, max(0, wanted - 1))
        for _ in range(_MOST_SOUGHT):
            if not capture.grab():
                break
            found_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
            if found_ms == time_ms:
                self._at = wanted
                return True
            if found_ms > time_ms:
                break
        self._at = len(self._frames) + wanted  # nobody knows: decode from the first
        return False

    def has(self, frame: int) -> bool:
        """Whether the video has that frame."""
        return 0 <= frame < len(self._frames) and bool(self._frames[frame] >= 0)

    def whole_file(self) -> Path | None:
        """The video, where its frames are the recording's, one for one."""
        same = self.count == len(self._frames) and self._frames[-1] + 1 == self.count
        return self._video if same else None

    @property
    def raster(self) -> tuple[int, int]:
        """Width and height as stored, which the recorder's intrinsics describe."""
        width, height = self.size
        return (height, width) if self.quarter_turns % 2 else (width, height)

    def _open(self) -> cv2.VideoCapture:
        # FFmpeg prints what it thinks of a damaged file; set before OpenCV first loads it.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        with captured_stderr():
            capture = cv2.VideoCapture(str(self._video), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise ViewfinderError(
                "this video can't be opened: it is truncated, damaged or no video",
                file=self._video,
            )
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # turned here, so that the camera agrees
        return capture


def _video_turns(capture: cv2.VideoCapture) -> int:
    return round(capture.get(cv2.CAP_PROP_ORIENTATION_META) / 90) % 4


def _of_size(
    rgb: NDArray[np.uint8], size: tuple[int, int], name: str, frame: int
) -> NDArray[np.uint8]:
    if (rgb.shape[1], rgb.shape[0]) != size:
        raise ViewfinderError(
            "this picture has another size than the first",
            file=name,
            field=f"frame {frame + 1}",
            expected=f"{size[0]} x {size[1]}",
            found=f"{rgb.shape[1]} x {rgb.shape[0]}",
        )
    return rgb


class EncodedDepths:
    """Depth images that are 16-bit PNG files in millimetres.

    Args:
        load: gives the bytes of frame i, None where it has no depth.
        name: what errors call frame i.
        quarter_turns: turned with the pictures.
    """

    def __init__(
        self,
        load: Callable[[int], bytes | None],
        name: Callable[[int], str],
        quarter_turns: int = 0,
    ) -> None:
        self._load, self._name, self._turns = load, name, quarter_turns

    def read(self, frame: int) -> NDArray[np.float32] | None:
        """(H, W) metres along the optical axis, 0 where there is none; None for no image."""
        data = self._load(frame)
        if data is None:
            return None
        width, height = image_size(data, self._name(frame))
        decoded = None
        if 0 < width * height <= MAX_PIXELS:
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 2:
            raise ViewfinderError(
                "not a depth image",
                file=self._name(frame),
                field=f"frame {frame + 1}",
                expected="a 16-bit grey PNG in millimetres",
            )
        depth_m = decoded.astype(np.float32) / np.float32(_MILLIMETRES_PER_METRE)
        return np.ascontiguousarray(np.rot90(depth_m, -self._turns))


def file_depths(
    paths: Sequence[Path | None], folder: Path, quarter_turns: int = 0
) -> EncodedDepths | None:
    """Depth images in files, None where there is not one."""
    there = [path if path is not None and path.is_file() else None for path in paths]
    if not any(there):
        return None

    def load(frame: int) -> bytes | None:
        path = there[frame]
        return None if path is None else read_image_file(path)

    return EncodedDepths(load, lambda frame: str(paths[frame] or folder), quarter_turns)


def zip_member(
    archive: Path, member: str, field: str, most: int = LARGEST_MEMBER_BYTES
) -> bytes | None:
    """One file of a ZIP archive, None where it isn't in it.

    Args:
        archive, member: the archive, and the file's name in it.
        field: what errors name.
        most: bytes that it may unpack to, whatever its header says.

    Raises:
        ViewfinderError: no ZIP, a damaged one, or a member that unpacks to too much.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            known = opened.NameToInfo.get(member)
            if known is None:
                return None
            data = None
            if known.file_size <= most:
                with opened.open(member) as stream:
                    data = stream.read(most + 1)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise ViewfinderError(
            "this archive is truncated or damaged", file=archive, field=field, found=error
        ) from None
    except NotImplementedError as error:
        raise ViewfinderError(
            "this archive is packed in a way that can't be read",
            file=archive,
            field=field,
            found=error,
        ) from None
    if data is None or len(data) > most:
        raise ViewfinderError(
            "a member of this archive is too large",
            file=archive,
            field=field,
            expected=f"at most {most:,} bytes",
        )
    return data
