"""One's own gestures from a folder of pictures: FOLDER/<gesture>/*.jpg."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.errors import ViewfinderError
from runtime.gestures.classifier import (
    LEAST_EXAMPLES,
    Assessment,
    GestureClassifier,
    train_classifier,
)
from runtime.gestures.features import Array, canonical, hand_points
from runtime.gestures.rules import NONE
from runtime.image import PICTURE_EXTENSIONS, read_image
from runtime.results import Subject


class FindsHands(Protocol):
    """A hands solution in static mode, not told that pictures are mirrored."""

    def process(self, rgb: NDArray[np.uint8], timestamp_us: int) -> list[Subject]:
        """The hands in a picture."""
        ...


@dataclass
class Examples:
    """Hands taken out of pictures.

    Attributes:
        hands: (21, 3) each, canonical.
        labels: gesture of each.
        pictures: where each comes from.
        without_hand: pictures in which no hand was found.
        unreadable: pictures that can't be read.
    """

    hands: list[Array] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    without_hand: list[Path] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class TrainedGestures:
    """A classifier, how well it did, and the examples it was made from."""

    classifier: GestureClassifier
    assessment: Assessment
    examples: Examples


def gesture_pictures(folder: str | Path) -> dict[str, list[Path]]:
    """The pictures of each gesture.

    Args:
        folder: holds a folder for each gesture; one called "none" or "None" holds hands that show
            no gesture.

    Returns:
        Gesture -> its pictures in the order of their names; `NONE` for the folder of none.

    Raises:
        ViewfinderError: no such folder, fewer than two gestures, or a gesture without pictures.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ViewfinderError("no such folder", file=root)
    found: dict[str, list[Path]] = {}
    for place in sorted(root.iterdir()):
        if not place.is_dir() or place.name.startswith("."):
            continue
        pictures = [
            path for path in sorted(place.iterdir())
            if path.is_file() and path.suffix.lower() in PICTURE_EXTENSIONS
        ]  # fmt: skip
        if not pictures:
            raise ViewfinderError(
                "no pictures of this gesture", file=place,
                expected=" ".join(PICTURE_EXTENSIONS),
            )  # fmt: skip
        found[NONE if place.name.lower() == NONE.lower() else place.name] = pictures
    gestures = set(found) - {NONE}
    if len(gestures) < 2:
        raise ViewfinderError(
            "gestures are told apart, so at least two are needed", file=root,
            expected="FOLDER/<gesture>/*.jpg", found=", ".join(sorted(gestures)) or "none",
        )  # fmt: skip
    return found


def gesture_examples(
    pictures: dict[str, list[Path]],
    hands: FindsHands,
    turn_upright: bool = False,
    advance: Callable[[Path], None] = lambda path: None,
    report: Callable[[ViewfinderError], None] = lambda error: None,
) -> Examples:
    """The hands in those pictures: of each, the largest.

    Args:
        pictures: from `gesture_pictures`.
        hands: finds them.
        turn_upright: turn hands upright, so that how they are turned in the picture says nothing.
        advance: called for each picture that is done.
        report: told of pictures that can't be read, or hold no hand; the rest is used.
    """
    examples = Examples()
    for label, paths in pictures.items():
        for number, path in enumerate(paths):
            try:
                rgb = read_image(path)
            except ViewfinderError as error:
                examples.unreadable.append(path)
                report(error)
                continue
            finally:
                advance(path)
            found = hands.process(rgb, number)
            if not found:
                examples.without_hand.append(path)
                report(ViewfinderError("no hand was found in this picture", file=path))
                continue
            hand = max(found, key=lambda subject: subject.box[2] * subject.box[3])
            points = hand_points(hand.keypoints, rgb.shape[1], rgb.shape[0])
            examples.hands.append(canonical(points, hand.handedness, turn_upright))
            examples.labels.append(label)
            examples.pictures.append(path)
    return examples


def train_gestures(
    folder: str | Path,
    hands: FindsHands,
    turn_upright: bool = False,
    advance: Callable[[Path], None] = lambda path: None,
    report: Callable[[ViewfinderError], None] = lambda error: None,
) -> TrainedGestures:
    """Learn the gestures of a folder; arguments as for `gesture_examples`.

    Raises:
        ViewfinderError: see `gesture_pictures`; or too few hands were found for a gesture.
    """
    pictures = gesture_pictures(folder)
    examples = gesture_examples(pictures, hands, turn_upright, advance, report)
    _check_counts(Path(folder), list(pictures), examples)
    classifier, assessment = train_classifier(examples.hands, examples.labels, turn_upright)
    return TrainedGestures(classifier, assessment, examples)


def _check_counts(folder: Path, names: Sequence[str], examples: Examples) -> None:
    counts = Counter(examples.labels)
    for name in names:
        if name != NONE and counts[name] < LEAST_EXAMPLES:
            place = folder / name
            missed = sum(place in path.parents for path in examples.without_hand)
            broken = sum(place in path.parents for path in examples.unreadable)
            raise ViewfinderError(
                "too few hands of this gesture", file=place,
                expected=f"{LEAST_EXAMPLES} or more",
                found=f"{counts[name]}; {missed} pictures without a hand, {broken} unreadable",
            )  # fmt: skip
