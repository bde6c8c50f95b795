"""A picture of every pose of bodies, each from in front and from the side."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from render.anny_asset import Identity
from render.bodies import BodySettings, BodyShares
from render.body_clothes import Garment, Outfit
from render.body_frame import looking
from render.body_looks import BodyLook
from render.body_model import BodyShape
from render.body_render import BodyRenderer
from render.body_scene import BodyScene
from render.photo import Photo
from runtime.camera import Camera
from runtime.image import write_image

_TILE, _COLUMNS, _LINE = 160, 6, 18
_VIEWS = (0.45, 1.85)  # azimuths: half from in front, half from behind at the other side

Picture = NDArray[np.uint8]


def write_body_gallery(path: Path, settings: BodySettings) -> None:
    """Render every pose of the library onto one sheet.

    Args:
        path: .png, .jpg or .webp to write.
        settings: poses, preset and HDRIs; one person is shown whatever the seed.

    Raises:
        ViewfinderError: the poses can't be read, the file can't be written.
    """
    from rich.console import Console
    from rich.progress import track

    names = list(settings.body_poses.library())
    shown = replace(settings, size=_TILE, backgrounds=(), body_shares=BodyShares(0, 0, 0))
    renderer = BodyRenderer(shown)
    tiles = []
    try:
        scene, _ = renderer.draw(0)
        shape = renderer.model.shape(Identity({"age": 0.7, "gender": 0.4}))
        console = Console(file=sys.stderr)
        for name in track(names, "Rendering poses", console=console):
            sides = [_view(renderer, scene, shape, name, azimuth) for azimuth in _VIEWS]
            tiles.append(np.vstack([_caption(name), np.hstack(sides)]))
    finally:
        renderer.close()
    tiles += [np.full_like(tiles[0], 74)] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    write_image(path, np.vstack(rows))


def _caption(name: str) -> Picture:
    strip = np.full((_LINE, 2 * _TILE, 3), 74, dtype=np.uint8)
    cv2.putText(strip, name, (5, 13), 0, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    return strip


def _view(
    renderer: BodyRenderer, scene: BodyScene, shape: BodyShape, name: str, azimuth: float
) -> Picture:
    pose = renderer.sampler.poses.named(shape, name)
    look = BodyLook("monk05", 0.2, 0.0, "short", "brown", 0.014, "brown", 0.5)
    outfit = Outfit(
        {
            "lower": Garment("leggings", 0.004, 0.001, 0.8, 1.85),
            "upper": Garment("t-shirt", 0.009, 0.004, 0.0, 0.05, 0.5),
        }
    )
    rng = np.random.default_rng(0)
    body = renderer.sampler.wardrobe.dressed(
        shape, renderer.model.pose(shape, pose.pose), look, outfit, pose.on, pose.lift_m, rng
    )
    points = body.keypoints_m
    target = (points.min(axis=0) + points.max(axis=0)) / 2
    elevation = 0.15
    axes = looking(
        np.array(
            [
                -np.sin(azimuth) * np.cos(elevation),
                np.cos(azimuth) * np.cos(elevation),
                -np.sin(elevation),
            ]
        )
    )
    camera = Camera.from_fov(0.6, _TILE, _TILE)
    place = np.eye(4)
    place[:3, :3], place[:3, 3] = axes, target - 3.9 * axes[:, 2]
    plain = {"stripes": 0.0, "upright": 0.0, "patches": 0.0, "pitch": 0.1, "roughness": 0.8,
             "bump": 0.4, "second": (0.5, 0.5, 0.5)}  # fmt: skip
    cloths = dict(scene.cloths)
    cloths["upper"] = plain | {"albedo": (0.35, 0.36, 0.4)}
    cloths["lower"] = plain | {"albedo": (0.05, 0.07, 0.13)}
    shown = replace(
        scene, shape=shape, look=look, outfit=outfit, pose=pose, body=body, cloths=cloths,
        world_from_body=np.eye(4), world_from_camera=place, camera=camera, floor=False,
        background="plain", photo=Photo(), negative="",
    )  # fmt: skip
    return renderer.develop(shown, renderer.shoot(shown), np.random.default_rng(0)).copy()
