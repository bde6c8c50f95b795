"""Class ids in <id>.seg.png of faces."""

from __future__ import annotations

from collections.abc import Mapping

_OWN = ("background", "skin", "lips", "eyes", "mouth", "teeth", "hair", "brows", "lashes",
        "clothes", "glasses", "mask", "headwear", "hand", "object")  # fmt: skip

SECOND = 16
"""What a second person's class ids have on top of the first one's."""

CLASSES: Mapping[str, int] = {name: number for number, name in enumerate(_OWN)} | {
    f"second {name}": SECOND + number for number, name in enumerate(_OWN) if 0 < number < 13
}
"""Segmentation ids; materials carry them as their pass index. A beard is hair, a sleeve clothes."""
