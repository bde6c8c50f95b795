"""Documents and changes as the store keeps them; what comes back is the same to the last bit."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from annotate.cuboid_document import (
    DOCUMENT_KIND,
    BoxDocument,
    SetCuboid,
    box_from_json,
    box_to_json,
    cuboid_change_from_json,
    cuboid_change_to_json,
)
from annotate.editing import (
    Adopt,
    Change,
    Confirm,
    Document,
    Move,
    SetHandedness,
    SetVisibility,
    new_document,
)
from annotate.status import SetStatus


def change_to_json(change: Change) -> str:
    """A change as it is stored; floats keep every bit."""
    if isinstance(change, Move):
        stored: dict[str, Any] = {"op": "move", "index": change.indices, "to": change.to_px}
        stored |= {"held": change.held} if change.held else {}
        stored |= {"depth": change.depth} if change.depth else {}
    elif isinstance(change, SetHandedness):
        stored = {"op": "handedness", "to": change.to}
    elif isinstance(change, Confirm):
        stored = {"op": "confirm", "contours": change.contours, "to": change.to}
    elif isinstance(change, Adopt):
        stored = {"op": "adopt", "index": change.indices, "to": change.to_px}
        stored |= {"visibility": change.visibility, "of": change.of}
    elif isinstance(change, SetCuboid):
        stored = cuboid_change_to_json(change)
    elif isinstance(change, SetVisibility):
        stored = {"op": "visibility", "index": change.indices, "to": change.to}
    else:
        stored = {"op": "status", "to": change.to, "note": change.note}
    return json.dumps(stored, separators=(",", ":"))


def change_from_json(text: str) -> Change:
    """Inverse of `change_to_json`.

    Raises:
        ValueError: not a change (the store turns it into an error that names the revision).
    """
    stored = json.loads(text)
    if not isinstance(stored, Mapping):
        raise ValueError("not an object")
    try:
        if stored["op"] == "move":
            to = tuple((float(x), float(y)) for x, y in stored["to"])
            held = tuple(int(i) for i in stored.get("held", ()))
            depth = tuple(float(z) for z in stored.get("depth", ()))
            return Move(tuple(int(i) for i in stored["index"]), to, held, depth)
        if stored["op"] == "handedness":
            return SetHandedness(str(stored["to"]))
        if stored["op"] == "confirm":
            return Confirm(tuple(str(name) for name in stored["contours"]), bool(stored["to"]))
        if stored["op"] == "adopt":
            spots = tuple(None if p is None else (float(p[0]), float(p[1])) for p in stored["to"])
            shown = tuple(int(v) for v in stored["visibility"])
            return Adopt(tuple(int(i) for i in stored["index"]), spots, shown, str(stored["of"]))
        if stored["op"] == "visibility":
            return SetVisibility(
                tuple(int(i) for i in stored["index"]), tuple(int(v) for v in stored["to"])
            )
        if stored["op"] == "status":
            return SetStatus(stored["to"], str(stored["note"]))
        if stored["op"] == "cuboid":
            return cuboid_change_from_json(stored)
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"incomplete change: {error}") from error
    raise ValueError(f"unknown operation {stored['op']!r}")


def document_to_json(document: Document | BoxDocument) -> str:
    """A starting document as it is stored; a missing position is null."""
    if isinstance(document, BoxDocument):
        return json.dumps(box_to_json(document), separators=(",", ":"))
    points = [
        [x, y] if math.isfinite(x) and math.isfinite(y) else None
        for x, y in document.keypoints_px.tolist()
    ]
    stored: dict[str, Any] = {
        "topology": document.topology_id,
        "keypoints_px": points,
        "visibility": document.visibility.tolist(),
    }
    if document.depth is not None:
        away = document.depth.tolist()
        stored["depth"] = [z if math.isfinite(z) else None for z in away]
    stored |= {"handedness": document.handedness} if document.handedness else {}
    return json.dumps(stored, separators=(",", ":"))


def document_from_json(text: str) -> Document | BoxDocument:
    """Inverse of `document_to_json`.

    Raises:
        ValueError: not a document.
        ViewfinderError: a topology this release doesn't know, or counts that don't match it.
    """
    stored = json.loads(text)
    try:
        if stored.get("kind") == DOCUMENT_KIND:
            return box_from_json(stored)
        points = [[math.nan, math.nan] if p is None else p for p in stored["keypoints_px"]]
        away = stored.get("depth")
        depth = None if away is None else [math.nan if z is None else z for z in away]
        said = str(stored.get("handedness", ""))
        return new_document(stored["topology"], points, stored["visibility"], depth, said)
    except (KeyError, TypeError) as error:
        raise ValueError(f"incomplete document: {error}") from error
