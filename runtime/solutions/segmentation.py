"""Selfie segmentation: a mask of the people in the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.card import CardModel
from runtime.errors import ViewfinderError
from runtime.fixed_crop import FixedCrop
from runtime.graph.definition import Graph
from runtime.graph.types import Picture
from runtime.model import Model, PixelScale
from runtime.results import Subject
from runtime.roi import roi_of_image
from runtime.solutions.masks import MaskFilter
from runtime.solutions.options import SolutionOptions
from runtime.solutions.parts import find_parts
from runtime.solutions.solution import GraphSolution

Floats = NDArray[np.float32]
MODELS = {
    "general": ("selfie_segmentation",),
    "landscape": ("selfie_segmentation_landscape",),
}


def open_segmentation(options: SolutionOptions) -> GraphSolution:
    """One mask a picture. With smoothing, which is off unless asked for, masks are blended over
    time.

    Raises:
        ViewfinderError: the model can't be had.
    """
    part = find_parts(options, "segmentation", MODELS, ("segmentation",))["segmentation"]
    graph = Graph("segmentation", {"picture": Picture})
    smooth = bool(options.smoothing) and not options.static
    graph.add(Segment(part.load(options), part.card), outputs="raw" if smooth else "subjects")
    if smooth:
        graph.add(SmoothMask(), outputs="subjects", inputs={"subjects": "raw"}, name="smooth")
    return GraphSolution(graph, "", options.static)


class Segment:
    """People's mask, as one subject without keypoints.

    Its score is the surest pixel's probability; its box is the mask's at 0.5, of no size where
    nobody is.

    Args:
        model: with one output that `card` calls "mask".
        card: its entry in the bundle's card.

    Raises:
        ViewfinderError: card and model don't fit together.
    """

    def __init__(self, model: Model, card: CardModel) -> None:
        self.models = (model,)
        self._model = model
        self._width, self._height = card.input.width, card.input.height
        named = {output.meaning: model.output_index(output.name) for output in card.outputs}
        self._mask = named.get("mask", -1)
        given = None if self._mask < 0 else model.outputs[self._mask].shape
        if (
            model.inputs[0].shape != (1, self._height, self._width, 3)
            or given is None
            or len(given) != 4
            or (given[0], given[3]) != (1, 1)
        ):
            raise ViewfinderError(
                "not a segmentation model", file=model.name,
                expected=f"1 x {self._height} x {self._width} x 3 to a mask 1 x h x w x 1",
                found=f"{model.inputs[0].shape} to {given}",
            )  # fmt: skip
        self._scale = PixelScale(*card.input.range)
        self._picture_size = (0, 0)

    def process(self, picture: Picture) -> list[Subject]:
        """One subject, whose mask covers the whole picture."""
        height, width = picture.shape[:2]
        if (width, height) != self._picture_size:
            self._picture_size = (width, height)
            # The picture is stretched; beyond it lies black, as in MediaPipe.
            whole = roi_of_image(width, height)
            self._crop = FixedCrop(whole, self._width, self._height, "zero")
        self._crop.fill(self._model, picture, self._scale)
        self._model.run()
        small = self._model.peek(self._mask)[0, :, :, 0]
        return [
            Subject(
                id=0,
                topology="",
                score=cv2.minMaxLoc(small)[1],
                keypoints=np.zeros((0, 2), dtype=np.float32),
                box=_box(small),
                mask=cv2.resize(small, (width, height)),
            )
        ]


class SmoothMask:
    """Blends the mask with those before."""

    def __init__(self) -> None:
        self._filter = MaskFilter()

    def process(self, subjects: list[Subject]) -> list[Subject]:
        """The subject, its mask smoothed in place."""
        mask = subjects[0].mask
        assert mask is not None
        self._filter.smooth(mask)
        return subjects

    def reset(self) -> None:
        """Forget earlier masks."""
        self._filter = MaskFilter()


def _box(mask: Floats) -> tuple[float, float, float, float]:
    """The box around a mask at 0.5, over the mask's size."""
    left, top, width, height = cv2.boundingRect(cv2.compare(mask, 0.5, cv2.CMP_GT))
    rows, columns = mask.shape
    return left / columns, top / rows, width / columns, height / rows
