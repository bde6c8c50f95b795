"""Data sets of labelled pictures of whole bodies: what describes them and who renders them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from bootstrap.dataset import DatasetInfo
from render.body_model import PARTS, TOPOLOGY
from render.body_poses import SHIPPED, BodyPoseSettings
from render.hand_truth import TOPOLOGY as HAND
from render.job import description
from render.settings import RenderSettings
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from render.body_render import BodyRenderer

CLASSES = {"background": 0} | {part: number for number, part in enumerate(PARTS, start=1)}
for _other in ("hair", "upper clothes", "lower clothes", "jacket", "skirt", "shoes", "seat",
               "ground"):  # fmt: skip
    CLASSES[_other] = len(CLASSES)
"""Class ids in <id>.seg.png: bare skin by the part it belongs to, and what is worn."""

PERSON = tuple(range(1, CLASSES["seat"]))
"""Class ids that belong to the person."""


@dataclass(frozen=True)
class BodyShares:
    """Of a data set's pictures: those without anybody; of the others those in which the camera is
    held at any angle, and those that show the upper body or a part of the whole one."""

    negatives: float = 0.04
    turned: float = 0.08
    upper: float = 0.3

    def __post_init__(self) -> None:
        values = asdict(self)
        if min(values.values()) < 0 or max(values.values()) > 1:
            raise ViewfinderError(
                "shares must be 0 to 1", field="--negatives, --turned, --upper", found=values
            )


@dataclass(frozen=True)
class BodySettings(RenderSettings):
    """What a data set of bodies depends on.

    Attributes:
        body_poses: that bodies take.
        body_shares: of pictures of some kinds.
    """

    body_poses: BodyPoseSettings = SHIPPED
    body_shares: BodyShares = BodyShares()


def body_dataset(settings: BodySettings, shard_size: int) -> DatasetInfo:
    """dataset.json of such a data set; files of the user's are named by their SHA-256."""
    return description(
        "bodies",
        settings.described()
        | {"poses": settings.body_poses.described(), "shares": asdict(settings.body_shares)},
        shard_size,
        licences_inherited=settings.licences(),
        topologies=(TOPOLOGY, HAND),
        device=settings.device,
        classes=CLASSES,
    )


def body_renderers(settings: BodySettings) -> partial[BodyRenderer]:
    """What a render job calls in every worker, with the number of threads."""
    return partial(_renderer, settings)


def _renderer(settings: BodySettings, threads: int) -> BodyRenderer:
    from render.body_render import BodyRenderer  # loads Blender, in the worker only

    return BodyRenderer(settings, threads)
