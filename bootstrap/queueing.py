"""Which photograph to refine next: the one that a model is likely to learn most from.

Signals that need no labels, as active learning for keypoints uses them, and a k-centre order so
that the first hundred aren't a hundred times the same picture. Signals are put together as what
they are, lengths: their mean rank would give a doubt that is about as large everywhere as much say
as one that tells pictures apart (benchmarks/active_loop.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset import Dataset
from bootstrap.dataset.records import canonical_json
from bootstrap.face_shapes import face_shapes, fitted_pose
from bootstrap.predictions import OpenedModel, open_model
from bootstrap.training.crops import TRAINING_JITTER
from bootstrap.training.subjects import LEAST_CROP_PX, MIN_LENGTH
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.face_layouts import in_layout
from runtime.roi import Roi, warp_crop
from runtime.solutions.landmarks import CropLandmarks
from runtime.solutions.pose_model import CropBody
from runtime.topology import Topology

QUEUE_FILE, REASONS_FILE = "queue.txt", "queue.json"
"""In the data set's folder: sample ids, the first to do on top, as `viewfinder annotate` reads
them; and why each stands where it does."""

VIEWS = 6
"""Jittered crops of a subject: their answers should agree."""
_FEATURE_SIDE = 4
_COLOUR_WEIGHT = 0.05
"""Of 4 x 4 colours beside keypoints of unit size: what a network has yet to learn are poses and
shapes, and heavier colours hide how these differ. They tell apart what shows the same."""
_SHAPE_MODES = 40

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A photograph without refined labels.

    Attributes:
        sample_id: of it.
        signals: name -> value, larger meaning less sure; of its least sure subject. "views" and
            "flip" are disagreements of the model with itself under jittered crops and in the
            mirror, "shape" the distance from any face's shape, "against" from another model's
            answer, all over the subject's normalising length; "presence" is an entropy in bits.
        feature: (D,) pose and shape as the model sees them, with a little of the colours.
    """

    sample_id: str
    signals: dict[str, float]
    feature: Floats


@dataclass(frozen=True)
class Queued:
    """A photograph in its place; `gain` as `expected_gain` has it."""

    sample_id: str
    gain: float
    signals: dict[str, float]


def queue(
    root: Path,
    model: str | Path,
    against: str | Path | None = None,
    diverse: int = 200,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Queued]:
    """Order a data set's photographs by expected gain and write queue.txt and queue.json.

    Photographs that a person has labelled are left out.

    Args:
        root: the data set.
        model: whose doubts count.
        against: a second model for the same; where they differ, one is wrong.
        diverse: how many of the first are chosen to differ from each other as well.
        progress: called with pictures done and in all.

    Raises:
        ViewfinderError: a model, data set or picture that can't be read, models of different
            kinds, nothing left to do, or a folder that can't be written.
    """
    ds = Dataset.open(root)
    one, other = open_model(model), None if against is None else open_model(against)
    if other is not None and other.card.task != one.card.task:
        raise ViewfinderError(
            "the models are for different things", file=against, expected=one.card.task,
            found=other.card.task,
        )  # fmt: skip
    done_by_people = labelled_by_people(ds)
    wanted = [name for name in ds.samples()["sample_id"] if name not in done_by_people]
    if not wanted:
        raise ViewfinderError("every picture has been labelled by a person", file=root)
    ordered = judged(ds, wanted, _judge(one, other), diverse, progress)
    write_queue(root, ordered, one.sha256, "" if other is None else other.sha256)
    return ordered


def judged(
    ds: Dataset,
    sample_ids: Sequence[str],
    judge: Judge,
    diverse: int = 200,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Queued]:
    """Photographs of a data set in the order of what `judge` expects of them; see `queue`."""
    candidates = []
    for number, sample_id in enumerate(sample_ids):
        candidates.append(judge.candidate(sample_id, ds.read_image(sample_id), number))
        progress(number + 1, len(sample_ids))
    return in_order(candidates, diverse)


def labelled_by_people(ds: Dataset) -> set[str]:
    """Samples with a label in a human/ or consensus layer."""
    layers = [name for name in ds.layers() if name.startswith(("human/", "consensus"))]
    return {label.sample_id for layer in layers for label in ds.labels(layer)}


def write_queue(root: Path, ordered: Sequence[Queued], model: str, against: str) -> None:
    """Write both files, durably."""
    text = "".join(f"{one.sample_id}\n" for one in ordered)
    write_bytes_durably(root / QUEUE_FILE, text.encode())
    reasons: dict[str, Any] = {
        "model": model,
        "against": against,
        "samples": [
            {"sample_id": one.sample_id, "gain": one.gain, "signals": one.signals}
            for one in ordered
        ],
    }
    write_bytes_durably(root / REASONS_FILE, canonical_json(reasons, indent=1).encode())


