"""What COCO-WholeBody adds to a COCO person: the face's 68 points and both hands' 21.

Jin et al. 2020. The face is iBUG's markup, hands are in hand21's order; a third number above 0
says that a point was labelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bootstrap.dataset.records import Label
from bootstrap.label_files.annotated import HALF_PIXEL
from runtime.errors import ViewfinderError
from runtime.topology import Topology, topology

# Prefix of the fields, topology, handedness.
_ADDED = (
    ("face", "face68@1", None),
    ("lefthand", "hand21@1", "left"),
    ("righthand", "hand21@1", "right"),
)


def whole_body(annotation: Mapping[str, Any], file: Path) -> list[Label]:
    """Labels of the face and the hands that an annotation has, without sample and number (-1).

    Raises:
        ViewfinderError: a list of the wrong length.
    """
    found = []
    for prefix, layout, side in _ADDED:
        flat = annotation.get(f"{prefix}_kpts")
        if not flat or not annotation.get(f"{prefix}_valid", True):
            continue
        shape = topology(layout)
        try:
            triples = np.asarray(flat, dtype=np.float64).reshape(shape.size, 3)
            box = np.asarray(annotation.get(f"{prefix}_box", ()), dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ViewfinderError(
                "wrong number of keypoints", file=file, expected=f"{shape.size} triples",
                field=f"annotation {annotation.get('id')} {prefix}_kpts",
            ) from error  # fmt: skip
        if not (triples[:, 2] > 0).any():
            continue
        triples[:, 2] = np.where(triples[:, 2] > 0, 2, 0)
        found.append(
            Label(
                sample_id="",
                subject_id=-1,
                topology=layout,
                box_px=box if box.shape == (4,) and (box[2:] > 0).all() else None,
                handedness=side,
                source=f"COCO-WholeBody {file.name}",
                **points_and_visibility(triples, range(shape.size), shape),
            )
        )
    return found


def points_and_visibility(
    triples: NDArray[np.float64], places: Sequence[int], shape: Topology
) -> dict[str, Any]:
    """COCO's x, y, v of some keypoints as `keypoints_px` and `visibility` of all.

    Args:
        triples: (K, 3).
        places: (K,) index of each in the topology.
        shape: the topology, of N keypoints.
    """
    points = np.full((shape.size, 2), np.nan)
    seen = np.zeros(shape.size, dtype=np.int8)
    seen[list(places)] = np.clip(triples[:, 2], -1, 9).astype(np.int8)
    points[list(places)] = triples[:, :2] + HALF_PIXEL
    points[seen == 0] = np.nan
    return {"keypoints_px": points, "visibility": seen}
