"""Renders and labels frames of sessions with Cycles; loads Blender."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arsession.propagate import Propagated, hidden_by_depth, propagate
from arsession.propagate_dataset import box_label, plane_in_camera
from arsession.views import Views
from bootstrap.dataset import Label, Sample, encode_depth, encode_segmentation
from render.cycles import CyclesScene, Passes
from render.job import sample_id, split_of
from render.labels import clear_depth
from render.photo import Photo, develop, metered
from render.quality import PRESETS
from render.session_path import UP
from render.session_scene import PlacedObject, SessionScene
from render.session_stage import FIRST_OBJECT, RENDER_FROM_WORLD, staged
from render.sessions import SessionSettings
from runtime.image import encode_image

SOURCE = "viewfinder render session"
LEAST_PX = 30
"""An object has a label where at least so many pixels show it, of a picture 320 pixels high."""

_JPEG_QUALITY = 92
_SHUTTER_S = 0.008
_WHITE = 0.6
"""How far the camera takes out what all the first picture has too much of."""


class SessionRenderer:
    """Renders frame after frame; builds a scene when another session begins."""

    def __init__(self, settings: SessionSettings, threads: int = 0) -> None:
        self.settings = settings
        self._threads = threads
        self._light = settings.light()
        self._filmed: _Filmed | None = None

    def close(self) -> None:
        """Remove what lies on the RAM disk."""
        if self._filmed is not None:
            self._filmed.close()
            self._filmed = None

    def render(self, index: int) -> tuple[Sample, list[Label]]:
        """Frame `index % frames` of session `index // frames`, and its labels."""
        settings = self.settings
        number, frame = divmod(index, settings.frames)
        if self._filmed is None or self._filmed.number != number:
            self.close()
            self._filmed = _Filmed(settings, number, self._threads)
        filmed, scene = self._filmed, self._filmed.scene
        passes = filmed.passes(frame)
        width, height = settings.size
        sample = Sample(
            sample_id=sample_id(index),
            image=encode_image(filmed.developed(frame, passes), ".jpg", _JPEG_QUALITY),
            extension="jpg",
            width=width,
            height=height,
            members={
                "depth.png": encode_depth(clear_depth(passes.depth_m)),
                "seg.png": encode_segmentation(passes.material_index.astype(np.uint8)),
            },
            camera=scene.camera,
            seed=settings.seed,
            split=split_of(number),
            tags=(scene.objects[0].category,),
            attributes={
                "session": f"{number:06d}",
                "frame": frame,
                "timestamp_s": round(float(scene.timestamps_s[frame]), 6),
                "world_from_camera": scene.world_from_camera[frame].round(9).ravel().tolist(),
                "world_up": "+y",
                "hdri": self._light[scene.hdri].stem,
            },
        )
        return sample, filmed.labels(sample.sample_id, frame, passes)


class _Filmed:
    """A session in Blender."""

    def __init__(self, settings: SessionSettings, number: int, threads: int) -> None:
        self.number = number
        self._settings = settings
        self.scene: SessionScene = settings.scene(number)
        self._cycles = CyclesScene(*settings.size, PRESETS[settings.preset], threads)
        staged(self._cycles, self.scene)
        self._cycles.set_hdri(settings.light()[self.scene.hdri])
        self._views = Views.of_poses(self.scene.world_from_camera, (self.scene.camera,))
        self._boxes = [one.box() for one in self.scene.objects]
        self._seen = [propagate(box, self._views) for box in self._boxes]
        self._first = self._rendered(0)
        # A phone keeps exposure and white balance while it films.
        flat = self._first.linear
        self._gain = metered(flat, np.ones(flat.shape[:2], dtype=np.float32))
        mean = flat.reshape(-1, 3).mean(axis=0).astype(np.float64)
        self._white = (mean.mean() / np.maximum(mean, 1e-6)) ** _WHITE

    def close(self) -> None:
        self._cycles.close()

    def passes(self, frame: int) -> Passes:
        return self._first if frame == 0 else self._rendered(frame)

    def _rendered(self, frame: int) -> Passes:
        scene = self.scene
        self._cycles.set_camera(RENDER_FROM_WORLD @ scene.world_from_camera[frame], scene.camera)
        return self._cycles.render()

    def developed(self, frame: int, passes: Passes) -> NDArray[np.uint8]:
        key = np.random.SeedSequence(self._settings.seed, spawn_key=(self.number, 1, frame))
        light = passes.linear * self._white.astype(np.float32)
        return develop(light, self._gain, self._photo(frame), np.random.default_rng(key))

    def _photo(self, frame: int) -> Photo:
        """With what the hand moved while the shutter was open, at the main object."""
        centre = self._seen[0].keypoints_px[:, 0]
        after = min(frame + 1, len(centre) - 1)
        before = max(after - 1, 0)
        step = centre[after] - centre[before]
        if not np.isfinite(step).all():
            return self.scene.photo
        length = float(np.linalg.norm(step)) * self._settings.rate_hz * _SHUTTER_S
        direction = float(np.arctan2(step[1], step[0]))
        width = self._settings.size[0]
        return replace(self.scene.photo, motion=min(length / width, 0.05), motion_rad=direction)

    def labels(self, name: str, frame: int, passes: Passes) -> list[Label]:
        depth = _OneDepth(passes.depth_m)
        least = LEAST_PX * (self._settings.size[1] / 320) ** 2
        labels = []
        for number, (one, box, seen) in enumerate(zip(self.scene.objects, self._boxes, self._seen)):
            shown = int((passes.material_index == FIRST_OBJECT + number).sum())
            if not seen.seen[frame] or shown < least:
                continue
            visibility = hidden_by_depth(seen, frame, depth, self._views)
            attributes = self._attributes(one, seen, frame) | {"shown_px": shown}
            labels.append(
                box_label(
                    name, number, box, self._views, seen, frame, visibility, attributes, SOURCE
                )
            )
        return labels

    def _attributes(self, one: PlacedObject, seen: Propagated, frame: int) -> dict[str, Any]:
        level = self.scene.levels[0]
        return {
            "category": one.category,
            "symmetry": one.symmetry,
            "truncation": round(float(seen.truncation[frame]), 4),
            "plane": plane_in_camera(self._views, frame, UP, level.height_m),
        }


class _OneDepth:
    """The frame's own depth, as `hidden_by_depth` asks for it."""

    def __init__(self, depth_m: NDArray[np.float32]) -> None:
        self._depth_m = np.where(np.isfinite(depth_m), depth_m, 0).astype(np.float32)

    def read(self, frame: int) -> NDArray[np.float32]:
        return self._depth_m
