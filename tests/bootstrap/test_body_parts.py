"""Joints of bodies as negatives: no hand and no head is ever in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.dataset.dense import encode_segmentation
from bootstrap.training.batches import OTHERS_SHARE, Batches, Pictures
from bootstrap.training.body_parts import SIDE_OF_LIMB, body_parts
from bootstrap.training.subjects import LEAST_CROP_PX, Subject, TrainingData, load_training_data
from runtime.camera import Camera
from runtime.image import encode_image
from runtime.roi import warp_crop
from runtime.topology import topology
from tests.bootstrap.drawn_bodies import draw_body, write_drawn_bodies

HAND, FACE, BODY = "hand21@1", "face478@1", "pose33@1"
CLASSES = {"background": 0, "torso": 1, "head": 2, "left hand": 3, "right hand": 4}
SIDE, COUNT = 256, 24
OWN = {HAND: (3, 4), FACE: (2,)}


def painted(number: int) -> tuple[Sample, list[Label]]:
    """A body with a blue disc for its head and red ones for its hands, which are labelled."""
    rng = np.random.default_rng(number)
    camera = Camera.from_fov(np.radians(40), SIDE, SIDE)
    image, ids, points = draw_body(camera, rng)
    px = camera.project(points).astype(np.float32)
    hands = [px[[wrist, pinky]].mean(axis=0) for wrist, pinky in ((15, 17), (16, 18))]
    for middle, radius, kind in ((px[0], 16, 2), (hands[0], 12, 3), (hands[1], 12, 4)):
        cv2.circle(ids, tuple(np.round(middle).astype(int).tolist()), radius, kind, -1)
    image[ids == 2], image[ids >= 3] = (0, 0, 255), (255, 0, 0)
    name, split = f"{number:08d}", "train" if number % 4 else "val"
    sample = Sample(
        sample_id=name, image=encode_image(image, ".png"), extension="png", width=SIDE,
        height=SIDE, split=split, members={"seg.png": encode_segmentation(ids)},
    )  # fmt: skip
    ring = np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 6, 21)]) * 9
    labels = [Label(sample_id=name, topology=BODY, keypoints_px=px, source="drawn")]
    labels += [
        Label(
            sample_id=name, subject_id=row, topology=HAND, source="drawn",
            keypoints_px=(hand + ring).astype(np.float32),
        )
        for row, hand in enumerate(hands, start=1)
    ]  # fmt: skip
    return sample, labels


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    info = DatasetInfo(
        name="bodies", generator="drawn", topologies=(BODY, HAND), classes=CLASSES, shard_size=COUNT
    )
    root = tmp_path_factory.mktemp("sets") / "bodies"
    samples, labels = zip(*(painted(i) for i in range(COUNT)))
    rows = [label for few in labels for label in few]
    Dataset.create(root, info).write_shard(0, list(samples), {"synthetic": rows})
    return load_training_data([root], topology(HAND))


@pytest.mark.parametrize("network", [HAND, FACE])
def test_no_part_shows_what_the_network_is_for(data: TrainingData, network: str) -> None:
    """However the square is turned; and of every picture that is trained with there are some."""
    parts = body_parts(data, network)
    (ds,) = data.datasets
    trained = {name for _, name in (part.source for part in parts)}
    assert trained == {f"{i:08d}" for i in range(COUNT) if i % 4}
    for part in parts:
        own = np.isin(ds.read_segmentation(part.source[1]), OWN[network]).astype(np.uint8)
        for turn in (0.0, 0.4, 0.8):
            crop = warp_crop(
                own.astype(np.uint8), replace(part.roi, rotation_rad=turn), 32, 32, "zero"
            )
            assert crop.max() == 0
        assert part.roi.width >= LEAST_CROP_PX
        assert not part.topology_id


def test_parts_are_as_large_as_their_limbs_allow(data: TrainingData) -> None:
    """Knees of straight legs, far from any hand: the thigh says how large."""
    labels = {x.sample_id: x for x in data.datasets[0].labels("synthetic") if x.topology == BODY}
    sides = []
    for part in body_parts(data, HAND):
        points = labels[part.source[1]].keypoints_px
        assert points is not None
        place = int(np.linalg.norm(points - (part.roi.cx, part.roi.cy), axis=1).argmin())
        assert np.allclose(points[place], (part.roi.cx, part.roi.cy), atol=1e-3)
        if place in (25, 26):
            thigh = np.linalg.norm(points[place] - points[place - 2])
            assert part.roi.width <= SIDE_OF_LIMB * thigh + 1e-3
            sides.append(part.roi.width / thigh)
    assert np.median(sides) == pytest.approx(SIDE_OF_LIMB, abs=0.01)


def test_networks_for_something_else_have_none(data: TrainingData) -> None:
    assert body_parts(data, BODY) == ()
    assert body_parts(data, "cuboid9@1") == ()


def test_the_hand_network_is_taught_that_they_are_empty(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind of what isn't a hand comes as often as the other, however many there are of it."""
    parts = body_parts(data, HAND)
    drawn: list[Subject] = []
    pictures = Pictures(data.datasets, 2**28)
    of = pictures.of

    def seen(subject: Subject) -> tuple[np.ndarray, Subject]:
        drawn.append(subject)
        return of(subject)

    monkeypatch.setattr(pictures, "of", seen)
    few = parts[:2]
    loader = Batches(data, pictures, topology(HAND), 32, 50, 0, range(0), others=[few, parts[2:]])
    loader.close()
    presence = np.concatenate([loader.at(step).presence for step in range(20)])
    other = np.array([not subject.topology_id for subject in drawn])
    assert other.mean() == pytest.approx(OTHERS_SHARE, abs=0.03)
    assert (presence[other] == 0).all()
    shown = [subject in few for subject in drawn if not subject.topology_id]
    assert np.mean(shown) == pytest.approx(0.5, abs=0.15)


def test_bodies_whose_hands_nobody_marked_give_none(tmp_path: Path) -> None:
    """As other data sets of bodies, whose classes don't tell hands from the rest."""
    write_drawn_bodies(tmp_path / "bodies", 8)
    bodies = load_training_data([tmp_path / "bodies"], topology(BODY))
    assert body_parts(bodies, HAND) == ()
