"""What an annotator refined last, learned by a model: in a process of its own, at low priority.

python -m annotate.learning

Reads a `Lesson` as one line of JSON, and ends when standard input does. A line out for each step or
so: {"step": 40, "steps": 200}, and at the end {"learned": {...}} as `Learned` has it.
"""

from __future__ import annotations

import json
import shutil
import sys
import zlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from annotate.background import Say, end_with_the_parent, serve
from annotate.export import human_label
from annotate.history import History, ItemKey, ItemState
from annotate.store import AnnotationStore, store_place
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.dataset.schema import row_camera
from runtime.durable import write_bytes_durably
from runtime.errors import ViewfinderError, missing_extra

if TYPE_CHECKING:
    from bootstrap.training.report import Status

FOLDER = "learned"
"""In a project: bundles that learned from its annotators, the newest last by name."""
NETWORKS = {"face478@1": "face", "hand21@1": "hand"}
LEAST_ITEMS, MOST_ITEMS = 8, 128
STEPS, BATCH, RATE = 120, 8, 0.1
"""Of the training; its learning rate is that share of the network's own, see docs/measured.md."""
_HELD_OUT = 5


@dataclass(frozen=True)
class Lesson:
    """What is to be learned.

    Attributes:
        project: the data set's folder.
        store: the annotation store, a file or a server's URL.
        annotator: whose items.
        topology: of the items.
        parent: the bundle whose training goes on.
        work: an empty folder to work in, which is taken away at the end.
        steps: of the training.
        seed: of it.
    """

    project: str
    store: str
    annotator: str
    topology: str
    parent: str
    work: str
    steps: int = STEPS
    seed: int = 0


@dataclass(frozen=True)
class Learned:
    """What came of it.

    Attributes:
        bundle: the new file; "" where the model didn't become better, and stays.
        items: it learned from.
        held_out: others of the annotator's items, which it was judged by.
        before, after: mean error there in percent of the normalising length.
    """

    bundle: str
    items: int
    held_out: int
    before: float
    after: float

    def text(self) -> str:
        """For the person who asked."""
        said = (
            f"{self.items} items learned: {self.before:.2f} → {self.after:.2f} % "
            f"on {self.held_out} others"
        )
        return f"{said}; predicts from now on" if self.bundle else f"{said}: the model stays"


def learned_models(project: Path, topology_id: str) -> list[Path]:
    """The bundles in a project that learned to answer for a topology, the newest last."""
    network = NETWORKS.get(topology_id)
    return [] if network is None else sorted((project / FOLDER).glob(f"{network}-*.task"))


def learn(lesson: Lesson, say: Say) -> Learned:
    """Train the parent on, judge it by items that are held out, keep it where it became better.

    Raises:
        ViewfinderError: torch isn't installed, too few items, a parent that can't be trained on, or
            the bundle can't be written.
    """
    try:
        from bootstrap.training.process import wait_patiently

        wait_patiently()  # before torch
        from bootstrap.training.train import TrainSettings, train
    except ModuleNotFoundError as error:
        raise missing_extra("train", str(error.name)) from error
    from bootstrap.evaluate import evaluate_model
    from bootstrap.predictions import open_model
    from bootstrap.subjects import Settings

    network = NETWORKS.get(lesson.topology)
    if network is None:
        raise ViewfinderError(
            "no network of ours learns this", field="topology", expected=" | ".join(NETWORKS),
            found=lesson.topology,
        )  # fmt: skip
    parent = open_model(lesson.parent).path
    work = Path(lesson.work)
    counts = _write_lesson(lesson, work / "data")
    settings = TrainSettings(
        network,
        (work / "data",),
        work / "new.task",
        start_from=parent,
        steps=lesson.steps,
        seed=lesson.seed,
        batch=BATCH,
        threads=1,
        rate=RATE,
    )
    result = train(settings, _Telling(say, lesson.steps))
    assert result.out is not None
    held_out = Settings((work / "data",), split="val")
    found = evaluate_model(result.out, held_out, against=parent)
    after, before = found.overall.mean, float(found.details["against"]["mean"])
    kept = ""
    if after < before:
        when = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        place = Path(lesson.project) / FOLDER / f"{network}-{when}-{result.sha256[:8]}.task"
        place.parent.mkdir(exist_ok=True)
        write_bytes_durably(place, result.out.read_bytes(), shared=True)
        kept = str(place)
    return Learned(kept, counts["train"], counts["val"], before, after)


