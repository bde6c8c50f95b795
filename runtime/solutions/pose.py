"""Bodies: 33 keypoints with visibility, world landmarks, and masks.

    picture --> detect --> associate --> landmarks --> identify --> smooth --> subjects --> mask
                  ^            ^                                       |
                  '---- followed (back) ------------ follow -----------'

As in MediaPipe's pose_landmark_cpu, the region in which a body is looked at comes from the last
picture's auxiliary points, smoothed more than the keypoints. With one subject wanted, every step
is MediaPipe's; with more, `runtime.solutions.pose_tracking` says when new bodies are looked for
and which body is which.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from runtime.detection import Detector
from runtime.graph.definition import Graph
from runtime.graph.types import Picture
from runtime.results import Subject, bounding_box
from runtime.roi import body_roi, body_size, roi_padded_to_aspect
from runtime.smoothing import (
    VISIBILITY_ALPHA,
    WORLD,
    KeypointFilter,
    LowPassFilter,
    OneEuroFilter,
    OneEuroParameters,
)
from runtime.solutions.masks import MaskFilter, box_of_roi, mask_in_image
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import find_parts
from runtime.solutions.pose_model import ALIGNMENT_POINTS, BodyModel, CropBody
from runtime.solutions.pose_tracking import (
    AssociateBodies,
    Body,
    DetectBodies,
    FindBodies,
    IdentifyBodies,
)
from runtime.solutions.solution import GraphSolution
from runtime.solutions.tracking import Track
from runtime.topology import topology

MIN_SCORE = 0.5
TOPOLOGY = "pose33@1"
MODELS = {
    "full": ("pose_detection", "pose_landmark_full"),
    "lite": ("pose_detection", "pose_landmark_lite"),
    "heavy": ("pose_detection", "pose_landmark_heavy"),
}
ALIGNMENT = OneEuroParameters(0.01, 10.0, 1.0)
"""Of the auxiliary points: a steady region matters more than a quick one (pose_landmark_filtering).
They are smoothed even where keypoints aren't."""


def open_pose(options: SolutionOptions) -> GraphSolution:
    """Bodies in a stream of pictures.

    Raises:
        ViewfinderError: the models can't be had, or masks are wanted of a model without.
    """
    parts = find_parts(options, "pose", MODELS, ("landmarks",), TOPOLOGY)
    score = MIN_SCORE if options.min_score is None else options.min_score
    detector = Detector(parts["detector"].load(options), parts["detector"].card, score)
    part = parts["landmarks"]
    model = BodyModel(part.load(options), part.card, options.segmentation)
    return GraphSolution(pose_graph(detector, model, options), model.topology.id, options.static)


def pose_graph(detector: Detector, model: BodyModel, options: SolutionOptions) -> Graph:
    """The graph of the picture above; static ones neither smooth nor follow."""
    most, masks = options.max_subjects, options.segmentation
    graph = Graph("pose", {"picture": Picture})
    followed = {"followed": "followed"}
    graph.add(DetectBodies(detector, most), outputs="detected", back=followed, name="detect")
    graph.add(AssociateBodies(most), outputs="tracks", back=followed, name="associate")
    graph.add(FindBodies(model), outputs="found", name="landmarks")
    graph.add(IdentifyBodies(), outputs="identified", inputs={"bodies": "found"}, name="identify")
    smoother = SmoothBodies(options.one_euro(usual=True), most == 1)
    identified = {"bodies": "identified"}
    graph.add(smoother, outputs="bodies", inputs=identified, name="smooth")
    graph.add(FollowBodies(), outputs="followed", name="follow")
    outputs = "unmasked" if masks else "subjects"
    graph.add(MakeBodySubjects(model.topology.id), outputs=outputs, name="subjects")
    if masks:
        inputs = {"subjects": "unmasked"}
        smooth = bool(options.smoothing) and not options.static
        graph.add(AddMasks(smooth), outputs="subjects", inputs=inputs, name="masks")
    return graph


