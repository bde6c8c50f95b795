"""The single-stage box network: its fields, a tiny set learnt by heart, and that run finds it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from annotate.cuboid_session import CuboidSession
from annotate.store import AnnotationStore
from arsession.session import Plane, Session
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.evaluate import evaluate_model
from bootstrap.export import export_bundle
from bootstrap.export_quantised import PRECISIONS
from bootstrap.networks.box import STRIDE, UNIT_PX
from bootstrap.subjects import Settings
from bootstrap.training.anchors import Truth
from bootstrap.training.box import BoxTeaching, box_errors, box_losses, keypoint_error
from bootstrap.training.box_scenes import box_fields, found_shapes, is_taught, stacked_boxes
from bootstrap.training.subjects import load_training_data
from bootstrap.training.symmetry import facing
from bootstrap.training.teaching import teaching_of
from runtime.box_fields import found_boxes
from runtime.camera import Camera, transform_points
from runtime.cuboid import Cuboid
from runtime.errors import ViewfinderError
from runtime.image import encode_image
from runtime.solutions import open_solution
from runtime.topology import topology

SIZE, CELLS = 160, 160 // STRIDE
CAMERA = Camera(190.0, 190.0, 80.0, 80.0, SIZE, SIZE)
CUBOID9 = topology("cuboid9@1")
FACES = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def a_box(rng: np.random.Generator, x: float = 0.0) -> Cuboid:
    """Standing, its y up, seen from above."""
    upright = Rotation.from_euler("x", np.pi + 0.5) * Rotation.from_euler("y", rng.uniform(-1, 1))
    centre = np.array([x + rng.uniform(-0.05, 0.05), rng.uniform(-0.1, 0.1), rng.uniform(1.0, 1.4)])
    return Cuboid(upright.as_matrix(), centre, rng.uniform(0.2, 0.4, 3))


def truth_of_box(box: Cuboid) -> Truth:
    points = CAMERA.project(box.vertices()).astype(np.float32)
    low, high = points.min(axis=0), points.max(axis=0)
    side = (high - low).max()
    middle = (low + high) / 2
    return Truth(np.array([*middle, side, side], np.float32), points, np.ones(9, np.float32))


def drawn(box: Cuboid, rng: np.random.Generator) -> np.ndarray:
    picture = rng.integers(60, 110, (SIZE, SIZE, 3)).astype(np.uint8)
    corners = box.vertices()[1:]
    px = CAMERA.project(corners)
    far_first = sorted(range(6), key=lambda f: -corners[list(FACES[f])][:, 2].mean())
    for face in far_first:
        shade = tuple(int(v) for v in np.eye(3)[face // 2] * (120 + 100 * (face % 2)) + 20)
        cv2.fillConvexPoly(picture, np.rint(px[list(FACES[face])]).astype(np.int32), shade)
    return picture


@pytest.fixture(scope="module")
def boxes(tmp_path_factory) -> Path:
    """Eight pictures of a crate each; the eighth measures."""
    root = tmp_path_factory.mktemp("boxes") / "set"
    ds = Dataset.create(root, DatasetInfo(name="crates", generator="test", shard_size=8))
    samples, labels = [], []
    for i in range(8):
        rng = np.random.default_rng(i % 4)  # what measures was seen
        box = a_box(rng)
        image = encode_image(drawn(box, rng), ".png")
        samples.append(Sample(sample_id=f"{i:08d}", image=image, extension="png", width=SIZE,
                              height=SIZE, camera=CAMERA))  # fmt: skip
        up = box.directions[:, 1]
        foot = float(up @ (box.translation_m - up * box.size_m[1] / 2))
        labels.append(
            Label(
                sample_id=f"{i:08d}", topology="cuboid9@1",
                keypoints_px=CAMERA.project(box.vertices()), keypoints_camera_m=box.vertices(),
                visibility=np.full(9, 2),
                cuboid={"rotation": box.directions.ravel(), "translation_m": box.translation_m,
                        "size_m": box.size_m, "frame": "camera"},
                attributes={"category": "crate",
                            "plane": {"normal": up.tolist(), "distance_m": foot}},
            )
        )  # fmt: skip
    ds.write_shard(0, samples, {"propagated": labels})
    return root


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_true_fields_are_read_as_the_true_boxes(seed, two):
    rng = np.random.default_rng(seed)
    truths = [truth_of_box(a_box(rng, x)) for x in ((-0.3, 0.3) if two else (0.0,))]
    fields = box_fields(truths, SIZE)
    logits = np.log(np.clip(fields.heat, 1e-6, 1 - 1e-6) / np.clip(1 - fields.heat, 1e-6, 1))
    found = found_boxes(logits, fields.offsets, STRIDE, 0.5)
    taught = [truth for truth in truths if is_taught(truth, SIZE)]
    assert len(found) <= len(taught)
    near = [min(keypoint_error(one.keypoints, t) for t in taught) for one in found]
    # Cells of the other object have a say where two meet.
    assert max(near, default=0) < (0.05 if two else 1e-4)
    if not two:
        assert len(found) == len(taught)


def test_cells_beside_a_keypoint_correct_it():
    truth = truth_of_box(a_box(np.random.default_rng(4)))
    fields = box_fields([truth], SIZE)
    logits = np.where(fields.heat == 1, 5.0, -9.0).astype(np.float32)
    side = float(np.sqrt(np.ptp(truth.keypoints, axis=0).prod()))
    row, column = np.argwhere(fields.heat == 1)[0]
    beside = (slice(row - 1, row + 2), slice(column - 1, column + 2))

    def off(error_px: float) -> np.ndarray:
        offsets = fields.offsets.reshape(CELLS, CELLS, 9, 2).copy()
        offsets[beside] += (error_px, 0)
        (one,) = found_boxes(logits, offsets.reshape(CELLS, CELLS, 18), STRIDE, 0.5)
        return np.linalg.norm(one.keypoints - truth.keypoints, axis=1)

    at = truth.keypoints / STRIDE - 0.5
    own = (np.abs(at - (column, row)) < 3).all(axis=1)  # read from the cells that are wrong
    slight = off(0.1 * side)
    assert slight[~own].max() < 1e-3
    assert (~own).sum() >= 6
    far = off(0.4 * side)  # told for something else: no cell is believed so far away
    np.testing.assert_allclose(far[~own], 0.4 * side, atol=0.01)


def test_every_keypoint_is_taught_around_itself():
    truth = truth_of_box(a_box(np.random.default_rng(4)))
    fields = box_fields([truth], SIZE)
    weight = fields.weight.reshape(CELLS, CELLS, 9, 2)
    for k, (x, y) in enumerate(np.floor(truth.keypoints / STRIDE).astype(int)):
        assert weight[y, x, k].min() > 0.5
        assert weight[y, x, k].min() == weight[y, x].max()


def test_what_is_too_small_or_outside_is_neither_taught_nor_background():
    far = truth_of_box(Cuboid(a_box(np.random.default_rng(0)).directions, np.array([0, 0, 40.0]),
                              np.full(3, 0.3)))  # fmt: skip
    aside = truth_of_box(a_box(np.random.default_rng(1), x=-0.75))
    for truth in (far, aside):
        assert not is_taught(truth, SIZE)
        fields = box_fields([truth], SIZE)
        assert fields.heat.max() == 0
        assert fields.weight.max() == 0
        assert 0 < (fields.judged == 0).sum() < CELLS * CELLS / 4
    seen = box_fields([truth_of_box(a_box(np.random.default_rng(2)))], SIZE)
    assert (seen.heat == 1).sum() == 1
    assert seen.judged.min() == 1
    assert 4 < seen.silhouette.sum() < CELLS * CELLS / 2


def test_damaged_answers_are_no_boxes():
    logits = np.full((CELLS, CELLS), -9.0, np.float32)
    offsets = np.zeros((CELLS, CELLS, 18), np.float32)
    assert found_boxes(logits, offsets, STRIDE, 0.3) == []
    logits[5, 7] = 5
    offsets[5, 7, 3] = np.nan
    assert found_boxes(logits, offsets, STRIDE, 0.3) == []
    assert len(found_boxes(logits, np.zeros_like(offsets), STRIDE, 0.3)) == 1
    logits[:] = np.inf
    assert len(found_boxes(logits, np.zeros_like(offsets), STRIDE, 0.3)) <= CELLS * CELLS


def test_the_true_answers_cost_nothing():
    rng = np.random.default_rng(3)
    truth = truth_of_box(a_box(rng))
    batch = stacked_boxes([np.zeros((SIZE, SIZE, 3), np.uint8)], [(truth,)])
    fields = batch.fields
    right = {
        "centres": torch.from_numpy(np.where(fields.heat == 1, 20.0, -20.0))[:, None],
        "offsets": torch.from_numpy(fields.offsets).permute(0, 3, 1, 2) / UNIT_PX,
        "silhouette": torch.from_numpy(40 * fields.silhouette - 20)[:, None],
    }
    losses = box_losses(right, batch)
    assert float(losses["loss"]) < 1e-5
    wrong = {**right, "offsets": right["offsets"] + 0.5}
    assert float(box_losses(wrong, batch)["offsets"]) > 0.1
    empty = stacked_boxes([np.zeros((SIZE, SIZE, 3), np.uint8)], [()])
    assert np.isfinite(float(box_losses(right, empty)["loss"]))
    ((_, points),) = found_shapes(right["centres"][0].numpy().astype(np.float32),
                                  fields.offsets[0].transpose(2, 0, 1), 0.5)  # fmt: skip
    np.testing.assert_allclose(points, truth.keypoints, atol=1e-3)


@pytest.mark.parametrize("kind", ["half", "round", "none", "by category"])
def test_symmetric_things_show_the_camera_their_front(kind):
    rng = np.random.default_rng(6)
    for _ in range(20):
        turn = Rotation.from_euler("x", np.pi + 0.5) * Rotation.from_euler("y", rng.uniform(-3, 3))
        size = np.array([0.2, 0.4, 0.3 if kind in ("half", "none") else 0.2])
        box = Cuboid(turn.as_matrix(), np.array([0.1, 0.0, 1.5]), size)
        named = {"category": "bottle"} if kind == "by category" else {"symmetry": kind}
        points = box.vertices()
        label = Label(
            sample_id="a", topology="cuboid9@1", keypoints_px=CAMERA.project(points),
            keypoints_camera_m=points, visibility=np.full(9, 2), attributes=named,
            cuboid={"rotation": box.directions.ravel(), "translation_m": box.translation_m,
                    "size_m": size, "frame": "camera"},
        )  # fmt: skip
        shown = facing(label, CAMERA)
        if kind == "none":
            assert shown is label
            continue
        front = np.reshape(shown.cuboid["rotation"], (3, 3))[:, 2]
        ahead = -box.translation_m / np.linalg.norm(box.translation_m)
        across = np.cross(box.directions[:, 1], ahead)
        assert front @ ahead >= -1e-9
        if kind == "half":  # the same corners in another order
            moved = np.linalg.norm(shown.keypoints_camera_m[:, None] - points[None], axis=-1).min(
                axis=1
            )
            np.testing.assert_allclose(moved, 0, atol=1e-6)
        else:
            assert front @ across == pytest.approx(0, abs=1e-9)
        np.testing.assert_allclose(
            shown.keypoints_px, CAMERA.project(shown.keypoints_camera_m), atol=1e-3
        )
        again = facing(shown, CAMERA)
        np.testing.assert_allclose(again.keypoints_px, shown.keypoints_px, atol=1e-3)


def test_only_the_wanted_category_is_taught(boxes):
    with pytest.raises(ViewfinderError, match="no labelled subject"):
        load_training_data([boxes], CUBOID9, "chair")
    data = load_training_data([boxes], CUBOID9, "crate")
    assert (len(data.train), len(data.val)) == (7, 1)
    teaching = teaching_of("box", data)
    batches = teaching.batches(4, 0, 0)
    try:
        first, again = batches.at(3), batches.at(3)
    finally:
        batches.close()
    np.testing.assert_array_equal(first.image, again.image)
    assert first.image.shape == (4, SIZE, SIZE, 3)
    assert (first.fields.heat == 1).sum() == sum(len(t) for t in first.truths)


@pytest.fixture(scope="module")
def learnt(boxes, tmp_path_factory) -> tuple[Path, float]:
    """A bundle that knows four pictures by heart, and its error on one of them."""
    torch.set_num_threads(1)  # pictures this small gain nothing from more
    data = load_training_data([boxes], CUBOID9)
    teaching = BoxTeaching(data)
    network = teaching.new_network(0)
    (val,) = teaching.validation(8)
    crops = [(data.datasets[0].read_image(f"{i:08d}"), i) for i in range(4)]
    truths = [(truth_of_box(a_box(np.random.default_rng(i))),) for _, i in crops]
    batch = stacked_boxes([crop for crop, _ in crops], truths)
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3)
    for step in range(90):
        network.train()
        for group in optimiser.param_groups:
            group["lr"] = 4e-3 * (1 - step / 90) + 1e-5
        loss = teaching.losses(network, batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()
    errors, _ = box_errors(network, [val])
    out = tmp_path_factory.mktemp("box") / "crate.task"
    _, metrics = teaching.judged(network, [val])
    assert teaching.worst(network, [val]).shape[2] == 3
    shown = [crops[i][0] for i in (0, 1, 2, 3, 1, 2, 3, 0)]  # int8 is calibrated on all four
    export_bundle(network, out, data, shown, metrics, None, PRECISIONS)
    return out, float(errors.mean())


def test_a_tiny_set_is_learnt_by_heart(learnt):
    assert learnt[1] < 0.05


@pytest.mark.parametrize("precision", PRECISIONS)
def test_smaller_models_find_the_same_boxes(learnt, boxes, precision):
    exact, smaller = learnt[0], learnt[0].with_suffix(f".{precision}.task")
    assert smaller.stat().st_size < 0.6 * exact.stat().st_size
    ds = Dataset.open(boxes)
    found = [open_solution("objectron", one, focal_px=CAMERA.fx) for one in (exact, smaller)]
    for frame in range(4):
        image = ds.read_image(f"{frame:08d}")
        (one,), (other,) = (solution.process(image, frame) for solution in found)
        off = one.keypoints_px(SIZE, SIZE)[:, :2] - other.keypoints_px(SIZE, SIZE)[:, :2]
        assert np.linalg.norm(off, axis=1).mean() < 1


def test_run_finds_the_box_in_space_without_a_detector(learnt, boxes):
    solution = open_solution("objectron", learnt[0], max_subjects=3, focal_px=CAMERA.fx)
    ds = Dataset.open(boxes)
    seen = []
    for frame in (0, 0, 1):
        (subject,) = solution.process(ds.read_image(f"{frame:08d}"), len(seen))
        label = ds.labels("propagated")[frame]
        off = np.linalg.norm(subject.keypoints_px(SIZE, SIZE)[:, :2] - label.keypoints_px, axis=1)
        assert off.mean() < 5
        assert subject.cuboid is not None
        turn = np.array(subject.cuboid["rotation"]).reshape(3, 3)
        between = Rotation.from_matrix(
            turn.T @ np.reshape(label.cuboid["rotation"], (3, 3))
        ).magnitude()
        assert np.degrees(between) < 25
        seen.append(subject.id)
    assert seen[0] == seen[1]  # the same thing keeps its number


def test_evaluation_is_of_whole_pictures_with_the_planes_scale(learnt, boxes):
    result = evaluate_model(learnt[0], Settings((boxes,), split="all", category="crate"))
    facts = result.to_json()
    assert facts["crop"] == "detector"
    assert facts["n"] == 8
    assert facts["boxes"]["scaled_by_plane"] == 8
    assert facts["boxes"]["average_precision"]["0.5"] > 0.9
    with pytest.raises(ViewfinderError, match="nothing to measure"):
        evaluate_model(learnt[0], Settings((boxes,), split="all", category="cup"))


class OnePicture:
    """A recording's pictures: the same crate in every frame."""

    size = (SIZE, SIZE)

    def __init__(self, rgb: np.ndarray) -> None:
        self._rgb = rgb

    def has(self, frame: int) -> bool:
        return True

    def read(self, frame: int) -> np.ndarray:
        return self._rgb


