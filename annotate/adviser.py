"""The model beside an annotator: what it says of items, and what it learns from them. No Qt.

Both happen in processes of their own; `listen` takes up what they said, and never waits.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotate.background import Job
from annotate.editing import Document
from annotate.history import ItemKey
from annotate.learning import NETWORKS, STEPS, Learned, Lesson, learned_models
from annotate.predicting import MEDIAPIPES, OURS, Answer
from runtime.errors import ViewfinderError

OURS_NAME, MEDIAPIPES_NAME = "ours", "mediapipe"


@dataclass(frozen=True)
class News:
    """Something that happened.

    Attributes:
        answered: the item that there is an answer for, or None.
        text: for people, "" for nothing.
        wrong: whether it is an error.
    """

    answered: ItemKey | None = None
    text: str = ""
    wrong: bool = False


class Adviser:
    """Asks models, teaches ours.

    Args:
        project: the data set's folder.
        model: which one answers: `ours`, `mediapipe`, a file or a stored model's name; what was
            learned here last, else ours, when "".
    """

    def __init__(self, project: Path, model: str = "") -> None:
        self.project = project
        self.chosen = model
        self.lesson_text = ""
        self.steps = STEPS
        self._predicting: Job | None = None
        self._learning: Job | None = None
        self._work: Path | None = None
        self._asked: dict[int, tuple[ItemKey, str]] = {}
        self._answers: dict[tuple[ItemKey, str], Answer] = {}
        self._number = 0

    @property
    def waiting(self) -> bool:
        """Whether there will be news."""
        return bool(self._asked) or self._learning is not None

    @property
    def learning(self) -> bool:
        """Whether a model is being taught."""
        return self._learning is not None

    def model(self, topology_id: str) -> str:
        """The file or the stored model's name that answers for a topology.

        Raises:
            ViewfinderError: none does.
        """
        learned = learned_models(self.project, topology_id)
        if not self.chosen and learned:
            return str(learned[-1])
        known = MEDIAPIPES if self.chosen == MEDIAPIPES_NAME else OURS
        if self.chosen not in ("", OURS_NAME, MEDIAPIPES_NAME):
            return self.chosen
        if topology_id not in known:
            raise ViewfinderError(
                f"no model of {'MediaPipe' if known is MEDIAPIPES else 'ours'} answers for this",
                field="topology", expected=" | ".join(known), found=topology_id,
                hint="name a bundle: viewfinder annotate PROJECT --model M.task",
            )  # fmt: skip
        return known[topology_id]

    def answer(self, key: ItemKey) -> Answer | None:
        """What the model said of an item, None when it wasn't asked or hasn't answered."""
        try:
            return self._answers.get((key, self.model(key.topology_id)))
        except ViewfinderError:
            return None

    def ask(self, key: ItemKey, document: Document) -> None:
        """Let the model look where an item's keypoints are; `listen` says when it has answered.

        Raises:
            ViewfinderError: no model answers for this topology.
        """
        model = self.model(key.topology_id)
        if (key, model) in self._asked.values():
            return
        if self._predicting is None or not self._predicting.running:
            self._predicting = Job("annotate.predicting", str(self.project))
        self._number += 1
        self._asked[self._number] = (key, model)
        near = [[x, y] if np.isfinite([x, y]).all() else None for x, y in document.keypoints_px]
        self._predicting.tell(
            number=self._number, sample_id=key.sample_id, model=model,
            topology=key.topology_id, near_px=near,
        )  # fmt: skip

    def learn(self, annotator: str, store: str, topology_id: str) -> None:
        """Begin to teach the model what an annotator refined last.

        Raises:
            ViewfinderError: no network of ours learns this.
        """
        if topology_id not in NETWORKS:
            raise ViewfinderError(
                "no network of ours learns this", field="topology",
                expected=" | ".join(NETWORKS), found=topology_id,
            )  # fmt: skip
        parent = self.model(topology_id)
        if parent == MEDIAPIPES.get(topology_id):
            parent = OURS[topology_id]  # MediaPipe's hold nothing to train on from
        self._work = Path(tempfile.mkdtemp(prefix="viewfinder-learning-"))
        project = str(self.project.resolve())
        lesson = Lesson(project, store, annotator, topology_id, parent, str(self._work), self.steps)
        self._learning = Job("annotate.learning")
        self._learning.tell(**asdict(lesson))
        self.lesson_text = "learning: reading items ..."

    def stop_learning(self) -> None:
        """Let be what is being learned; the model stays as it was."""
        if self._learning is not None:
            self._learning.end()
        self._learning, self.lesson_text = None, ""
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)

    def listen(self) -> list[News]:
        """What happened since the last call."""
        return self._hear_answers() + self._hear_lesson()

    def end(self) -> None:
        """Stop everything."""
        self.stop_learning()
        if self._predicting is not None:
            self._predicting.end()
        self._predicting, self._asked = None, {}

    def _hear_answers(self) -> list[News]:
        job = self._predicting
        if job is None:
            return []
        over = not job.running  # asked first: what it said last mustn't be missed
        news = []
        for said in job.news():
            if "error" in said:
                news.append(News(text=f"nothing is predicted: {said['error']}", wrong=True))
                continue
            key, model = self._asked.pop(said["number"])
            if "refused" in said:
                news.append(News(text=str(said["refused"]), wrong=True))
            else:
                self._answers[key, model] = _answer(said)
                news.append(News(answered=key))
        if over:
            self._predicting, self._asked = None, {}
        return news

    def _hear_lesson(self) -> list[News]:
        job = self._learning
        if job is None:
            return []
        over = not job.running
        news = []
        for said in job.news():
            if "error" in said:
                news.append(News(text=f"nothing is learned: {said['error']}", wrong=True))
            elif "learned" in said:
                learned = Learned(**said["learned"])
                self.chosen = "" if learned.bundle else self.chosen
                news.append(News(text=learned.text()))
            else:
                last = said["step"] >= said["steps"]
                step = f"learning: {said['step']} of {said['steps']}"
                self.lesson_text = "learning: judging ..." if last else step
        if over:
            self.stop_learning()
        return news


def _answer(said: Mapping[str, Any]) -> Answer:
    points = np.array(said["points_px"], dtype=np.float64).reshape(-1, 2)
    return Answer(points, str(said["sha256"]), float(said["score"]))
