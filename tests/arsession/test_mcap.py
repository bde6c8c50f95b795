"""MCAP recordings: the known scene, damage, and messages of any schema."""

from __future__ import annotations

import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType, Writer

from arsession.readers import open_session
from arsession.ros2_messages import Definition, MessageError
from runtime.errors import ViewfinderError
from tests.arsession import recordings
from tests.arsession.mcap_fixture import mcap


@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize("with_tf", [True, False])
def test_the_whole_recording_comes_back(tmp_path, compression, with_tf):
    session = open_session(mcap(tmp_path, compression, with_tf).path)
    assert session.tracking == ("limited", "normal", "normal", "normal")
    np.testing.assert_allclose(session.points_world_m, recordings.POINTS, atol=1e-6)
    assert session.depths.read(3)[3, 5] == pytest.approx(1.5)
    for i in (2, 0, 1):
        rows, columns = np.nonzero(session.pictures.read(i)[..., 1] > 128)
        seen = recordings.phones()[i].sees(recordings.POINTS[0])
        np.testing.assert_allclose((columns.mean() + 0.5, rows.mean() + 0.5), seen, atol=0.75)


def test_a_pose_between_two_is_interpolated(tmp_path):
    session = open_session(mcap(tmp_path, pose_shift_s=-0.05).path)
    # Pictures at 0, .1, .2 lie half way between poses; the last has none after it.
    assert len(session.timestamps_s) == 3
    phones = recordings.phones()
    middle = (phones[1].place + phones[2].place) / 2
    np.testing.assert_allclose(session.world_from_camera[1, :3, 3], middle, atol=1e-6)


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_damage_is_one_clear_line(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "mcap"
    folder.mkdir(exist_ok=True)
    file = folder / "recording.mcap"
    whole = folder / "whole"
    if not whole.exists():
        mcap(folder)
        whole.write_bytes(file.read_bytes())
    content = bytearray(whole.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(3):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    with suppress(ViewfinderError):
        session = open_session(file)
        session.info()
        if session.pictures is not None:
            session.pictures.read(0)
        if session.depths is not None:
            session.depths.read(0)


def test_a_bomb_is_refused(tmp_path):
    import zstandard
    from mcap.records import Chunk

    bomb = zstandard.compress(bytes(2**29))
    file = tmp_path / "bomb.mcap"
    with file.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        from mcap.data_stream import RecordBuilder

        builder = RecordBuilder()
        Chunk("zstd", bomb, 1, 0, 0, 2**29).write(builder)
        stream.write(builder.end())
    with pytest.raises(ViewfinderError, match=r"bomb.mcap.*chunk"):
        open_session(file)


def test_a_text_of_gigabytes_in_a_small_file_takes_no_memory(tmp_path):
    scene = mcap(tmp_path)
    content = bytearray(scene.path.read_bytes())
    # The header record's profile, after the magic, the opcode and the record's length.
    content[17:21] = (2**32 - 1).to_bytes(4, "little")
    scene.path.write_bytes(content)
    tracemalloc.start()
    with suppress(ViewfinderError):
        open_session(scene.path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 2**20


def test_no_poses_says_what_there_is(tmp_path):
    file = tmp_path / "other.mcap"
    with file.open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        schema = writer.register_schema("a", "jsonschema", b"{}")
        channel = writer.register_channel("/speed", "json", schema)
        writer.add_message(channel, 1, b"{}", 1)
        writer.finish()
    with pytest.raises(ViewfinderError, match=r"no poses.*speed"):
        open_session(file)


def test_constants_bounds_and_nesting_are_understood():
    text = """
        uint8 RED=1     # a constant
        string NAME = "a b"
        string<=8 name
        int16[<=3] few
        Inner[2] two
        bool last
        """
    text += "\n" + "=" * 80 + "\nMSG: pkg/Inner\nfloat64 value 1.5\n"  # fmt: skip
    data = (
        b"\0\1\0\0" + b"\3\0\0\0ab\0" + b"\0" + b"\2\0\0\0" + b"\1\0\2\0"
        + np.array([0.5, 2.5]).tobytes() + b"\1"
    )  # fmt: skip
    assert Definition("pkg/msg/Outer", text).decode(data) == {
        "name": "ab", "few": (1, 2), "two": [{"value": 0.5}, {"value": 2.5}], "last": True,
    }  # fmt: skip


@given(st.binary(max_size=60), st.sampled_from(["uint8[] a", "string[] a", "float64[99999] a"]))
def test_any_bytes_are_decoded_or_refused(data, text):
    with suppress(MessageError):
        Definition("p/T", text).decode(data)


def test_a_schema_without_end_is_refused():
    with pytest.raises(MessageError):
        Definition("p/T", "T again")
