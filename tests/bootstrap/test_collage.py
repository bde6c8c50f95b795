"""Collages: labels lie where their cut-outs are drawn, and nothing unlabelled is background."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.dataset.dense import encode_segmentation
from bootstrap.training import collage as collage_module
from bootstrap.training import crops as crops_module
from bootstrap.training.ahead import EXAMPLES, chance
from bootstrap.training.anchors import Truth, truth_of
from bootstrap.training.batches import OTHERS_SHARE, Batches, Pictures
from bootstrap.training.collage import Supply, collage
from bootstrap.training.cutouts import (
    Scene,
    ScenePictures,
    other_scenes,
    other_subjects,
    scenes_of,
)
from bootstrap.training.scenes import example
from bootstrap.training.subjects import (
    TrainingData,
    load_training_data,
    with_keypoints_to_see,
)
from runtime.image import encode_image
from runtime.topology import topology

HAND = "hand21@1"
CLASSES = {"background": 0, "forearm": 1, "palm": 2, "distractor": 11}
SIDE, INPUT = 128, 192
SKIN, BEHIND = (200, 30, 30), (20, 40, 160)


def keypoints(cx: float, cy: float, size: float) -> np.ndarray:
    """(21, 2) an open hand that points up, its wrist below (cx, cy)."""
    rows = [(cx, cy + size)]
    for finger in range(5):
        x = cx + (finger - 2) * 0.3 * size
        rows += [(x, cy - 0.35 * size * joint) for joint in range(4)]
    return np.array(rows, dtype=np.float32)


def hand_picture(
    sample_id: str, cx: float = 64, cy: float = 50, split: str = "train", **attributes: object
) -> tuple[Sample, Label]:
    """A red disc on blue with a forearm to the lower border, labelled as a hand."""
    ids = np.zeros((SIDE, SIDE), np.uint8)
    cv2.rectangle(ids, (int(cx) - 7, int(cy)), (int(cx) + 7, SIDE), 1, -1)
    cv2.circle(ids, (int(cx), int(cy)), 24, 2, -1)
    image = np.full((SIDE, SIDE, 3), BEHIND, np.uint8)
    image[ids > 0] = SKIN
    return packed(sample_id, image, ids, keypoints(cx, cy, 16), split, attributes)


def packed(sample_id, image, ids, points, split="train", attributes=None):  # type: ignore[no-untyped-def]
    sample = Sample(
        sample_id=sample_id, image=encode_image(image, ".png"), extension="png", width=SIDE,
        height=SIDE, split=split, attributes=attributes or {},
        members={"seg.png": encode_segmentation(ids)},
    )  # fmt: skip
    if points is None:
        return sample, Label(sample_id=sample_id, topology="", source="drawn")
    return sample, Label(sample_id=sample_id, topology=HAND, keypoints_px=points, source="drawn")


def write(root: Path, name: str, topologies: tuple[str, ...], rows: list) -> Path:
    info = DatasetInfo(
        name=name, generator="drawn", topologies=topologies, classes=CLASSES, shard_size=len(rows)
    )
    samples, labels = zip(*rows)
    Dataset.create(root / name, info).write_shard(0, list(samples), {"synthetic": list(labels)})
    return root / name


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("sets")
    ids = np.zeros((SIDE, SIDE), np.uint8)
    blank = np.full((SIDE, SIDE, 3), BEHIND, np.uint8)
    head = cv2.circle(ids.copy(), (64, 64), 30, 11, -1)
    with_head = np.where(head[..., None] > 0, np.uint8([250, 220, 0]), blank)
    hand = cv2.circle(ids.copy(), (64, 64), 30, 2, -1)
    hands = [
        hand_picture("a0"), hand_picture("a1", 50), hand_picture("cut", 5),
        hand_picture("crowded", unlabelled_hands=1), packed("empty", blank, ids, None),
        hand_picture("val", split="val"),
    ]  # fmt: skip
    faces = [
        packed("face", with_head, head, None), packed("facehand", with_head, hand, None),
        packed("test", with_head, head, None, "test"),
    ]  # fmt: skip
    return [
        write(root, "hands", (HAND,), hands),
        write(root, "faces", ("face478@1",), faces),
        write(root, "bodies", ("pose33@1",), [packed("body", with_head, head, None)]),
    ]


@pytest.fixture(scope="module")
def data(folders: list[Path]) -> TrainingData:
    return load_training_data(folders, topology(HAND))


@pytest.fixture
def supply(data: TrainingData) -> Supply:
    shape = topology(HAND)
    scenes = scenes_of(data.train + data.negatives, data, HAND)
    pictures = ScenePictures(data.datasets, 2**28, shape)
    return Supply(scenes, other_scenes(data, HAND), pictures, shape, INPUT)


def scene(supply: Supply, name: str) -> Scene:
    return next(one for one in (*supply.scenes, *supply.others) if one.source[1] == name)


def test_only_what_is_known_to_be_empty_is_background(supply: Supply) -> None:
    """Not the pictures with unlabelled hands, nor what another data set calls empty of its own,
    nor bodies, which have hands that no class tells."""
    assert {one.source[1] for one in supply.scenes} == {"a0", "a1", "cut", "empty"}
    assert {one.source for one in supply.others} == {(1, "face"), (1, "facehand")}
    assert supply.pictures.cutout(scene(supply, "face")) is not None
    assert supply.pictures.cutout(scene(supply, "facehand")) is None, "it shows a palm"


def test_fingers_cut_by_the_border_are_shown_in_their_own_picture_alone(supply: Supply) -> None:
    assert supply.pictures.cutout(scene(supply, "a0")) is not None
    assert supply.pictures.cutout(scene(supply, "cut")) is None
    assert collage(scene(supply, "cut"), supply, np.random.default_rng(0)) is None
    picture, truths = example(scene(supply, "cut"), supply, np.random.default_rng(0), 1.0)
    assert picture.shape == (INPUT, INPUT, 3)
    assert len(truths) == 1


def test_a_cutout_brings_no_background_and_a_background_no_subject(supply: Supply) -> None:
    cut = supply.pictures.cutout(scene(supply, "a0"))
    assert cut is not None
    for level in cut.levels[:3]:
        drawn = level[level[..., 3] > 0, :3].astype(int)
        assert np.abs(drawn - SKIN).max() <= 2
    behind = supply.pictures.background(scene(supply, "a0"))
    assert behind is not None
    assert np.abs(behind.astype(int) - BEHIND).max() <= 2


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what hides subjects or changes their colours."""
    monkeypatch.setattr(collage_module, "PIECES", 0)
    monkeypatch.setattr(collage_module, "MANY_PIECES", 0)
    monkeypatch.setattr(collage_module, "DISTRACTORS", (1.0,))
    monkeypatch.setattr(collage_module, "_FADED_SHARE", 0.0)
    monkeypatch.setattr(collage_module, "_BARS_SHARE", 0.0)


