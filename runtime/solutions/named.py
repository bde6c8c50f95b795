"""The coupled pipeline's calculators, made out of plain options: what graphs in YAML name."""

from __future__ import annotations

from typing import Literal

from runtime.bundle import read_bundle
from runtime.detection import Detector
from runtime.errors import ViewfinderError
from runtime.model_store import find_model
from runtime.smoothing import OneEuroParameters
from runtime.solutions.crops import (
    FACE_RULES,
    HAND_RULES,
    Associate,
    CropRules,
    Detect,
    FindLandmarks,
    Follow,
    MakeSubjects,
)
from runtime.solutions.faces import DetectFaces
from runtime.solutions.landmarks import LandmarkModel
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import Part, parts_of
from runtime.solutions.smooth import Smooth
from runtime.solutions.tracking import MIN_ASSOCIATION_IOU

Kind = Literal["face", "hand"]
_RULES: dict[Kind, CropRules] = {"face": FACE_RULES, "hand": HAND_RULES}


def detect_subjects(
    model: str, most: int = 8, min_score: float = 0.5, threads: int = 1, delegate: str = ""
) -> DetectFaces:
    """Detections as subjects.

    Args:
        model: a file, or the name of an added or released model, with a detector in it.
        most: of them, the best first.
        min_score: 0..1.
        threads: for the model.
        delegate: what runs it.
    """
    return DetectFaces(_detector(model, min_score, threads, delegate), most)


def detect_regions(
    model: str,
    kind: Kind,
    most: int = 2,
    min_score: float = 0.5,
    threads: int = 1,
    delegate: str = "",
) -> Detect:
    """Regions of new subjects; arguments as of `detect_subjects`, and whether it looks for faces
    or hands."""
    return Detect(_detector(model, min_score, threads, delegate), _rules(kind), most)


def associate_regions(min_iou: float = MIN_ASSOCIATION_IOU) -> Associate:
    """New and followed regions without doubles: those that overlap more are one."""
    return Associate(min_iou)


def find_landmarks(
    model: str, threads: int = 1, delegate: str = "", look_again: Kind | None = None
) -> FindLandmarks:
    """Landmarks in every region; `model` holds a landmark model.

    Args:
        model: a file, or the name of an added or released model, with a landmark model in it.
        threads: for it.
        delegate: what runs it.
        look_again: what it looks at, for new subjects to be looked at twice; None for once.
    """
    part = _part(model, "landmarks")
    options = SolutionOptions(threads=threads, delegate=delegate)
    again = None if look_again is None else _rules(look_again).roi_from_landmarks
    return FindLandmarks(LandmarkModel(part.load(options), part.card), again)


def follow_regions(kind: Kind) -> Follow:
    """The regions in which to look in the next picture."""
    return Follow(_rules(kind))


def make_subjects(topology: str, mirrored: bool = False) -> MakeSubjects:
    """What was found, as the outside sees it; `topology` is the id of the keypoints' layout."""
    return MakeSubjects(topology, mirrored)


def smooth_subjects(
    min_cutoff_hz: float = 0.05, beta: float = 80.0, derivate_cutoff_hz: float = 1.0
) -> Smooth:
    """Subjects through one-euro filters, see `OneEuroParameters`."""
    return Smooth(OneEuroParameters(min_cutoff_hz, beta, derivate_cutoff_hz))


def _detector(model: str, min_score: float, threads: int, delegate: str) -> Detector:
    part = _part(model, "detector")
    options = SolutionOptions(threads=threads, delegate=delegate)
    return Detector(part.load(options), part.card, min_score)


def _part(model: str, role: str) -> Part:
    bundle = read_bundle(find_model(model))
    parts = parts_of(bundle)
    if role not in parts:
        raise ViewfinderError(f"this model holds no {role} model", file=bundle.name)
    return parts[role]


def _rules(kind: Kind) -> CropRules:
    return _RULES[kind]
