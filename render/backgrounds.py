"""The user's photographs behind rendered subjects."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from render.environments import file_sha256
from render.photo import linear_from_srgb
from runtime.errors import ViewfinderError
from runtime.image import PICTURE_EXTENSIONS, read_image

LEAST_SHARE = 0.35
"""Of a photograph's shorter side: smaller pieces would show its pixels."""


def find_backgrounds(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder and of those inside it, by path.

    Raises:
        ViewfinderError: there are none.
    """
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_EXTENSIONS and path.is_file()
    )
    if not paths:
        raise ViewfinderError(
            "no picture lies there", file=folder, field="--backgrounds",
            expected=" ".join(PICTURE_EXTENSIONS),
        )  # fmt: skip
    return tuple(paths)


def described_backgrounds(paths: tuple[Path, ...]) -> dict[str, Any]:
    """How many, and a SHA-256 over all their contents: a run goes on only with the same ones."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(bytes.fromhex(file_sha256(path)))
    return {"count": len(paths), "sha256": whole.hexdigest()}


def background_piece(
    paths: tuple[Path, ...], size: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """A square piece of one of the photographs, mirrored half of the time.

    Args:
        paths: to choose from.
        size: of the piece in pixels.
        rng: of the sample.

    Returns:
        (size, size, 3) linear light, 1 being the photograph's white.

    Raises:
        ViewfinderError: the photograph can't be read.
    """
    rgb = read_image(paths[int(rng.integers(len(paths)))])
    height, width = rgb.shape[:2]
    side = max(1, int(min(height, width) * rng.uniform(LEAST_SHARE, 1.0)))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    piece = rgb[top : top + side, left : left + side]
    shrinking = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    piece = cv2.resize(piece, (size, size), interpolation=shrinking)
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    return linear_from_srgb(piece)
