"""One annotator at work on the boxes of one AR recording; every edit is kept at once.

No Qt and no napari here: the window and scripts use this same class.

    with CuboidSession.open("recording", annotator="kim") as work:
        for x, y in ((101.0, 310.5), (240.0, 322.0), (265.5, 250.0), (238.0, 180.5)):
            work.place((x, y), zoom=2.0)
        work.go(work.next_frame())
        work.begin_drag(Handle("corner", 3), zoom=2.0).to_px((96.0, 120.0)).keep()
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from annotate.annotated_recording import AnnotatedRecording
from annotate.cuboid_document import BoxDocument, SetCuboid
from annotate.cuboid_drift import by_clicks, poses_sha256
from annotate.cuboid_fitted import Fitted
from annotate.cuboid_handles import front_turned, picture_sigma_px
from annotate.cuboid_placing import Placement, level_planes
from annotate.cuboid_proposing import proposed
from annotate.history import ItemKey
from annotate.revision_log import is_server
from annotate.status import SetStatus, Status
from annotate.store import STORE_NAME, AnnotationStore, annotator_name
from annotate.worked_time import WorkedTime
from arsession.cuboid_file import Cuboid
from arsession.placing import fit_cuboid
from arsession.readers import open_session
from arsession.session import Session
from arsession.views import Views
from runtime.errors import ViewfinderError


class CuboidSession(AnnotatedRecording):
    """A recording's frames, its boxes, the current ones of both, and what can be done to them."""

    def __init__(
        self,
        recording: Session,
        store: AnnotationStore,
        project: Path,
        clock: Callable[[], float] = time.monotonic,
        model: str | None = None,
    ) -> None:
        super().__init__(recording, store, project)
        self._model = model
        self._worked = WorkedTime(clock)

    @classmethod
    def open(
        cls,
        project: str | Path,
        *,
        annotator: str | None = None,
        keep_going: bool = False,
        store: str | Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        model: str | None = None,
    ) -> CuboidSession:
        """Open a recording where this annotator left it.

        Args:
            project: the recording's folder, or the file with its poses; the store is
                `annotations.sqlite` in that folder.
            annotator: whose work it is; the login name when None.
            keep_going: whether to go on in memory where the disk fails.
            store: another store's file, or a server's URL.
            clock: seconds, for how long edits take.
            model: a bundle that proposes boxes; MediaPipe's networks when None.

        Raises:
            ViewfinderError: no recording, one without intrinsics, or a store that can't be used.
        """
        name, project = annotator_name(annotator), Path(project)
        recording = open_session(project)
        Views.of(recording)  # a recording without a camera is refused before a store is made
        folder = project if project.is_dir() else project.parent
        poses = poses_sha256(recording)
        opened = AnnotationStore.open(
            folder / STORE_NAME if store is None else store,
            name,
            keep_going=keep_going,
            project=f"{project.resolve().name} {poses[:16]}" if is_server(store) else "",
        )
        return cls(recording, opened, project, clock, model)

    def __enter__(self) -> CuboidSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store; every edit is on the disk already."""
        if self.pictures is not None:
            self.pictures.close()
        self.store.close()

    @property
    def annotator(self) -> str:
        """Whose work this is."""
        return self.store.annotator

    # -- edits: on the disk when the method returns ------------------------------------------------

    def begin_placing(self) -> None:
        """The next four clicks are a new box."""
        self.placement = Placement(self.recording, self.views)

    def place(self, px: tuple[float, float], zoom: float) -> bool:
        """A click of a box on its way, in the current frame; whether it is whole, and kept.

        Args:
            px: x, y in the picture.
            zoom: how large the picture was shown.

        Raises:
            ViewfinderError: it gives no box, or it couldn't be kept.
        """
        if self.placement is None:
            self.begin_placing()
        placement = self.placement
        assert placement is not None
        if not placement.click(self.frame, px):
            return False
        number = self._free_number()
        cuboid = placement.cuboid(number, self.category, picture_sigma_px(zoom))
        try:
            _, fit, _ = fit_cuboid(self.recording, self.views, cuboid)
        except ViewfinderError:
            placement.back()
            raise
        self.keep(cuboid if fit is None else replace(cuboid, box=fit.box))
        self.placement = None
        self.choose(number)
        return True

    def keep(self, cuboid: Cuboid) -> None:
        """A box becomes this one."""
        self._record(cuboid.id, SetCuboid(cuboid))

    def delete(self) -> None:
        """Take the chosen box away; the one before it is chosen."""
        if self.chosen is not None:
            self._record(self.chosen, SetCuboid(None))
            self.choose(self._beside(self.chosen))

    def forget_frame(self) -> None:
        """Take the current frame's clicks off the chosen box, which goes where the others say.

        Raises:
            ViewfinderError: no others are left, or it couldn't be kept.
        """
        before = self._chosen_fitted()
        left = tuple(c for c in before.cuboid.clicks if c.frame != self.frame)
        if not left:
            raise ViewfinderError("these are the only clicks: take the box away instead")
        if len(left) < len(before.cuboid.clicks):
            self.keep(self.tried(before, replace(before.cuboid, clicks=left), before.box).cuboid)

    def turn_front(self) -> None:
        """What was the right side becomes the front."""
        before = self._chosen_fitted()
        self.keep(front_turned(replace(before.cuboid, box=before.box)))

    def set_category(self, category: str) -> None:
        """Say what the chosen box, or the next one, is."""
        self.category = category
        if self.chosen is not None:
            self.keep(replace(self.cuboid(self.chosen), category=category))

    def set_square(self, square: bool) -> None:
        """Say that the chosen box is as wide as it is deep, or no longer so."""
        before = self._chosen_fitted()
        cuboid = replace(before.cuboid, symmetry="square" if square else "none")
        self.keep(self.tried(before, cuboid, before.box).cuboid if cuboid.clicks else cuboid)

    def next_plane(self) -> None:
        """Let the chosen box stand on the recording's next level plane, after the last on none.

        Raises:
            ViewfinderError: there is none, or it couldn't be kept.
        """
        before = self._chosen_fitted()
        names: list[str | None] = [
            ground.plane.identifier for ground in level_planes(self.recording) if ground.plane
        ]
        if not names:
            raise ViewfinderError("the recording has no level plane")
        names.append(None)
        now = before.cuboid.plane
        place = names.index(now) if now is None or (isinstance(now, str) and now in names) else -1
        cuboid = replace(before.cuboid, plane=names[(place + 1) % len(names)], box=before.box)
        if cuboid.clicks:
            _, fit, _ = fit_cuboid(self.recording, self.views, cuboid)
            cuboid = cuboid if fit is None else replace(cuboid, box=fit.box)
        self.keep(cuboid)

    def propose(self) -> None:
        """Let a network find a box in this frame.

        Raises:
            ViewfinderError: no network for this category, nothing found, or it couldn't be kept.
        """
        found = proposed(self.recording, self.frame, self.category, self._model)
        planes = level_planes(self.recording)
        plane = planes[0].plane.identifier if planes and planes[0].plane else None
        cuboid = replace(found, id=self._free_number(), plane=plane)
        _, fit, _ = fit_cuboid(self.recording, self.views, cuboid)
        self.keep(cuboid if fit is None else replace(cuboid, box=fit.box))
        self.placement = None
        self.choose(cuboid.id)

    def _free_number(self) -> int:
        taken = (k.subject_id for k in self.store.history if k.sample_id == self._sample_id)
        return max(taken, default=-1) + 1

    def set_status(self, status: Status, note: str = "") -> None:
        """Accept the chosen box, flag it, or open it again."""
        if self.chosen is not None:
            self._record(self.chosen, SetStatus(status, note))

    def undo(self) -> ItemKey | None:
        """Take the newest edit back; None when there is nothing to undo."""
        return self._went(self.store.undo(self._worked.spent()))

    def redo(self) -> ItemKey | None:
        """Repeat what was taken back last; None when there is nothing."""
        return self._went(self.store.redo(self._worked.spent()))

    def _went(self, key: ItemKey | None) -> ItemKey | None:
        if key is not None:
            there = self.document(key.subject_id).cuboid is not None
            self.choose(key.subject_id if there else self._beside(key.subject_id))
            self._shift_again()
        return key

    def _beside(self, number: int) -> int | None:
        boxes = self.boxes()
        return next((n for n in reversed(boxes) if n < number), boxes[0] if boxes else None)

    def _chosen_fitted(self) -> Fitted:
        if self.chosen is None:
            raise ViewfinderError("there is no box yet")
        return self.fitted(self.chosen)

    def _record(self, number: int, change: SetCuboid | SetStatus) -> None:
        self.store.record(
            self.key(number),
            change,
            found=cast(Any, BoxDocument()),
            source=self.recording.format,
            duration_s=self._worked.spent(),
        )
        self._shift_again()

    def _shift_again(self) -> None:
        """Poses that follow from clicks follow from these."""
        if self.correction.by == "annotations":
            boxes = [self.cuboid(n) for n in self.boxes()]
            with suppress(ViewfinderError):  # then they stay as the clicks before had them
                self.correction = by_clicks(self.recording, boxes, self.project)

    def present(self) -> None:
        """The person moved mouse or keyboard: time since the last such sign is work."""
        self._worked.present()
