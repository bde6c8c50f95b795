"""Which of our layouts a file's keypoints belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime.errors import ViewfinderError
from runtime.topology import Topology, topology, topology_ids

# OneHand10K, FreiHAND and others, as MMPose's COCO files name their joints.
_OTHER_NAMES = {
    f"{theirs}{i + 1}": f"{ours}_{joint}"
    for theirs, ours in (
        ("thumb", "thumb"), ("forefinger", "index"), ("middle_finger", "middle"),
        ("ring_finger", "ring"), ("pinky_finger", "pinky"),
    )
    for i, joint in enumerate(
        ("cmc", "mcp", "ip", "tip") if ours == "thumb" else ("mcp", "pip", "dip", "tip")
    )
}  # fmt: skip

_BY_COUNT = ("face68@1", "face98@1", "face478@1", "face468@1")
"""What a bare list of points is taken for, before the other layouts."""


def layout_of_names(
    names: Sequence[str], file: Path, called: str = ""
) -> tuple[Topology, list[int]]:
    """The layout that has all these keypoints, and where each stands in it.

    Args:
        names: of keypoints, ours or those of MMPose's hand files.
        file: for the error.
        called: the name of the whole; a topology of that id comes first, then the smallest.

    Raises:
        ViewfinderError: no layout has them all.
    """
    wanted = [_OTHER_NAMES.get(name, name) for name in names]
    shapes = [topology(name) for name in topology_ids()]
    fits = [shape for shape in shapes if set(wanted) <= set(shape.keypoint_names)]
    if not fits:
        raise ViewfinderError(
            "no topology has these keypoints",
            file=file,
            field=called[:60],
            expected=" | ".join(topology_ids()),
            found=", ".join(names[:4]) + " ...",
        )
    shape = min(fits, key=lambda shape: (shape.id != called, shape.size))
    return shape, [shape.keypoint_names.index(name) for name in wanted]


def layout_of_count(count: int, file: Path) -> str:
    """The topology with so many keypoints, faces first.

    Raises:
        ViewfinderError: none has.
    """
    ids = (*_BY_COUNT, *(name for name in topology_ids() if name not in _BY_COUNT))
    for name in ids:
        if topology(name).size == count:
            return name
    sizes = ", ".join(str(topology(name).size) for name in ids)
    raise ViewfinderError(
        "no layout has so many points", file=file, field="n_points", expected=sizes, found=count
    )
