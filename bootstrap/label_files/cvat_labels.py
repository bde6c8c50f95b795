"""The labels that a CVAT task needs before it takes our annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bootstrap.dataset.records import Label
from runtime.topology import Topology, topology

_WORDS = {
    "handedness": {"input_type": "select", "values": ["left", "right"]},
    "gesture": {"input_type": "text", "values": [""]},
}
_MARGIN, _SPAN = 10.0, 80.0  # of CVAT's template, which is 100 wide and high


def label_specifications(labels: Sequence[Label]) -> list[dict[str, Any]]:
    """For the layouts and contours of these labels, as CVAT's label editor takes them ("Raw").

    Args:
        labels: that are exported; the first of each layout shapes its template.
    """
    firsts: dict[str, Label] = {}
    lines: set[str] = set()
    for label in labels:
        if label.topology:
            firsts.setdefault(label.topology, label)
        lines |= set(label.contours)
    result = [_whole(topology(name), firsts[name]) for name in sorted(firsts)]
    return result + [{"name": name, "type": "polyline", "attributes": []} for name in sorted(lines)]


def _whole(shape: Topology, first: Label) -> dict[str, Any]:
    attributes = [
        {"name": name, "mutable": False, "default_value": kind["values"][0], **kind}
        for name, kind in _WORDS.items()
    ]
    if shape.name == "cuboid9":
        return {"name": shape.id, "type": "cuboid", "attributes": []}
    return {
        "name": shape.id,
        "type": "skeleton",
        "attributes": attributes if shape.name == "hand21" else [],
        "sublabels": [
            {"name": name, "type": "points", "attributes": []} for name in shape.keypoint_names
        ],
        "svg": _template(shape, first),
    }


def _template(shape: Topology, label: Label) -> str:
    """CVAT's drawing of a skeleton: an edge a line, a keypoint a circle, numbered from 1."""
    points = np.zeros((shape.size, 2))
    if label.keypoints_px is not None:
        points = np.nan_to_num(label.keypoints_px.astype(np.float64))
    low, high = points.min(axis=0), points.max(axis=0)
    placed = _MARGIN + _SPAN * (points - low) / max(float((high - low).max()), 1e-9)
    at = [(f"{x:.2f}", f"{y:.2f}") for x, y in placed.tolist()]
    lines = [
        f'<line x1="{at[a][0]}" y1="{at[a][1]}" x2="{at[b][0]}" y2="{at[b][1]}" '
        f'data-type="edge" data-node-from="{a + 1}" data-node-to="{b + 1}"></line>'
        for a, b in shape.edges
    ]
    circles = [
        f'<circle r="0.75" cx="{x}" cy="{y}" data-type="element node" data-element-id="{i}" '
        f'data-node-id="{i}" data-label-name="{name}"></circle>'
        for i, ((x, y), name) in enumerate(zip(at, shape.keypoint_names), start=1)
    ]
    return "".join(lines + circles)
