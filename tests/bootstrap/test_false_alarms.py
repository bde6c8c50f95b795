"""What a detector is wrong about as negatives: its very crops, and never one with a hand in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.detector_evaluation import open_detector
from bootstrap.training import crops, false_alarms
from bootstrap.training.batches import ALARMS_SHARE, Pictures
from bootstrap.training.commands import _resume_command
from bootstrap.training.subjects import LEAST_CROP_PX, Subject, TrainingData, load_training_data
from bootstrap.training.teaching import teaching_of
from bootstrap.training.train import TrainSettings, train
from runtime.bundle import read_bundle
from runtime.bundled import bundled_path
from runtime.errors import ViewfinderError
from runtime.image import encode_image
from runtime.roi import Roi, hand_roi_from_palm, image_from_crop
from runtime.signatures import card_of
from runtime.topology import topology
from tests.bootstrap.test_body_parts import BODY, CLASSES, HAND, SIDE, painted
from tests.bootstrap.test_training_run import Heard

PALM, FACE = bundled_path("viewfinder_palm_detector"), bundled_path("viewfinder_face_detector")
HANDS = (CLASSES["left hand"], CLASSES["right hand"])
LEAST = 0.02
"""Drawn bodies look like little; at this score the detector sees hands everywhere."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    root = tmp_path_factory.mktemp("sets")
    info = DatasetInfo(
        name="bodies", generator="drawn", topologies=(BODY, HAND), classes=CLASSES, shard_size=16
    )
    samples, labels = zip(*(painted(i) for i in range(16)))
    rows = [label for few in labels for label in few]
    Dataset.create(root / "bodies", info).write_shard(0, list(samples), {"synthetic": rows})
    photos = DatasetInfo(name="photos", generator="drawn", topologies=(HAND,), shard_size=4)
    pictures, empty = zip(*(photo(i) for i in range(4)))
    Dataset.create(root / "photos", photos).write_shard(0, list(pictures), {"human/ada": empty})
    return load_training_data([root / "bodies", root / "photos", root / "bodies"], topology(HAND))


def photo(number: int) -> tuple[Sample, Label]:
    """Without a segmentation. The first two are labelled as empty, the others have a hand."""
    image = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    image = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    sample = Sample(
        sample_id=f"photo{number}", image=encode_image(image, ".png"), extension="png", width=SIDE,
        height=SIDE, split="train",
    )  # fmt: skip
    if number < 2:
        return sample, Label(sample_id=sample.sample_id, source="ada")
    ring = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 6, 21)]) * 40 + SIDE / 2
    points = ring.astype(np.float32)
    label = Label(sample_id=sample.sample_id, topology=HAND, keypoints_px=points, source="ada")
    return sample, label