def test_labels_lie_on_the_drawn_subjects(supply: Supply, plain: None) -> None:
    """The disc around (cx, cy) is found by its colour; keypoint 2 of the palm lies in its middle,
    the wrist 16 of its pixels towards the forearm, also when mirrored, turned and shrunk."""
    off, seen, turns = [], 0, set()
    for seed in range(90):
        made = collage(scene(supply, "a0"), supply, np.random.default_rng(seed))
        assert made is not None
        picture, truths, _ = made
        red = (picture[..., 0].astype(int) > picture[..., 2].astype(int) + 20).astype(np.uint8)
        for truth in truths:
            wrist, middle = truth.keypoints[0], truth.keypoints[2]
            radius = 24 / 16 * float(np.linalg.norm(wrist - middle))
            if not 8 < radius < 60 or (np.abs(middle - INPUT / 2) > INPUT / 2 - radius).any():
                continue
            if len(truths) > 1:  # others' arms may lie across
                continue
            away = cv2.distanceTransform(red, cv2.DIST_L2, 5)
            y, x = np.unravel_index(away.argmax(), away.shape)
            off.append(np.hypot(x + 0.5 - middle[0], y + 0.5 - middle[1]) / radius)
            arm = middle + (wrist - middle) * 2.2
            if (arm > 2).all() and (arm < INPUT - 2).all():
                assert red[int(arm[1]), int(arm[0])], "the forearm goes on beyond the wrist"
            seen += 1
            turns.add(round(math.atan2(*(wrist - middle)) * 2))
    assert seen >= 10
    assert len(turns) >= 4
    assert np.median(off) < 0.1


def test_subjects_keep_clear_of_each_other(supply: Supply) -> None:
    several = 0
    for seed in range(60):
        made = collage(scene(supply, "a0"), supply, np.random.default_rng(seed))
        assert made is not None
        boxes = [truth.box for truth in made[1]]
        several += len(boxes) > 1
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                far = np.abs(a[:2] - b[:2]).max() * 2
                assert far >= 0.8 * max(a[2], b[2]) - 1e-3
    assert several >= 10