def _write_lesson(lesson: Lesson, root: Path) -> dict[str, int]:
    """A data set of what the annotator refined last; counts of items by split.

    A picture is held out by its name, so that no training sees what another was judged by.
    """
    project = Dataset.open(lesson.project)
    labels = _last_refined(lesson, project)
    dataset = Dataset.create(
        root, DatasetInfo(name=f"{project.info.name} refined", generator="viewfinder annotate",
                          licences_inherited=project.info.licences_inherited)
    )  # fmt: skip
    splits = {label.sample_id: _split(label.sample_id) for label in labels}
    if len(set(splits.values())) < 2:  # by chance; one of each is the least
        splits[min(splits)] = "val" if "train" in splits.values() else "train"
    samples = [_sample(project, sample_id, split) for sample_id, split in sorted(splits.items())]
    dataset.write_shard(0, samples, {f"human/{lesson.annotator}": labels})
    shares = [splits[label.sample_id] for label in labels]
    return {split: shares.count(split) for split in ("train", "val")}


def _split(sample_id: str) -> str:
    return "train" if zlib.crc32(sample_id.encode()) % _HELD_OUT else "val"


def _last_refined(lesson: Lesson, project: Dataset) -> list[Label]:
    place, whose = store_place(project, lesson.store)
    with AnnotationStore.open(place, lesson.annotator, project=whose) as store:
        states = refined(store.history, lesson.topology)
    ids = set(project.samples()["sample_id"])
    chosen = [(key, state) for key, state in states if key.sample_id in ids]
    check_enough(len(chosen))
    chosen.sort(key=lambda pair: (pair[1].last_time, pair[0].sample_id, pair[0].subject_id))
    labels = []
    for key, state in chosen[-MOST_ITEMS:]:
        camera = row_camera(project.row(key.sample_id))
        found = Label(sample_id=key.sample_id, subject_id=key.subject_id)
        labels.append(human_label(key, state, found, lesson.annotator, camera))
    return labels


def refined(history: History, topology_id: str) -> list[tuple[ItemKey, ItemState]]:
    """The items of which a person said how they are, by the rule of exports."""
    found = []
    for key in history:
        state = history.item(key)
        if state is None or key.topology_id != topology_id:
            continue
        status = state.document.status
        if status != "flagged" and (status == "done" or state.keypoint_edits > 0):
            found.append((key, state))
    return found


def check_enough(count: int) -> None:
    """Raise a ViewfinderError where there are too few items."""
    if count < LEAST_ITEMS:
        raise ViewfinderError(
            "too few items were accepted or edited to learn from",
            expected=f"{LEAST_ITEMS} or more",
            found=count,
        )


def _sample(project: Dataset, sample_id: str, split: str) -> Sample:
    row = project.row(sample_id)
    return Sample(
        sample_id=sample_id,
        image=project.read_image_bytes(sample_id),
        extension=str(row["member"]).rsplit(".", 1)[-1],
        width=row["width"],
        height=row["height"],
        camera=row_camera(row),
        split=split,
    )


class _Telling:
    """Tells the window how far a training is."""

    def __init__(self, say: Say, steps: int) -> None:
        self._say, self._steps = say, steps

    def update(self, status: Status) -> None:
        self._say(step=status.step, steps=self._steps)

    def message(self, text: str) -> None:
        """The window has no room for more."""


def main() -> None:
    """Learn what the first line says."""

    def run(say: Say) -> None:
        lesson = Lesson(**json.loads(sys.stdin.readline()))

        def clean() -> None:
            shutil.rmtree(lesson.work, ignore_errors=True)

        Thread(target=end_with_the_parent, args=(clean,), daemon=True).start()
        try:
            say(learned=asdict(learn(lesson, say)))
        finally:
            clean()

    serve(run, listens=True)


if __name__ == "__main__":
    main()
