"""The card of a model bundle: what it is, what made it, and how its tensors are to be read."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from runtime.errors import ViewfinderError
from runtime.topology import topology

CARD_FORMAT = "viewfinder.bundle@1"

ROLES = (
    "detector", "landmarks", "segmentation",
    "iris",  # an eye's contour and its iris
    "blendshapes",  # coefficients from landmarks, which are its input in place of a picture
    "weights",  # what a further training starts from
    "geometry",  # no network: runtime.face_geometry, for MediaPipe's Tasks
)  # fmt: skip
TASKS = ("face", "hand", "face-detection", "pose", "segmentation", "object")
MEANINGS = (
    "boxes",  # (1, anchors, 4 + 2 K) SSD regression: x, y, w, h, K keypoints, in input pixels
    "scores",  # (1, anchors, 1) logits
    "landmarks",  # x, y, z of each keypoint in input pixels, z in the scale of x
    "landmarks_visibility",  # the same with logits of visibility and of presence after each z;
    # auxiliary points may follow the topology's, in "world_landmarks" and "heatmaps", too
    "centres",  # (1, h, w, 1) logits of where objects' middles are, one cell h-th of the input high
    "keypoint_offsets",  # (1, h, w, 2 K) x, y of each keypoint from its cell's middle, input pixels
    "heatmaps",  # (1, h, w, K) logits of where in the crop each landmark is
    "mask_logit",  # (1, h, w, 1), its sigmoid is the probability that a pixel is the subject's
    "mask",  # that probability itself
    "presence_logit",  # its sigmoid is the probability that the subject is in the crop
    "presence",  # that probability itself
    "handedness",  # MediaPipe's: probability of a right hand in an unmirrored picture
    "world_landmarks",  # x, y, z of each keypoint in metres
    "contours",  # x, y in input pixels of the lines that people draw on a face (face_contours)
    "lips", "right_eye", "left_eye", "right_iris", "left_iris",  # x, y of keypoints that refine
    "eye", "iris",  # x, y, z of one eye's contour and of its iris in input pixels
    "blendshapes",  # 52 coefficients, 0..1
    "unused",
)  # fmt: skip


@dataclass(frozen=True)
class CardInput:
    """A model's picture: pixels, colour order, and the range 0..255 is mapped to.

    Of a model that takes keypoints: their number, 1, and their coordinates.
    """

    width: int
    height: int
    channels: int = 3
    order: str = "RGB"
    range: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class CardOutput:
    """One output tensor: its name in the model, its shape and one of `MEANINGS`."""

    name: str
    shape: tuple[int, ...]
    meaning: str


@dataclass(frozen=True)
class CardModel:
    """One model file of a bundle.

    Attributes:
        file: the member's name.
        role: one of `ROLES`.
        input: its picture.
        outputs: in the model's order.
        topology: id of the keypoints of "landmarks"; "" for a detector.
        sha256: of the member; `write_bundle` fills it in.
    """

    file: str
    role: str
    input: CardInput
    outputs: tuple[CardOutput, ...]
    topology: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class CardData:
    """A data set that a model was trained on, and what made it with which seed, where known."""

    name: str
    sha256: str
    samples: int
    layer: str
    generator: str = ""
    seed: int | None = None


@dataclass(frozen=True)
class CardMetric:
    """A measured quality: `interval` is 95 % (low, high), `by` a part or group or ""."""

    data: str
    metric: str
    value: float
    interval: tuple[float, float] | None = None
    by: str = ""


@dataclass(frozen=True)
class Card:
    """A bundle's card.

    Attributes:
        task: one of `TASKS`.
        models: its model files.
        licence: of the bundle, as an SPDX expression.
        licences_inherited: of what it was made from.
        data: what it was trained on.
        metrics: what was measured, and on what.
        parent: sha256 of the bundle it was trained from, or "".
        tool: what wrote it, with version.
        command: how it was trained, without folders.
        format: `CARD_FORMAT`.
    """

    task: str
    models: tuple[CardModel, ...]
    licence: str = "NOASSERTION"
    licences_inherited: tuple[str, ...] = ()
    data: tuple[CardData, ...] = ()
    metrics: tuple[CardMetric, ...] = ()
    parent: str = ""
    tool: str = ""
    command: str = ""
    format: str = CARD_FORMAT

    def to_json(self) -> str:
        """The card as indented JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, file: str) -> Card:
        """Read a card.

        Args:
            text: JSON.
            file: the bundle, for errors.

        Raises:
            ViewfinderError: not JSON, a field missing or of the wrong kind, a format, role,
                meaning or topology that this release doesn't know.
        """
        try:
            stored = json.loads(text)
        except ValueError as error:
            raise ViewfinderError(
                "the card is not JSON", file=file, field="card.json", found=str(error)
            ) from error
        reader = _Reader(file)
        fields = reader.mapping(stored, "card.json")
        if fields.get("format") != CARD_FORMAT:
            raise reader.error("format", CARD_FORMAT, fields.get("format"))
        return cls(
            task=reader.choice(fields, "task", TASKS),
            models=tuple(
                _model(reader, item, f"models[{i}]")
                for i, item in enumerate(reader.sequence(fields, "models"))
            ),
            licence=reader.text(fields, "licence", "NOASSERTION"),
            licences_inherited=tuple(
                str(item) for item in reader.sequence(fields, "licences_inherited", ())
            ),
            data=tuple(
                _data(reader, item, f"data[{i}]")
                for i, item in enumerate(reader.sequence(fields, "data", ()))
            ),
            metrics=tuple(
                _metric(reader, item, f"metrics[{i}]")
                for i, item in enumerate(reader.sequence(fields, "metrics", ()))
            ),
            parent=reader.text(fields, "parent", ""),
            tool=reader.text(fields, "tool", ""),
            command=reader.text(fields, "command", ""),
        )