def read_reasons(root: Path) -> list[Queued]:
    """What queue.json says.

    Raises:
        ViewfinderError: missing or damaged.
    """
    path = root / REASONS_FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["samples"]
        return [Queued(row["sample_id"], float(row["gain"]), dict(row["signals"])) for row in rows]
    except OSError as error:
        raise ViewfinderError("can't be read", file=path, found=error.strerror) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ViewfinderError("isn't a queue", file=path, found=str(error)[:80]) from error


def in_order(candidates: Sequence[Candidate], diverse: int) -> list[Queued]:
    """The candidates by gain, the first `diverse` of them also unlike each other.

    Each next one has the largest product of its gain and its distance to the nearest one before it
    (greedy k-centre, Sener and Savarese 2018, weighted). Distances count up to what candidates are
    apart from their neighbours in the mean: what is no more alike than that is worth its gain, and
    odd answers aren't drawn to the front.
    """
    gains = _gains([candidate.signals for candidate in candidates])
    features = np.stack([candidate.feature for candidate in candidates])
    apart = _apart(features)
    nearest = np.full(len(candidates), np.inf)
    order: list[int] = []
    for _ in range(min(diverse, len(candidates))):
        far = np.clip(nearest / apart, 1e-6, 1.0)
        best = int(np.argmax(np.where(nearest < 0, -np.inf, gains * far)))
        order.append(best)
        nearest = np.minimum(nearest, np.linalg.norm(features - features[best], axis=1))
        nearest[order] = -1.0
    chosen = set(order)
    order += [i for i in np.argsort(-gains, kind="stable").tolist() if i not in chosen]
    return [
        Queued(candidates[i].sample_id, round(float(gains[i]), 6), candidates[i].signals)
        for i in order
    ]


def _apart(features: Floats) -> float:
    """Mean distance of features from their nearest neighbours; 1 where all are the same."""
    squares = (features**2).sum(axis=1)
    nearest = np.zeros(len(features))
    for i, row in enumerate(features):
        others = np.delete(squares + squares[i] - 2 * features @ row, i)
        nearest[i] = math.sqrt(max(float(others.min(initial=math.inf)), 0.0)) if len(others) else 0
    return float(nearest.mean()) or 1.0


def expected_gain(signals: dict[str, float]) -> float:
    """How far the keypoints may be off, in normalising lengths; NaN without signals.

    The lengths among the signals add up as independent errors do. A subject that is as likely there
    as not counts twice: a label mends the answer whether something is there as well.
    """
    lengths = [value for name, value in signals.items() if name != "presence"]
    return math.hypot(*lengths) * (1 + signals.get("presence", 0.0)) if signals else math.nan


def _gains(signals: Sequence[dict[str, float]]) -> Floats:
    """(n,) of each candidate; the median of the others where nothing was found: such a picture may
    show nothing, or what the model can't see yet."""
    gains = np.array([expected_gain(row) for row in signals])
    known = gains[np.isfinite(gains)]
    return np.where(np.isfinite(gains), gains, np.median(known) if len(known) else 0.0)


class Landmarks(Protocol):
    """A landmark network, as `runtime.solutions.landmarks.LandmarkModel` runs one."""

    def run(
        self, image: NDArray[np.uint8], roi: Roi, *, min_presence: float
    ) -> CropLandmarks | CropBody | None:
        """What it sees in a region of a picture."""


