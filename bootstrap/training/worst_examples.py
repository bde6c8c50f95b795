"""A picture of the validation examples that a network does worst on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bootstrap.dataset.contact_sheet import lay_out
from bootstrap.dataset.drawing import Colour, View, draw_line, draw_tile
from bootstrap.networks import DetectorNetwork, LandmarkNetwork
from bootstrap.training.batches import Batch
from bootstrap.training.detector_losses import (
    FOUND_SCORE,
    keypoint_error,
    pairs,
    picture_tensor,
    to_judge,
)
from bootstrap.training.losses import Target, keypoint_errors
from bootstrap.training.scenes import SceneBatch
from bootstrap.worst import PREDICTED, TRUTH, draw_shape
from runtime.topology import Topology

_COLUMNS, _TILE = 4, 288


def worst_path(out: Path) -> Path:
    """The picture of a training whose bundle is `out`."""
    return out.with_suffix(".worst.png")


def worst_crops(
    network: LandmarkNetwork, batches: Sequence[Batch], shape: Topology, count: int = 12
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: labels in green, the network's answer in magenta, the worst first.

    Args:
        network: to judge.
        batches: validation crops.
        shape: of the keypoints.
        count: at most so many crops.
    """
    network.eval()
    rows: list[tuple[float, NDArray[np.uint8], Batch, int, NDArray[np.float32]]] = []
    for batch in batches:
        target = Target.of(batch)
        with torch.no_grad():
            outputs = network(target.image)
        errors = keypoint_errors(outputs, target).tolist()
        found = outputs["landmarks"].reshape(len(errors), -1, 3)[..., :2].numpy()
        rows += [(e, batch.image[i], batch, i, found[i]) for i, e in enumerate(errors)]
    rows.sort(key=lambda row: -row[0])
    tiles, captions = [], []
    for error, crop, batch, i, found_at in rows[:count]:
        side = crop.shape[0]
        view = View(0.0, 0.0, _TILE / side)
        tile = draw_tile(crop, view, _TILE)
        known = batch.weight[i][:, None] > 0
        labelled = np.where(known, batch.landmarks[i, :, :2], np.float32(np.nan))
        for points, colour in ((labelled, TRUTH), (found_at, PREDICTED)):
            draw_shape(tile, np.asarray(points, np.float32) * side, shape, view, colour)
        tiles.append(tile)
        captions.append(f"{100 * error:.1f} %")
    title = f"worst {len(tiles)} of {len(rows)} validation crops"
    return lay_out(tiles, captions, title, (("label", TRUTH), ("network", PREDICTED)), _COLUMNS)


def worst_scenes(
    network: DetectorNetwork, batches: Sequence[SceneBatch], count: int = 12
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB: true boxes in green, found ones in magenta; pictures with the most
    missed subjects and false alarms first, then those with the largest keypoint error.

    Args:
        network: to judge.
        batches: whole validation pictures.
        count: at most so many.
    """
    network.eval()
    size = network.layout.size
    rows: list[tuple[int, float, NDArray[np.uint8], list[NDArray[np.float32]], list[Any]]] = []
    for batch in batches:
        with torch.no_grad():
            outputs = network(picture_tensor(batch.image, network))
        for picture, (found, truths) in zip(
            batch.image, to_judge(outputs, network, batch, FOUND_SCORE)
        ):
            matched = pairs(found, truths, size)
            wrong = len(truths) + len(found) - 2 * len(matched)
            off = [keypoint_error(found[i], truths[k], size) for i, k in matched]
            corners = [np.concatenate([t.box[:2] - t.box[2:] / 2, t.box[2:]]) for t in truths]
            boxes = [one.box * size for one in found]
            error = float(np.nanmax(off)) if np.isfinite(off).any() else 0.0
            rows.append((wrong, error, picture, corners, boxes))
    rows.sort(key=lambda row: (-row[0], -row[1]))
    tiles, captions = [], []
    for wrong, error, picture, true_boxes, found_boxes in rows[:count]:
        view = View(0.0, 0.0, _TILE / picture.shape[0])
        tile = draw_tile(picture, view, _TILE)
        for colour, boxes in ((TRUTH, true_boxes), (PREDICTED, found_boxes)):
            for box in boxes:
                _draw_box(tile, view, box, colour)
        tiles.append(tile)
        captions.append(f"{wrong} wrong, {100 * error:.0f} %")
    title = f"worst {len(tiles)} of {len(rows)} validation pictures"
    return lay_out(tiles, captions, title, (("label", TRUTH), ("network", PREDICTED)), _COLUMNS)


def _draw_box(
    tile: NDArray[np.uint8], view: View, box: NDArray[np.float32], colour: Colour
) -> None:
    x, y, width, height = box.tolist()
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    draw_line(tile, view.tile_points(corners), colour, True, 2)
