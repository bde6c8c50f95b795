"""Models without a card, known by the shapes of their tensors.

Bare `.tflite` files and MediaPipe's own `.task` bundles say nothing about what their outputs mean.
The layouts here are those of MediaPipe's released models, read from its graphs (0.10.14 and, for
the 478-point face, the Tasks face landmarker).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from runtime.bundle import Bundle
from runtime.card import Card, CardInput, CardModel, CardOutput
from runtime.errors import ViewfinderError
from runtime.released import RELEASED_HASHES
from runtime.trust import ModelTensors, model_tensors

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """Input and output shapes, and what they mean."""

    task: str
    role: str
    topology: str
    size: tuple[int, int]
    range: tuple[float, float]
    outputs: tuple[tuple[Shape, str], ...]
    channels: int = 3
    picture: bool = True

    def fits(self, tensors: ModelTensors) -> bool:
        """Whether a model has exactly these tensors, in this order."""
        width, height = self.size
        shapes = tuple(info.shape for info in tensors.outputs)
        taken = (1, height, width, self.channels) if self.picture else (1, width, self.channels)
        return [info.shape for info in tensors.inputs] == [taken] and shapes == (
            tuple(shape for shape, _ in self.outputs)
        )


def _ssd(task: str, size: int, range_: tuple[float, float], anchors: int, values: int) -> Signature:
    outputs = (((1, anchors, values), "boxes"), ((1, anchors, 1), "scores"))
    return Signature(task, "detector", "", (size, size), range_, outputs)


SIGNATURES = (
    _ssd("face", 128, (-1.0, 1.0), 896, 16),
    _ssd("face", 192, (-1.0, 1.0), 2304, 16),
    _ssd("hand", 192, (0.0, 1.0), 2016, 18),
    _ssd("pose", 224, (-1.0, 1.0), 2254, 12),
    Signature(
        "face", "landmarks", "face468@1", (192, 192), (0.0, 1.0),
        (((1, 1, 1, 1404), "landmarks"), ((1, 1, 1, 1), "presence_logit")),
    ),
    Signature(
        "face", "landmarks", "face478@1", (192, 192), (0.0, 1.0),
        (((1, 1, 1, 1434), "landmarks"), ((1, 1, 1, 1), "presence_logit")),
    ),
    Signature(
        "face", "landmarks", "face478@1", (256, 256), (0.0, 1.0),
        (((1, 1, 1, 1434), "landmarks"), ((1, 1, 1, 1), "presence_logit"), ((1, 1), "unused")),
    ),
    Signature(  # MediaPipe's left is the person's right
        "face", "landmarks", "face478@1", (192, 192), (0.0, 1.0),
        (
            ((1, 1, 1, 1404), "landmarks"), ((1, 1, 1, 160), "lips"),
            ((1, 1, 1, 142), "right_eye"), ((1, 1, 1, 142), "left_eye"),
            ((1, 1, 1, 10), "right_iris"), ((1, 1, 1, 10), "left_iris"),
            ((1, 1, 1, 1), "presence_logit"),
        ),
    ),
    Signature(
        "face", "iris", "", (64, 64), (0.0, 1.0), (((1, 213), "eye"), ((1, 15), "iris")),
    ),
    Signature(
        "face", "blendshapes", "", (146, 1), (0.0, 1.0), (((52,), "blendshapes"),),
        channels=2, picture=False,
    ),
    Signature(
        "hand", "landmarks", "hand21@1", (224, 224), (0.0, 1.0),
        (
            ((1, 63), "landmarks"), ((1, 1), "presence"), ((1, 1), "handedness"),
            ((1, 63), "world_landmarks"),
        ),
    ),
    Signature(
        "pose", "landmarks", "pose33@1", (256, 256), (0.0, 1.0),
        (
            ((1, 195), "landmarks_visibility"), ((1, 1), "presence"),
            ((1, 256, 256, 1), "mask_logit"), ((1, 64, 64, 39), "heatmaps"),
            ((1, 117), "world_landmarks"),
        ),
    ),
    Signature(
        "segmentation", "segmentation", "", (256, 256), (0.0, 1.0), (((1, 256, 256, 1), "mask"),),
    ),
    Signature(
        "segmentation", "segmentation", "", (256, 144), (0.0, 1.0), (((1, 144, 256, 1), "mask"),),
    ),
    Signature(
        "object", "detector", "", (300, 300), (-1.0, 1.0),
        (((1, 1917, 4), "boxes"), ((1, 1917, 24), "scores")),
    ),
    Signature(
        "object", "landmarks", "cuboid9@1", (224, 224), (0.0, 1.0),
        (((1, 18), "landmarks"), ((1, 1), "presence")),
    ),
)  # fmt: skip


def card_of(bundle: Bundle) -> Card:
    """The bundle's card, or one made from its models' signatures.

    Members that aren't models or that no signature fits are passed over.

    Raises:
        ViewfinderError: no card, and no model that is known.
    """
    if bundle.card is not None:
        return bundle.card
    models, tasks = [], set()
    for file, data in bundle.members.items():
        if data[4:8] != b"TFL3":
            continue
        tensors = model_tensors(data, f"{bundle.name} {file}")
        signature = next((known for known in SIGNATURES if known.fits(tensors)), None)
        if signature is not None:
            models.append(_card_model(file, data, signature, tensors))
            tasks.add(signature.task)
    if len(tasks) != 1:
        raise ViewfinderError(
            "this model has no card, and its tensors are none that are known", file=bundle.name,
            expected="a released model of MediaPipe's, or a bundle with card.json",
        )  # fmt: skip
    released = all(model.sha256 in RELEASED_HASHES for model in models)
    return Card(
        task=tasks.pop(), models=tuple(models), licence="Apache-2.0" if released else "NOASSERTION"
    )


def _card_model(file: str, data: bytes, signature: Signature, tensors: ModelTensors) -> CardModel:
    width, height = signature.size
    return CardModel(
        file=file,
        role=signature.role,
        input=CardInput(width, height, signature.channels, "RGB", signature.range),
        outputs=tuple(
            CardOutput(info.name, info.shape, meaning)
            for info, (_, meaning) in zip(tensors.outputs, signature.outputs)
        ),
        topology=signature.topology,
        sha256=hashlib.sha256(data).hexdigest(),
    )
