"""Data sets of labelled hand pictures: what describes them and who renders them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bootstrap.dataset import DatasetInfo
from render.environments import bundled_hdris, hdri_hashes
from render.hand_model import PARTS
from render.hand_scene import HandSettings
from render.job import description

if TYPE_CHECKING:
    from render.hand_render import HandRenderer

CLASSES = {name: number for number, name in enumerate(("background", *PARTS, "sleeve"))}
"""Class ids in <id>.seg.png."""

PALM_KEYPOINTS = (0, 5, 9, 13, 17, 1, 2)
"""What MediaPipe's palm detector learns: wrist, four knuckles, the thumb's first two joints."""


def hand_dataset(settings: HandSettings, shard_size: int) -> DatasetInfo:
    """dataset.json of such a data set; HDRIs are named with their SHA-256, without their folder."""
    return description(
        "hands",
        {
            "seed": settings.seed,
            "size": settings.size,
            "preset": settings.preset,
            "hdris": hdri_hashes(settings.hdris or bundled_hdris()),
        },
        shard_size,
        licences_inherited=("CC0-1.0 (MakeHuman mesh, HDRIs of Blender)",),
        topologies=("hand21@1",),
        classes=CLASSES,
    )


def hand_renderers(settings: HandSettings) -> partial[HandRenderer]:
    """What a render job calls in every worker, with the number of threads."""
    return partial(_renderer, settings)


def _renderer(settings: HandSettings, threads: int) -> HandRenderer:
    from render.hand_render import HandRenderer  # loads Blender, in the worker only

    return HandRenderer(settings, threads)
