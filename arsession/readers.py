"""Which reader a recording needs. `open_session` picks the one whose files are there."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from arsession.session import Session
from runtime.errors import ViewfinderError


class Reader(NamedTuple):
    """A format: what it is called, the files that tell it, and the function that reads it."""

    what: str
    patterns: tuple[str, ...]
    function: str


READERS = (
    Reader("Objectron", ("geometry.pbdata", "sfm_arframe.pbdata"), "objectron:read_objectron"),
    Reader("ARKit-Data-Logger", ("ARKit_camera_pose*.txt",), "loggers:read_arkit_logger"),
    Reader("ARCore-Data-Logger", ("ARCore_sensor_pose*.txt",), "loggers:read_arcore_logger"),
    Reader("Stray Scanner", ("odometry.csv",), "stray_scanner:read_stray_scanner"),
    Reader("Record3D", ("*.r3d", "metadata"), "record3d:read_record3d"),
    Reader("MCAP", ("*.mcap",), "mcap_recording:read_mcap"),
    Reader(
        "Polycam",
        (
            "keyframes/corrected_cameras/*.json",
            "corrected_cameras/*.json",
            "keyframes/cameras/*.json",
            "cameras/*.json",
        ),
        "scan_folders:read_polycam",
    ),
    Reader("3D Scanner App", ("frame_*.json",), "scan_folders:read_3d_scanner_app"),
    Reader("ARKitScenes", ("*.traj", "*_frames/*.traj"), "arkitscenes:read_arkitscenes"),
    Reader(
        "nerfstudio, instant-ngp",
        ("transforms.json", "transforms_train.json", "transforms*.json"),
        "transforms_json:read_transforms",
    ),
    Reader(
        "COLMAP",
        (
            "images.bin",
            "images.txt",
            "sparse/0/images.bin",
            "sparse/0/images.txt",
            "sparse/images.bin",
            "sparse/images.txt",
            "0/images.bin",
            "0/images.txt",
            "colmap/sparse/0/images.bin",
            "colmap/sparse/0/images.txt",
            "dense/sparse/images.bin",
            "dense/sparse/images.txt",
            "dense/0/sparse/images.bin",
            "dense/0/sparse/images.txt",
        ),
        "colmap:read_colmap",
    ),
    Reader("Open3D trajectory", ("trajectory.log", "*.log"), "loggers:read_open3d_log"),
    Reader("Open3D camera trajectory", ("*trajectory.json",), "loggers:read_open3d_json"),
    Reader("TUM", ("groundtruth.txt", "*Trajectory.txt", "*.tum"), "loggers:read_tum"),
    Reader("Record3D, exported", ("metadata.json",), "record3d:read_record3d"),
)
"""In the order in which they are looked for."""


def reader_of(path: Path) -> tuple[Reader, Path] | None:
    """Which reader a folder or file is for, and the file that told; None for none."""
    for reader in READERS:
        for pattern in reader.patterns:
            # `match` compares from the end, so a pattern may name the folder a file lies in.
            found = sorted(path.glob(pattern)) if path.is_dir() else [path] * path.match(pattern)
            # macOS packs what it knows of a file beside it, as `._NAME`.
            found = [file for file in found if not file.name.startswith("._")]
            if found:
                return reader, found[0]
    return None


def open_session(path: Path) -> Session:
    """Read a recording from a folder, or from the file that holds its poses.

    Raises:
        ViewfinderError: nothing there that a reader knows, or a file that breaks its format.
    """
    if not path.exists():
        raise ViewfinderError("no such file or folder", file=path)
    found = reader_of(path)
    if found is not None:
        module, name = found[0].function.split(":")
        read = getattr(import_module(f"arsession.{module}"), name)
        session: Session = read(found[1])
        return session
    raise ViewfinderError(
        "no AR recording found",
        file=path,
        expected=" | ".join(reader.patterns[0] for reader in READERS),
    )
