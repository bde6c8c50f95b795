"""What lies behind a subject whose film is transparent: the environment, clutter, a photograph."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from render.backgrounds import background_piece
from render.cycles import CyclesScene, Passes
from render.environments import bundled_hdris
from render.photo import (
    Photo,
    clutter,
    composite,
    defocused,
    develop,
    environment_background,
    metered,
    softened,
)
from render.settings import RenderSettings
from runtime.camera import Camera

BRIGHTEST = 2.5
"""What is behind a subject counts as no brighter than this; 1 is white."""

AUTOMATIC_WHITE = 0.8
"""Share of the light's colour that the camera takes out."""


class Backdrop:
    """Backgrounds of one renderer; holds the panorama in use."""

    def __init__(self, settings: RenderSettings, scene: CyclesScene) -> None:
        self.hdris = settings.hdris or bundled_hdris()
        self._settings, self._scene = settings, scene
        self._panoramas: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    def picture(
        self,
        kind: str,
        hdri: int,
        camera: Camera,
        world_from_camera: NDArray[np.float64],
        passes: Passes,
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """(H, W, 3) scene-linear.

        Args:
            kind: "world" as it lies behind the subject, "turned" the same seen elsewhere,
                "clutter" of coloured pieces, "photo" of the user's, "plain" grey.
            hdri: number of the environment.
            camera, world_from_camera: of the picture.
            passes: of the subject, by whose light clutter and photographs are lit.
            rng: of the sample.
        """
        size = self._settings.size
        if kind in ("world", "turned"):
            turn = rng.uniform(0.5, 2 * math.pi - 0.5) if kind == "turned" else 0.0
            panorama = self._surroundings(hdri)[0]
            return environment_background(panorama, camera, world_from_camera, turn)
        inside = passes.linear[passes.alpha > 0.9]
        light = float(np.median(inside)) if len(inside) else 1.0
        if kind == "photo":
            piece = background_piece(self._settings.backgrounds, size, rng)
            usual = max(float(np.median(piece)), 0.02)
            return piece * np.float32(light / usual * rng.lognormal(0.0, 0.35))
        grey = np.full((size, size, 3), 0.25, dtype=np.float32)
        return (clutter(size, size, rng) if kind == "clutter" else grey) * 2 * light

    def developed(
        self,
        subject: Passes,
        behind: NDArray[np.float32],
        hdri: int,
        photo: Photo,
        gain: float,
        rest: float,
        rng: np.random.Generator,
    ) -> NDArray[np.uint8]:
        """(H, W, 3) sRGB: the subject before what is behind it, as a camera stores it.

        Args:
            subject: its colour and coverage.
            behind: (H, W, 3) scene-linear.
            hdri: number of the environment that lights it.
            photo: of the camera.
            gain: on top of what metering says, which would make everything middle grey.
            rest: how much the whole picture counts in metering, against the subject.
            rng: of the sample.
        """
        behind = defocused(behind, photo.background_blur * self._settings.size)
        linear, alpha = softened(subject.linear, subject.alpha)
        neutral = self.neutral(hdri)
        linear, behind = linear * neutral, behind * neutral
        weight = alpha / max(float(alpha.sum()), 1.0) + np.float32(rest / alpha.size)
        total = metered(composite(linear, alpha, behind), weight) * gain
        # A sky many times brighter than white would swallow every pixel that it has a share in.
        white = np.float32(BRIGHTEST / (total * 2.0**photo.exposure_ev))
        light = composite(linear, alpha, np.minimum(behind, white))
        return develop(light, total, photo, rng)

    def neutral(self, hdri: int) -> NDArray[np.float32]:
        """(3,) gains with which a camera answers the light's colour, as far as cameras do."""
        return self._surroundings(hdri)[1]

    def _surroundings(self, hdri: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if hdri not in self._panoramas:
            pixels = self._scene.hdri_pixels(self.hdris[hdri])
            light = np.minimum(pixels, 20.0).mean(axis=(0, 1))
            gains = ((light.mean() / light) ** AUTOMATIC_WHITE).astype(np.float32)
            self._panoramas = {hdri: (pixels, gains)}  # the others come in later blocks
        return self._panoramas[hdri]
