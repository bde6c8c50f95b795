"""The data card as a page, and what it measures of labels."""

from __future__ import annotations

import html.parser
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.dataset import Dataset, Label
from bootstrap.dataset.measures import light, measures
from bootstrap.dataset.page import bars, data_page, histogram

# A right hand, palm to the camera and fingers up: seen from there its thumb is on the right.
RIGHT_PALM = np.zeros((21, 3), dtype=np.float32)
RIGHT_PALM[:, 2] = 0.5
RIGHT_PALM[0, 1] = 0.09  # the wrist below the middle finger's base, which is in the middle
RIGHT_PALM[5] = (0.02, 0.0, 0.5)
RIGHT_PALM[17] = (-0.05, 0.01, 0.5)


def hand(keypoints_m: np.ndarray, side: str = "right") -> Label:
    return Label(
        sample_id="a", topology="hand21@1", keypoints_camera_m=keypoints_m, handedness=side
    )


@given(st.floats(-180, 180))
def test_a_palm_faces_and_turns_as_it_is_held(degrees: float) -> None:
    seen = measures(hand(RIGHT_PALM), 100, 100)
    assert seen["facing deg"] == pytest.approx(0, abs=1e-3)
    assert seen["turned deg"] == pytest.approx(0, abs=1e-3)
    # A mirror makes the other hand of it, which faces the same way.
    mirrored = RIGHT_PALM * np.float32([-1, 1, 1])
    assert measures(hand(mirrored, "left"), 100, 100)["facing deg"] == pytest.approx(0, abs=1e-3)
    # Taken for the other hand, it shows its back.
    assert measures(hand(RIGHT_PALM, "left"), 100, 100)["facing deg"] == pytest.approx(180)
    # Turned about the camera's axis, clockwise as it is seen.
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle), 0],
                     [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])  # fmt: skip
    found = measures(hand((RIGHT_PALM @ turn.T).astype(np.float32)), 100, 100)
    assert math.cos(math.radians(found["turned deg"] - degrees)) == pytest.approx(1, abs=1e-5)
    assert found["facing deg"] == pytest.approx(0, abs=0.1)


def test_size_place_and_occlusion() -> None:
    label = Label(
        sample_id="a", topology="hand21@1", box_px=np.array([10, 20, 40, 20], dtype=np.float32),
        keypoints_px=np.array([[5, 5], [150, 5], [20, 20], [30, 30]], dtype=np.float32),
        visibility=np.array([2, 0, 1, 2], dtype=np.int8),
    )  # fmt: skip
    found = measures(label, 100, 50)
    assert found == pytest.approx(
        {"size %": 40, "centre x %": 30, "centre y %": 60, "visible %": 200 / 3, "outside %": 25}
    )


def test_light_is_measured_inside_the_box() -> None:
    rgb = np.zeros((10, 10, 3), dtype=np.uint8)
    rgb[2:4, 2:4] = 255
    label = Label(sample_id="a", box_px=np.array([2, 2, 2, 2], dtype=np.float32))
    found = light(rgb, label)
    assert found["light of the subject %"] == pytest.approx(100)
    assert found["light of the picture %"] == pytest.approx(4)


def test_black_and_burnt_out_are_shares_of_the_subjects_pixels() -> None:
    rgb = np.full((10, 10, 3), 128, dtype=np.uint8)
    shown = np.zeros((10, 10), dtype=bool)
    shown[2:6, 2:7] = True
    rgb[2, 2:7], rgb[3, 2:4], rgb[8:] = 255, 1, 0
    found = light(rgb, None, shown)
    assert found["burnt out %"] == pytest.approx(25)
    assert found["black %"] == pytest.approx(10)
    assert "black %" not in light(rgb, None)
    assert "black %" not in light(rgb, None, np.zeros_like(shown))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_a_histogram_counts_everything(values: list[float]) -> None:
    drawn = histogram("x", values)
    inside = [int(part.split("</title>")[0]) for part in drawn.split("<title>")[1:]]
    assert sum(inside) == len(values)


def test_bars_sum_up_what_is_rare() -> None:
    drawn = bars("kind", {f"k{i:03d}": 1 for i in range(60)})
    assert "15 others" in drawn
    assert "k044" in drawn
    assert "k045" not in drawn


class Tags(html.parser.HTMLParser):
    """Opened and closed tags must match, and nothing may come from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag


def test_a_page_is_whole_and_the_same_twice(small_dataset: Path) -> None:
    page = data_page(Dataset.open(small_dataset))
    assert page == data_page(Dataset.open(small_dataset))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in tags.sources)
    for words in ("Layer synthetic", "size %", "handedness", "Settings"):
        assert words in page


def test_names_from_a_data_set_are_no_markup(small_dataset: Path) -> None:
    text = (small_dataset / "dataset.json").read_text()
    name = f'"{Dataset.open(small_dataset).info.name}"'
    (small_dataset / "dataset.json").write_text(
        text.replace(name, '"<script>alert(1)</script>"', 1)
    )
    page = data_page(Dataset.open(small_dataset))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.fixture
def small_dataset(tmp_path: Path) -> Path:
    """Twelve grey pictures with a hand each."""
    from bootstrap.dataset import DatasetInfo, Sample
    from runtime.image import encode_image

    info = DatasetInfo(name="greys", generator="a test", settings={"seed": 3}, shard_size=12,
                       topologies=("hand21@1",))  # fmt: skip
    ds = Dataset.create(tmp_path / "greys", info)
    samples, labels = [], []
    for i in range(12):
        picture = cv2.circle(np.full((64, 64, 3), 10 * i, dtype=np.uint8), (32, 32), 9, (255,) * 3)
        samples.append(
            Sample(sample_id=f"{i:08d}", image=encode_image(picture, ".jpg"), extension="jpg",
                   width=64, height=64)
        )  # fmt: skip
        points = np.random.default_rng(i).uniform(5, 60, (21, 2)).astype(np.float32)
        labels.append(
            Label(sample_id=f"{i:08d}", topology="hand21@1", keypoints_px=points,
                  visibility=np.full(21, 2, dtype=np.int8),
                  box_px=np.array([5, 5, 50, 50], dtype=np.float32),
                  handedness=("left", "right")[i % 2], attributes={"depth_m": i / 7})
        )  # fmt: skip
    ds.write_shard(0, samples, {"synthetic": labels})
    return tmp_path / "greys"
