"""A palm or face detector of ours before MediaPipe's landmark model, beside MediaPipe's own.

    python benchmarks/detectors.py DETECTOR --data DIR [--split test] [--margin 0.5] [--out FILE]

On labelled pictures with a margin on every side (in widths; MediaPipe's palm detector misses hands
that fill a picture): how many subjects are found, how far the crop that follows lies from the one
that the labels call for, and what MediaPipe's landmark model answers in it, in palms or
interocular distances. A subject counts as found when the landmark model sees it in that crop and
its points lie within half of that length of the true ones on average. Needs MediaPipe's models:
`viewfinder models fetch`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# Run as a script, this file's own folder comes first, where it would pass for the package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bootstrap.subjects import Settings, Subject, find_subjects
from runtime.bundle import read_bundle
from runtime.detection import Detector
from runtime.model_store import find_model
from runtime.roi import (
    Roi,
    face_roi_from_detection,
    face_roi_from_landmarks,
    hand_roi_from_landmarks,
    hand_roi_from_palm,
)
from runtime.signatures import card_of
from runtime.solutions.landmarks import LandmarkModel
from runtime.topology import topology
from runtime.trust import load_model

KINDS = {
    "hand": ("hand21@1", "palm_detection_full", "hand_landmark_full",
             hand_roi_from_palm, hand_roi_from_landmarks),
    "face": ("face478@1", "face_detection_short_range", "face_landmarks_detector_v2",
             face_roi_from_detection, face_roi_from_landmarks),
}  # fmt: skip
MIN_SCORE = MIN_PRESENCE = 0.5
FOUND_WITHIN = 0.5
"""Of the normalising length."""
_NEAR = 0.5
"""Of the true crop's side: a crop whose middle lies farther off is of something else."""


@dataclass
class Chain:
    """A detector, and what came of it."""

    name: str
    detector: Detector
    found: int = 0
    extra: int = 0
    centre: list[float] = field(default_factory=list)
    size: list[float] = field(default_factory=list)
    turn: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)

    def to_json(self, subjects: int) -> dict[str, Any]:
        """Medians and shares."""
        middle = {
            name: round(float(np.median(values)), 4) if values else None
            for name, values in (("centre", self.centre), ("size", self.size),
                                 ("turn_deg", self.turn), ("error", self.errors))
        }  # fmt: skip
        return {
            "detected": round(len(self.centre) / subjects, 4),
            "found": round(self.found / subjects, 4), "extra": self.extra, **middle,
        }  # fmt: skip


def opened(model: str, role: str) -> tuple[Any, Any, str]:
    """A model and its card's entry, and the task."""
    path = find_model(model)
    bundle = read_bundle(path)
    card = card_of(bundle)
    entry = next(one for one in card.models if one.role == role)
    return load_model(bundle.members[entry.file], str(path)), entry, card.task


def look(
    chain: Chain, landmarks: LandmarkModel, picture: NDArray[np.uint8],
    truths: list[tuple[NDArray[np.float32], float]], kind: str,
) -> None:  # fmt: skip
    """One picture with its true points and their normalising lengths."""
    *_, from_detection, from_landmarks = KINDS[kind]
    height, width = picture.shape[:2]
    scale = np.array([width, height], dtype=np.float32)
    regions: list[Roi] = [
        from_detection(one.box * np.tile(scale, 2), one.keypoints * scale)
        for one in chain.detector.detect(picture)
    ]
    for points, length in truths:
        true = from_landmarks(points)
        away = [math.hypot(r.cx - true.cx, r.cy - true.cy) / true.width for r in regions]
        best = min(range(len(away)), key=away.__getitem__, default=-1)
        if best < 0 or away[best] > _NEAR:
            continue
        roi = regions.pop(best)
        chain.centre.append(away[best])
        chain.size.append(abs(roi.width / true.width - 1))
        turn = math.remainder(roi.rotation_rad - true.rotation_rad, 2 * math.pi)
        chain.turn.append(abs(math.degrees(turn)))
        answer = landmarks.run(picture, roi, min_presence=MIN_PRESENCE)
        if answer is not None:
            at = answer.keypoints[:, :2] * scale
            error = float(np.linalg.norm(at - points, axis=1).mean() / length)
            if error <= FOUND_WITHIN:
                chain.found += 1
                chain.errors.append(error)
    chain.extra += len(regions)


def padded(
    subjects: list[Subject], margin: float
) -> tuple[NDArray[np.uint8], list[tuple[NDArray[np.float32], float]]]:
    """The picture of some subjects with a margin, and their points in it."""
    image = subjects[0].ds.read_image(subjects[0].label.sample_id)
    edge = round(margin * image.shape[1])
    picture = cv2.copyMakeBorder(image, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
    return picture, [(one.truth_px + np.float32(edge), one.length_px) for one in subjects]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--margin", type=float, default=0.5)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("detectors.json"))
    arguments = parser.parse_args()
    model, entry, kind = opened(arguments.detector, "detector")
    topology_id, released, hand_or_face, *_ = KINDS[kind]
    landmarks = LandmarkModel(*opened(hand_or_face, "landmarks")[:2])
    theirs, their_entry, _ = opened(released, "detector")
    chains = [
        Chain("ours", Detector(model, entry, MIN_SCORE)),
        Chain(released, Detector(theirs, their_entry, MIN_SCORE)),
    ]
    settings = Settings((arguments.data,), split=arguments.split, crop="truth")
    subjects, _ = find_subjects(settings, topology(topology_id))
    count = 0
    for _, group in itertools.groupby(subjects, lambda one: one.picture):
        here = [one for one in group if np.isfinite(one.truth_px).all()]
        if not here or count >= arguments.limit:
            continue
        count += len(here)
        picture, truths = padded(here, arguments.margin)
        for chain in chains:
            look(chain, landmarks, picture, truths, kind)
    figures: dict[str, Any] = {chain.name: chain.to_json(count) for chain in chains}
    figures |= {"subjects": count, "margin": arguments.margin, "landmarks": hand_or_face}
    arguments.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(figures, indent=2) + f"\n{arguments.out}\n")


if __name__ == "__main__":
    main()
