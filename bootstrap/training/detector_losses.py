"""What a detector's training minimises, and how its answers are judged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bootstrap.networks.detector import UNIT_PX, DetectorNetwork
from bootstrap.training.anchors import Truth, centred_iou
from bootstrap.training.devices import device_of
from bootstrap.training.scenes import SceneBatch
from bootstrap.training.subjects import Floats
from runtime.detection import Detection, SsdLayout, merged

FOCAL_GAMMA, FOCAL_ALPHA = 2.0, 0.5
"""Focal loss (arXiv 1708.02002): anchors that are easily right hardly count; and the share of
those that have a subject."""
HUBER = 0.1
"""Of a box's side: errors below it are squared."""
REGRESSION_WEIGHT = 2.0
FOUND_IOU = 0.5
"""Overlap from which on a detection is that of a subject."""
FOUND_SCORE = 0.5
"""What the runtime asks for by default."""
LEAST_SCORE = 0.05
"""Of the detections that count for average precision."""


def picture_tensor(image: np.ndarray, network: DetectorNetwork) -> Tensor:
    """(B, S, S, 3) uint8 as the network takes it: (B, 3, S, S), channels last in memory."""
    low, high = network.input_range
    picture = torch.from_numpy(image).to(device_of(network)).permute(0, 3, 1, 2).float()
    return picture.mul_((high - low) / 255.0).add_(low)


def detector_losses(
    outputs: dict[str, Tensor],
    batch: SceneBatch,
    layout: SsdLayout,
    gamma: float = FOCAL_GAMMA,
) -> dict[str, Tensor]:
    """Each part of the loss, unweighted, and their weighted sum as "loss".

    Args:
        outputs: of the network.
        batch: of the same pictures.
        layout: of the network.
        gamma: of the focal loss; 0 makes it cross entropy.
    """
    logits = outputs["scores"][..., 0]
    state, weights, places = (
        torch.from_numpy(one).to(logits.device) for one in (batch.state, batch.weight, batch.values)
    )
    counted, right = weights[..., 0], (state == 1).float()
    positives = max(1.0, float(counted.sum()))
    cross = F.binary_cross_entropy_with_logits(logits, right, reduction="none")
    wrong = torch.where(state == 1, torch.sigmoid(-logits), torch.sigmoid(logits))
    share = torch.where(state == 1, FOCAL_ALPHA * counted, 1.0 - FOCAL_ALPHA)
    focal = (share * wrong**gamma * cross * (state >= 0)).sum() / positives
    picked = state == 1
    values, weight = places[picked], weights[picked]
    # In sides of the box: a small face's eye must lie as well as a large one's.
    error = (outputs["boxes"][picked] * (UNIT_PX / layout.size) - values) / values[:, 2:3].clamp(
        min=1e-3
    )
    huber = F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=HUBER) / HUBER
    box = (huber[:, :4] * weight[:, :4]).sum() / (4 * positives)
    keypoints = (huber[:, 4:] * weight[:, 4:]).sum() / (2 * layout.keypoints * positives)
    total = focal + REGRESSION_WEIGHT * (box + keypoints)
    return {"focal": focal, "box": box, "keypoints": keypoints, "loss": total}


def decoded(
    outputs: dict[str, Tensor], layout: SsdLayout, min_score: float = FOUND_SCORE
) -> list[list[Detection]]:
    """What is found in each picture, the best first, normalised by the input's size."""
    scores = torch.sigmoid(outputs["scores"][..., 0]).numpy()
    rows = outputs["boxes"].numpy() * np.float32(UNIT_PX / layout.size)
    anchors = layout.anchors()
    found = []
    for score, raw in zip(scores, rows):
        likely = (score >= min_score) & np.isfinite(raw).all(axis=1) & (raw[:, 2:4] > 0).all(axis=1)
        points = raw[likely].reshape(-1, 2 + layout.keypoints, 2).copy()
        sides = points[:, 1].copy()
        points += anchors[likely][:, None]
        boxes = np.concatenate([points[:, 0] - sides / 2, sides], axis=1)
        found.append(merged(score[likely], boxes, points[:, 2:]))
    return found


def pairs(found: Sequence[Detection], truths: Sequence[Truth], size: int) -> list[tuple[int, int]]:
    """(detection, subject) that belong together: the best detection first, each subject once.

    Args:
        found: normalised by the picture's size, the best first.
        truths: in the picture's pixels.
        size: of the picture's sides.
    """
    if not found or not truths:
        return []
    boxes = np.stack([np.concatenate([d.box[:2] + d.box[2:] / 2, d.box[2:]]) for d in found])
    overlap = centred_iou(boxes, np.stack([truth.box for truth in truths]) / size)
    free, result = set(range(len(truths))), []
    for i, row in enumerate(overlap):
        best = max(free, key=row.__getitem__, default=-1)
        if best >= 0 and row[best] >= FOUND_IOU:
            free.discard(best)
            result.append((i, best))
    return result


