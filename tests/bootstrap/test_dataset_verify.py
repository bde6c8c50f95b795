"""`dataset verify` names each damage and goes on; `show`, `card`, `info` and `split`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bootstrap.commands import dataset_app
from bootstrap.dataset import Dataset, Label, Sample, schema
from bootstrap.dataset.card import data_card, describe
from bootstrap.dataset.contact_sheet import contact_sheet, draw_sample, spread_evenly
from bootstrap.dataset.drawing import OCCLUDED, VISIBLE
from bootstrap.dataset.splits import assign_splits, split_of
from bootstrap.dataset.verify import verify_dataset
from runtime.errors import ViewfinderError
from runtime.image import encode_image, read_image
from tests.bootstrap.test_dataset_format import INFO, fill, hand, hashes, sample

runner = CliRunner()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    fill(root, 3)
    return root


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def damages(root: Path) -> list[str]:
    return [str(damage) for damage in verify_dataset(Dataset.open(root))]


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


def test_a_whole_data_set_has_no_damage(whole: Path) -> None:
    assert damages(whole) == []
    done = runner.invoke(dataset_app, ["verify", str(whole)])
    assert (done.exit_code, done.output) == (0, f"{whole}: whole, 3 shards\n")


def test_a_flipped_byte_is_found_wherever_it_is_in_a_shard(copy: Path) -> None:
    ds = Dataset.open(copy)
    path = ds.shard_path(1)
    size = path.stat().st_size
    whole = path.read_bytes()
    # Every place but the fields of a tar header that nobody needs and its padding.
    rng = np.random.default_rng(0)
    members = [m for row in ds.samples([1]).to_dict("records") for m in (row, *row["extras"])]
    inside = [int(m["offset"] + rng.integers(m["length"])) for m in members for _ in range(3)]
    headers = [int(m["offset"]) - 512 + k for m in members for k in (0, 5, 124 + 8, 148 + 2)]
    for offset in [*inside, *headers, size - 1]:
        flip(path, offset)
        found = damages(copy)
        assert found, offset
        assert all("000001.tar" in line for line in found)
        path.write_bytes(whole)


def test_each_damage_is_named_and_the_rest_is_still_checked(copy: Path) -> None:
    ds = Dataset.open(copy)
    flip(ds.shard_path(0), ds.row("00000001")["offset"] + 3)
    with ds.shard_path(1).open("r+b") as file:
        file.truncate(ds.row("00000006")["offset"] + 10)
    ds.layer_path("synthetic", 2).unlink()
    found = damages(copy)
    assert any(
        line.startswith("shards/000000.tar 00000001.png: the member is damaged") for line in found
    )
    assert sum("000000.tar" in line for line in found) == 1
    truncated = [line for line in found if "000001.tar" in line]
    assert any("00000006.png" in line and "truncated" in line for line in truncated)
    assert any("00000007.depth.png" in line for line in truncated)
    assert not any("00000004" in line for line in truncated)
    assert "labels/synthetic/000002.parquet: the layer has no table for this shard" in found
    done = runner.invoke(dataset_app, ["verify", str(copy)])
    assert done.exit_code == 1
    assert all(line in done.output for line in found)
    as_json = json.loads(runner.invoke(dataset_app, ["verify", str(copy), "--json"]).stdout)
    assert as_json["ok"] is False
    assert {"shard": 0, "part": "00000001.png"}.items() <= as_json["damages"][0].items()


def test_lost_and_unfinished_files(copy: Path) -> None:
    ds = Dataset.open(copy)
    ds.index_path(1).unlink()
    (copy / "shards" / ".000003.tar.partial").write_bytes(b"half")
    found = damages(copy)
    assert "index/000001.parquet: the shard has no index: unfinished, or its index is lost" in found
    assert "labels/synthetic/000001.parquet: labels of a shard that isn't there" in found
    assert any(line.startswith("shards/.000003.tar.partial") for line in found)
    ds.shard_path(1).unlink()
    assert "shards/000001.tar: the shard is missing" in damages(copy)


def test_damaged_tables(copy: Path) -> None:
    ds = Dataset.open(copy)
    ds.index_path(0).write_bytes(ds.index_path(0).read_bytes()[:-20])
    ds.layer_path("synthetic", 1).write_bytes(b"PAR1 nothing PAR1")
    found = damages(copy)
    assert any(line.startswith("index/000000.parquet: the table is damaged") for line in found)
    assert any(line.startswith("labels/synthetic/000001.parquet: the table") for line in found)
    assert not any("000002" in line for line in found)
    # A damaged shard takes no other down with it.
    assert ds.read_image("00000004").shape == (9, 12, 3)
    with pytest.raises(ViewfinderError, match=r"000000\.parquet"):
        ds.read_image("00000000")


def test_a_card_that_names_an_unknown_topology(copy: Path) -> None:
    card = copy / "dataset.json"
    content = json.loads(card.read_text())
    card.write_text(json.dumps({**content, "topologies": ["hand99@1"]}))
    (damage,) = damages(copy)
    assert damage.startswith("dataset.json topologies: unknown topology 'hand99@1'")


def test_rows_that_break_the_format(copy: Path) -> None:
    ds = Dataset.open(copy)
    rows = [
        hand(8, topology="hand99@1"),
        hand(9, visibility=[7] * 21),
        hand(1),
        hand(10),
        hand(10),
    ]
    table = schema.label_table(rows, human=False)
    ds.layer_path("synthetic", 2).write_bytes(schema.table_bytes(table))
    found = "\n".join(damages(copy))
    assert "unknown topology" in found
    assert "visibility" in found
    assert "row 0 (00000001): its sample isn't in the shard" in found
    assert "subject 0 is there twice" in found
    with pytest.raises(ViewfinderError, match=r"000002\.parquet \[row 1 topology"):
        ds.labels("synthetic")


def test_a_sample_in_two_shards_and_a_wrong_size(copy: Path) -> None:
    ds = Dataset.open(copy)
    ds.write_shard(3, [sample(0), sample(30, width=13)], {"synthetic": []})
    found = "\n".join(damages(copy))
    assert "the sample stands in shard 0 too" in found
    assert "12x9 where the index says 13x9" in found


def test_commands_on_no_data_set(tmp_path: Path) -> None:
    for words in (["info"], ["verify"], ["show"], ["card"], ["split"], ["export", "--out", "x"]):
        done = runner.invoke(dataset_app, [words[0], str(tmp_path), *words[1:]])
        assert done.exit_code == 1
        assert isinstance(done.exception, ViewfinderError)


def test_split_is_stable_and_touches_no_picture(copy: Path) -> None:
    ds = Dataset.open(copy)
    before = {k: v for k, v in hashes(copy).items() if not k.startswith("index")}
    counts = assign_splits(ds, 0.2, 0.3, seed=5)
    first = ds.samples().set_index("sample_id")["split"]
    assert sum(counts.values()) == 12
    assert {k: v for k, v in hashes(copy).items() if not k.startswith("index")} == before
    assert damages(copy) == []
    ds.write_shard(3, [sample(i) for i in range(12, 16)], {"synthetic": []})
    assign_splits(ds, 0.2, 0.3, seed=5)
    later = Dataset.open(copy).samples().set_index("sample_id")["split"]
    assert (later[first.index] == first).all()
    assert all(later[i] == split_of(i, 5, 0.2, 0.3) for i in later.index)
    shares = [split_of(str(i), 1, 0.2, 0.3) for i in range(4000)]
    assert shares.count("test") / 4000 == pytest.approx(0.3, abs=0.03)
    assert shares.count("val") / 4000 == pytest.approx(0.2, abs=0.03)
    with pytest.raises(ViewfinderError, match="at most 1"):
        assign_splits(ds, 0.6, 0.6)


def test_split_keeps_groups_together(tmp_path: Path) -> None:
    ds = Dataset.create(tmp_path, INFO)
    people = [f"person{i % 7}" for i in range(40)]
    ds.write_shard(0, [sample(i, attributes={"person": person}) for i, person in enumerate(people)])
    assign_splits(ds, 0.25, 0.25, by="person")
    splits = ds.samples()["split"]
    assert len({(person, split) for person, split in zip(people, splits)}) == 7
    assert len(set(splits)) > 1
    with pytest.raises(ViewfinderError, match="no sample has"):
        assign_splits(ds, 0.1, 0.1, by="country")


def test_info_and_card(whole: Path) -> None:
    facts = json.loads(runner.invoke(dataset_app, ["info", str(whole), "--json"]).stdout)
    assert facts == describe(Dataset.open(whole))
    assert (facts["samples"], facts["shards"], facts["members"]) == (12, 3, {"depth.png": 12})
    assert facts["layers"]["synthetic"]["topologies"] == {"hand21@1": 12}
    card = data_card(Dataset.open(whole))
    for words in ("# tiny", "12 samples", "hand21@1", "| gesture | fist 12 |", "- seed: 7"):
        assert words in card
    assert card == data_card(Dataset.open(whole))
    assert runner.invoke(dataset_app, ["card", str(whole)]).stdout == card


def test_marks_are_drawn_where_the_keypoints_are() -> None:
    image = np.full((60, 100, 3), 90, np.uint8)
    points = np.full((21, 2), np.nan)
    points[4], points[8] = (30.5, 20.5), (80.5, 45.5)
    seen = np.zeros(21)
    seen[4], seen[8] = 2, 1
    label = Label(sample_id="s", topology="hand21@1", keypoints_px=points, visibility=seen)
    tile = draw_sample(image, [label], 400)
    scale, top = 4.0, (100 - 60) / 2
    for i, colour in ((4, VISIBLE), (8, OCCLUDED)):
        x, y = points[i]
        pixel = tile[int((y + top) * scale), int(x * scale)]
        assert np.abs(pixel.astype(int) - colour).max() < 12
    marked = (np.abs(tile.astype(int) - 90).max(axis=2) > 40)[80:320]
    assert 20 < marked.sum() < 400


@pytest.mark.parametrize("zoom", [False, True])
def test_contact_sheet_has_a_tile_for_each_sample(whole: Path, tmp_path: Path, zoom: bool) -> None:
    ds = Dataset.open(whole)
    ids = list(ds.samples()["sample_id"])
    sheet = contact_sheet(ds, "synthetic", ids[:5], columns=3, tile=128, zoom=zoom)
    assert sheet.shape[1] >= 3 * 128
    assert sheet.shape[0] >= 2 * 128
    out = tmp_path / "sheet.png"
    words = ["show", str(whole), "--out", str(out), "--count", "5", "--columns", "3"]
    words += ["--tile", "128", *(["--zoom"] if zoom else [])]
    assert runner.invoke(dataset_app, words).exit_code == 0
    assert read_image(out).shape == sheet.shape
    with pytest.raises(ViewfinderError, match="no such label layer"):
        contact_sheet(ds, "nothing", ids[:1])
    with pytest.raises(ViewfinderError, match="no such sample"):
        contact_sheet(ds, None, ["99999999"])
    with pytest.raises(ViewfinderError, match="nothing to show"):
        contact_sheet(ds, None, [])
    assert spread_evenly(ids, 3) == [ids[0], ids[6], ids[11]]


def test_a_sheet_of_pictures_without_labels(tmp_path: Path) -> None:
    ds = Dataset.create(tmp_path / "data", INFO)
    image = encode_image(np.full((30, 50, 3), (10, 200, 30), np.uint8), ".png")
    ds.write_shard(0, [Sample(sample_id="a", image=image, extension="png", width=50, height=30)])
    sheet = contact_sheet(ds, None, ["a"], tile=100)
    assert (sheet[40 + 50, 8 + 50] == (10, 200, 30)).all()
