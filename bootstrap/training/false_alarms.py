"""What a detector takes for a subject and isn't one: crops that a landmark network must call empty.

The landmark network sees nothing but what the detector gives it. Where that is wrong, at an ear or
a knee, the network has the last word, and learns it best from the very crops it will get. Renders
know where their hands and faces are, and pictures without any are labelled so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bootstrap.dataset import Dataset
from bootstrap.detector_evaluation import ROI_OF_DETECTION, open_detector
from bootstrap.training.cutouts import class_ids, is_of, segmented
from bootstrap.training.subjects import LEAST_CROP_PX, Subject, TrainingData
from runtime.detection import Detection
from runtime.errors import ViewfinderError
from runtime.roi import Roi, warp_crop

LEAST_SCORE = 0.3
"""Of what is taken for a subject: below the runtime's threshold of 0.5, since on other pictures the
same thing scores higher."""
CLEARANCE = 2.1
"""Side of the square without a pixel of any subject over the crop's side: as far as the jitter
goes."""
_MASK_PX = 96


def false_alarms(data: TrainingData, topology_id: str, model: str | Path) -> tuple[Subject, ...]:
    """Where a detector is wrong on the pictures that are trained with.

    Args:
        data: of the training.
        topology_id: of the network, "face478@1" or "hand21@1".
        model: bundle of the detector, or the name of a stored model.

    Returns:
        Subjects without a topology, whose `roi` is the crop that the detection calls for.

    Raises:
        ViewfinderError: the detector can't be read, or finds something else.
    """
    opened = open_detector(model, LEAST_SCORE)
    if opened.topology_id != topology_id:
        raise ViewfinderError(
            "this detector finds something else", file=opened.path, field="--detector",
            expected=topology_id, found=opened.topology_id,
        )  # fmt: skip
    empty = {one.source for one in data.negatives}
    nothing = np.zeros((0, 2), dtype=np.float32)
    found = []
    for number, ds in enumerate(data.datasets):
        if any(ds.root.samefile(before.root) for before in data.datasets[:number]):
            continue
        index = ds.samples()
        known = {name for i, name in empty if i == number and is_of(ds, topology_id)}
        own = class_ids(ds, topology_id)
        if own:
            rendered = index[(index["split"] == "train") & index["extras"].map(segmented)]
            known |= set(rendered["sample_id"])
        for name in sorted(known):
            image = ds.read_image(name)
            rois = [_roi(one, topology_id, image.shape) for one in opened.detector.detect(image)]
            found += [
                Subject(
                    (number, name), "", nothing, nothing[:, 0], None, None, None, roi, 0.0,
                    detected=True,
                )
                for roi in _clear(rois, ds, name, own, max(image.shape[:2]))
            ]  # fmt: skip
    return tuple(found)


def _roi(found: Detection, topology_id: str, shape: tuple[int, ...]) -> Roi:
    size = np.array(shape[1::-1], dtype=np.float32)
    return ROI_OF_DETECTION[topology_id](found.box * np.tile(size, 2), found.keypoints * size)


def _clear(rois: list[Roi], ds: Dataset, name: str, own: list[int], side: int) -> Iterator[Roi]:
    """Those without a pixel of a subject in them or near."""
    rois = [roi for roi in rois if roi.width >= LEAST_CROP_PX]
    if not rois:
        return
    if not segmented(ds.row(name)["extras"]):
        yield from rois  # labelled as empty
        return
    ids = ds.read_segmentation(name)
    mask = np.where(np.isin(ids, own), 255, 0).astype(np.uint8)
    scale = max(ids.shape) / side
    for roi in rois:
        reach = CLEARANCE * roi.width * scale
        around = replace(roi, cx=roi.cx * scale, cy=roi.cy * scale, width=reach, height=reach)
        if not warp_crop(mask, around, _MASK_PX, _MASK_PX).any():
            yield roi