def to_judge(
    outputs: dict[str, Tensor], network: DetectorNetwork, batch: SceneBatch, least: float
) -> list[tuple[list[Detection], tuple[Truth, ...]]]:
    """A batch's detections from a score on, of those `worth_judging`, with what they should have
    found."""
    everything = decoded(outputs, network.layout, least)
    return [
        (worth_judging(found, truths, unsure, network.input_size), truths)
        for found, truths, unsure in zip(everything, batch.truths, batch.unsure)
    ]


def worth_judging(
    found: Sequence[Detection], truths: Sequence[Truth], unsure: Sequence[Truth], size: int
) -> list[Detection]:
    """Without detections whose middle lies on a subject that may be found or not and that are none
    of those that should be. Arguments as for `pairs`."""
    matched = {i for i, _ in pairs(found, truths, size)}
    return [one for i, one in enumerate(found) if i in matched or not _lies_on(one, unsure, size)]


def _lies_on(found: Detection, subjects: Sequence[Truth], size: int) -> bool:
    middle = (found.box[:2] + found.box[2:] / 2) * size
    return any((np.abs(middle - one.box[:2]) <= one.box[2:] / 2).all() for one in subjects)


def best_threshold(scores: Sequence[float], hits: Sequence[bool], positives: int) -> float:
    """The score from which on precision and recall are in the best balance: F2 is greatest (van
    Rijsbergen's measure with recall counted twice), since a landmark network's presence turns down
    what is found in error, and nothing brings back what is missed.

    Args:
        scores: of all detections.
        hits: whether each is a subject's.
        positives: subjects that there are.

    Returns:
        Half way to the next lower score; `FOUND_SCORE` where nothing is found.
    """
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    right = np.cumsum(np.asarray(hits, dtype=np.float64)[order])
    if not len(order) or right[-1] == 0:
        return FOUND_SCORE
    balance = 5 * right / (np.arange(1, len(order) + 1) + 4 * positives)
    best = int(balance.argmax())
    ordered = np.append(np.asarray(scores, dtype=np.float64)[order], LEAST_SCORE)
    return float((ordered[best] + ordered[best + 1]) / 2)


def balance_scores(network: DetectorNetwork, batches: Sequence[SceneBatch]) -> None:
    """Shift all scores so that `FOUND_SCORE`, what the runtime asks for, is the best threshold.

    The focal loss leaves scores low: it hardly counts what is right already.
    """
    scores: list[float] = []
    hits: list[bool] = []
    positives = 0
    network.eval()
    for batch in batches:
        with torch.no_grad():
            outputs = network(picture_tensor(batch.image, network))
        for found, truths in to_judge(outputs, network, batch, LEAST_SCORE):
            matched = dict(pairs(found, truths, network.input_size))
            positives += len(truths)
            scores += [one.score for one in found]
            hits += [i in matched for i in range(len(found))]
    threshold = best_threshold(scores, hits, positives)
    shift = math.log(FOUND_SCORE / (1 - FOUND_SCORE)) - math.log(threshold / (1 - threshold))
    for layer in network.scores.convolutions():
        assert layer.bias is not None
        with torch.no_grad():
            layer.bias += shift


def keypoint_error(found: Detection, truth: Truth, size: int) -> float:
    """Mean distance of the labelled keypoints, in sides of the true box; NaN without any."""
    known = truth.weight > 0
    distance = np.linalg.norm(found.keypoints * size - truth.keypoints, axis=1)[known]
    return float(distance.mean() / truth.box[2]) if known.any() else float("nan")


def scene_errors(
    network: DetectorNetwork, batches: Sequence[SceneBatch]
) -> tuple[Floats, list[str]]:
    """How well a detector does on whole pictures.

    Returns:
        (n,) one for each subject: its keypoints' error in sides of its box, at most 1, and 1 where
        it is missed; and 1 for each detection that is nobody's. Then the picture of each.
    """
    errors: list[float] = []
    pictures: list[str] = []
    size = network.layout.size
    network.eval()
    for number, batch in enumerate(batches):
        with torch.no_grad():
            outputs = network(picture_tensor(batch.image, network))
        for place, (found, truths) in enumerate(to_judge(outputs, network, batch, FOUND_SCORE)):
            matched = pairs(found, truths, size)
            offs = [keypoint_error(found[i], truths[k], size) for i, k in matched]
            here = [min(1.0, off) for off in offs if np.isfinite(off)]
            here += [1.0] * (len(truths) + len(found) - 2 * len(matched))
            errors += here
            pictures += [f"{number}/{place}"] * len(here)
    return np.array(errors, dtype=np.float32), pictures
