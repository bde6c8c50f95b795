"""Blendshapes: 52 coefficients of expression, from face landmarks with irises.

The model's keypoints and its coefficients' names were read from MediaPipe's face landmarker
(face_blendshapes_graph.cc): 146 of the 478 landmarks, in pixels of the picture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from runtime.card import CardModel
from runtime.errors import ViewfinderError
from runtime.graph.types import Picture
from runtime.model import Model
from runtime.results import Subject

KEYPOINTS = (
    (0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65)
    + (66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136)
    + (144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168)
    + (172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276)
    + (282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318)
    + (321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380)
    + (381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466)
    + tuple(range(468, 478))
)
BLENDSHAPES = (
    "_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft",
    "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight",
    "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight", "eyeSquintLeft",
    "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen",
    "jawRight", "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft",
    "mouthFrownRight", "mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthPressLeft", "mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight",
)  # fmt: skip
"""In the order of the model's output; left and right are the person's own, as in ARKit."""


class Blendshapes:
    """Adds coefficients to subjects.

    Args:
        model: takes (1, 146, 2) keypoints in pixels, gives 52 values.
        card: its entry in a card.

    Raises:
        ViewfinderError: card and model don't fit together.
    """

    def __init__(self, model: Model, card: CardModel) -> None:
        self.models = (model,)
        self._model = model
        self._output = model.output_index(card.outputs[0].name)
        shapes = (model.inputs[0].shape, model.outputs[self._output].shape)
        if shapes != ((1, len(KEYPOINTS), 2), (len(BLENDSHAPES),)):
            raise ViewfinderError(
                "this is no blendshape model", file=model.name,
                expected="1 x 146 x 2 keypoints and 52 values", found=shapes,
            )  # fmt: skip
        self._keypoints = np.array(KEYPOINTS)

    def process(self, subjects: list[Subject], picture: Picture) -> list[Subject]:
        """The faces with their blendshapes; the model is run once for each."""
        size = np.array([picture.shape[1], picture.shape[0]], dtype=np.float32)
        found = []
        for subject in subjects:
            self._model.set_input(0, subject.keypoints[self._keypoints, :2] * size)
            self._model.run()
            values = self._model.peek(self._output).tolist()
            found.append(replace(subject, blendshapes=dict(zip(BLENDSHAPES, values))))
        return found
