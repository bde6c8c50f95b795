"""A picture of every gesture, with names: what the gesture file says, seen from the palm."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity
from render.gestures import HandPose, gestures
from render.hand_model import HandShape, rotation
from render.hand_render import HandRenderer
from render.hand_scene import HandScene
from render.hand_skin import HandLook
from render.photo import Photo
from render.settings import RenderSettings
from runtime.camera import Camera
from runtime.image import write_image

_TILE, _COLUMNS = 192, 11
_GREY = 0.22


def write_gallery(path: Path, settings: RenderSettings) -> None:
    """Render every gesture from the palm, and below it from the thumb's side.

    Args:
        path: .png, .jpg or .webp to write.
        settings: preset and HDRIs; one right hand is shown whatever the seed.

    Raises:
        ViewfinderError: the file can't be written.
    """
    renderer = HandRenderer(replace(settings, size=_TILE))
    try:
        scene, _ = renderer.draw(0)
        shape = renderer.model.shape(Identity({"age": 0.8, "gender": 0.4}))
        tiles = [
            np.vstack([_tile(renderer, scene, shape, name, turn) for turn in (0.0, math.pi / 2)])
            for name in gestures()
        ]
    finally:
        renderer.close()
    for name, tile in zip(gestures(), tiles):
        cv2.putText(tile, name, (6, 16), 0, 0.48, (255, 255, 255), 1, cv2.LINE_AA)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    write_image(path, np.vstack(rows))


def _tile(
    renderer: HandRenderer, scene: HandScene, shape: HandShape, name: str, turn: float
) -> NDArray[np.uint8]:
    posed = renderer.model.pose(shape, gestures()[name].angles)
    across = np.cross(shape.forward, shape.palmar)
    # Rows are right, down, ahead of a camera that looks at the palm, fingers up.
    facing = np.stack([across, -shape.forward, -shape.palmar])
    result = np.eye(4)
    result[:3, :3] = rotation(np.array([0.0, 1.0, 0.0]), turn) @ facing
    centre = shape.wrist_m + 0.085 * shape.forward
    result[:3, 3] = np.array([0.0, 0.0, 0.62]) - result[:3, :3] @ centre
    shown = replace(
        scene,
        hand="right",
        look=HandLook("monk05", 0.2, 0.0, 0.5, None, 0.5),
        pose=HandPose(name, (name,), gestures()[name].angles),
        posed=posed,
        shape=shape,
        sleeve=None,
        camera=Camera.from_fov(math.radians(24), _TILE, _TILE),
        camera_from_hand=result,
        background="plain",
        photo=Photo(),
    )
    renderer.place(renderer.prepared(shown))
    return renderer.develop(shown, renderer.scene.render(), np.random.default_rng(0)).copy()
