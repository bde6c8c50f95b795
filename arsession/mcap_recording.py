"""MCAP recordings with ROS 2 messages, as the Stera recorder writes them from ARKit and ARCore.

Facts from stera-sdk 0.0.4 (data/mcap, core/transforms, viz/session): `/camera/pose` is the
PoseStamped of a link frame in a world whose +y is up; `/tf` says how the camera's optical frame
(OpenCV axes) lies in the link, and where it doesn't, the quaternion (-0.7071, 0, -0.7071, 0) does:
the link's x is forward, its y up, its z right. `/camera/rgb/compressed` holds pictures,
`/camera/camera_info` their intrinsics, `/camera/depth` metres (32FC1) or millimetres (16UC1),
`/camera/tracking_state` a state in words, `/map/mesh_cloud` or `/map/point_cloud` the cloud.

Frames are the pictures, their poses interpolated between the two that lie around them; without
pictures, frames are the poses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mcap.records import Channel, Message
from numpy.typing import NDArray

from arsession.boundary import (
    MOST_FRAMES,
    check_rigid,
    checked_camera,
    file_size,
    since_start,
    transforms_from_quaternions,
)
from arsession.mcap_file import McapFile, Place
from arsession.pictures import EncodedPictures
from arsession.session import Points, Session, no_points
from arsession.turning import fit_to_pictures
from runtime.camera import Camera
from runtime.errors import ViewfinderError

Array = NDArray[np.float64]

_LARGEST_FILE_BYTES = 2**40
_LONGEST_GAP_S = 0.2  # between poses that are interpolated
_MILLIMETRE = 1e-3
_LINK_FROM_OPTICAL_XYZW = np.array([-(0.5**0.5), 0.0, -(0.5**0.5), 0.0])
# What is looked for, the message's type, and the topic preferred among several.
_ROLES = {
    "pose": ("geometry_msgs/PoseStamped", "/camera/pose"),
    "picture": ("sensor_msgs/CompressedImage", "/camera/rgb/compressed"),
    "info": ("sensor_msgs/CameraInfo", "/camera/camera_info"),
    "depth": ("sensor_msgs/Image", "/camera/depth"),
    "cloud": ("sensor_msgs/PointCloud2", "/map/mesh_cloud"),
    "tf": ("tf2_msgs/TFMessage", "/tf"),
    "tracking": ("", "/camera/tracking_state"),
}


@dataclass
class _Contents:
    """Messages by role: what is small decoded, what is large as places."""

    poses: list[tuple[float, list[float]]] = field(default_factory=list)
    infos: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    states: list[tuple[float, str]] = field(default_factory=list)
    pictures: list[tuple[float, Place]] = field(default_factory=list)
    depths: list[tuple[float, Place]] = field(default_factory=list)
    clouds: list[tuple[float, Place]] = field(default_factory=list)
    link_from_optical: tuple[Array, Array] | None = None


def read_mcap(file: Path) -> Session:
    """The session in an `.mcap` file.

    Raises:
        ViewfinderError: damaged, or without poses that can be understood.
    """
    file_size(file, _LARGEST_FILE_BYTES)
    recording = McapFile(file)
    found = _contents(recording)
    if not found.poses:
        raise ViewfinderError(
            "no poses in this recording",
            file=file,
            expected="ROS 2 geometry_msgs/PoseStamped messages",
            found=", ".join(sorted(recording.topics))[:120] or "no topics",
        )
    pose_times = np.array([stamp for stamp, _ in found.poses])
    since_start(pose_times, file)
    numbers = np.array([values for _, values in found.poses])
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers).all(axis=1)))
        raise ViewfinderError("a pose isn't made of numbers", file=file, field=f"pose {row + 1}")
    world_from_link = transforms_from_quaternions(numbers[:, 3:], numbers[:, :3], file)
    times, poses, places = _frames(found.pictures, pose_times, world_from_link)
    quat, offset = found.link_from_optical or (_LINK_FROM_OPTICAL_XYZW, np.zeros(3))
    poses = poses @ transforms_from_quaternions(quat[None], offset[None], file)
    check_rigid(poses, file)
    pictures = None
    if places:
        pictures = EncodedPictures(
            lambda frame: recording.field(places[frame], "data"),
            lambda frame: 0 <= frame < len(places),
            lambda frame: f"{file} frame {frame + 1}",
            len(places),
        )
    turns = pictures.quarter_turns if pictures is not None else 0
    return fit_to_pictures(
        Session(
            format="mcap",
            path=file,
            timestamps_s=since_start(times, file),
            world_from_camera=poses,
            world_up="+y",
            cameras=recording.guarded(lambda: _cameras(found.infos, times, file), "camera_info"),
            pictures=pictures,
            depths=_Depths(recording, found.depths, times, turns) if found.depths else None,
            tracking=_states(found.states, times),
            start_s=float(times[0]),
            load_points=lambda: recording.guarded(lambda: _cloud(recording, found.clouds), "cloud"),
        )
    )


def _contents(recording: McapFile) -> _Contents:
    """Everything but pictures, depth and clouds, whose places are noted."""
    out = _Contents()
    count = 0
    for place, message in recording.messages():
        channel = recording.channels.get(message.channel_id)
        role = _role(recording, channel)
        if channel is None or role is None:
            continue
        count += 1
        if count > 4 * MOST_FRAMES:
            raise ViewfinderError("too many messages", file=recording.file)
        recording.guarded(partial(_take, recording, out, role, place, message), channel.topic)
    for many in (out.poses, out.infos, out.states):
        many.sort(key=lambda entry: entry[0])
    return out


def _take(recording: McapFile, out: _Contents, role: str, place: Place, message: Message) -> None:
    large = role in ("picture", "depth", "cloud")
    decoded = recording.decoded(message, ("header",) if large else ())
    if role == "tf":
        for entry in decoded.get("transforms", ()):
            if "link" in entry["header"]["frame_id"] and "optical" in entry["child_frame_id"]:
                values = _pose(entry["transform"], "translation", "rotation")
                out.link_from_optical = np.array(values[3:]), np.array(values[:3])
        return
    stamp = decoded["header"]["stamp"]
    seconds = stamp["sec"] + stamp["nanosec"] * 1e-9
    if role == "pose":
        out.poses.append((seconds, _pose(decoded["pose"], "position", "orientation")))
    elif role == "info":
        out.infos.append((seconds, decoded))
    elif role == "tracking":
        out.states.append((seconds, _state(decoded)))
    else:
        places = {"picture": out.pictures, "depth": out.depths, "cloud": out.clouds}[role]
        places.append((seconds, place))


def _role(recording: McapFile, channel: Channel | None) -> str | None:
    if channel is None or channel.message_encoding != "cdr":
        return None
    schema = recording.schemas.get(channel.schema_id)
    if schema is None:
        return None
    kind = schema.name.replace("/msg/", "/")
    for role, (wanted, topic) in _ROLES.items():
        if channel.topic == topic and wanted in ("", kind):
            return role
    # Without the recorder's own topic, the only one of its type will do.
    for role, (wanted, topic) in _ROLES.items():
        if wanted == kind and topic not in recording.topics and role != "depth":
            alike = [
                c.topic
                for c in recording.channels.values()
                if (s := recording.schemas.get(c.schema_id)) is not None
                and s.name.replace("/msg/", "/") == kind
            ]
            return role if len(set(alike)) == 1 else None
    return None


def _frames(
    pictures: list[tuple[float, Place]], pose_times: Array, world_from_link: Array
) -> tuple[Array, Array, list[Place]]:
    # A picture a hair outside the poses' time takes the pose next to it.
    shown = []
    for stamp, place in sorted(pictures):
        after = int(np.clip(np.searchsorted(pose_times, stamp), 1, max(len(pose_times) - 1, 1)))
        around = pose_times[after - 1 : after + 1]
        near = np.abs(around - stamp).min() <= _LONGEST_GAP_S / 10
        if near or (around[0] <= stamp <= around[-1] and np.ptp(around) <= _LONGEST_GAP_S):
            shown.append((float(np.clip(stamp, pose_times[0], pose_times[-1])), place))
    times = np.array([stamp for stamp, _ in shown])
    if len(times) == 0 or (np.diff(times) <= 0).any():
        keep = np.concatenate([[True], np.diff(times) > 0]) if len(times) else np.empty(0, bool)
        times, shown = times[keep], [entry for entry, good in zip(shown, keep) if good]
    if len(times) == 0 or len(pose_times) < 2:
        return pose_times, world_from_link, []
    from scipy.spatial.transform import Rotation, Slerp

    poses = np.tile(np.eye(4), (len(times), 1, 1))
    turn = Slerp(pose_times, Rotation.from_matrix(world_from_link[:, :3, :3]))
    poses[:, :3, :3] = turn(times).as_matrix()
    for axis in range(3):
        poses[:, axis, 3] = np.interp(times, pose_times, world_from_link[:, axis, 3])
    return times, poses, [place for _, place in shown]


def _nearest(stamps: list[float], times: Array) -> NDArray[np.int64]:
    known = np.array(stamps)
    after = np.clip(np.searchsorted(known, times), 1, max(len(known) - 1, 1))
    before, after = after - 1, np.minimum(after, len(known) - 1)
    closer = np.abs(known[before] - times) <= np.abs(known[after] - times)
    return np.where(closer, before, after)


def _cameras(
    infos: list[tuple[float, dict[str, Any]]], times: Array, file: Path
) -> tuple[Camera, ...]:
    if not infos:
        return ()
    infos = sorted(infos, key=lambda entry: entry[0])
    cameras = []
    for index, (_, info) in enumerate(infos, 1):
        where = f"CameraInfo {index}"
        k = np.array(info.get("k", ()), dtype=np.float64)
        if len(k) != 9:
            raise ViewfinderError("not a camera matrix", file=file, field=where, found=len(k))
        size = (info.get("width"), info.get("height"))
        distortion = tuple(map(float, info.get("d", ())))
        if any(distortion) and info.get("distortion_model") != "plumb_bob":
            raise ViewfinderError(
                "a distortion model that can't be read",
                file=file,
                field=where,
                expected="plumb_bob",
                found=info.get("distortion_model"),
            )
        cameras.append(checked_camera(k[[0, 4, 2, 5]], size, file, where, distortion[:5]))
    if len(set(cameras)) == 1:
        return (cameras[0],)
    return tuple(cameras[i] for i in _nearest([stamp for stamp, _ in infos], times))


def _states(states: list[tuple[float, str]], times: Array) -> tuple[str, ...]:
    if not states:
        return ()
    states = sorted(states)
    nearest = _nearest([stamp for stamp, _ in states], times)
    return tuple(states[i][1] for i in nearest)


def _state(message: dict[str, Any]) -> str:
    # ARKit says normal, limited, notAvailable; ARCore tracking, paused, stopped.
    words = str(message.get("state_str", "")).lower()
    if "normal" in words or words == "tracking":
        return "normal"
    return "limited" if "limited" in words or "paus" in words else "unavailable"


def _cloud(recording: McapFile, clouds: list[tuple[float, Place]]) -> Points:
    if not clouds:
        return no_points()
    message = recording.message(max(clouds)[1])
    layout = {entry["name"]: entry for entry in message.get("fields", ())}
    step, data = int(message.get("point_step", 0)), message.get("data", b"")
    if step < 12 or any(
        layout.get(axis, {}).get("datatype") != 7 or layout[axis]["offset"] > step - 4
        for axis in "xyz"
    ):
        raise ViewfinderError("a cloud without float x, y, z", file=recording.file)
    order = ">" if message.get("is_bigendian") else "<"
    record = np.dtype(
        {
            "names": list("xyz"),
            "formats": [f"{order}f4"] * 3,
            "offsets": [layout[axis]["offset"] for axis in "xyz"],
            "itemsize": step,
        }
    )
    rows = np.frombuffer(data[: len(data) // step * step], dtype=record)
    positions = np.stack([rows[axis] for axis in "xyz"], axis=1).astype(np.float64)
    positions = positions[np.isfinite(positions).all(axis=1)]
    return Points(positions, np.arange(len(positions)))


class _Depths:
    """Depth images, each for the frame nearest in time."""

    def __init__(
        self,
        recording: McapFile,
        depths: list[tuple[float, Place]],
        times: Array,
        quarter_turns: int,
    ) -> None:
        depths = sorted(depths)
        stamps = [stamp for stamp, _ in depths]
        step = float(np.median(np.diff(times))) if len(times) > 1 else _LONGEST_GAP_S
        self._recording, self._turns = recording, quarter_turns
        self._places = [
            depths[i][1] if abs(stamps[i] - stamp) <= step / 2 else None
            for i, stamp in zip(_nearest(stamps, times), times)
        ]

    def read(self, frame: int) -> NDArray[np.float32] | None:
        """(H, W) metres, 0 where there is none; None for a frame without depth."""
        place = self._places[frame]
        if place is None:
            return None
        message = self._recording.message(place)
        depth_m: NDArray[np.float32] = self._recording.guarded(
            lambda: self._depth(message, frame), f"frame {frame + 1}, depth"
        )
        return depth_m

    def _depth(self, message: dict[str, Any], frame: int) -> NDArray[np.float32]:
        height, width = int(message.get("height", 0)), int(message.get("width", 0))
        kinds = {"32FC1": ("f4", 1.0), "16UC1": ("u2", _MILLIMETRE), "mono16": ("u2", _MILLIMETRE)}
        kind, metres = kinds.get(str(message.get("encoding")), ("", 0.0))
        data = message.get("data", b"")
        if not kind or len(data) != height * width * int(kind[1]):
            raise ViewfinderError(
                "not a depth image",
                file=self._recording.file,
                field=f"frame {frame + 1}, depth",
                expected="32FC1 or 16UC1 without padding",
                found=f"{message.get('encoding')}, {len(data)} bytes for {width} x {height}",
            )
        order = ">" if message.get("is_bigendian") else "<"
        values = np.frombuffer(data, order + kind).reshape(height, width) * np.float32(metres)
        depth_m = np.where(np.isfinite(values) & (values > 0), values, 0).astype(np.float32)
        return np.ascontiguousarray(np.rot90(depth_m, -self._turns))


def _pose(values: dict[str, Any], place: str, turn: str) -> list[float]:
    return [*(float(values[place][axis]) for axis in "xyz"),
            *(float(values[turn][axis]) for axis in "xyzw")]  # fmt: skip
