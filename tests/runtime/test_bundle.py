"""Bundles: whole they come back as they were, and nothing else comes back at all."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.bundle import bundle_bytes, parse_bundle, read_bundle, write_bundle
from runtime.card import Card, CardData, CardInput, CardMetric, CardModel, CardOutput
from runtime.errors import ViewfinderError

MEMBERS = {"points.tflite": bytes(range(200)) * 2, "boxes.tflite": b"\x00\x01\x02" * 50}
CARD = Card(
    task="face",
    models=(
        CardModel(
            "points.tflite", "landmarks", CardInput(192, 192),
            (
                CardOutput("landmarks", (1, 1, 1, 1434), "landmarks"),
                CardOutput("presence", (1, 1, 1, 1), "presence_logit"),
            ),
            "face478@1",
        ),
        CardModel(
            "boxes.tflite", "detector", CardInput(128, 128, range=(-1.0, 1.0)),
            (CardOutput("b", (1, 896, 16), "boxes"), CardOutput("s", (1, 896, 1), "scores")),
        ),
    ),
    licence="Apache-2.0",
    licences_inherited=("CC0-1.0",),
    data=(CardData("renders", "ab" * 32, 64, "synthetic"),),
    metrics=(CardMetric("renders", "nme", 0.04, (0.03, 0.05), "lips"),),
    parent="cd" * 32,
    tool="viewfinder 0",
)  # fmt: skip


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a.task"
    sha256 = write_bundle(path, MEMBERS, CARD)
    bundle = read_bundle(path)
    assert bundle.sha256 == sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert dict(bundle.members) == MEMBERS
    filled = [replace(m, sha256=hashlib.sha256(MEMBERS[m.file]).hexdigest()) for m in CARD.models]
    assert bundle.card == replace(CARD, models=tuple(filled))


def test_same_content_same_bytes_in_any_order() -> None:
    backwards = dict(reversed(MEMBERS.items()))
    assert bundle_bytes(MEMBERS, CARD, "a") == bundle_bytes(backwards, CARD, "b")


def test_members_are_stored_and_aligned_and_any_zip_tool_reads_them() -> None:
    data = bundle_bytes(MEMBERS, CARD, "a")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["boxes.tflite", "card.json", "points.tflite"]
        for name, content in MEMBERS.items():
            assert archive.getinfo(name).compress_type == zipfile.ZIP_STORED
            assert archive.read(name) == content
            assert data.index(content) % 64 == 0


def test_any_flipped_byte_is_found() -> None:
    data = bundle_bytes(MEMBERS, CARD, "a")
    survivors = []
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 0x01 << (place % 8)
        try:
            parse_bundle(bytes(flipped), "flipped.task")
            survivors.append(place)
        except ViewfinderError as error:
            if "flipped.task" not in str(error):
                survivors.append(place)
    assert survivors == []


def test_any_truncation_is_found() -> None:
    data = bundle_bytes(MEMBERS, CARD, "a")
    for length in range(len(data)):
        with pytest.raises(ViewfinderError):
            parse_bundle(data[:length], "cut.task")


def test_a_bundle_packed_again_is_read_by_its_card() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle_bytes(MEMBERS, CARD, "a"))) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    assert dict(parse_bundle(zipped(content), "again.task").members) == MEMBERS
    swapped = {**content, "points.tflite": b"something else"}
    with pytest.raises(ViewfinderError, match=r"points\.tflite.*SHA-256"):
        parse_bundle(zipped(swapped), "swapped.task")


@pytest.mark.parametrize(
    "name", ["../up.tflite", "/abs.tflite", "a/b.tflite", "..", "a\\b.tflite", "C:x", "a\nb"]
)
def test_member_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ViewfinderError, match="plain file names"):
        parse_bundle(zipped({name: b"x"}), "hostile.task")


def test_compressed_bomb_is_refused_unread() -> None:
    bomb = zipped({"zeros.tflite": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20_000
    with pytest.raises(ViewfinderError, match="stored, not compressed"):
        parse_bundle(bomb, "bomb.task")


def test_a_size_that_lies_is_refused() -> None:
    data = bytearray(zipped({"a.tflite": b"x" * 100}))
    for signature, offset in ((b"PK\x01\x02", 20), (b"PK\x03\x04", 18)):
        at = data.index(signature) + offset
        data[at : at + 8] = (2**31 - 1).to_bytes(4, "little") * 2
    with pytest.raises(ViewfinderError):
        parse_bundle(bytes(data), "liar.task")


def test_too_many_and_repeated_members_are_refused() -> None:
    with pytest.raises(ViewfinderError, match="table of contents"):
        parse_bundle(zipped({f"m{i}": b"" for i in range(65)}), "many.task")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.tflite", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.tflite", b"2")
    with pytest.raises(ViewfinderError, match="table of contents"):
        parse_bundle(stream.getvalue(), "twice.task")


def changed(**fields: object) -> bytes:
    """A bundle with that much of its card changed, packed by another tool."""
    with zipfile.ZipFile(io.BytesIO(bundle_bytes(MEMBERS, CARD, "a"))) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    card = json.loads(content["card.json"])
    for path, value in fields.items():
        place, *keys = [card, *path.split("__")]
        for key in keys[:-1]:
            place = place[int(key) if isinstance(place, list) else key]
        if value is None:
            del place[keys[-1]]
        else:
            place[keys[-1]] = value
    content["card.json"] = json.dumps(card).encode()
    return zipped(content)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"models__0__topology": "face999@7"}, r"models\[0\]\.topology.*unknown topology.*face999"),
        ({"models__0__topology": ""}, "unknown topology"),
        ({"models__0__role": "poet"}, r"\[role\].*detector \| landmarks.*poet"),
        ({"models__0__sha256": "00"}, "SHA-256 isn't the one in the card"),
        ({"models__0__sha256": None}, r"\[sha256\]"),
        ({"models__0__input__width": "wide"}, r"\[width\]"),
        ({"models__0__input__width": -3}, r"\[width\]"),
        ({"models__0__input__range": [0]}, "2 numbers"),
        ({"models__0__outputs__0__meaning": "fortune"}, r"\[meaning\]"),
        ({"models__0__file": "other.tflite"}, "aren't those its card lists"),
        ({"models": []}, "aren't those its card lists"),
        ({"models": 3}, "a list"),
        ({"task": "dance"}, r"\[task\]"),
        ({"format": "viewfinder.bundle@99"}, r"\[format\]"),
        ({"metrics__0__value": "high"}, "numbers"),
        ({"data__0__samples": True}, r"\[samples\]"),
    ],
)
def test_a_wrong_card_is_one_clear_line(fields: dict, message: str) -> None:
    with pytest.raises(ViewfinderError, match=message) as caught:
        parse_bundle(changed(**fields), "wrong.task")
    assert "wrong.task" in str(caught.value)
    assert "\n" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(
    field=st.sampled_from(
        ["format", "task", "models", "data", "metrics", "licence", "licences_inherited", "parent"]
    ),
    value=json_values,
)
@settings(max_examples=150, deadline=None)
def test_any_card_is_read_or_refused(field: str, value: object) -> None:
    card = json.loads(CARD.to_json())
    card[field] = value
    try:
        read: Card | None = Card.from_json(json.dumps(card), "odd.task")
    except ViewfinderError:
        read = None
    assert read is None or isinstance(read, Card)


@given(data=st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_after_the_zip_mark_are_refused(data: bytes) -> None:
    with pytest.raises(ViewfinderError):
        parse_bundle(b"PK\x03\x04" + data, "noise.task")


def test_bare_tflite_and_cardless_bundles_are_read_without_a_card() -> None:
    bare = parse_bundle(b"\x1c\x00\x00\x00TFL3" + bytes(20), "folder/model.tflite")
    assert bare.card is None
    assert list(bare.members) == ["model.tflite"]
    theirs = parse_bundle(zipped({"a.tflite": b"1", "b.binarypb": b"2"}), "theirs.task")
    assert theirs.card is None
    assert set(theirs.members) == {"a.tflite", "b.binarypb"}


def test_what_is_no_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.task").write_text("hello there")
    with pytest.raises(ViewfinderError, match="not a model"):
        read_bundle(tmp_path / "a.task")
    with pytest.raises(ViewfinderError, match="can't read this model"):
        read_bundle(tmp_path / "missing.task")
    with pytest.raises(ViewfinderError, match="can't read this model"):
        read_bundle(tmp_path)


def test_card_and_members_must_agree_when_written(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="card and members differ"):
        write_bundle(tmp_path / "a.task", {"points.tflite": b""}, CARD)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ViewfinderError, match="can't write this bundle"):
        write_bundle(tmp_path / "file" / "a.task", MEMBERS, CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