_MISSING = object()


class _Reader:
    """Takes fields out of parsed JSON and says which one is wrong."""

    def __init__(self, file: str) -> None:
        self.file = file

    def error(self, field: str, expected: object, found: object) -> ViewfinderError:
        shown = "nothing" if found is _MISSING or found is None else repr(found)[:80]
        return ViewfinderError(
            "the card is wrong", file=self.file, field=field, expected=expected, found=shown
        )

    def mapping(self, value: Any, field: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(field, "an object", value)
        return value

    def sequence(self, fields: dict[str, Any], name: str, default: Any = _MISSING) -> list[Any]:
        value = fields.get(name, default)
        if not isinstance(value, list | tuple):
            raise self.error(name, "a list", value)
        return list(value)

    def text(self, fields: dict[str, Any], name: str, default: Any = _MISSING) -> str:
        value = fields.get(name, default)
        if not isinstance(value, str):
            raise self.error(name, "a text", value)
        return value

    def choice(self, fields: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(fields, name)
        if value not in allowed:
            raise self.error(name, " | ".join(allowed), value)
        return value

    def count(self, fields: dict[str, Any], name: str, most: int = 2**31) -> int:
        value = fields.get(name, _MISSING)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
            raise self.error(name, f"a whole number up to {most}", value)
        return value

    def numbers(self, value: Any, name: str, length: int | None = None) -> tuple[float, ...]:
        right = isinstance(value, list) and all(
            isinstance(item, int | float) and not isinstance(item, bool) for item in value
        )
        if not right or (length is not None and len(value) != length):
            raise self.error(name, f"{length or 'some'} numbers", value)
        return tuple(float(item) for item in value)


def _model(reader: _Reader, value: Any, where: str) -> CardModel:
    fields = reader.mapping(value, where)
    picture = reader.mapping(fields.get("input", _MISSING), f"{where}.input")
    role = reader.choice(fields, "role", ROLES)
    topology_id = reader.text(fields, "topology", "")
    if topology_id or role == "landmarks":
        try:
            topology(topology_id)
        except ViewfinderError as error:
            raise ViewfinderError(
                "unknown topology", file=reader.file, field=f"{where}.topology",
                expected=error.expected, found=repr(topology_id),
            ) from error  # fmt: skip
    outputs = []
    for item in reader.sequence(fields, "outputs"):
        output = reader.mapping(item, f"{where}.outputs")
        shape = tuple(int(n) for n in reader.numbers(output.get("shape"), f"{where}.shape"))
        outputs.append(
            CardOutput(
                reader.text(output, "name"), shape, reader.choice(output, "meaning", MEANINGS)
            )
        )
    low, high = reader.numbers(picture.get("range", [0, 1]), f"{where}.input.range", 2)
    return CardModel(
        file=reader.text(fields, "file"),
        role=role,
        input=CardInput(
            reader.count(picture, "width", 4096),
            reader.count(picture, "height", 4096),
            reader.count(picture, "channels", 16),
            reader.choice(picture, "order", ("RGB", "BGR")),
            (low, high),
        ),
        outputs=tuple(outputs),
        topology=topology_id,
        sha256=reader.text(fields, "sha256"),
    )


def _data(reader: _Reader, value: Any, where: str) -> CardData:
    fields = reader.mapping(value, where)
    return CardData(
        reader.text(fields, "name"),
        reader.text(fields, "sha256", ""),
        reader.count(fields, "samples", 2**62),
        reader.text(fields, "layer", ""),
        reader.text(fields, "generator", ""),
        None if fields.get("seed") is None else reader.count(fields, "seed", 2**63),
    )


def _metric(reader: _Reader, value: Any, where: str) -> CardMetric:
    fields = reader.mapping(value, where)
    (measured,) = reader.numbers([fields.get("value")], f"{where}.value", 1)
    interval = fields.get("interval")
    low_high = reader.numbers(interval, f"{where}.interval", 2) if interval is not None else None
    return CardMetric(
        reader.text(fields, "data", ""),
        reader.text(fields, "metric"),
        measured,
        (low_high[0], low_high[1]) if low_high else None,
        reader.text(fields, "by", ""),
    )
