"""Data sets of filmed objects, and what describes their recordings; loads no Blender."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.dataset import DatasetInfo
from render.environments import bundled_hdris, hdri_hashes
from render.job import description
from render.session_scene import SessionScene, drawn_scene
from render.session_shapes import CATEGORIES
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from render.session_render import SessionRenderer

CLASSES = {"background": 0, "room": 1} | {f"object {n}": 2 + n for n in range(4)}
"""Class ids in <id>.seg.png; objects are numbered as the labels' subjects."""


@dataclass(frozen=True)
class Noise:
    """What a tracker gets wrong, in the noisy copies.

    Attributes:
        drift_m: its position walks off by so much in the root of a second; all axes together.
        drift_rad: so does its heading.
        plane_m, plane_rad: deviation of a plane's height and tilt.
        point_m: deviation of a feature point a metre away, seen once.
        dropped: share of frames that are missing.
    """

    drift_m: float = 0.01
    drift_rad: float = 0.002
    plane_m: float = 0.004
    plane_rad: float = math.radians(0.5)
    point_m: float = 0.009
    dropped: float = 0.05

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 0 or self.dropped >= 1:
            raise ViewfinderError("noise can't be that", field="--drift", found=asdict(self))


@dataclass(frozen=True)
class SessionSettings:
    """What decides every byte of the sessions.

    Attributes:
        seed: of the data set.
        frames: in a session.
        size: width and height of the pictures.
        rate_hz: pictures a second.
        preset: draft or final.
        hdris: environments; those of bpy when empty.
        categories: that sessions are about, in turn.
        noise: of the noisy copies.
    """

    seed: int
    frames: int = 36
    size: tuple[int, int] = (480, 640)
    rate_hz: float = 10.0
    preset: str = "draft"
    hdris: tuple[Path, ...] = ()
    categories: tuple[str, ...] = tuple(CATEGORIES)
    noise: Noise = Noise()

    def __post_init__(self) -> None:
        unknown = [name for name in self.categories if name not in CATEGORIES]
        if unknown or not self.categories:
            raise ViewfinderError(
                "no such category", field="--category", expected=" | ".join(CATEGORIES),
                found=", ".join(unknown),
            )  # fmt: skip

    def light(self) -> tuple[Path, ...]:
        """The environments."""
        return self.hdris or bundled_hdris()

    def scene(self, number: int) -> SessionScene:
        """Session `number` as it is filmed."""
        return drawn_scene(
            self.seed, number, self.frames, self.size, self.rate_hz, self.categories,
            len(self.light()),
        )  # fmt: skip


def session_dataset(settings: SessionSettings) -> DatasetInfo:
    """dataset.json of the frames of all sessions; a shard is a session."""
    facts = {
        "seed": settings.seed,
        "frames": settings.frames,
        "size": list(settings.size),
        "rate_hz": settings.rate_hz,
        "preset": settings.preset,
        "hdris": hdri_hashes(settings.light()),
        "categories": list(settings.categories),
        "noise": asdict(settings.noise),
    }
    licence = "HDRIs of the user's" if settings.hdris else "Blender's studio lights (CC0-1.0)"
    return description(
        "session", facts, settings.frames, licences_inherited=(licence,),
        topologies=("cuboid9@1",), classes=CLASSES,
    )  # fmt: skip


def session_renderers(settings: SessionSettings) -> partial[SessionRenderer]:
    """What a render job calls in every worker, with the number of threads."""
    return partial(_renderer, settings)


def _renderer(settings: SessionSettings, threads: int) -> SessionRenderer:
    from render.session_render import SessionRenderer  # loads Blender, in the worker only

    return SessionRenderer(settings, threads)
