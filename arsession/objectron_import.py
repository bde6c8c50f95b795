"""Objectron's annotations as a data set: every annotated frame, its camera, its boxes.

One Sequence message a recording (annotation_data.proto, object.proto). It lies beside the video as
`annotation.pbdata`, or, as Objectron publishes it, as annotations/CLASS/batch-I/J.pbdata with the
video in videos/CLASS/batch-I/J. What a frame says counts, not the sequence's objects: `point_3d`
of its nine keypoints, in the landscape camera's axes (ARKit's). `point_2d` must agree with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from arsession.boundary import check_rigid, since_start
from arsession.cuboid_evidence import PlacedBox
from arsession.objectron import ADJUSTED, GEOMETRY, find_video, upright_video
from arsession.objectron_cameras import CameraFrame, camera_track
from arsession.objectron_sequence import FrameBoxes, SeenBox, read_sequence
from arsession.objectron_writer import ANNOTATION
from arsession.propagate import propagate
from arsession.propagate_dataset import box_label
from arsession.session import Pictures, Session
from arsession.turning import CAMERA_FROM_TURNED, fit_to_pictures
from arsession.views import Views
from bootstrap.dataset import Label, Sample
from bootstrap.label_files.annotated import AnnotatedPicture, LabelFile
from runtime.camera import OPENCV_FROM_OPENGL, transform_points
from runtime.cuboid import Cuboid
from runtime.epnp import CORNER_WEIGHTS
from runtime.errors import ViewfinderError
from runtime.image import encode_image

Array = NDArray[np.float64]

MOST_FILES = 20_000
"""Annotation files in one import; Objectron has 15,000 in all."""
LARGEST_FILE_BYTES = 2**28
_JPEG_QUALITY = 95
_UNSQUARE = 0.01
"""Distance of a corner from the box's own, over its diagonal, up to which it is a box."""
_CONTRADICTS_PX = 2.0
"""Of 640 pixels: distance of `point_2d` from where the camera sees `point_3d`."""


@dataclass(frozen=True)
class _Recording:
    """A sequence with its cameras as those of the upright pictures."""

    name: str
    session: Session
    frames: NDArray[np.int64]
    video: Path
    landscape: bool


def read_objectron_annotations(source: Path) -> LabelFile:
    """Annotation files, a picture for each annotated frame.

    Args:
        source: an annotation file, a recording's folder, or a folder of those.

    Raises:
        ViewfinderError: no such file, a file that breaks the format, or no video for one; names
            file, frame and field.
    """
    left_out: Counter[str] = Counter()
    recordings: dict[str, _Recording] = {}
    pictures: list[AnnotatedPicture] = []
    for name, file in _files(source).items():
        sequence = read_sequence(file, LARGEST_FILE_BYTES)
        recording = _recording(name, file, [frame.camera for frame in sequence.frames],
                               [frame.number for frame in sequence.frames])  # fmt: skip
        recordings[name] = recording
        views = Views.of(recording.session)
        for row, frame in enumerate(sequence.frames):
            labels = _labels(recording, views, row, frame, sequence.categories, file, left_out)
            pictures.append(_picture(recording, row, labels))
    return LabelFile(pictures, left_out=left_out, read=_Frames(recordings).read)


def _files(source: Path) -> dict[str, Path]:
    """Recording -> its annotation file."""
    if source.is_file():
        found = [source]
    else:
        every = (p for p in source.rglob("*.pbdata") if p.name not in (GEOMETRY, ADJUSTED))
        found = sorted(p for p in every if not any(part.startswith(".") for part in p.parts))
    if not found or len(found) > MOST_FILES:
        raise ViewfinderError(
            "no annotation of Objectron's there" if not found else "too many annotations",
            file=source, expected=f"{ANNOTATION}, or another .pbdata of annotations",
            found=len(found) or None,
        )  # fmt: skip
    top = source.parent if source.is_file() else source
    return {_name(file, top): file for file in found}


def _name(file: Path, top: Path) -> str:
    place = file.parent if file.name == ANNOTATION else file.with_suffix("")
    parts = place.relative_to(top).parts or (place.resolve().name,)
    return "-".join(parts)


def _video_of(file: Path) -> Path:
    """Beside the annotation, or where Objectron publishes it."""
    folders = [file.parent]
    parts = list(file.with_suffix("").parts)
    if "annotations" in parts:
        at = len(parts) - 1 - parts[::-1].index("annotations")
        folders.append(Path(*parts[:at], "videos", *parts[at + 1 :]))
    for folder in folders:
        if (video := find_video(folder)) is not None:
            return video
    raise ViewfinderError(
        "no video to these annotations", file=file,
        expected="video.MOV in " + " or ".join(str(folder) for folder in folders),
    )  # fmt: skip


def _recording(name: str, file: Path, cameras: list[CameraFrame], numbers: list[int]) -> _Recording:
    track = camera_track(cameras, [0] * len(cameras), file)
    check_rigid(track.world_from_arkit, file)
    times_s = since_start(track.timestamps_s, file)
    frames = np.array(numbers, dtype=np.int64)
    video = _video_of(file)
    session = Session(
        format="objectron",
        path=file,
        timestamps_s=times_s,
        world_from_camera=track.world_from_arkit @ OPENCV_FROM_OPENGL,
        world_up="+y",
        cameras=track.cameras(file),
        pictures=upright_video(video, frames, track.landscape),
        start_s=float(track.timestamps_s[0]),
    )
    return _Recording(name, fit_to_pictures(session), frames, video, track.landscape)