@dataclass(frozen=True)
class Judge:
    """Runs models on a picture and asks how sure they are.

    Attributes:
        shape: of the keypoints.
        crop_around: the region that the pipeline would look at next, from (N, 2) px.
        landmarks: whose doubts count.
        find: subjects of a picture with its number, each (N, 2) px.
        against: a second model.
    """

    shape: Topology
    crop_around: Callable[[NDArray[np.float32]], Roi]
    landmarks: Landmarks
    find: Callable[[NDArray[np.uint8], int], Sequence[NDArray[np.floating]]]
    against: Landmarks | None = None

    def candidate(self, sample_id: str, rgb: NDArray[np.uint8], number: int) -> Candidate:
        """How unsure the models are of a picture's subjects, the least sure one counting."""
        height, width = rgb.shape[:2]
        signals: dict[str, float] = {}
        feature = _colours(rgb, Roi(width / 2, height / 2, width, height))
        pattern = np.zeros(_pattern(self.shape, np.zeros((self.shape.size, 2))).size)
        for points in self.find(rgb, number):
            roi = self.crop_around(points.astype(np.float32))
            if not roi.width >= LEAST_CROP_PX:
                continue  # training leaves it out: a label would teach nothing
            here = self._signals(rgb, roi)
            if here and (not signals or expected_gain(here) > expected_gain(signals)):
                signals = here
                feature = _colours(rgb, roi)
                pattern = _pattern(self.shape, points).ravel()
        return Candidate(sample_id, signals, np.concatenate([pattern, feature]))

    def _signals(self, rgb: NDArray[np.uint8], roi: Roi) -> dict[str, float]:
        rng = np.random.default_rng(0)  # the same crops of every subject, so that they compare
        size = np.array([rgb.shape[1], rgb.shape[0]])
        jitter = TRAINING_JITTER[_FULL.get(self.shape.id, self.shape.id)]

        def points(landmarks: Landmarks, picture: NDArray[np.uint8], at: Roi) -> _Answer:
            return _Answer(landmarks.run(picture, at, min_presence=-1.0), size)

        first = points(self.landmarks, rgb, roi)
        # Eyes seen from the side are in one place; as training does, don't divide by that.
        length = max(float(self.shape.normalising_length(first.px)), MIN_LENGTH * roi.width)
        if not (length > 0 and math.isfinite(length)):
            return {}
        views = [points(self.landmarks, rgb, jitter.applied(roi, rng)) for _ in range(VIEWS)]
        spread = np.stack([first.px, *(view.px for view in views)]).std(axis=0)
        width = rgb.shape[1]
        other_side = Roi(width - roi.cx, roi.cy, roi.width, roi.height, -roi.rotation_rad)
        mirrored = points(self.landmarks, cv2.flip(rgb, 1), other_side)
        back = self.shape.mirrored(mirrored.px, width)
        presence = float(np.mean([first.presence, *(view.presence for view in views)]))
        result = {
            "views": float(np.linalg.norm(spread, axis=1).mean()) / length,
            "flip": _distance(back, first.px) / length,
            "presence": _entropy(presence),
        }
        if self.shape.name == "face478":
            result["shape"] = _distance(_shaped(first.px), first.px) / length
        if self.against is not None:
            second = points(self.against, rgb, roi)
            count = min(len(second.px), len(first.px))
            result["against"] = _distance(second.px[:count], first.px[:count]) / length
        return {name: round(value, 6) for name, value in result.items() if math.isfinite(value)}


def _judge(model: OpenedModel, against: OpenedModel | None) -> Judge:
    """By a model's whole pipeline, each picture on its own."""
    solution = model.solution()

    def find(rgb: NDArray[np.uint8], number: int) -> list[NDArray[np.floating]]:
        height, width = rgb.shape[:2]
        solution.reset()
        return [found.keypoints_px(width, height)[:, :2] for found in solution.process(rgb, number)]

    second = None if against is None else against.landmark_model()
    return Judge(model.topology, model.truth_roi, model.landmark_model(), find, second)


class _Answer:
    """Keypoints in pixels and presence; NaN and 0 of a model that gave none."""

    def __init__(self, found: CropLandmarks | CropBody | None, size: NDArray[np.int64]) -> None:
        self.presence = 0.0 if found is None else found.presence
        points = np.full((1, 2), math.nan) if found is None else found.keypoints[:, :2] * size
        self.px: Floats = np.asarray(points, dtype=np.float64)


_FULL = {"face468@1": "face478@1", "pose33@1": "pose35@1"}


def _distance(a: Floats, b: Floats) -> float:
    return float(np.linalg.norm(a - b, axis=1).mean())


def _entropy(p: float) -> float:
    p = min(max(p, 1e-9), 1 - 1e-9)
    return -(p * math.log2(p) + (1 - p) * math.log2(1 - p))


def _shaped(points_px: Floats) -> Floats:
    """The nearest that a face of `face_shapes` comes to these keypoints."""
    shapes = face_shapes()
    pose = fitted_pose(points_px)
    modes = shapes.modes[:_SHAPE_MODES]
    columns = (modes @ pose.picture_from_face.T).reshape(len(modes), -1).T
    rest = (points_px - pose.project(shapes.mean)).ravel()
    # Modes are as large as one standard deviation: a ridge in their unit keeps faces likely.
    spread = float(np.abs(pose.picture_from_face).max()) * 0.01
    normal = columns.T @ columns + spread**2 * np.eye(len(modes))
    weights = np.linalg.solve(normal, columns.T @ rest)
    return points_px - (rest - columns @ weights).reshape(-1, 2)


def _pattern(shape: Topology, points: NDArray[np.floating]) -> Floats:
    """(K, 2) of the keypoints, few enough to compare thousands of pictures, wherever and however
    large the subject is: centred, of unit size."""
    few = np.asarray(points, dtype=np.float64)
    if shape.id in ("face478@1", "face468@1"):
        few = in_layout(few, shape.id, "face68@1")
    few = few - few.mean(axis=0)
    return np.asarray(few / max(float(np.linalg.norm(few)), 1e-9))


def _colours(rgb: NDArray[np.uint8], roi: Roi) -> Floats:
    small = cv2.resize(
        warp_crop(rgb, roi, 64, 64), (_FEATURE_SIDE, _FEATURE_SIDE), interpolation=cv2.INTER_AREA
    )
    return small.astype(np.float64).ravel() / 255.0 * _COLOUR_WEIGHT
