"""From labels to training examples: crops, mirroring, depth, negatives, order."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.face_shapes import face_shapes
from bootstrap.training import crops as crops_module
from bootstrap.training.batches import Batches, Pictures, evenly_chosen, shape_models
from bootstrap.training.crops import (
    NEGATIVE_SHARE,
    TRAINING_JITTER,
    example_in_roi,
    kept_part,
    negative_example,
    training_example,
    validation_example,
)
from bootstrap.training.layers import PROVENANCE_WEIGHTS
from bootstrap.training.photometry import vary_photometry, vary_spectrum
from bootstrap.training.pieces import strewn
from bootstrap.training.subjects import (
    OCCLUDED_WEIGHT,
    Subject,
    TrainingData,
    load_training_data,
)
from runtime.camera import Camera
from runtime.errors import ViewfinderError
from runtime.face_layouts import AS_FACE478, NONE, in_layout
from runtime.image import decode_image, encode_image
from runtime.roi import (
    Roi,
    crop_from_image,
    face_roi_from_landmarks,
    image_from_crop,
    warp_crop,
)
from runtime.topology import Topology, canonical_face, topology
from tests.bootstrap.drawn_subjects import draw_hand, rotation, write_drawn_dataset

FACE, HAND = topology("face478@1"), topology("hand21@1")


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    root = tmp_path_factory.mktemp("faces")
    write_drawn_dataset(root, "face", 8, size=160)
    return load_training_data([root], FACE)


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    root = tmp_path_factory.mktemp("hands")
    write_drawn_dataset(root, "hand", 8, size=160)
    return load_training_data([root], HAND)


def dotted(subject: Subject, point: int, width: int, height: int) -> np.ndarray:
    """A black picture with a soft white dot on one keypoint of a subject."""
    x, y = subject.keypoints_px[point]
    v, u = np.mgrid[:height, :width] + 0.5
    spot = 255 * np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * 2.0**2))
    return np.repeat(spot.astype(np.uint8)[:, :, None], 3, axis=2)


def centroid(picture: np.ndarray) -> tuple[float, float]:
    weight = picture[:, :, 0].astype(float)
    v, u = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    return (u * weight).sum() / weight.sum(), (v * weight).sum() / weight.sum()


@pytest.mark.parametrize("seed", range(6))
def test_labels_lie_where_the_crop_shows_them(faces: TrainingData, seed: int) -> None:
    rng = np.random.default_rng(seed)
    subject = faces.train[seed % len(faces.train)]
    roi = TRAINING_JITTER[FACE.id].applied(subject.roi, rng)
    point = 4  # the tip of the nose
    picture = dotted(subject, point, 160, 160)
    example = example_in_roi(warp_crop(picture, roi, 192, 192, "zero"), subject, roi, FACE)
    x, y = centroid(example.image)
    # The crop samples at pixel indices (runtime.roi): half a pixel off in crop and picture.
    cos, sin = math.cos(roi.rotation_rad), math.sin(roi.rotation_rad)
    half = np.array([cos + sin, cos - sin]) / 2 * 192 / roi.width
    expected = example.landmarks[point, :2] * 192 + 0.5 - half
    np.testing.assert_allclose((x, y), expected, atol=0.1)


def same_labels(a: Subject, b: Subject) -> None:
    np.testing.assert_allclose(a.keypoints_px, b.keypoints_px, atol=1e-4)
    np.testing.assert_allclose(a.weight, b.weight)
    np.testing.assert_allclose(a.z_px, b.z_px)
    np.testing.assert_allclose(a.world_m, b.world_m, atol=1e-7)
    assert a.handedness == b.handedness
    assert a.roi.rotation_rad == pytest.approx(b.roi.rotation_rad)
    assert (a.roi.cx, a.roi.cy) == pytest.approx((b.roi.cx, b.roi.cy))


@pytest.mark.parametrize("kind", ["faces", "hands"])
def test_mirroring_twice_is_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    data: TrainingData = request.getfixturevalue(kind)
    shape = {"faces": FACE, "hands": HAND}[kind]
    for subject in data.train:
        same_labels(subject.mirrored(shape, 160).mirrored(shape, 160), subject)


@pytest.mark.parametrize("kind", ["faces", "hands"])
def test_labels_of_the_flipped_picture_are_the_flipped_labels(
    kind: str, request: pytest.FixtureRequest
) -> None:
    data: TrainingData = request.getfixturevalue(kind)
    shape = {"faces": FACE, "hands": HAND}[kind]
    subject = data.train[1]
    roi = TRAINING_JITTER[shape.id].applied(subject.roi, np.random.default_rng(3))
    flipped_roi = replace(roi, cx=160 - roi.cx, rotation_rad=-roi.rotation_rad)
    image = Pictures(data.datasets, 0).of(subject)[0]
    blank = np.zeros((1, 1, 3), dtype=np.uint8)
    plain = example_in_roi(blank, subject, roi, shape)
    other = example_in_roi(blank, subject.mirrored(shape, 160), flipped_roi, shape)
    order = list(shape.mirror)
    np.testing.assert_allclose(other.landmarks, shape.mirrored(plain.landmarks, 1.0), atol=1e-5)
    np.testing.assert_allclose(other.world_m, plain.world_m[order] * [-1, 1, 1], atol=1e-6)
    np.testing.assert_array_equal(other.weight, plain.weight[order])
    assert image.shape[2] == 3
    if kind == "hands":
        assert other.right == 1.0 - plain.right
        assert other.right_weight == 1.0


def test_the_builders_roi_of_a_mirrored_subject_is_the_mirrored_roi(hands: TrainingData) -> None:
    from runtime.roi import hand_roi_from_landmarks

    for subject in hands.train:
        mirrored = subject.mirrored(HAND, 160)
        again = hand_roi_from_landmarks(mirrored.keypoints_px)
        assert (again.cx, again.cy, again.width) == pytest.approx(
            (mirrored.roi.cx, mirrored.roi.cy, mirrored.roi.width), abs=1e-3
        )
        assert math.cos(again.rotation_rad - mirrored.roi.rotation_rad) == pytest.approx(1)


def test_depth_has_the_scale_of_the_picture() -> None:
    """Far away, x, y, z in the crop are the metric face, turned and scaled."""
    camera = Camera.from_fov(math.radians(3), 400, 400)
    points = canonical_face().vertices_m * [1, -1, -1] @ rotation(0.5, 0.2, 0.3).T + [0, 0, 8]
    subject = one_subject(FACE, camera.project(points), points, camera)
    roi = replace(subject.roi, rotation_rad=0.4)
    example = example_in_roi(np.zeros((1, 1, 3), np.uint8), subject, roi, FACE)
    centred = example.landmarks - example.landmarks.mean(axis=0)
    world = example.world_m - example.world_m.mean(axis=0)
    scale = np.linalg.norm(centred) / np.linalg.norm(world)
    assert np.abs(centred / scale - world).max() < 0.02 * np.abs(world).max()
    assert abs(example.landmarks[:, 2].mean()) < 1e-5, "zero at the mean of the face"
    assert example.landmarks[4, 2] < 0, "the nose is nearer to the camera"


def test_a_hands_depth_starts_at_the_wrist(hands: TrainingData) -> None:
    for subject in hands.train:
        assert subject.z_px is not None
        assert subject.z_px[0] == 0


def one_subject(
    shape: Topology, px: np.ndarray, metric: np.ndarray | None, camera: Camera, **fields: object
) -> Subject:
    from bootstrap.training.subjects import _subject

    fields = {"visibility": np.full(shape.size, 2), **fields}
    label = Label(
        sample_id="a", topology=shape.id, keypoints_px=px, keypoints_camera_m=metric, **fields
    )
    subject = _subject(0, label, shape, camera)
    assert subject is not None
    return subject


def test_negatives_carry_no_labels_and_no_face(faces: TrainingData) -> None:
    pictures = Pictures(faces.datasets, 2**30)
    image, subject = pictures.of(faces.train[0])
    for seed in range(20):
        rng = np.random.default_rng(seed)
        example = negative_example(image, subject, FACE, 64, rng)
        assert example.presence == 0
        assert not example.weight.any()
        assert not example.z_weight.any()
        assert not example.world_weight.any()
        assert example.right_weight == 0


def test_a_part_of_a_subject_is_no_subject(
    faces: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the negatives some are crops within the subject's own, at most half as wide."""
    parts = []

    def noted(image: np.ndarray, roi: Roi, *size: int) -> np.ndarray:
        own = subject.roi
        away = max(abs(roi.cx - own.cx), abs(roi.cy - own.cy)) / own.width
        parts.append(away < 0.31 and roi.width < 0.46 * own.width)
        return warp_crop(image, roi, *size)

    monkeypatch.setattr(crops_module, "warp_crop", noted)
    image, subject = Pictures(faces.datasets, 2**30).of(faces.train[0])
    for seed in range(200):
        negative_example(image, subject, FACE, 32, np.random.default_rng(seed))
    assert np.mean(parts) == pytest.approx(0.3, abs=0.1)


