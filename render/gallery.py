"""A picture of every gesture, family by family: each from the palm and from the thumb's side."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity
from render.gestures import Gesture
from render.hand_model import HandShape, rotation
from render.hand_poses import HandPose
from render.hand_render import HandRenderer
from render.hand_scene import HandScene
from render.hand_skin import HandLook
from render.photo import Photo
from render.settings import ONE_HAND, RenderSettings
from runtime.camera import Camera
from runtime.image import write_image

_TILE, _COLUMNS = 128, 6
_LINE, _HEADING = 15, 44
_TEXT = 2 * _TILE - 10  # pixels of a line
_GREY = (74, 74, 74)

Picture = NDArray[np.uint8]


def write_gallery(path: Path, settings: RenderSettings) -> None:
    """Render every gesture of the library onto one tall sheet.

    Args:
        path: .png, .jpg or .webp to write.
        settings: gestures, preset and HDRIs; one right hand is shown whatever the seed.

    Raises:
        ViewfinderError: the gestures can't be read, the file can't be written.
    """
    library = settings.poses.library()
    tiles = dict(_tiles(library, settings))
    families: dict[str, list[str]] = {}
    for gesture in library.values():
        families.setdefault(gesture.family, []).append(gesture.name)
    rows = []
    for family, names in families.items():
        rows.append(_heading(f"{family}: {len(names)}"))
        for i in range(0, len(names), _COLUMNS):
            row = [tiles[name] for name in names[i : i + _COLUMNS]]
            row += [np.full_like(row[0], _GREY[0])] * (_COLUMNS - len(row))
            rows.append(np.hstack(row))
    write_image(path, np.vstack(rows))


def _tiles(
    library: Mapping[str, Gesture], settings: RenderSettings
) -> Iterator[tuple[str, Picture]]:
    from rich.console import Console
    from rich.progress import track

    renderer = HandRenderer(replace(settings, size=_TILE, shares=ONE_HAND))
    try:
        scene, _ = renderer.draw(0)
        shape = renderer.model.shape(Identity({"age": 0.8, "gender": 0.4}))
        console = Console(file=sys.stderr)
        for gesture in track(list(library.values()), "Rendering gestures", console=console):
            sides = [_view(renderer, scene, shape, gesture, turn) for turn in (0.0, math.pi / 2)]
            yield gesture.name, np.vstack([_caption(gesture), np.hstack(sides)])
    finally:
        renderer.close()


def _heading(text: str) -> Picture:
    strip = np.full((_HEADING, 2 * _TILE * _COLUMNS, 3), 30, dtype=np.uint8)
    cv2.putText(strip, text, (8, 29), 0, 0.8, (255, 255, 255), 1, cv2.LINE_AA)
    return strip


def _caption(gesture: Gesture) -> Picture:
    """The name, and below it the other names as far as they fit."""
    strip = np.full((2 * _LINE + 4, 2 * _TILE, 3), _GREY, dtype=np.uint8)
    scale = min(0.37, 0.37 * _TEXT / cv2.getTextSize(gesture.name, 0, 0.37, 1)[0][0])
    more = ", ".join(gesture.also)
    while cv2.getTextSize(more, 0, 0.33, 1)[0][0] > _TEXT:
        more = more.rstrip(".")[:-1] + ".."
    white, pale = (255, 255, 255), (190, 190, 190)
    cv2.putText(strip, gesture.name, (5, _LINE), 0, scale, white, 1, cv2.LINE_AA)
    cv2.putText(strip, more, (5, 2 * _LINE), 0, 0.33, pale, 1, cv2.LINE_AA)
    return strip


def _view(
    renderer: HandRenderer, scene: HandScene, shape: HandShape, gesture: Gesture, turn: float
) -> Picture:
    posed = renderer.model.pose(shape, gesture.angles)
    across = np.cross(shape.forward, shape.palmar)
    # Rows are right, down, ahead of a camera that looks at the palm, fingers up.
    facing = np.stack([across, -shape.forward, -shape.palmar])
    result = np.eye(4)
    result[:3, :3] = rotation(np.array([0.0, 1.0, 0.0]), turn) @ facing
    centre = shape.wrist_m + 0.085 * shape.forward
    result[:3, 3] = np.array([0.0, 0.0, 0.62]) - result[:3, :3] @ centre
    size = renderer.settings.size
    shown = replace(
        scene,
        hand="right",
        look=HandLook("monk05", 0.2, 0.0, 0.5, None, 0.5),
        pose=HandPose("library", gesture.name, gesture.family, (gesture.name,), gesture.angles),
        posed=posed,
        shape=shape,
        sleeve=None,
        bands=(),
        thing=None,
        second=None,
        negative=None,
        camera=Camera.from_fov(math.radians(24), size, size),
        camera_from_hand=result,
        background="plain",
        photo=Photo(),
    )
    renderer.place(renderer.prepared(shown))
    return renderer.develop(shown, renderer.scene.render(), np.random.default_rng(0)).copy()
