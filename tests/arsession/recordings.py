"""Recordings of one known scene, written in each format from its published convention.

Everything starts from what a person would say of the phone: where it is, and which way its right,
its top and its back point. No code is shared with the readers, nor any library that they use for
rotations.
"""

from __future__ import annotations

import json
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from tests.arsession.videos import write_video

WIDTH, HEIGHT = 320, 240
FX, FY, CX, CY = 270.0, 275.0, 163.5, 117.25
FRAMES = 4
TIME_0, STEP = 1000.0, 0.1


def y_up(v: np.ndarray) -> np.ndarray:
    return v


def z_up(v: np.ndarray) -> np.ndarray:
    """The same place in a world whose +z is up."""
    return np.stack([v[..., 0], -v[..., 2], v[..., 1]], axis=-1)


@dataclass
class Phone:
    """A held phone; vectors in a world whose +y is up."""

    place: np.ndarray
    right: np.ndarray
    top: np.ndarray
    back: np.ndarray

    def sees(self, points: np.ndarray) -> np.ndarray:
        """Pixels from the top-left corner, in the landscape picture."""
        away = points - self.place
        depth = -(away @ self.back)
        return np.stack(
            [CX + FX * (away @ self.right) / depth, CY - FY * (away @ self.top) / depth], axis=-1
        )


def normal(v: np.ndarray) -> np.ndarray:
    return v / np.sqrt((v * v).sum())


def phones() -> list[Phone]:
    out = []
    for i in range(FRAMES):
        place = np.array([0.9 + 0.1 * i, 1.3 - 0.05 * i, 0.7 + 0.02 * i])
        back = normal(place - np.array([0.1, 0.2, -0.3]))
        level = normal(np.cross([0.0, 1.0, 0.0], back))
        roll = 0.35 + 0.05 * i
        right = np.cos(roll) * level + np.sin(roll) * np.cross(back, level)
        out.append(Phone(place, right, np.cross(back, right), back))
    return out


POINTS = np.array([[0.1, 0.25, -0.3], [0.3, 0.1, -0.2], [-0.1, 0.3, -0.5], [0.2, 0.4, 0.0]])


@dataclass
class Scene:
    """What was written: the tests compare with it."""

    path: Path
    up: str
    place_in_world: object
    name: str
    points: np.ndarray = field(default_factory=lambda: POINTS)


def arkit(phone: Phone, world=y_up) -> np.ndarray:
    """Camera to world, x right, y up, z backward."""
    matrix = np.eye(4)
    matrix[:3] = np.stack([world(phone.right), world(phone.top), world(phone.back),
                           world(phone.place)], axis=1)  # fmt: skip
    return matrix


def opencv(phone: Phone, world=y_up) -> np.ndarray:
    """Camera to world, x right, y down, z forward."""
    matrix = np.eye(4)
    matrix[:3] = np.stack([world(phone.right), -world(phone.top), -world(phone.back),
                           world(phone.place)], axis=1)  # fmt: skip
    return matrix


def inverse(matrix: np.ndarray) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = matrix[:3, :3].T
    out[:3, 3] = -matrix[:3, :3].T @ matrix[:3, 3]
    return out


def quaternion_xyzw(matrix: np.ndarray) -> np.ndarray:
    """From the rotation's own axis (its real eigenvector) and angle."""
    axis, angle = axis_and_angle(matrix)
    return np.array([*(np.sin(angle / 2) * axis), np.cos(angle / 2)])


def axis_and_angle(matrix: np.ndarray) -> tuple[np.ndarray, float]:
    r = matrix[:3, :3]
    values, vectors = np.linalg.eig(r)
    axis = normal(np.real(vectors[:, np.argmin(np.abs(values - 1))]))
    across = normal(np.cross(axis, [0.3, 0.5, 0.8]))
    turned = r @ across
    return axis, float(np.arctan2(np.cross(across, turned) @ axis, across @ turned))


def picture(phone: Phone) -> np.ndarray:
    """Black, with a white square where the first point is."""
    rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    u, v = phone.sees(POINTS[0])
    x, y = round(u - 0.5), round(v - 0.5)
    rgb[y - 4 : y + 5, x - 4 : x + 5] = 255
    return rgb


