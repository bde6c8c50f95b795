"""LZFSE streams that Apple's library packed (pyliblzfse 0.4.1) unpack to what went in."""

from __future__ import annotations

import base64
import contextlib
import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arsession.lzfse import PackedError, UnknownBlockError, unpack
from arsession.readers import open_session
from runtime.errors import ViewfinderError
from tests.arsession import recordings

DEPTH_PACKED = base64.b85decode(
    "Vs>~k05AXmXaH~n0I>it6<kpCPbvXWr~m)}KWNYeU%)3I0ssI20?HoZ0r&zOq~F4Tw}6cR>|KFhfDhpE!Z`&U1qA"
    ">A0002^2LOOK008(K0001hHvj<m761SMfFA(>-hlrB0002^5deT60RR91_z?hrzX1RM0QeSw9{~UW_y+(0000000"
    "Dw0D0002^3;+NC00000fHwdD008(F00000002o6)_&z6n49v8Y-aXSezTcWoAoX=r?<~$xiY?oQG(?lj5o{%x?fm"
    "h1-?UpNb!en!!ZN^000000000001!nykirKTjLTr6*-o|zKAB`&Lj>kv{OBQ35kZs|Qdb|CfDoX)ig^$|$VVgS4x"
    "vXHEoLJX?i>svcrG^?M<awXhowTnVSEM>&1N#2AjpIUnzgtTxZzSQLC7?eI5>>YK!xB>Fk0XdCT$DXgq|A)6%hy^"
    "TODAVjt7tq=v{<BH0Tb+r>GknFmkSPG7c{zU}BlYP@&*3K8cCwjd8*t1${$r4QOc(e@HY;5HbxV4xW!En!(DFjA3"
    "9*gz#)@D90~M^bpO2mr9{J(#X@rp|NSX#|cOnRUio#ff&(w@DG~<h9?P66r>0$0do7cHKgZ;iHZn9o~6XV^YMd(B"
    "Z6D-!8PW)p*C|T+cLq1flm>>yDv-wVjq|mIbwErBm"
)


def depth_image() -> np.ndarray:
    """(48, 64) metres, what DEPTH_PACKED holds."""
    rows, columns = np.mgrid[0:48, 0:64]
    steps = (columns // 5 + rows // 7) % 9 * 0.375 + (columns * rows % 13 == 0) * 0.125
    depth_m = (1 + steps).astype("<f4")
    depth_m[10:14, 20:30] = 0
    return depth_m


def test_a_packed_depth_image_comes_back():
    assert DEPTH_PACKED[:4] == b"bvx2"
    assert unpack(DEPTH_PACKED, 12_288) == depth_image().tobytes()


def test_a_record3d_archive_gives_its_depth(tmp_path):
    path = recordings.record3d(tmp_path).path
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(members["metadata"]) | {"dw": 64, "dh": 48}
    members |= {"metadata": json.dumps(metadata).encode(), "rgbd/2.depth": DEPTH_PACKED}
    members["rgbd/3.depth"] = DEPTH_PACKED[:-300]
    members["rgbd/1.depth"] = b"bvxn" + bytes(20) + b"bvx$"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    depths = open_session(path).depths
    np.testing.assert_array_equal(depths.read(2), depth_image())
    with pytest.raises(ViewfinderError, match=r"frame 4, depth.*damaged"):
        depths.read(3)
    with pytest.raises(ViewfinderError, match="frame 2, depth"):
        depths.read(1)


def test_stored_blocks_follow_one_another():
    block = b"bvx-" + (3).to_bytes(4, "little") + b"abc"
    assert unpack(block + block + b"bvx$", 6) == b"abcabc"
    with pytest.raises(PackedError, match="more than 5"):
        unpack(block + block + b"bvx$", 5)
    with pytest.raises(UnknownBlockError):
        unpack(b"bvxn" + bytes(20), 100)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damage_is_noticed_or_harmless(data):
    content = bytearray(DEPTH_PACKED)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    with contextlib.suppress(PackedError):
        assert len(unpack(bytes(content), 20_000)) <= 20_000


@given(st.binary(max_size=100))
def test_any_bytes_are_unpacked_or_refused(content):
    for stream in (content, b"bvx2" + content, b"bvx-" + content):
        with contextlib.suppress(PackedError):
            unpack(stream, 1000)
