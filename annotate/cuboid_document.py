"""A box of an AR recording as the store keeps it, and the changes that can be made to it.

Pure, as `annotate.editing` is for keypoints: a change never alters a document, it gives a new one.
An edit carries the whole box with its clicks, so that undo brings back exactly what was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from annotate.status import SetStatus, Status
from arsession.cuboid_file import Cuboid, cuboid_from_entry, cuboid_to_entry

DOCUMENT_KIND = "box"
_STORED = Path("revision")


@dataclass(frozen=True)
class BoxDocument:
    """One box of a recording as it stands.

    Attributes:
        cuboid: its clicks, what it snaps to, and where the last fit put it; None where there is no
            box: not yet, or no longer.
        status: `open`, `done` (accepted), `skipped` or `flagged` (left out of exports).
        note: why it is flagged, or "".
    """

    cuboid: Cuboid | None = None
    status: Status = "open"
    note: str = ""

    def same_as(self, other: BoxDocument) -> bool:
        """True when nothing differs, to the last bit."""
        return box_to_json(self) == box_to_json(other)


@dataclass(frozen=True)
class SetCuboid:
    """The box becomes this one; None takes it away."""

    cuboid: Cuboid | None


def apply_to_box(document: BoxDocument, change: SetCuboid | SetStatus) -> BoxDocument:
    """The document after a change.

    Raises:
        ViewfinderError: no such status.
    """
    if isinstance(change, SetStatus):
        change.check()
        return replace(document, status=change.to, note=change.note)
    return replace(document, cuboid=change.cuboid)


def box_to_json(document: BoxDocument) -> dict[str, Any]:
    """A document as a JSON object; floats keep every bit. What a fit said isn't kept."""
    return {
        "kind": DOCUMENT_KIND,
        "status": document.status,
        "note": document.note,
        "cuboid": _entry(document.cuboid),
    }


def box_from_json(stored: Mapping[str, Any]) -> BoxDocument:
    """Inverse of `box_to_json`.

    Raises:
        KeyError, ViewfinderError: not such a document.
    """
    document = BoxDocument(_cuboid(stored["cuboid"]))
    return apply_to_box(document, SetStatus(stored["status"], str(stored["note"])))


def cuboid_change_to_json(change: SetCuboid) -> dict[str, Any]:
    """A change as a JSON object."""
    return {"op": "cuboid", "to": _entry(change.cuboid)}


def cuboid_change_from_json(stored: Mapping[str, Any]) -> SetCuboid:
    """Inverse of `cuboid_change_to_json`.

    Raises:
        KeyError, ViewfinderError: not such a change.
    """
    return SetCuboid(_cuboid(stored["to"]))


def _entry(cuboid: Cuboid | None) -> dict[str, Any] | None:
    return None if cuboid is None else cuboid_to_entry(replace(cuboid, fit={}))


def _cuboid(entry: Any) -> Cuboid | None:
    return None if entry is None else cuboid_from_entry(entry, _STORED, "cuboid")