class SmoothBodies:
    """Smooths each body's keypoints, and the points that its next region comes from.

    A body that is missing from a picture starts anew. MediaPipe's graph, which knows one body only,
    then resets the filters of image points but never those of world points and visibilities: so
    does this one where one body is wanted.

    Args:
        parameters: of the keypoints; None leaves them as they are.
        alone: one body is wanted.
    """

    def __init__(self, parameters: OneEuroParameters | None, alone: bool) -> None:
        self._parameters = parameters
        self._alone = alone
        self._filters: dict[int, _BodyFilter] = {}

    def process(self, bodies: list[Body], picture: Picture, timestamp_us: int) -> list[Body]:
        """The bodies, smoothed."""
        size = (picture.shape[1], picture.shape[0])
        smoothed, filters = [], {}
        for body in bodies:
            key = 0 if self._alone else body.subject_id
            filters[key] = self._filters.get(key) or _BodyFilter(self._parameters)
            smoothed.append(filters[key].smoothed(body, timestamp_us, size))
        if self._alone and not bodies:
            for kept in self._filters.values():
                kept.miss()
        else:
            self._filters = filters
        return smoothed

    def reset(self) -> None:
        """Forget earlier pictures."""
        self._filters = {}


class _BodyFilter:
    def __init__(self, parameters: OneEuroParameters | None) -> None:
        self._keypoints = parameters is not None
        alignment = [ALIGNMENT] * ALIGNMENT_POINTS
        keypoints = [] if parameters is None else [parameters] * topology(TOPOLOGY).size
        self._image = KeypointFilter([*keypoints, *alignment])
        self._world = OneEuroFilter(WORLD)
        self._visibility = LowPassFilter(VISIBILITY_ALPHA)

    def smoothed(self, body: Body, timestamp_us: int, size: tuple[int, int]) -> Body:
        found = body.found
        size_px = body_size(found.alignment, size)
        if not self._keypoints:
            # Into pixels and back all the same: MediaPipe does so, which shows in the last bit.
            scale = np.array([size[0], size[1], size[0]], dtype=np.float32)
            keypoints = found.keypoints * scale / scale
            alignment = self._image.smoothed(found.alignment, timestamp_us, size, size_px)
            points = np.concatenate([keypoints, alignment])
            return Body(body.subject_id, body.roi, replace(found, points=points))
        smooth = CropBody(
            presence=found.presence,
            points=self._image.smoothed(found.points, timestamp_us, size, size_px),
            visibility=self._visibility.smoothed(found.visibility),
            world_m=self._world.smoothed(found.world_m, timestamp_us),
            mask=found.mask,
        )
        return Body(body.subject_id, body.roi, smooth)

    def miss(self) -> None:
        self._image.reset()


class FollowBodies:
    """The regions in which to look in the next picture."""

    def process(self, bodies: list[Body], picture: Picture) -> list[Track]:
        """A region for each body."""
        size = (picture.shape[1], picture.shape[0])
        return [Track(body_roi(body.found.alignment, size), body.subject_id) for body in bodies]


class MakeBodySubjects:
    """Bodies as the outside sees them."""

    def __init__(self, topology_id: str) -> None:
        self._topology_id = topology_id

    def process(self, bodies: list[Body]) -> list[Subject]:
        """A subject for each."""
        return [
            Subject(
                id=body.subject_id,
                topology=self._topology_id,
                score=body.found.presence,
                keypoints=body.found.keypoints,
                box=bounding_box(body.found.keypoints),
                world_m=body.found.world_m,
                visibility_score=body.found.visibility,
            )
            for body in bodies
        ]


class AddMasks:
    """Each subject's mask over the whole picture.

    Args:
        smooth: whether masks are blended over time. MediaPipe 0.10.14 means to do so, but what it
            gives is the same with its smooth_segmentation on and off.
    """

    def __init__(self, smooth: bool) -> None:
        self._smooth = smooth
        self._filters: dict[int, MaskFilter] = {}

    def process(
        self, subjects: list[Subject], bodies: list[Body], picture: Picture
    ) -> list[Subject]:
        """The subjects with masks."""
        height, width = picture.shape[:2]
        masked, filters = [], {}
        for subject, body in zip(subjects, bodies):
            assert body.found.mask is not None
            shown = roi_padded_to_aspect(body.roi, 1, 1)
            mask = mask_in_image(body.found.mask, shown, width, height)
            if self._smooth:
                kept = self._filters.get(subject.id) or MaskFilter()
                kept.smooth(mask, box_of_roi(shown, width, height))
                filters[subject.id] = kept
            masked.append(replace(subject, mask=mask))
        self._filters = filters
        return masked

    def reset(self) -> None:
        """Forget earlier masks."""
        self._filters = {}
