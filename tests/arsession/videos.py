"""Small videos for recordings."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_video(path: Path, pictures: list[np.ndarray], clockwise_degrees: int = 0) -> None:
    """Write an MPEG-4 video; optionally note that players shall turn it clockwise."""
    height, width = pictures[0].shape[:2]
    plain = path.with_name("plain.mp4")
    writer = cv2.VideoWriter(str(plain), cv2.VideoWriter_fourcc(*"mp4v"), 30, (width, height))
    for rgb in pictures:
        writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    writer.release()
    if not clockwise_degrees:
        plain.rename(path)
        return
    turn_video(plain, path, clockwise_degrees)
    plain.unlink()


def turn_video(plain: Path, path: Path, clockwise_degrees: int) -> None:
    """The display matrix that the MP4 container gives its track (ISO/IEC 14496-12, `tkhd`): a
    16.16 fixed-point 3x3 whose upper left 2x2 turns the picture."""
    data = bytearray(plain.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 4 * 5 + 8 + 8
    one = 1 << 16
    a, b, c, d = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[
        clockwise_degrees
    ]
    for offset, value in ((0, a), (4, b), (12, c), (16, d)):
        data[at + offset : at + offset + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)