def test_the_letterbox_is_black_and_holds_no_subjects_middle(supply: Supply) -> None:
    barred = 0
    for seed in range(30):
        picture, truths = example(scene(supply, "a1"), supply, chance(3, EXAMPLES, seed), 1.0)
        made = collage(scene(supply, "a1"), supply, np.random.default_rng(seed))
        assert made is not None
        _, placed, bars = made
        barred += bool(bars.any())
        for truth in placed:
            x, y = np.clip(truth.box[:2], 0, INPUT - 1).astype(int)
            assert not bars[y, x]
        assert isinstance(truths[0], Truth)
        assert picture.dtype == np.uint8
    assert 5 <= barred <= 25


def test_an_example_depends_on_its_place_alone(data: TrainingData, supply: Supply) -> None:
    """Whatever was made before it, and whether anything was kept in memory."""
    fresh = replace(supply, pictures=ScenePictures(data.datasets, 0, topology(HAND)))
    for place in (5, 2, 9):
        first = example(scene(supply, "a0"), supply, chance(1, EXAMPLES, place))
        again = example(scene(supply, "a0"), fresh, chance(1, EXAMPLES, place))
        np.testing.assert_array_equal(first[0], again[0])
        for a, b in zip(first[1], again[1], strict=True):
            np.testing.assert_array_equal(a.values(), b.values())


def test_landmark_networks_see_what_is_not_theirs(
    data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head of the other data set, in its middle; not the one with a palm in it, nor bodies; and
    of the pictures without labels only this data set's own."""
    monkeypatch.setattr(crops_module, "vary_photometry", lambda crop, rng: crop)
    (head,) = others = other_subjects(data, HAND)
    assert head.source == (1, "face")
    assert (head.roi.cx, head.roi.cy) == pytest.approx((64.5, 64.5), abs=1)
    assert head.roi.width == pytest.approx(61, abs=2)
    pictures = Pictures(data.datasets, 2**28)
    batches = Batches(data, pictures, topology(HAND), 32, 50, 0, others=[others])
    try:
        first = [batches.at(step) for step in range(8)]
    finally:
        batches.close()
    crops = np.concatenate([batch.image for batch in first]).astype(int)
    presence = np.concatenate([batch.presence for batch in first])
    # Yellow is the head's alone.
    yellow = ((crops[..., 1] > crops[..., 2] + 60).mean(axis=(1, 2))) > 0.05
    assert (presence[yellow] == 0).all()
    assert yellow.mean() == pytest.approx(OTHERS_SHARE, abs=0.04)
    own = {subject.source for subject in batches._subjects}
    assert {source for source in own if source[0] != 0} == set()


def test_a_small_hand_is_not_blown_up(supply: Supply) -> None:
    """A body's hand has few pixels: it stays small, in its own picture and in collages."""
    tiny = scene(supply, "a0").subjects[0]
    small = replace(tiny, keypoints_px=(tiny.keypoints_px - 64) * 0.2 + 64,
                    roi=replace(tiny.roi, width=tiny.roi.width * 0.2,
                                height=tiny.roi.height * 0.2))  # fmt: skip
    far = Scene(scene(supply, "a0").source, (small,))
    pictures = ScenePictures(supply.pictures._datasets, 2**28, supply.topology)
    own = replace(supply, scenes=(far,), pictures=pictures)
    side = float(truth_of(small).box[2])
    sides = [
        truth.box[2] / side
        for i in range(40)
        for truth in example(far, own, chance(0, EXAMPLES, i))[1]
    ]
    assert len(sides) >= 40
    assert max(sides) <= collage_module.MOST_MAGNIFIED * 1.01


def test_a_hand_behind_a_back_is_neither_taught_nor_background(data: TrainingData) -> None:
    hand = next(s for s in data.train if s.topology_id)
    hidden = replace(hand, seen=0.1)
    assert truth_of(hand).shown == 1
    assert truth_of(hidden).shown == 0
    far = replace(hand, roi=replace(hand.roi, width=12.0, height=12.0))
    kept = with_keypoints_to_see(replace(data, train=(hand, hidden, far), val=(hidden,)))
    assert kept.train == (hand,)
    assert kept.val == ()
