"""Frames that somebody chose to keep while looking at a model live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.dataset import Dataset
from bootstrap.dataset.records import DatasetInfo, Label, Sample
from runtime.errors import ViewfinderError
from runtime.image import encode_image

_GENERATOR = "viewfinder run, frames kept by hand"


def save_capture(
    root: Path,
    rgb: NDArray[np.uint8],
    source: str,
    frame: int,
    labels: Mapping[str, Sequence[Label]] = MappingProxyType({}),
) -> str:
    """Add one frame to a data set of captures, on the disk when this returns.

    A frame is a shard of its own: whatever happens later, it stays.

    Args:
        root: the data set, made if there is none.
        rgb: (H, W, 3) uint8.
        source: where the frame is from; only its last part is kept.
        frame: its number there.
        labels: layer -> what is known of the frame already, as models' predictions; the sample's
            id is filled in.

    Returns:
        The new sample's id.

    Raises:
        ViewfinderError: `root` is another kind of data set, or can't be written.
    """
    if (root / "dataset.json").exists():
        dataset = Dataset.open(root)
        if dataset.info.generator != _GENERATOR:
            raise ViewfinderError(
                "frames can't be added to this data set",
                file=root,
                field="generator",
                expected=_GENERATOR,
                found=dataset.info.generator,
            )
    else:
        dataset = Dataset.create(
            root, DatasetInfo(name=root.name, generator=_GENERATOR, shard_size=1)
        )
    shard = max(dataset.committed_shards(), default=-1) + 1
    height, width = rgb.shape[:2]
    sample = Sample(
        sample_id=f"{shard:08d}",
        image=encode_image(rgb, ".png"),
        extension="png",
        width=width,
        height=height,
        attributes={"source": Path(source).name, "frame": frame},
    )
    placed = {
        layer: [replace(label, sample_id=sample.sample_id) for label in known]
        for layer, known in labels.items()
    }
    dataset.write_shard(shard, [sample], placed)
    return sample.sample_id
