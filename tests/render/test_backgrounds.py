"""Photographs behind rendered hands."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from bootstrap.dataset import Dataset, decode_alpha
from render.backgrounds import background_piece, described_backgrounds, find_backgrounds
from render.hands import hand_dataset, hand_renderers
from render.job import Job, render_dataset
from render.photo import linear_from_srgb, srgb_from_linear
from render.settings import RenderSettings
from runtime.errors import ViewfinderError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two flat pictures, red and blue, one of them in a folder further down."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for path, bgr in (("red.png", (0, 0, 255)), ("more/blue.jpg", (255, 0, 0))):
        cv2.imwrite(str(folder / path), np.full((90, 120, 3), bgr, dtype=np.uint8))
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_srgb_goes_to_light_and_back() -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(-1, 1, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(srgb_from_linear(linear_from_srgb(stored)), stored)


def test_pieces_are_square_and_of_any_photo(photos: Path) -> None:
    paths = find_backgrounds(photos)
    assert [path.name for path in paths] == ["blue.jpg", "red.png"]
    rng = np.random.default_rng(0)
    pieces = [background_piece(paths, 32, rng) for _ in range(20)]
    assert {piece.shape for piece in pieces} == {(32, 32, 3)}
    assert {int(piece.mean(axis=(0, 1)).argmax()) for piece in pieces} == {0, 2}
    again = background_piece(paths, 32, np.random.default_rng(0))
    np.testing.assert_array_equal(again, pieces[0])


def test_a_data_set_remembers_which_photos(photos: Path) -> None:
    before = described_backgrounds(find_backgrounds(photos))
    cv2.imwrite(str(photos / "red.png"), np.zeros((90, 120, 3), dtype=np.uint8))
    after = described_backgrounds(find_backgrounds(photos))
    assert before["count"] == after["count"] == 2
    assert before["sha256"] != after["sha256"]


def test_hands_stand_before_photos(photos: Path, tmp_path: Path) -> None:
    settings = RenderSettings(seed=1, size=64, backgrounds=find_backgrounds(photos))
    job = Job(tmp_path / "out", hand_dataset(settings, 4), 4, hand_renderers(settings))
    render_dataset(job)
    ds = Dataset.open(tmp_path / "out")
    assert any("photographs" in licence for licence in ds.info.licences_inherited)
    for sample_id in ds.samples()["sample_id"]:
        behind = decode_alpha(ds.read_member(sample_id, "alpha.png")) == 0
        mean = ds.read_image(sample_id)[behind].mean(axis=0)
        assert max(mean[0], mean[2]) > 2 * mean[1]  # red or blue, as no environment is


def test_a_broken_photo_is_named_and_whole_shards_stay(photos: Path, tmp_path: Path) -> None:
    for name in ("red.png", "more/blue.jpg"):
        data = (photos / name).read_bytes()
        (photos / name).write_bytes(data[: len(data) // 2])
    settings = RenderSettings(seed=1, size=64, backgrounds=find_backgrounds(photos))
    job = Job(tmp_path / "out", hand_dataset(settings, 2), 4, hand_renderers(settings))
    with pytest.raises(ViewfinderError, match=r"photos/.*(red\.png|blue\.jpg)"):
        render_dataset(job)
    assert Dataset.open(tmp_path / "out").committed_shards() == set()


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match=r"--backgrounds.*no picture lies there"):
        find_backgrounds(tmp_path)
