"""Data sets of labelled hand pictures: what describes them and who renders them."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from bootstrap.dataset import DatasetInfo
from render.hand_model import PARTS
from render.job import description
from render.settings import RenderSettings

if TYPE_CHECKING:
    from render.hand_render import HandRenderer

CLASSES = {"background": 0} | {part: number for number, part in enumerate(PARTS, start=1)}
for _worn in ("sleeve", "accessory", "object", "distractor"):
    CLASSES[_worn] = len(CLASSES)
SECOND = 16
"""What a second hand's class ids have on top of the first one's."""
CLASSES |= {
    f"second {name}": SECOND + number for name, number in CLASSES.items() if 0 < number < 11
}
"""Class ids in <id>.seg.png; a distractor is a foot or a head in a picture without hands."""

PALM_KEYPOINTS = (0, 5, 9, 13, 17, 1, 2)
"""What MediaPipe's palm detector learns: wrist, four knuckles, the thumb's first two joints."""


def hand_dataset(settings: RenderSettings, shard_size: int) -> DatasetInfo:
    """dataset.json of such a data set; HDRIs are named with their SHA-256, without their folder."""
    return description(
        "hands",
        settings.described()
        | {"poses": settings.poses.described(), "shares": asdict(settings.shares)},
        shard_size,
        licences_inherited=settings.licences(),
        topologies=("hand21@1",),
        device=settings.device,
        classes=CLASSES,
    )


def hand_renderers(settings: RenderSettings) -> partial[HandRenderer]:
    """What a render job calls in every worker, with the number of threads."""
    return partial(_renderer, settings)


def _renderer(settings: RenderSettings, threads: int) -> HandRenderer:
    from render.hand_render import HandRenderer  # loads Blender, in the worker only

    return HandRenderer(settings, threads)
