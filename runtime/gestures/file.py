"""A trained gesture classifier as a file: JSON with its own SHA-256, nothing that is executed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError
from runtime.gestures.classifier import Assessment, GestureClassifier
from runtime.gestures.features import FEATURES, Array
from runtime.gestures.rules import NONE

GESTURE_FORMAT = "viewfinder.gestures@1"
_MOST_BYTES = 64 << 20
_MOST_NAMES = 1000
_LONGEST_NAME = 100
_DIGITS = 9


@dataclass(frozen=True)
class GestureFile:
    """A classifier and where it comes from.

    Attributes:
        classifier: ready for use.
        training: what was said of its making: counts, accuracy, hand model, tool.
        sha256: of the content.
    """

    classifier: GestureClassifier
    training: Mapping[str, Any]
    sha256: str


def write_gestures(
    path: str | Path,
    classifier: GestureClassifier,
    assessment: Assessment,
    training: Mapping[str, Any],
) -> str:
    """Write a classifier, whole or not at all.

    Args:
        path: of the file.
        classifier: what was learned.
        assessment: its left-out examples.
        training: more to say of it.

    Returns:
        Its SHA-256.

    Raises:
        ViewfinderError: it can't be written.
    """
    content = {
        "format": GESTURE_FORMAT,
        "names": list(classifier.names),
        "turn_upright": classifier.turn_upright,
        "sharpness": classifier.sharpness,
        "reach": classifier.reach,
        "centre": _numbers(classifier.centre),
        "whitening": _numbers(classifier.whitening),
        "means": _numbers(classifier.means),
        "none_mean": _numbers(classifier.none_mean),
        "none_spread": classifier.none_spread,
        "training": {
            **training,
            "left_out_accuracy": round(assessment.accuracy, 6),
            "confusion": {
                "names": list(assessment.names), "counts": assessment.confusion.tolist()
            },
        },
    }  # fmt: skip
    sha256 = _digest(content)
    text = json.dumps({**content, "sha256": sha256}, ensure_ascii=False)
    write_bytes_durably(Path(path), text.encode() + b"\n")
    return sha256


def read_gestures(path: str | Path) -> GestureFile:
    """Read what `write_gestures` wrote.

    Raises:
        ViewfinderError: it can't be read, isn't such a file, or was changed since.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ViewfinderError(
            "can't read this gesture file", file=path, found=error.strerror,
            hint="viewfinder models train-gestures FOLDER --out FILE makes one",
        ) from error  # fmt: skip
    if len(data) > _MOST_BYTES:
        raise ViewfinderError("this is no gesture file: it is too large", file=path)
    return parse_gestures(data, str(path))


def parse_gestures(data: bytes, name: str) -> GestureFile:
    """A gesture file's content.

    Args:
        data: the file's bytes.
        name: what errors call it.

    Raises:
        ViewfinderError: as `read_gestures`.
    """
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _wrong(name, "", "JSON", type(error).__name__) from error
    if not isinstance(content, dict) or content.get("format") != GESTURE_FORMAT:
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise _wrong(name, "format", GESTURE_FORMAT, found)
    sealed = content.pop("sha256", None)
    if sealed != _digest(content):
        raise ViewfinderError(
            "this gesture file was changed or damaged since it was written", file=name,
            field="sha256",
        )  # fmt: skip
    names = _names(content, name)
    classifier = GestureClassifier(
        names=names,
        centre=_array(content, "centre", name, (FEATURES,)),
        whitening=_array(content, "whitening", name, (FEATURES, FEATURES)),
        means=_array(content, "means", name, (len(names), FEATURES)),
        none_mean=_array(content, "none_mean", name, (FEATURES,), may_be_empty=True),
        none_spread=max(1.0, _positive(content, "none_spread", name)),
        sharpness=_positive(content, "sharpness", name),
        reach=_positive(content, "reach", name),
        turn_upright=content.get("turn_upright") is True,
    )
    training = content.get("training")
    return GestureFile(classifier, training if isinstance(training, dict) else {}, str(sealed))


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _numbers(values: Array) -> list:
    # Nine digits bring back every float32, and more than landmarks are worth.
    return np.array(
        [float(f"{value:.{_DIGITS}g}") for value in values.ravel().tolist()]
    ).reshape(values.shape).tolist()  # fmt: skip


def _names(content: Mapping[str, Any], file: str) -> tuple[str, ...]:
    names = content.get("names")
    right = (
        isinstance(names, list)
        and 2 <= len(names) <= _MOST_NAMES
        and all(isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME for name in names)
        and len(set(names)) == len(names)
        and NONE not in names
    )
    if not right:
        raise _wrong(file, "names", "two or more different names", names)
    assert isinstance(names, list)
    return tuple(names)


def _array(
    content: Mapping[str, Any], field: str, file: str, shape: tuple[int, ...],
    may_be_empty: bool = False,
) -> Array:  # fmt: skip
    value = content.get(field)
    if may_be_empty and value == []:
        return np.zeros(0)
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise _wrong(file, field, "numbers", type(value).__name__) from error
    if array.shape != shape or not np.isfinite(array).all():
        raise _wrong(file, field, f"numbers of shape {shape}", array.shape)
    return array


def _positive(content: Mapping[str, Any], field: str, file: str) -> float:
    value = content.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
        raise _wrong(file, field, "a number above 0", value)
    return float(value)


def _wrong(file: str, field: str, expected: object, found: object) -> ViewfinderError:
    return ViewfinderError(
        "this is no gesture file that can be used", file=file, field=field or None,
        expected=expected, found=repr(found)[:80],
    )  # fmt: skip