def _picture(recording: _Recording, row: int, labels: list[Label]) -> AnnotatedPicture:
    session, number = recording.session, int(recording.frames[row])
    return AnnotatedPicture(
        PurePosixPath(recording.name, f"{number:06d}.jpg"),
        tuple(labels),
        session.camera_at(row),
        {
            "session": recording.name,
            "frame": number,
            "timestamp_s": session.start_s + float(session.timestamps_s[row]),
            "world_from_camera": session.world_from_camera[row].ravel().tolist(),
            "world_up": session.world_up,
        },
    )


def _labels(
    recording: _Recording,
    views: Views,
    row: int,
    frame: FrameBoxes,
    categories: Mapping[int, str],
    file: Path,
    left_out: Counter[str],
) -> list[Label]:
    labels: list[Label] = []
    session = recording.session
    pictures = session.pictures
    assert pictures is not None
    shown_from_arkit = (
        np.linalg.matrix_power(CAMERA_FROM_TURNED.T, pictures.quarter_turns % 4)
        @ OPENCV_FROM_OPENGL
    )
    here = views.only([row])
    for one in frame.boxes:
        points = transform_points(shown_from_arkit, one.points_arkit_m)
        box = _box(points)
        if box is None:
            left_out["annotations whose keypoints are no box"] += 1
            continue
        in_world = _in_world(box, session.world_from_camera[row])
        seen = propagate(in_world, here)
        if not seen.seen[0]:
            left_out["boxes outside of their pictures"] += 1
            continue
        _check_agrees(seen.keypoints_px[0], one, pictures, file, frame.number)
        attributes: dict[str, object] = {"category": categories.get(one.object_id, "")}
        if one.visibility is not None:
            attributes["truncation"] = round(1 - one.visibility, 4)
        if frame.plane_arkit is not None:
            centre, normal = (np.asarray(v) @ shown_from_arkit[:3, :3].T for v in frame.plane_arkit)
            attributes["plane"] = {
                "normal": normal.tolist(), "distance_m": float(normal @ centre),
            }  # fmt: skip
        labels.append(
            box_label("", one.object_id, in_world, here, seen, 0, seen.visibility[0], attributes,
                      file.name)
        )  # fmt: skip
    return labels


def _box(points: Array) -> Cuboid | None:
    """The box with these nine keypoints; None where they are none's."""
    half = np.linalg.lstsq(CORNER_WEIGHTS[:, 1:], points[1:] - points[0], rcond=None)[0]
    lengths = np.linalg.norm(half, axis=1)
    diagonal = float(2 * np.linalg.norm(lengths))
    if not (lengths > 0).all():
        return None
    tilted = Cuboid((half / lengths[:, None]).T, points[0], 2 * lengths, metric=True)
    box = Cuboid(tilted.rotation, points[0], 2 * lengths, metric=True)
    off = np.linalg.norm(box.vertices() - points, axis=1).max()
    return box if off <= _UNSQUARE * diagonal else None


def _in_world(box: Cuboid, world_from_camera: Array) -> PlacedBox:
    turn = world_from_camera[:3, :3] @ box.rotation
    return PlacedBox(turn, transform_points(world_from_camera, box.translation_m), box.size_m)


def _check_agrees(px: Array, one: SeenBox, pictures: Pictures, file: Path, number: int) -> None:
    """What the frame says in the picture and in space must be the same keypoints."""
    size = np.array(pictures.size)
    off = np.linalg.norm(one.points_uv * size - px, axis=1)
    off = off[np.isfinite(px).all(axis=1) & ((px >= 0) & (px <= size)).all(axis=1)]
    if len(off) and not off.max() <= _CONTRADICTS_PX * size.max() / 640:
        raise ViewfinderError(
            "keypoints in the picture aren't where the camera sees those in space",
            file=file, field=f"frame {number}, object {one.object_id}, point_2d",
            expected="the same points", found=f"{off.max():.1f} pixels apart",
        )  # fmt: skip


class _Frames:
    """Frames of the recordings' videos; one video is open at a time."""

    def __init__(self, recordings: Mapping[str, _Recording]) -> None:
        self._recordings = recordings
        self._open: tuple[str, Pictures] | None = None

    def read(self, picture: AnnotatedPicture, sample_id: str) -> Sample:
        """A frame as a sample."""
        recording = self._recordings[picture.file.parts[0]]
        if self._open is None or self._open[0] != recording.name:
            pictures = upright_video(recording.video, recording.frames, recording.landscape)
            self._open = (recording.name, pictures)
        row = int(np.searchsorted(recording.frames, int(picture.file.stem)))
        rgb = self._open[1].read(row)
        return Sample(
            sample_id=sample_id,
            image=encode_image(rgb, ".jpg", _JPEG_QUALITY),
            extension="jpg",
            width=rgb.shape[1],
            height=rgb.shape[0],
            camera=picture.camera,
            attributes={**picture.attributes, "file": picture.file.as_posix()},
        )
