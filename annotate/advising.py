"""What the window does with the model beside the annotator: its answers, colours, lessons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotate import disagreement
from annotate.adviser import MEDIAPIPES_NAME, OURS_NAME, Adviser
from annotate.editing import Document
from annotate.history import ItemKey
from annotate.learning import check_enough, refined
from annotate.review import ReviewSession
from runtime.errors import ViewfinderError

if TYPE_CHECKING:
    from annotate.window import AnnotateWindow

_LISTEN_MS = 60
_CHOICES = "1 the newest learned here, or ours · 2 ours · 3 MediaPipe's · or a file"
_NAMES = {"1": "", "2": OURS_NAME, "3": MEDIAPIPES_NAME}
_LENGTHS = {"face": "the eyes' distance", "hand": "the palm"}


class Advising:
    """The model's part in a window.

    Args:
        window: whose.
        parent: a Qt object that owns the timer.
        model: which model answers, see `Adviser`.
    """

    def __init__(self, window: AnnotateWindow, parent: Any, model: str = "") -> None:
        from qtpy.QtCore import QTimer

        self._w = window
        self._model = model
        self.adviser: Adviser | None = None
        self.coloured = False
        self._take: tuple[ItemKey, str | None] | None = None
        self._timer = QTimer(parent)
        self._timer.setInterval(_LISTEN_MS)
        self._timer.timeout.connect(self.listen)

    def begin(self, project: Path) -> None:
        """Another session."""
        self.end()
        self.adviser = Adviser(project, self._model)

    def end(self) -> None:
        """Stop what runs."""
        self._timer.stop()
        self._take = None
        if self.adviser is not None:
            self.adviser.end()

    # -- what a person asks for -------------------------------------------------------------------

    def predict(self, contour: str | None = None) -> None:
        """Let the model predict the item, or a contour of it, again, as an edit."""
        if self._ask():
            self._take = self._w.session.item.key, contour
            self._w.viewer.status = "the model looks ..."

    def choose(self, text: str) -> None:
        """Another model answers."""
        assert self.adviser is not None
        self.adviser.chosen = self._model = _NAMES.get(text, text)
        self.show_item()
        self._w.show_document()

    def ask_which(self) -> None:
        """Ask the person which model is to answer."""
        assert self.adviser is not None
        title = f"Which model predicts? {_CHOICES}"
        self._w.panel.prompt.ask(title, self.adviser.chosen, self.choose)

    def toggle_colours(self) -> None:
        """Colour keypoints by how far the model is from them, or by visibility again."""
        self.coloured = not self.coloured
        self.show_item()
        self._w.show_document()

    def toggle_learning(self) -> None:
        """Teach the model what was refined last, or stop doing so."""
        assert self.adviser is not None
        session = self._w.session
        if self.adviser.learning:
            self.adviser.stop_learning()
            self._w.panel.set_saved("learning stopped: the model stays as it was")
        else:
            store, topology_id = session.store, session.item.key.topology_id
            try:
                if isinstance(session, ReviewSession):
                    raise ViewfinderError("what reviewers decide is learned after an export")
                check_enough(len(refined(store.history, topology_id)))
                self.adviser.learn(store.annotator, str(store.path), topology_id)
            except ViewfinderError as error:
                self._w.tell(error)
                return
            self._timer.start()
        self.show_text()

    # -- what the window shows --------------------------------------------------------------------

    def show_item(self) -> None:
        """Another item: the colours need the model's answer."""
        if self._take is not None and self._take[0] != self._w.session.item.key:
            self._take = None
        if self.coloured and self.adviser is not None:
            key = self._w.session.item.key
            if self.adviser.answer(key) is None and not self._ask():
                self.coloured = False
        self.show_text()

    def tint(self, document: Document) -> NDArray[np.float32] | None:
        """(N, 4) RGBA of the keypoints, None where they show visibility."""
        percent = self.percent(document)
        return None if percent is None else disagreement.colours(percent, document.topology_id)

    def percent(self, document: Document) -> NDArray[np.float64] | None:
        """(N,) how far the model is from each keypoint, None where that isn't shown."""
        if not self.coloured or self.adviser is None:
            return None
        found = self.adviser.answer(self._w.session.item.key)
        return None if found is None else disagreement.apart_percent(document, found.points_px)

    def show_text(self) -> None:
        """The panel's lines about the model: colours, which it is, what it learns."""
        if self.adviser is None:
            return
        document = self._w.session.document
        self._w.panel.set_legend(self._legend(document))
        try:
            model = Path(self.adviser.model(document.topology_id)).name.removesuffix(".task")
            self._w.panel.set_model(f"model: {model}", self.adviser.lesson_text)
        except ViewfinderError:
            self._w.panel.set_model("", "")

    def _legend(self, document: Document) -> str:
        percent = self.percent(document)
        if percent is None:
            return ""
        unit = disagreement.unit_percent(document.topology_id)
        dots = "&nbsp;".join(
            f"<span style='color:{colour}'>●</span>&nbsp;{step * unit:.1f}"
            for colour, step in disagreement.STEPS
        )
        length = _LENGTHS.get(document.topology_id[:4], "the subject")
        known = percent[np.isfinite(percent)]
        mean = f"{known.mean():.2f}" if len(known) else "?"
        return f"{dots}&nbsp;%<br>{mean} % of {length} from the model"

    def _ask(self) -> bool:
        assert self.adviser is not None
        try:
            self.adviser.ask(self._w.session.item.key, self._w.session.document)
        except ViewfinderError as error:
            self._w.tell(error)
            return False
        self._timer.start()
        return True

    # -- what the model says ----------------------------------------------------------------------

    def listen(self) -> None:
        """Take up what the model's processes said, unless a drag is under way."""
        if self.adviser is None or self._w.canvas.dragging.index is not None:
            return
        here = self._w.session.item.key
        for news in self.adviser.listen():
            if news.wrong:
                self._take = None
                self._w.tell(ViewfinderError(news.text))
            elif news.text:
                self._w.panel.set_saved(news.text)
                if self.coloured:
                    self.show_item()
            if news.answered == here:
                self._answered(here)
        self.show_text()
        if not self.adviser.waiting:
            self._timer.stop()

    def _answered(self, key: ItemKey) -> None:
        assert self.adviser is not None
        found = self.adviser.answer(key)
        if self._take is not None and self._take[0] == key and found is not None:
            contour, self._take = self._take[1], None
            session = self._w.session
            change = disagreement.predicted(
                session.document, found.points_px, found.sha256[:12], contour
            )
            did = "predicted again" if contour is None else f"{contour} predicted again"
            if change is None:
                self._w.panel.set_saved("the model says the same")
            else:
                self._w.kept(lambda: session.adopt(change), did)
        self._w.show_document()
