"""The loop: which photograph comes next, and the ledger of its rounds."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bootstrap import loop_commands
from bootstrap.dataset import Dataset, DatasetInfo, Label, Sample
from bootstrap.loop_ledger import LEDGER, loop_picture, loop_svg, note, read_ledger, rounds
from bootstrap.queueing import (
    QUEUE_FILE,
    Candidate,
    expected_gain,
    in_order,
    queue,
    read_reasons,
)
from runtime.errors import ViewfinderError
from runtime.image import encode_image, read_image
from runtime.model_store import missing_released

runner = CliRunner()
app = typer.Typer()
app.command()(loop_commands.queue)
app.add_typer(loop_commands.loop_app, name="loop")
needs_released = pytest.mark.skipif(
    bool(missing_released()), reason="viewfinder models fetch mediapipe brings these models"
)


def candidates(count: int, seed: int = 0) -> list[Candidate]:
    rng = np.random.default_rng(seed)
    return [
        Candidate(f"s{i}", {"views": float(rng.random()), "flip": float(rng.random())},
                  rng.normal(size=3))
        for i in range(count)
    ]  # fmt: skip


@given(seed=st.integers(0, 999), count=st.integers(1, 30), diverse=st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_every_photograph_has_one_place(seed: int, count: int, diverse: int) -> None:
    given_ones = candidates(count, seed)
    ordered = in_order(given_ones, diverse)
    assert sorted(one.sample_id for one in ordered) == sorted(c.sample_id for c in given_ones)
    gains = [one.gain for one in ordered]
    assert gains[0] == max(gains) or diverse == 0
    rest = gains[min(diverse, count) :]
    assert rest == sorted(rest, reverse=True)


def test_doubts_add_up_as_lengths_do() -> None:
    assert expected_gain({"views": 0.03, "flip": 0.04}) == pytest.approx(0.05)
    assert expected_gain({"views": 0.03, "flip": 0.04, "shape": 0.12}) == pytest.approx(0.13)
    assert expected_gain({"views": 0.05, "presence": 1.0}) == pytest.approx(0.1)
    assert np.isnan(expected_gain({}))
    plain = candidates(12)
    stretched = [
        Candidate(c.sample_id, {name: 7 * value for name, value in c.signals.items()}, c.feature)
        for c in plain
    ]
    ids = [one.sample_id for one in in_order(plain, 5)]
    assert [one.sample_id for one in in_order(stretched, 5)] == ids


def test_a_doubt_that_is_the_same_everywhere_says_nothing() -> None:
    """By ranks, differences of a thousandth would count as much as the others."""
    rng = np.random.default_rng(2)
    told = [
        Candidate(f"s{i}", {"views": i / 50, "flip": 0.1 + 1e-3 * rng.random()}, np.zeros(2))
        for i in range(1, 40)
    ]
    ids = [one.sample_id for one in in_order(told, 0)]
    assert ids == [f"s{i}" for i in range(39, 0, -1)]


def test_what_is_unlike_enough_is_worth_its_gain() -> None:
    """A point far outside isn't drawn to the front, nor does a copy of the first come soon."""
    line = [Candidate(f"s{i}", {"views": 1 - i / 20}, np.array([float(i), 0])) for i in range(10)]
    far = Candidate("far", {"views": 0.2}, np.array([0.0, 15.0]))
    copied = Candidate("copied", line[0].signals, line[0].feature)
    ids = [one.sample_id for one in in_order([*line, far, copied], 12)]
    assert ids[-2:] == ["far", "copied"]
    # Neighbours are (9 * 1 + 15 + 0 + 0) / 12 = 2 apart in the mean: every other one comes first.
    assert ids[:5] == ["s0", "s2", "s4", "s6", "s8"]
    same = [Candidate(f"a{i}", {"views": float(i)}, np.zeros(3)) for i in range(4)]
    assert [one.sample_id for one in in_order(same, 4)] == ["a3", "a2", "a1", "a0"]


def test_where_nothing_was_found_stands_in_the_middle() -> None:
    told = [Candidate(f"s{i}", {"views": float(i)}, np.zeros(2)) for i in range(1, 6)]
    found = in_order([*told, Candidate("none", {}, np.zeros(2))], 0)
    assert [one.gain for one in found] == [5, 4, 3, 3, 2, 1]
    assert found[3].sample_id == "none"
    assert in_order([Candidate("none", {}, np.zeros(2))], 3)[0].gain == 0.0


def test_the_first_ones_differ_from_each_other() -> None:
    rng = np.random.default_rng(1)
    # Ten nearly equal pictures that the model doubts most, ten others that it doubts a little less.
    same = [Candidate(f"a{i}", {"views": 1.0 + i / 100}, np.zeros(4)) for i in range(10)]
    others = [Candidate(f"b{i}", {"views": 0.9 - i / 100}, rng.normal(size=4)) for i in range(10)]
    first = [one.sample_id for one in in_order(same + others, 6)][:6]
    assert first[0] == "a9"
    assert sum(name.startswith("a") for name in first) == 1
    by_gain = [one.sample_id for one in in_order(same + others, 0)][:6]
    assert all(name.startswith("a") for name in by_gain)