def test_no_negative_shows_another_subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two hands in a picture: what lies beside the one isn't the other. Where the renderer says
    that there are more than labels, nothing beside the subject is taken for empty."""
    rng = np.random.default_rng(0)
    camera = Camera.from_fov(0.7, 160, 160)
    drawn = [draw_hand(camera, rng) for _ in range(2)]
    both = encode_image(np.hstack([image for image, _, _ in drawn]), ".png")
    samples, labels = [], []
    for name, facts in (("two", {}), ("more", {"unlabelled_hands": 1})):
        samples.append(
            Sample(
                sample_id=name, image=both, extension="png", width=320, height=160,
                attributes=facts,
            )
        )  # fmt: skip
        for number, (_, points_m, _) in enumerate(drawn):
            px = camera.project(points_m) + [160 * number, 0]
            labels.append(
                Label(
                    sample_id=name, subject_id=number, topology=HAND.id, keypoints_px=px,
                    visibility=np.full(21, 2), source="drawn",
                )
            )  # fmt: skip
    ds = Dataset.create(tmp_path, DatasetInfo(name="two", generator="d", topologies=(HAND.id,)))
    ds.write_shard(0, samples, {"synthetic": labels})
    data = load_training_data([tmp_path], HAND)
    subjects = data.train + data.val
    assert [s.crowded for s in subjects] == [s.source[1] == "more" for s in subjects]
    shown: list[Roi] = []

    def noted(image: np.ndarray, roi: Roi, *size: int) -> np.ndarray:
        shown.append(roi)
        return warp_crop(image, roi, *size)

    monkeypatch.setattr(crops_module, "warp_crop", noted)
    picture = decode_image(both, "two")
    beside = 0
    for subject in subjects:
        other = next(s for s in subjects if s is not subject and s.source == subject.source)
        for seed in range(60):
            shown.clear()
            negative_example(picture, subject, HAND, 32, np.random.default_rng(seed))
            (roi,) = shown
            if (
                np.hypot(roi.cx - subject.roi.cx, roi.cy - subject.roi.cy)
                < 0.45 * subject.roi.width
            ):
                continue  # a part of it, or its tiles
            beside += not subject.crowded
            assert not subject.crowded
            inside = np.abs(crop_from_image(roi, other.keypoints_px) - 0.5) < 0.5
            assert inside.all(axis=1).mean() < 0.25
    assert beside > 20


def test_shapes_strewn_over_a_negative_have_its_colours_or_skins(hands: TrainingData) -> None:
    """Blue walls, red skin: what is strewn is of them, and leaves some of the wall."""
    image, subject = Pictures(hands.datasets, 2**30).of(hands.train[0])
    image = np.full_like(image, (200, 30, 30))
    wall = np.full((64, 64, 3), (20, 20, 160), dtype=np.uint8)
    kept = []
    for seed in range(20):
        result = strewn(wall, image, subject, np.random.default_rng(seed))
        again = strewn(wall, image, subject, np.random.default_rng(seed))
        np.testing.assert_array_equal(result, again)
        assert (wall == (20, 20, 160)).all()
        kept.append((result == wall).all(axis=2).mean())
        assert result[..., 1].max() < 120
    assert 0.2 < np.mean(kept) < 0.95
    nobody = replace(subject, keypoints_px=subject.keypoints_px[:0], weight=subject.weight[:0])
    assert strewn(wall, image, nobody, np.random.default_rng(1))[..., 0].max() < 60


def test_share_of_negatives(hands: TrainingData) -> None:
    image, subject = Pictures(hands.datasets, 2**30).of(hands.train[0])
    rng = np.random.default_rng(0)
    presence = [training_example(image, subject, HAND, 32, rng).presence for _ in range(400)]
    assert 1 - np.mean(presence) == pytest.approx(NEGATIVE_SHARE, abs=0.05)


def test_what_is_kept_of_a_picture_gives_the_same_crop() -> None:
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (40, 60, 3)).astype(np.uint8), (900, 600))
    camera = Camera.from_fov(0.6, 900, 600)
    points = canonical_face().vertices_m * [1, -1, -1] + [0.1, 0.02, 1.8]
    subject = one_subject(FACE, camera.project(points), points, camera)
    part, moved = kept_part(image, subject)
    assert part.size < image.size / 2
    whole = validation_example(image, subject, FACE, 192, np.random.default_rng(1))
    cut = validation_example(part, moved, FACE, 192, np.random.default_rng(1))
    np.testing.assert_allclose(cut.landmarks, whole.landmarks, atol=1e-5)
    assert np.abs(cut.image.astype(int) - whole.image).max() <= 2


def test_photometry_is_a_function_of_the_generator() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (192, 192, 3)).astype(np.uint8)
    kept = crop.copy()
    for seed in range(40):
        a = vary_photometry(crop, np.random.default_rng(seed))
        b = vary_photometry(crop, np.random.default_rng(seed))
        assert a.dtype == np.uint8
        assert a.shape == crop.shape
        np.testing.assert_array_equal(a, b)
        assert (a != crop).any()
    np.testing.assert_array_equal(crop, kept)


def test_a_varied_spectrum_keeps_mean_and_places() -> None:
    v, u = np.mgrid[:192, :192] + 0.5
    spot = 128 + 90 * np.exp(-((u - 70) ** 2 + (v - 110) ** 2) / (2 * 6.0**2))
    crop = np.repeat(spot.astype(np.uint8)[:, :, None], 3, axis=2)
    high = np.hypot(np.fft.fftfreq(192)[:, None], np.fft.rfftfreq(192)[None]) > 0.3
    for seed in range(10):
        varied = vary_spectrum(crop, np.random.default_rng(seed))
        assert abs(float(varied.mean()) - float(crop.mean())) < 1.0
        assert (varied == varied[..., :1]).all()  # brightness alone
        x, y = centroid(np.clip(varied.astype(float) - 150, 0, None))
        assert (x, y) == pytest.approx((70, 110), abs=0.5)
        noise = np.random.default_rng(9).integers(0, 256, (192, 192, 1)).astype(np.uint8)
        noise = np.repeat(noise, 3, axis=2)
        spectra = [
            np.abs(np.fft.rfft2(p[..., 0].astype(float)))
            for p in (noise, vary_spectrum(noise, np.random.default_rng(seed)))
        ]
        change = np.abs(np.log(spectra[1] + 1) - np.log(spectra[0] + 1))
        assert change[high].mean() > 2 * change[~high].mean()


def test_batches_depend_on_seed_and_step_alone(faces: TrainingData) -> None:
    def loader(first_step: int, seed: int = 5, budget: int = 2**30) -> Batches:
        pictures = Pictures(faces.datasets, budget)
        return Batches(faces, pictures, FACE, 48, 4, seed, first_step)

    whole, later, frugal, other = loader(0), loader(3), loader(3, budget=0), loader(0, seed=6)
    try:
        stream = iter(whole)
        batches = [next(stream) for _ in range(5)]
        for again in (later, frugal):
            resumed = iter(again)
            for batch in batches[3:]:
                for name, value in vars(next(resumed)).items():
                    np.testing.assert_array_equal(value, getattr(batch, name))
        assert (next(iter(other)).image != batches[0].image).any()
    finally:
        for each in (whole, later, frugal, other):
            each.close()


def test_every_subject_comes_once_an_epoch(faces: TrainingData) -> None:
    marked = replace(faces, train=faces.train[:4], negatives=())
    loader = Batches(marked, Pictures(faces.datasets, 2**30), FACE, 16, 4, 0)
    loader.close()
    seen = []
    loader._pictures = Spy(loader._pictures, seen)
    for step in range(3):
        loader.at(step)
    assert [sorted(seen[i : i + 4]) for i in (0, 4, 8)] == [
        sorted(s.source[1] for s in marked.train)
    ] * 3


class Spy:
    def __init__(self, pictures: Pictures, seen: list[str]) -> None:
        self.pictures, self.seen = pictures, seen

    def of(self, subject: Subject) -> tuple[np.ndarray, Subject]:
        self.seen.append(subject.source[1])
        return self.pictures.of(subject)


def test_a_damaged_picture_is_reported_by_the_loop(tmp_path: Path) -> None:
    dataset = write_drawn_dataset(tmp_path, "hand", 4, size=64)
    shard = bytearray(dataset.shard_path(0).read_bytes())
    place = dataset.row("00000000")
    middle = int(place["offset"]) + int(place["length"]) // 2
    shard[middle] ^= 0xFF
    dataset.shard_path(0).write_bytes(shard)
    data = load_training_data([tmp_path], HAND)
    loader = Batches(data, Pictures(data.datasets, 0), HAND, 32, 4, 0)
    try:
        with pytest.raises(ViewfinderError, match=r"000000\.tar"):
            for _ in zip(range(9), loader):
                pass
    finally:
        loader.close()


def test_shape_model_rebuilds_training_shapes(hands: TrainingData) -> None:
    mean, components = shape_models(hands, HAND, 0)["landmarks"]
    assert mean.shape == (21, 3)
    assert 0.3 < mean[:, :2].mean() < 0.7, "hands lie in the middle of their crops"
    flat = components[:60].reshape(-1, 63)
    rng = np.random.default_rng(1)
    for subject in hands.train:
        roi = TRAINING_JITTER[HAND.id].applied(subject.roi, rng)
        blank = np.zeros((1, 1, 3), dtype=np.uint8)
        shape = example_in_roi(blank, subject, roi, HAND).landmarks
        off = (shape - mean).reshape(-1)
        coefficients = np.linalg.lstsq(flat.T, off, rcond=None)[0]
        assert np.abs(flat.T @ coefficients - off).max() < 0.01


def test_evenly_chosen(hands: TrainingData) -> None:
    subjects = list(hands.train)
    assert evenly_chosen(subjects, 100) == subjects
    assert evenly_chosen(subjects, 3) == [subjects[0], subjects[2], subjects[4]]


# -- what a data set offers ---------------------------------------------------------------


def picture_set(root: Path, count: int, splits: str, labels: dict[str, list[Label]]) -> Dataset:
    image = encode_image(np.full((32, 32, 3), 128, dtype=np.uint8), ".png")
    dataset = Dataset.create(root, DatasetInfo(name="p", generator="a test", shard_size=99))
    samples = [
        Sample(sample_id=f"{i:08d}", image=image, extension="png", width=32, height=32,
               split={"t": "train", "v": "val", "x": "test"}[splits[i]])
        for i in range(count)
    ]  # fmt: skip
    dataset.write_shard(0, samples, labels)
    return dataset


def hand_label(number: int, at: float = 8.0, **fields: object) -> Label:
    points = np.stack([np.linspace(at, at + 10, 21), np.linspace(20, 4, 21) % 13], axis=1)
    values = {"sample_id": f"{number:08d}", "topology": HAND.id, "keypoints_px": points, **fields}
    return Label(**values)


def test_people_count_over_machines_and_predictions_never(tmp_path: Path) -> None:
    layers = {
        "synthetic": [hand_label(0, 1.0), hand_label(1, 1.0)],
        "human/ann": [hand_label(0, 2.0, annotator="ann", time="2026-01-01T00:00:00Z")],
        "predicted@ab": [hand_label(2, 3.0)],
    }
    picture_set(tmp_path, 3, "ttt", layers)
    data = load_training_data([tmp_path], HAND)
    first = {s.source[1]: s.keypoints_px[0, 0] for s in data.train}
    assert first == {"00000000": 2.0, "00000001": 1.0}
    assert data.sources[0].layer == "human/ann, synthetic"
    weights = {s.source[1]: s.weight.max() for s in data.train}
    assert weights["00000000"] == PROVENANCE_WEIGHTS["human/"] > weights["00000001"] == 1.0


@pytest.mark.parametrize("layout", ["face68@1", "face98@1"])
def test_sparse_faces_teach_the_keypoints_that_they_have(tmp_path: Path, layout: str) -> None:
    mesh = face_shapes().mean[:, :2] * [8, -8] + [12, 16]
    sparse = in_layout(mesh, FACE.id, layout)
    known = np.isfinite(sparse).all(axis=1)
    label = Label(
        sample_id="00000000", topology=layout, visibility=np.where(known, 2, 0),
        keypoints_px=sparse.astype(np.float32),
    )  # fmt: skip
    picture_set(tmp_path, 1, "t", {"consensus": [label]})
    (subject,) = load_training_data([tmp_path], FACE).train
    taught = [i for i in AS_FACE478[layout] if i != NONE]
    assert sorted(np.flatnonzero(subject.weight)) == sorted(taught)
    assert subject.weight.max() == PROVENANCE_WEIGHTS["consensus"]
    np.testing.assert_allclose(subject.keypoints_px[taught], mesh[taught], atol=1e-4)
    assert subject.z_px is None
    assert subject.world_m is None
    # The crop is the one that the whole mesh would have.
    whole = face_roi_from_landmarks(mesh)
    assert subject.roi.width == pytest.approx(whole.width, rel=1e-4)
    assert (subject.roi.cx, subject.roi.cy) == pytest.approx((whole.cx, whole.cy), abs=1e-3)


def test_splits(tmp_path: Path) -> None:
    picture_set(tmp_path / "a", 4, "tvxt", {"synthetic": [hand_label(i) for i in range(4)]})
    data = load_training_data([tmp_path / "a"], HAND)
    assert [s.source[1] for s in data.train] == ["00000000", "00000003"]
    assert [s.source[1] for s in data.val] == ["00000001"]
    picture_set(tmp_path / "b", 16, "t" * 16, {"synthetic": [hand_label(i) for i in range(16)]})
    data = load_training_data([tmp_path / "b"], HAND)
    assert [s.source[1] for s in data.val] == ["00000007", "00000015"]
    assert len(data.train) == 14


def test_what_is_named_twice_teaches_twice_and_validates_once(tmp_path: Path) -> None:
    picture_set(tmp_path / "a", 4, "tvxt", {"synthetic": [hand_label(i) for i in range(4)]})
    data = load_training_data([tmp_path / "a", tmp_path / "a" / ".." / "a"], HAND)
    assert [s.source for s in data.train] == [
        (i, name) for i in (0, 1) for name in ("00000000", "00000003")
    ]
    assert [s.source for s in data.val] == [(0, "00000001")]


def test_partial_labels(tmp_path: Path) -> None:
    visibility = np.full(21, 2)
    visibility[3], visibility[4] = 0, 1
    points = hand_label(0).keypoints_px.copy()
    points[3] = np.nan
    boxed = {"keypoints_px": points, "visibility": visibility, "box_px": [4, 3, 20, 20]}
    labels = [
        hand_label(0, **boxed, weight=0.5),
        hand_label(1, keypoints_px=points, visibility=visibility),  # no box: no crop
        Label(sample_id="00000002"),  # a negative
        hand_label(3),
    ]
    picture_set(tmp_path, 4, "tttt", {"synthetic": labels})
    data = load_training_data([tmp_path], HAND)
    assert data.left_out == 1
    assert [s.source[1] for s in data.negatives] == ["00000002"]
    subject = data.train[0]
    assert subject.weight[[2, 3, 4]].tolist() == [0.5, 0.0, 0.5 * OCCLUDED_WEIGHT]
    assert subject.z_px is None
    example = validation_example(
        np.zeros((32, 32, 3), np.uint8), subject, HAND, 48, np.random.default_rng(0)
    )
    assert np.isfinite(example.landmarks).all()
    assert not example.z_weight.any()
    mirrored = subject.mirrored(HAND, 32)
    assert np.isfinite(mirrored.keypoints_px).all()
    assert mirrored.weight[3] == 0


def test_nothing_to_learn(tmp_path: Path) -> None:
    write_drawn_dataset(tmp_path, "hand", 4, size=48)
    with pytest.raises(ViewfinderError, match=r"no labelled subject.*face478@1.*hand21@1"):
        load_training_data([tmp_path], FACE)


def test_the_digest_tells_data_apart(tmp_path: Path) -> None:
    digests = set()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_drawn_dataset(tmp_path / name, "hand", 4, size=48, seed=seed)
        digests.add(load_training_data([tmp_path / name], HAND).digest)
    assert len(digests) == 2


def test_crop_labels_come_back_to_the_picture(faces: TrainingData) -> None:
    subject = faces.train[2]
    roi = Roi(70, 80, 90, 90, 0.7)
    there = crop_from_image(roi, subject.keypoints_px)
    np.testing.assert_allclose(image_from_crop(roi, there), subject.keypoints_px, atol=1e-3)
