"""What a format has no place for."""

from __future__ import annotations

from collections.abc import Collection

from bootstrap.dataset.records import Label

_NAMES = {
    "keypoints_px": "keypoints",
    "keypoints_camera_m": "positions in metres",
    "contours": "contours",
    "box_px": "boxes",
    "detector_keypoints_px": "detector keypoints",
    "cuboid": "cuboids in space",
    "handedness": "handedness",
    "gesture": "gestures",
    "score": "scores",
    "attributes": "attributes",
}


def lost_fields(label: Label, but: Collection[str]) -> list[str]:
    """Words for the fields that a label has and a format doesn't.

    Args:
        label: that is written.
        but: fields that the format holds.
    """
    found = [] if label.visibility is None or "visibility" in but else _occlusion(label)
    for name, words in _NAMES.items():
        value = getattr(label, name)
        empty = value is None or (hasattr(value, "__len__") and len(value) == 0)
        if name not in but and not empty:
            found.append(words)
    return found


def _occlusion(label: Label) -> list[str]:
    assert label.visibility is not None
    return ["occlusion of keypoints"] if (label.visibility == 1).any() else []