@pytest.fixture
def alarms(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> tuple[Subject, ...]:
    monkeypatch.setattr(false_alarms, "LEAST_SCORE", LEAST)
    return false_alarms.false_alarms(data, HAND, PALM)


def shows_hand(ds: Dataset, name: str, roi: Roi, reach: float) -> bool:
    """Beyond the picture's edge a crop shows what is at it."""
    if not ds.info.classes:
        return False
    across = 0.5 + np.linspace(-reach / 2, reach / 2, 150)
    points = image_from_crop(roi, np.stack(np.meshgrid(across, across), axis=-1).reshape(-1, 2))
    x, y = np.clip(points.astype(int), 0, SIDE - 1).T
    return bool(np.isin(ds.read_segmentation(name)[y, x], HANDS).any())


def test_they_are_what_the_detector_finds_without_a_hand_near(
    data: TrainingData, alarms: tuple[Subject, ...]
) -> None:
    """Looked up point by point, as far as a crop may be moved."""
    detector = open_detector(PALM, LEAST).detector
    found, dropped = {one.roi for one in alarms}, 0
    reach = false_alarms.CLEARANCE
    for ds in data.datasets[:2]:
        for name in ds.samples().query("split == 'train'")["sample_id"]:
            if name in ("photo2", "photo3"):
                continue
            for one in detector.detect(ds.read_image(name)):
                roi = hand_roi_from_palm(one.box * SIDE, one.keypoints * SIDE)
                if roi.width < LEAST_CROP_PX or shows_hand(ds, name, roi, 0.9 * reach):
                    assert roi not in found
                    dropped += 1
                elif not shows_hand(ds, name, roi, 1.1 * reach):
                    assert roi in found
    assert dropped > 10


def test_only_pictures_that_tell_are_looked_at_and_each_once(
    data: TrainingData, alarms: tuple[Subject, ...]
) -> None:
    """Not those of the val split, nor photographs with a hand, where another may be unlabelled."""
    names = {name for _, name in (one.source for one in alarms)}
    assert {number for number, _ in (one.source for one in alarms)} == {0, 1}
    assert names & {"photo0", "photo1"}
    assert names <= {f"{i:08d}" for i in range(16) if i % 4} | {"photo0", "photo1"}
    assert len({(one.source, one.roi) for one in alarms}) == len(alarms)


def test_the_network_sees_the_crop_that_it_would_get(
    data: TrainingData, alarms: tuple[Subject, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved no further than a hand's, so that no hand comes into it."""
    monkeypatch.setattr(crops, "vary_photometry", lambda crop, rng: crop)
    hand = topology(HAND)
    bodies = [one for one in alarms if one.source[0] == 0]
    assert bodies
    for one in bodies:
        ids = data.datasets[0].read_segmentation(one.source[1])
        own = np.repeat(np.isin(ids, HANDS)[..., None], 3, axis=2).astype(np.uint8) * 255
        for turn in range(8):
            rng = np.random.default_rng(turn)
            example = crops.training_example(own, replace(one, others=()), hand, 32, rng)
            assert example.presence == 0
            assert example.image.max() == 0


def test_they_are_a_share_of_the_examples(
    data: TrainingData, alarms: tuple[Subject, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Subject] = []
    of = Pictures.of

    def seen(self: Pictures, subject: Subject) -> tuple[np.ndarray, Subject]:
        drawn.append(subject)
        return of(self, subject)

    monkeypatch.setattr(Pictures, "of", seen)
    with_alarms = teaching_of("hand", data, alarms=alarms).batches(50, 0, range(0))
    presence = np.concatenate([with_alarms.at(step).presence for step in range(20)])
    with_alarms.close()
    detected = np.array([one.detected for one in drawn])
    assert detected.mean() == pytest.approx(ALARMS_SHARE, abs=0.04)
    assert (presence[detected] == 0).all()


def test_a_detector_of_something_else_is_refused(data: TrainingData) -> None:
    with pytest.raises(ViewfinderError, match="finds something else") as caught:
        false_alarms.false_alarms(data, HAND, FACE)
    assert "face478@1" in str(caught.value)
    with pytest.raises(ViewfinderError, match="not a detector"):
        false_alarms.false_alarms(data, HAND, bundled_path("viewfinder_hand"))
    with pytest.raises(ViewfinderError):
        false_alarms.false_alarms(data, HAND, Path("nothing.task"))


def test_a_whole_training(data: TrainingData, tmp_path: Path) -> None:
    """The card says which detector; a training that was stopped goes on with no other."""
    folders = tuple(ds.root for ds in data.datasets[:2])
    heard = Heard()
    settings = TrainSettings(
        "hand", folders, tmp_path / "hand.task", steps=3, batch=2, threads=1, detector=PALM
    )
    asked = iter((False, True))
    assert train(settings, stop=lambda: next(asked)).out is None
    command = _resume_command(settings)
    assert f"--detector {PALM}" in command
    with pytest.raises(ViewfinderError, match="another training"):
        train(replace(settings, detector=None, resume=True))
    result = train(replace(settings, resume=True), heard)
    assert result.steps == 3
    assert any("false alarms" in message for message in heard.messages)
    card = card_of(read_bundle(tmp_path / "hand.task"))
    assert f"--detector {read_bundle(PALM).sha256[:12]}" in card.command
    with pytest.raises(ViewfinderError, match="only networks of faces and hands"):
        train(replace(settings, network="iris"))