@pytest.fixture
def photos(tmp_path: Path) -> Dataset:
    skimage = pytest.importorskip("skimage.data")
    whole = skimage.astronaut()
    small = cv2.resize(cv2.resize(whole, (60, 60)), (512, 512), interpolation=cv2.INTER_CUBIC)
    hidden = whole.copy()
    hidden[60:180, 225:255] = (40, 60, 40)  # something before one side of the face
    shown = {"sharp": whole, "labelled": whole, "blurred": small, "hidden": hidden,
             "none": whole[300:, :200]}  # fmt: skip
    samples = [
        Sample(sample_id=name, image=encode_image(np.ascontiguousarray(rgb), ".png"),
               extension="png", width=rgb.shape[1], height=rgb.shape[0])
        for name, rgb in shown.items()
    ]  # fmt: skip
    ds = Dataset.create(tmp_path / "photos", DatasetInfo(name="photos", generator="a test"))
    ds.write_shard(0, samples)
    ds.write_layer("human/ada", [
        Label(sample_id="labelled", annotator="ada", attributes={"seconds": 90.0}),
    ])  # fmt: skip
    return ds


@needs_released
def test_doubt_is_larger_where_less_is_seen(photos: Dataset) -> None:
    words = ["queue", str(photos.root), "--model", "face_landmark", "--against", "face_landmark"]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    ids = (photos.root / QUEUE_FILE).read_text().split()
    assert sorted(ids) == ["blurred", "hidden", "none", "sharp"]  # not what a person has labelled
    found = {one.sample_id: one for one in read_reasons(photos.root)}
    assert [one.sample_id for one in read_reasons(photos.root)] == ids
    assert found["none"].signals == {}
    assert found["sharp"].signals["against"] == 0.0  # the same model twice
    for worse in ("blurred", "hidden"):
        for name in ("views", "flip", "presence"):
            assert found[worse].signals[name] > found["sharp"].signals[name] >= 0
    assert ids.index("sharp") == 3
    again = [one.sample_id for one in queue(photos.root, "face_landmark", "face_landmark")]
    assert again == ids
    with pytest.raises(ViewfinderError, match="for different things"):
        queue(photos.root, "face_landmark", "hand_landmark_full")


def test_nothing_left_to_refine(photos: Dataset) -> None:
    photos.write_layer(
        "consensus", [Label(sample_id=s) for s in ("sharp", "blurred", "hidden", "none")]
    )
    if not missing_released():
        with pytest.raises(ViewfinderError, match="every picture has been labelled"):
            queue(photos.root, "face_landmark")


def three_rounds(root: Path) -> None:
    for i, error in enumerate((9.0, 6.5, 5.0)):
        sha = f"{i + 1}" * 64
        parent = f"{i}" * 64 if i else ""
        note(root, "train", model=sha, parent=parent, data=[["photos", 3, "human/ada"]],
             error=error + 1, interval=[error, error + 2])  # fmt: skip
        note(
            root, "evaluate", model=sha, error=error, interval=[error - 1, error + 1], split="test"
        )
        note(root, "prelabel", model=sha, pictures=4 - i, subjects=3)


def test_rounds_tell_labels_minutes_and_errors(photos: Dataset, tmp_path: Path) -> None:
    three_rounds(photos.root)
    found = rounds(read_ledger(photos.root))
    assert [one.number for one in found] == [1, 2, 3]
    assert [one.error for one in found] == [9.0, 6.5, 5.0]
    assert found[1].parent == found[0].model == "1" * 12
    assert {one.human_minutes for one in found} == {1.5}
    assert {one.labelled for one in found} == {1}
    assert (found[2].measured_on, found[2].prelabelled) == ("test", 2)
    words = ["loop", "status", str(photos.root), "--picture", str(tmp_path / "loop.png")]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "6.50" in done.output
    assert read_image(tmp_path / "loop.png").shape[2] == 3
    shown = json.loads(runner.invoke(app, ["loop", "status", str(photos.root), "--json"]).stdout)
    assert [row["error"] for row in shown] == [9.0, 6.5, 5.0]
    assert "3: 5.00 %" in loop_svg(found)
    assert loop_picture(found[:0]).any()


def test_a_cut_off_line_is_left_out_and_later_ones_count(photos: Dataset) -> None:
    three_rounds(photos.root)
    path = photos.root / LEDGER
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    before = read_ledger(photos.root)
    assert len(before) == 8
    note(photos.root, "prelabel", model="3" * 64, pictures=7, subjects=0)
    assert [line["event"] for line in read_ledger(photos.root)].count("prelabel") == 3
    assert rounds(read_ledger(photos.root))[2].prelabelled == 7


def test_renders_keep_no_ledger_and_none_is_an_error(tmp_path: Path) -> None:
    ds = Dataset.create(tmp_path / "r", DatasetInfo(name="r", generator="a test"))
    rgb = np.zeros((8, 8, 3), np.uint8)
    picture = Sample(sample_id="a", image=encode_image(rgb, ".png"), extension="png",
                     width=8, height=8)  # fmt: skip
    ds.write_shard(0, [picture], {"synthetic": [Label(sample_id="a")]})
    note(ds.root, "train", model="1" * 64)
    assert not (ds.root / LEDGER).exists()
    with pytest.raises(ViewfinderError, match="no round of the loop"):
        read_ledger(ds.root)


@given(text=st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_no_bytes_of_a_ledger_are_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    root = tmp_path_factory.mktemp("x")
    (root / LEDGER).write_bytes(text + b'\n{"event":"train","model":"ab"}\n')
    assert rounds(read_ledger(root))[-1].model == "ab"