def test_the_bundle_proposes_the_box_where_recordings_are_annotated(learnt, boxes, tmp_path):
    truth = a_box(np.random.default_rng(0))
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("x", -np.pi - 0.5).as_matrix()  # boxes' y is up
    foot = pose[:3, :3] @ (truth.translation_m - truth.directions[:, 1] * truth.size_m[1] / 2)
    square = np.array([[-1, 0, -1], [-1, 0, 1], [1, 0, 1], [1, 0, -1.0]])
    floor = Plane("floor", foot, np.array([0, 1.0, 0]), foot + square, "horizontal")
    session = Session(
        format="test", path=tmp_path, timestamps_s=np.arange(3) / 30,
        world_from_camera=np.stack([pose] * 3), world_up="+y", cameras=(CAMERA,),
        pictures=OnePicture(Dataset.open(boxes).read_image("00000000")),
        load_planes=lambda: (floor,),
    )  # fmt: skip
    store = AnnotationStore.open(tmp_path / "kim.sqlite", "kim")
    with CuboidSession(session, store, tmp_path, model=str(learnt[0])) as work:
        work.category = "crate"
        work.propose()
        ((number, found),) = [(n, work.cuboid(n)) for n in work.boxes()]
        assert (number, found.category, found.plane) == (0, "crate", "floor")
        assert found.box is not None
        points = transform_points(np.linalg.inv(pose), found.box.points_world_m())
        off = np.linalg.norm(CAMERA.project(points) - CAMERA.project(truth.vertices()), axis=1)
        assert off.mean() < 5
        np.testing.assert_allclose(found.box.size_m, truth.size_m, rtol=0.25)
    store = AnnotationStore.open(tmp_path / "lee.sqlite", "lee")
    with CuboidSession(session, store, tmp_path, model=str(tmp_path / "none.task")) as work:
        with pytest.raises(ViewfinderError, match=r"none\.task"):
            work.propose()
        assert not work.boxes()
