"""The child process that runs a landmark model on pictures of a data set, as it is asked.

python -m annotate.predicting PROJECT

A line in: {"number": 3, "sample_id": ..., "model": ..., "topology": ..., "near_px": [[x, y], ...]}
(null for a keypoint without a position). A line out: {"number": 3, "points_px": [[x, y], ...],
"sha256": ..., "score": ...} or {"number": 3, "refused": "why"}.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotate.background import Say, serve
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from bootstrap.predictions import OpenedModel

OURS = {"face478@1": "viewfinder_face", "hand21@1": "viewfinder_hand"}
MEDIAPIPES = {
    "face478@1": "face_landmark_with_attention",
    "hand21@1": "hand_landmark_full",
    "pose33@1": "pose_landmark_full",
}
"""Models by name that answer for a topology (runtime.model_store)."""
_THERE = 0.5


@dataclass(frozen=True)
class Answer:
    """A model's keypoints of one subject.

    Attributes:
        points_px: (N, 2) float64.
        sha256: of the model.
        score: 0..1, that the subject is there.
    """

    points_px: NDArray[np.float64]
    sha256: str
    score: float


class Predictor:
    """Models, each opened when it is first asked."""

    def __init__(self) -> None:
        self._opened: dict[str, tuple[OpenedModel, Any, Any]] = {}

    def answer(
        self, rgb: NDArray[np.uint8], near_px: NDArray[np.float64], model: str, topology_id: str
    ) -> Answer:
        """The subject that some keypoints are about, as the model sees it.

        Its crop is the one that the keypoints call for, as in a video the last frame's do. Where
        some are missing, or nothing is there, the whole picture is searched for the subject
        nearest to them.

        Args:
            rgb: (H, W, 3) uint8.
            near_px: (N, 2) keypoints, NaN where unknown.
            model: a bundle, a bare model or a stored model's name.
            topology_id: of the keypoints.

        Raises:
            ViewfinderError: a model that can't be read or is for something else, or it sees nobody.
        """
        opened, landmarks, solution = self._open(model, topology_id)
        height, width = rgb.shape[:2]
        if np.isfinite(near_px).all():
            roi = opened.truth_roi(near_px.astype(np.float32))
            found = landmarks.run(rgb, roi, min_presence=_THERE)
            if found is not None:
                points = found.keypoints[: len(near_px), :2] * (width, height)
                return Answer(points.astype(np.float64), opened.sha256, float(found.presence))
        solution.reset()
        subjects = solution.process(rgb, 0)
        if not subjects:
            raise ViewfinderError("the model finds nobody in this picture", file=opened.path.name)
        places = [one.keypoints_px(width, height)[: len(near_px), :2] for one in subjects]
        known = np.isfinite(near_px).all(axis=1)
        away = [
            np.linalg.norm(place[known].mean(axis=0) - near_px[known].mean(axis=0))
            if known.any()
            else -one.score
            for place, one in zip(places, subjects)
        ]
        best = int(np.argmin(away))
        return Answer(places[best].astype(np.float64), opened.sha256, float(subjects[best].score))

    def _open(self, model: str, topology_id: str) -> tuple[OpenedModel, Any, Any]:
        if model not in self._opened:
            from bootstrap.predictions import open_model

            opened = open_model(model)
            self._opened[model] = (opened, opened.landmark_model(), opened.solution())
        opened = self._opened[model][0]
        if opened.topology.id != topology_id:
            raise ViewfinderError(
                "this model is for something else",
                file=opened.path.name,
                expected=topology_id,
                found=opened.topology.id,
            )
        return self._opened[model]


def main(project: str) -> None:
    """Answer until standard input ends."""

    def run(say: Say) -> None:
        from bootstrap.dataset import Dataset

        dataset, predictor = Dataset.open(Path(project)), Predictor()
        for line in sys.stdin:
            asked = json.loads(line)
            nowhere = (np.nan, np.nan)
            near_px = np.array([place or nowhere for place in asked["near_px"]], np.float64)
            try:
                rgb = dataset.read_image(asked["sample_id"])
                found = predictor.answer(rgb, near_px, asked["model"], asked["topology"])
            except ViewfinderError as error:
                say(number=asked["number"], refused=str(error))
                continue
            say(
                number=asked["number"],
                points_px=np.round(found.points_px, 3).tolist(),
                sha256=found.sha256,
                score=round(found.score, 4),
            )

    serve(run, listens=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