def jpeg(phone: Phone) -> bytes:
    return cv2.imencode(".jpg", picture(phone))[1].tobytes()


def png(phone: Phone) -> bytes:
    return cv2.imencode(".png", picture(phone))[1].tobytes()


def depth_png(metres: float) -> bytes:
    image = np.zeros((24, 32), np.uint16)
    image[3, 5] = round(metres * 1000)
    return cv2.imencode(".png", image)[1].tobytes()


def put(file: Path, data: bytes | str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(data, str):
        data = data.encode()
    file.write_bytes(data)


def row(*values: object) -> str:
    return " ".join(f"{v:.12g}" if isinstance(v, float) else str(v) for v in values)


def stray_scanner(folder: Path, clockwise: int = 0) -> Scene:
    lines = ["timestamp, frame, x, y, z, qx, qy, qz, qw"]
    for i, phone in enumerate(phones()):
        pose = opencv(phone)
        numbers = [*pose[:3, 3], *quaternion_xyzw(pose)]
        lines.append(f"{TIME_0 + STEP * i}, {i:06d}, " + ", ".join(f"{v:.12g}" for v in numbers))
        put(folder / "depth" / f"{i:06d}.png", depth_png(1.5))
    put(folder / "odometry.csv", "\n".join(lines) + "\n")
    put(folder / "camera_matrix.csv", f"{FX}, 0.0, {CX}\n0.0, {FY}, {CY}\n0.0, 0.0, 1.0\n")
    write_video(folder / "rgb.mp4", [picture(p) for p in phones()], clockwise)
    return Scene(folder, "+y", y_up, "stray-scanner")


def record3d(folder: Path) -> Scene:
    poses = [[*quaternion_xyzw(arkit(p)), *arkit(p)[:3, 3]] for p in phones()]
    metadata = {
        "w": WIDTH, "h": HEIGHT, "dw": 32, "dh": 24, "fps": 10,
        "K": [FX, 0, 0, 0, FY, 0, CX, CY, 1],
        "perFrameIntrinsicCoeffs": [[FX, FY, CX, CY]] * FRAMES,
        "frameTimestamps": [TIME_0 + STEP * i for i in range(FRAMES)],
        "poses": poses, "initPose": poses[0],
    }  # fmt: skip
    depth = np.zeros((24, 32), np.float32)
    depth[3, 5] = 1.5
    raw = depth.tobytes()
    with zipfile.ZipFile(folder / "scan.r3d", "w") as archive:
        archive.writestr("metadata", json.dumps(metadata))
        for i, phone in enumerate(phones()):
            archive.writestr(f"rgbd/{i}.jpg", jpeg(phone))
            # LZFSE's own form for data that it leaves as they are.
            archive.writestr(
                f"rgbd/{i}.depth", b"bvx-" + struct.pack("<I", len(raw)) + raw + b"bvx$"
            )
    return Scene(folder / "scan.r3d", "+y", y_up, "record3d")


def record3d_folder(folder: Path) -> Scene:
    record3d(folder)
    with zipfile.ZipFile(folder / "scan.r3d") as archive:
        archive.extractall(folder)
    (folder / "scan.r3d").unlink()
    return Scene(folder, "+y", y_up, "record3d")


def polycam(folder: Path) -> Scene:
    for i, phone in enumerate(phones()):
        stamp = f"{round((TIME_0 + STEP * i) * 1e6)}"
        pose = arkit(phone)
        camera = {f"t_{r}{c}": pose[r, c] for r in range(3) for c in range(4)}
        camera |= {"fx": FX, "fy": FY, "cx": CX, "cy": CY, "width": WIDTH, "height": HEIGHT,
                   "blur_score": 90.0}  # fmt: skip
        keyframes = folder / "keyframes"
        put(keyframes / "corrected_cameras" / f"{stamp}.json", json.dumps(camera))
        put(keyframes / "corrected_images" / f"{stamp}.jpg", jpeg(phone))
        put(keyframes / "cameras" / f"{stamp}.json", json.dumps(camera | {"t_03": 77.0}))
        put(keyframes / "images" / f"{stamp}.jpg", jpeg(phone))
        put(keyframes / "depth" / f"{stamp}.png", depth_png(1.5))
    return Scene(folder, "+y", y_up, "polycam")


def scanner_app(folder: Path) -> Scene:
    for i, phone in enumerate(phones()):
        frame = {
            "cameraPoseARFrame": arkit(phone).ravel().tolist(),
            "intrinsics": [FX, 0, CX, 0, FY, CY, 0, 0, 1],
            "time": TIME_0 + STEP * i,
            "frame_index": i,
            "motionQuality": 1.0,
        }
        put(folder / f"frame_{i:05d}.json", json.dumps(frame))
        put(folder / f"depth_{i:05d}.png", depth_png(1.5))
        put(folder / f"frame_{i:05d}.jpg", jpeg(phone))
    return Scene(folder, "+y", y_up, "3d-scanner-app")


def arkitscenes(folder: Path) -> Scene:
    lines = []
    for i, phone in enumerate(phones()):
        to_camera = inverse(opencv(phone, z_up))
        axis, angle = axis_and_angle(to_camera)
        stamp = TIME_0 + STEP * i
        lines.append(row(stamp + 0.0004, *(float(v) for v in [*(axis * angle), *to_camera[:3, 3]])))
        put(folder / "lowres_wide" / f"4711_{stamp:.3f}.png", png(phone))
        put(folder / "lowres_depth" / f"4711_{stamp:.3f}.png", depth_png(1.5))
        put(
            folder / "lowres_wide_intrinsics" / f"4711_{stamp + 0.001:.3f}.pincam",
            row(WIDTH, HEIGHT, FX, FY, CX, CY),
        )
    put(folder / "lowres_wide.traj", "\n".join(lines) + "\n")
    return Scene(folder, "+z", z_up, "arkitscenes")


def transforms_json(folder: Path) -> Scene:
    frames = []
    for i in (2, 0, 3, 1):
        put(folder / "images" / f"frame_{8 + i}.png", png(phones()[i]))
        put(folder / "depth" / f"{8 + i}.png", depth_png(1.5))
        frames.append(
            {
                "file_path": f"./images/frame_{8 + i}",
                "depth_file_path": f"depth/{8 + i}.png",
                "transform_matrix": arkit(phones()[i], z_up).tolist(),
            }
        )
    stored = {"fl_x": FX, "fl_y": FY, "cx": CX, "cy": CY, "w": WIDTH, "h": HEIGHT,
              "camera_model": "OPENCV", "k1": 0.0, "frames": frames}  # fmt: skip
    put(folder / "transforms.json", json.dumps(stored))
    return Scene(folder, "+z", z_up, "transforms-json")


def _colmap_rows() -> list[tuple]:
    out = []
    for i, phone in enumerate(phones()):
        pose = inverse(opencv(phone))
        x, y, z, w = quaternion_xyzw(pose)
        rng = np.random.default_rng(i)
        seen = phone.sees(POINTS) + rng.normal(0, 1, (len(POINTS), 2))
        out.append(((w, x, y, z), pose[:3, 3], f"pic_{8 + i}.jpg", seen))
    return out


def colmap_errors() -> np.ndarray:
    """Mean distance between what was written as seen and where the phones truly see the points."""
    off = [
        np.sqrt(((seen - phone.sees(POINTS)) ** 2).sum(axis=1))
        for (_, _, _, seen), phone in zip(_colmap_rows(), phones())
    ]
    return np.mean(off, axis=0)


def colmap_text(folder: Path) -> Scene:
    sparse = folder / "sparse" / "0"
    put(sparse / "cameras.txt", f"# Camera list\n7 PINHOLE {WIDTH} {HEIGHT} {FX} {FY} {CX} {CY}\n")
    lines = ["# Image list with two lines of data per image:"]
    for number, (quat, translation, name, seen) in reversed(list(enumerate(_colmap_rows(), 1))):
        lines.append(row(number, *map(float, [*quat, *translation]), 7, name))
        words = [w for k, (u, v) in enumerate(seen) for w in (float(u), float(v), 100 + k)]
        lines.append(row(*words, 1.0, 2.0, -1))
    put(sparse / "images.txt", "\n".join(lines) + "\n")
    points = [
        row(100 + k, *map(float, POINTS[k]), 1, 2, 3, float(error), 1, k, 2, k, 3, k, 4, k)
        for k, error in enumerate(colmap_errors())
    ]
    put(sparse / "points3D.txt", "# 3D point list\n" + "\n".join(points) + "\n")
    for phone, (_, _, name, _) in zip(phones(), _colmap_rows()):
        put(folder / "images" / name, jpeg(phone))
    return Scene(folder, "", y_up, "colmap")


def colmap_binary(folder: Path) -> Scene:
    sparse = folder / "sparse" / "0"
    put(
        sparse / "cameras.bin",
        struct.pack("<QIiQQ4d", 1, 7, 1, WIDTH, HEIGHT, FX, FY, CX, CY),
    )
    data = struct.pack("<Q", FRAMES)
    for number, (quat, translation, name, seen) in reversed(list(enumerate(_colmap_rows(), 1))):
        data += struct.pack("<I7dI", number, *quat, *translation, 7) + name.encode() + b"\0"
        data += struct.pack("<Q", len(seen) + 1)
        for k, (u, v) in enumerate(seen):
            data += struct.pack("<ddQ", u, v, 100 + k)
        data += struct.pack("<ddQ", 1.0, 2.0, 2**64 - 1)
    put(sparse / "images.bin", data)
    points = struct.pack("<Q", len(POINTS))
    for k, error in enumerate(colmap_errors()):
        points += struct.pack("<Q3d3Bd", 100 + k, *POINTS[k], 1, 2, 3, error)
        points += struct.pack("<Q8I", 4, 1, k, 2, k, 3, k, 4, k)
    put(sparse / "points3D.bin", points)
    for phone, (_, _, name, _) in zip(phones(), _colmap_rows()):
        put(folder / "images" / name, jpeg(phone))
    return Scene(folder, "", y_up, "colmap")


def tum(folder: Path) -> Scene:
    lines = ["# ground truth trajectory", "# timestamp tx ty tz qx qy qz qw"]
    for i, phone in enumerate(phones()):
        pose = opencv(phone, z_up)
        numbers = [TIME_0 + STEP * i, *pose[:3, 3], *quaternion_xyzw(pose)]
        lines.append(row(*map(float, numbers)))
    put(folder / "groundtruth.txt", "\n".join(lines) + "\n")
    return Scene(folder, "+z", z_up, "tum")


def open3d_log(folder: Path) -> Scene:
    blocks = []
    for i, phone in enumerate(phones()):
        blocks.append(f"{i} {i} {i + 1}")
        blocks += [row(*map(float, r)) for r in opencv(phone)]
    put(folder / "trajectory.log", "\n".join(blocks) + "\n")
    k = [FX, 0, 0, 0, FY, 0, CX, CY, 1]
    put(
        folder / "camera_intrinsics.json",
        json.dumps({"intrinsic_matrix": k, "width": WIDTH, "height": HEIGHT}),
    )
    return Scene(folder, "+y", y_up, "open3d-log")


def arkit_logger(folder: Path) -> Scene:
    lines = ["# Created at some time"]
    for i, phone in enumerate(phones()):
        pose = arkit(phone)[:3]
        lines.append(row(round((TIME_0 + STEP * i) * 1e9), *map(float, pose.ravel())))
    put(folder / "ARKit_camera_pose.txt", "\n".join(lines) + "\n")
    return Scene(folder, "+y", y_up, "arkit-logger")


def arcore_logger(folder: Path) -> Scene:
    lines = ["# Created at some time"]
    for i, phone in enumerate(phones()):
        pose = arkit(phone)
        numbers = [*quaternion_xyzw(pose), *pose[:3, 3]]
        lines.append(row(round((TIME_0 + STEP * i) * 1e9), *map(float, numbers)))
    put(folder / "ARCore_sensor_pose.txt", "\n".join(lines) + "\n")
    return Scene(folder, "+y", y_up, "arcore-logger")


WRITERS = (
    stray_scanner, record3d, record3d_folder, polycam, scanner_app, arkitscenes, transforms_json,
    colmap_text, colmap_binary, tum, open3d_log, arkit_logger, arcore_logger,
)  # fmt: skip
WITH_PICTURES = WRITERS[:9]
WITH_DEPTH = WRITERS[:7]
