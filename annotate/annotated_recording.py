"""An AR recording as an annotator has it: its poses, frames and boxes, and what their fits say.

Nothing here changes what is stored; `annotate.cuboid_session` does.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from annotate.cuboid_document import BoxDocument
from annotate.cuboid_drift import Correction, by_clicks, poses_file, read_refined
from annotate.cuboid_fitted import Fitted
from annotate.cuboid_placing import Placement
from annotate.history import ItemKey
from annotate.pictures import Pictures
from annotate.store import AnnotationStore
from arsession.cuboid_evidence import Evidence, PlacedBox
from arsession.cuboid_file import Cuboid
from arsession.cuboid_fit import follow_box
from arsession.placing import DriftFrom, fit_cuboid
from arsession.session import Session
from arsession.views import Views
from runtime.errors import ViewfinderError

TOPOLOGY = "cuboid9@1"
_KEEP_FRAMES = 24


class AnnotatedRecording:
    """A recording's frames, its boxes, and the current ones of both.

    Args:
        recording: that boxes are placed in.
        store: where they are kept.
        project: the recording's folder, or the file with its poses.
    """

    def __init__(self, recording: Session, store: AnnotationStore, project: Path) -> None:
        self.recording = recording
        self.store = store
        self.project = project
        self.tracked = Views.of(recording)
        self.correction = Correction("none", self.tracked)
        self.frame = 0
        self.chosen: int | None = None
        self.placement: Placement | None = None
        self.category = ""
        self._sample_id = project.name if project.is_file() else "session"
        self._fitted: dict[tuple[int, bool], tuple[BoxDocument, Views, Fitted]] = {}
        self.pictures: Pictures[int] | None = None
        if recording.pictures is not None:
            self.pictures = Pictures(recording.pictures.read, keep=_KEEP_FRAMES)
        if poses_file(project).exists():
            with suppress(ViewfinderError):  # whoever asks for them is told what is wrong
                self.correction = read_refined(recording, poses_file(project))
        self.choose(self._last_box())
        clicks = () if self.chosen is None else self.cuboid(self.chosen).clicks
        self.go(clicks[-1].frame if clicks else 0)

    # -- poses ------------------------------------------------------------------------------------

    @property
    def views(self) -> Views:
        """The cameras that boxes are fitted with."""
        return self.correction.views

    def correct(self, by: DriftFrom) -> None:
        """Fit with other poses from now on: the tracker's ("none"), shifted to where clicks want
        them ("annotations"), or as the pictures say ("pictures"). What is stored stays: boxes
        follow from their clicks.

        Raises:
            ViewfinderError: too few clicks, poses that weren't refined yet or are of another
                recording, or no box fits.
        """
        if by == "annotations":
            boxes = [self.cuboid(n) for n in self.boxes()]
            correction = by_clicks(self.recording, boxes, self.project)
        elif by == "pictures":
            correction = read_refined(self.recording, poses_file(self.project))
        else:
            correction = Correction("none", self.tracked)
        self.correction, self.placement = correction, None

    def click_errors_px(self, tracked: bool = False) -> float:
        """How far the boxes are from their clicks, root mean square; NaN without any.

        Args:
            tracked: with the tracker's poses.
        """
        fits = [self.fitted(n, tracked).fit for n in self.boxes()]
        errors = [fit.click_errors_px for fit in fits if fit is not None]
        return float(np.sqrt(np.mean(np.concatenate(errors) ** 2))) if errors else float("nan")

    # -- frames -----------------------------------------------------------------------------------

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.views)

    def go(self, frame: int) -> None:
        """Make a frame current, and begin to decode its picture and the next one's."""
        self.frame = min(max(int(frame), 0), self.frames - 1)
        for ahead in (self.frame, self.frame + 1):
            self.prefetch(ahead)

    def prefetch(self, frame: int) -> None:
        """Begin to decode a frame's picture, if it has one."""
        pictures = self.recording.pictures
        if self.pictures is not None and pictures is not None and pictures.has(frame):
            self.pictures.prefetch(frame)

    def picture(self) -> NDArray[np.uint8]:
        """The current frame's, (H, W, 3) uint8 RGB; grey where it has none.

        Raises:
            ViewfinderError: it can't be read.
        """
        pictures = self.recording.pictures
        if self.pictures is None or pictures is None or not pictures.has(self.frame):
            width, height = self.views.size_px[self.frame].astype(int)
            return np.full((height, width, 3), 128, np.uint8)
        return self.pictures.read(self.frame)

    def next_frame(self) -> int | None:
        """The frame to annotate next for the chosen box, None for none."""
        if self.chosen is None:
            return None
        suggested = self.fitted(self.chosen).suggested
        return suggested[0].frame if suggested else None

    # -- boxes ------------------------------------------------------------------------------------

    def key(self, number: int) -> ItemKey:
        """Where the store keeps a box."""
        return ItemKey(self._sample_id, number, TOPOLOGY)

    def document(self, number: int) -> BoxDocument:
        """A box as it stands; one without a cuboid where there is none."""
        found = self.store.document(self.key(number))
        return BoxDocument() if found is None else cast(BoxDocument, found)

    def cuboid(self, number: int) -> Cuboid:
        """A box that is there."""
        cuboid = self.document(number).cuboid
        assert cuboid is not None
        return cuboid

    def boxes(self) -> list[int]:
        """The numbers of the boxes that are there."""
        numbers = (k.subject_id for k in self.store.history if k.sample_id == self._sample_id)
        return sorted(n for n in numbers if self.document(n).cuboid is not None)

    def _last_box(self) -> int | None:
        boxes, last = self.boxes(), self.store.history.last_key
        if last is not None and last.subject_id in boxes:
            return last.subject_id
        return boxes[-1] if boxes else None

    def choose(self, number: int | None) -> None:
        """Work on a box."""
        self.chosen = number
        if number is not None:
            self.category = self.cuboid(number).category or self.category

    def fitted(self, number: int, tracked: bool = False) -> Fitted:
        """A box and what its fit says, as the store has it.

        Args:
            number: of the box.
            tracked: with the tracker's poses, whatever was done about drift.

        Raises:
            ViewfinderError: its clicks fit no box.
        """
        document = self.document(number)
        views = self.tracked if tracked else self.views
        known = self._fitted.get((number, tracked))
        if known is not None and known[0] is document and known[1] is views:
            return known[2]
        assert document.cuboid is not None
        _, fit, plane = fit_cuboid(self.recording, views, document.cuboid)
        box = document.cuboid.box if fit is None else fit.box
        assert box is not None
        found = Fitted(document.cuboid, box, fit, plane, views)
        self._fitted[number, tracked] = (document, views, found)
        return found

    def tried(self, before: Fitted, cuboid: Cuboid, start: PlacedBox) -> Fitted:
        """What a box would be with other clicks, standing where it stands; nothing is kept.

        Raises:
            ViewfinderError: they fit no box.
        """
        up = self.recording.up_world if cuboid.upright else None
        evidence = Evidence(
            cuboid.clicks, up_world=up, plane=before.plane, symmetry=cuboid.symmetry
        )
        fit = follow_box(evidence, self.views, start)
        return Fitted(replace(cuboid, box=fit.box), fit.box, fit, before.plane, self.views)
