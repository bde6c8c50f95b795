"""What the live page is sent: the newest picture as JPEG, and the numbers beside it."""

from __future__ import annotations

import threading
import time
from typing import Any

import cv2

from runtime.drawing.strokes import Picture
from runtime.image import encode_image
from runtime.results import Subject
from runtime.viewing.controls import HELP
from runtime.viewing.viewer import Status

_QUALITY = 82
_LARGEST_SIDE = 1600
_MOST_STREAMS = 8


class Pictures:
    """The newest picture, encoded once by the first thread that needs it.

    Attributes:
        number: of pictures so far.
        ended: whether there will be no more.
        streams: places for browsers that watch.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._encoding = threading.Lock()
        self._picture: Picture | None = None
        self._status: Status | None = None
        self._encoded: tuple[int, bytes] = (0, b"")
        self.number = 0
        self.ended = False
        self.streams = threading.BoundedSemaphore(_MOST_STREAMS)

    def put(self, picture: Picture, status: Status) -> None:
        """Take a (H, W, 3) uint8 picture that stays as it is."""
        with self._changed:
            self._picture, self._status = picture, status
            self.number += 1
            self._changed.notify_all()

    def end(self) -> None:
        """Let go of whoever waits."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def after(self, number: int, timeout_s: float) -> tuple[int, bytes] | None:
        """The newest picture as JPEG once there is one with a greater number; None if not."""
        with self._changed:
            self._changed.wait_for(lambda: self.number > number or self.ended, timeout_s)
            if self.ended or self.number <= number or self._picture is None:
                return None
        with self._encoding:
            with self._changed:
                newest, picture = self.number, self._picture
            if self._encoded[0] != newest:
                self._encoded = (newest, _jpeg(picture))
            return self._encoded

    def status(self) -> tuple[int, Status | None]:
        """The newest picture's number and what is said beside it."""
        with self._changed:
            return self.number, self._status


def _jpeg(picture: Picture) -> bytes:
    scale = _LARGEST_SIDE / max(picture.shape[:2])
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return encode_image(picture, ".jpg", _QUALITY)


def status_json(number: int, status: Status | None) -> dict[str, Any]:
    """What the page's script asks for: `Status` and the picture's number as JSON values."""
    if status is None:
        return {"number": 0}
    result, against = status.result, status.result.against
    fields: dict[str, Any] = {
        "number": number,
        "at": round(time.time(), 3),
        "model": result.model,
        "source": result.source,
        "frame": result.frame,
        "seconds": round(result.timestamp_us / 1e6, 3),
        "width": result.width,
        "height": result.height,
        "fps": round(status.fps, 1),
        "ms": round(result.spent_ms, 2),
        "dropped": status.dropped,
        "back": status.back,
        "paused": status.paused,
        "overlays": status.overlays,
        "view": status.view,
        "message": status.message,
        "help": status.help,
        "keys": HELP,
        "subjects": [_subject_json(subject) for subject in result.subjects],
    }
    if against is not None:
        fields["against"] = {
            "model": against.model,
            "ms": round(against.spent_ms, 2),
            "words": status.difference(),
            "difference": against.difference.to_json(against.first, against.subjects),
        }
    return fields


def _subject_json(subject: Subject) -> dict[str, Any]:
    """What the table of numbers shows of a subject."""
    blendshapes = sorted((subject.blendshapes or {}).items(), key=lambda item: -item[1])[:5]
    fields = {
        "id": subject.id,
        "topology": subject.topology,
        "score": round(float(subject.score), 4),
        "handedness": subject.handedness,
        "gesture": subject.gesture,
        "iris": subject.iris,
        "blendshapes": {name: round(float(value), 3) for name, value in blendshapes},
        "size_m": (subject.cuboid or {}).get("size_m"),
        "mask": None if subject.mask is None else round(float((subject.mask > 0.5).mean()), 4),
    }
    return {name: value for name, value in fields.items() if value not in (None, {})}
