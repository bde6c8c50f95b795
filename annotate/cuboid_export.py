"""From the boxes in a store to the file that `viewfinder session` reads, and to labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from annotate.cuboid_session import CuboidSession
from arsession.cuboid_file import write_cuboids
from arsession.placing import place
from arsession.propagate_dataset import layer_of, write_propagated
from runtime.errors import ViewfinderError

DATASET_NAME = "frames"


@dataclass(frozen=True)
class BoxExport:
    """What an export wrote.

    Attributes:
        boxes: how many.
        flagged: boxes left out because they are flagged.
        file: the boxes with their clicks, as `viewfinder session fit` and `propagate` read them.
        dataset: the frames, with a layer for each annotator who exported.
        layer: this annotator's.
        labels: how many it holds.
        drift: by what it was taken out of the poses: none, annotations or pictures.
    """

    boxes: int
    flagged: int
    file: Path
    dataset: Path
    layer: str
    labels: int
    drift: str = "none"


def export_boxes(
    work: CuboidSession, progress: Callable[[int, int], None] = lambda done, total: None
) -> BoxExport:
    """Write boxes-<annotator>.json beside the store, and the data set `frames` with the boxes in
    every frame as the layer `propagated@<annotator>`; nobody else's file or layer changes. Pictures
    are packed the first time alone.

    Args:
        work: the session.
        progress: called with frames done and in all.

    Raises:
        ViewfinderError: no box to write, or it can't be written.
    """
    work.store.refresh()
    boxes = [n for n in work.boxes() if work.document(n).status != "flagged"]
    flagged = len(work.boxes()) - len(boxes)
    folder = work.project if work.project.is_dir() else work.project.parent
    if not boxes:
        raise ViewfinderError(
            "there is no box to export", file=work.store.path,
            found=f"{flagged} flagged" if flagged else None,
        )  # fmt: skip
    file = folder / f"boxes-{work.annotator}.json"
    # The poses that the window shows; the data set says the tracker's, as nothing there changes.
    poses = work.correction.world_from_camera()
    corrected = replace(work.recording, world_from_camera=poses)
    placed = place(corrected, tuple(work.cuboid(n) for n in boxes), file)
    write_cuboids(file, placed.cuboids)
    dataset, layer = folder / DATASET_NAME, layer_of(work.annotator)
    report = write_propagated(work.recording, placed, dataset, progress=progress, layer=layer)
    return BoxExport(len(boxes), flagged, file, dataset, layer, report.labels, work.correction.by)
