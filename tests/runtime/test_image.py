"""Pictures in and out, and every way in which a file can be bad."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime import image as images
from runtime.errors import ViewfinderError
from runtime.image import decode_image, encode_image, image_size, read_image, write_image


def picture(width: int = 120, height: int = 80) -> np.ndarray:
    rng = np.random.default_rng(1)
    rough = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.GaussianBlur(rough, (0, 0), 2)


def with_exif_orientation(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    return with_exif(jpeg, tiff + b"\x00" * 4)


def with_exif(jpeg: bytes, tiff: bytes) -> bytes:
    """A JPEG with that EXIF block put in."""
    exif = b"Exif\x00\x00" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


@pytest.mark.parametrize("extension", [".png", ".webp"])
def test_lossless_round_trip(extension: str, tmp_path: Path) -> None:
    rgb = picture()
    write_image(tmp_path / f"a{extension}", rgb, quality=101)
    np.testing.assert_array_equal(read_image(tmp_path / f"a{extension}"), rgb)


def test_jpeg_is_close_and_deterministic() -> None:
    rgb = picture()
    encoded = encode_image(rgb, ".jpg")
    assert encoded == encode_image(rgb.copy(), ".jpg")
    assert np.abs(decode_image(encoded, "a.jpg").astype(int) - rgb).mean() < 4


def test_red_stays_red(tmp_path: Path) -> None:
    red = np.zeros((8, 8, 3), dtype=np.uint8)
    red[..., 0] = 250
    write_image(tmp_path / "red.png", red)
    assert read_image(tmp_path / "red.png")[0, 0].tolist() == [250, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    # By the EXIF standard: where the stored first row and column lie in the upright picture.
    upright = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: np.rot90,
    }[orientation]  # fmt: skip
    jpeg = encode_image(picture(), ".jpg")
    stored = decode_image(jpeg, "stored.jpg")
    turned = decode_image(with_exif_orientation(jpeg, orientation), "turned.jpg")
    np.testing.assert_array_equal(turned, upright(stored))


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".bmp"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_truncated_is_refused(extension: str, kept: float) -> None:
    whole = cv2.imencode(extension, picture())[1].tobytes()
    with pytest.raises(ViewfinderError) as caught:
        decode_image(whole[: int(len(whole) * kept)], f"cut{extension}")
    assert f"cut{extension}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_jpeg_with_overwritten_middle_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    whole = bytearray(encode_image(picture(400, 300), ".jpg"))
    middle = len(whole) // 2
    whole[middle : middle + 400] = bytes(v ^ 0x5A for v in whole[middle : middle + 400])
    with pytest.raises(ViewfinderError, match=r"truncated or damaged"):
        decode_image(bytes(whole), "torn.jpg")
    assert capfd.readouterr().err == ""  # the decoder's own lines don't reach the user


def test_png_with_a_flipped_byte_is_refused() -> None:
    whole = bytearray(encode_image(picture(), ".png"))
    whole[len(whole) // 2] ^= 1
    with pytest.raises(ViewfinderError, match="checksum"):
        decode_image(bytes(whole), "flipped.png")


def test_pixel_bomb_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    bomb = b"\x89PNG\r\n\x1a\n" + chunk(
        b"IHDR", struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    )
    bomb += chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    monkeypatch.setattr(images, "_decoded", lambda encoded: pytest.fail("it was decoded"))
    with pytest.raises(ViewfinderError, match="30000 x 30000"):
        decode_image(bomb, "bomb.png")


@pytest.mark.parametrize(
    "data", [b"", b"GIF89a....", b"hello world", b"\xff\xd8", b"RIFF\0\0\0\0WEBP"]
)
def test_not_a_picture(data: bytes) -> None:
    with pytest.raises(ViewfinderError):
        decode_image(data, "x")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match=r"no\.png: can't read this picture"):
        read_image(tmp_path / "no.png")


def test_grey_and_transparent_become_rgb() -> None:
    grey = cv2.imencode(".png", picture()[..., 0])[1].tobytes()
    assert decode_image(grey, "grey.png").shape == (80, 120, 3)
    rgba = cv2.imencode(".png", np.dstack([picture(), np.zeros((80, 120), np.uint8)]))[1].tobytes()
    np.testing.assert_array_equal(decode_image(rgba, "rgba.png"), picture()[..., ::-1])


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".bmp"])
def test_header_size_agrees_with_the_decoder(extension: str) -> None:
    for width, height in ((1, 1), (33, 7), (640, 3)):
        data = cv2.imencode(extension, picture(width, height))[1].tobytes()
        assert image_size(data, "x") == (width, height)


SEEDS = [
    cv2.imencode(kind, picture(40, 30))[1].tobytes() for kind in (".jpg", ".png", ".webp", ".bmp")
]


@given(
    seed=st.sampled_from(SEEDS), at=st.floats(0, 0.999), junk=st.binary(min_size=1, max_size=12),
    cut=st.floats(0.1, 1),
)  # fmt: skip
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutations_end_in_a_picture_or_our_error(
    seed: bytes, at: float, junk: bytes, cut: float
) -> None:
    place = int(at * len(seed))
    mutated = (seed[:place] + junk + seed[place + len(junk) :])[: int(len(seed) * cut)]
    try:
        rgb: np.ndarray | None = decode_image(mutated, "mutated")
    except ViewfinderError:
        rgb = None
    assert rgb is None or (rgb.dtype == np.uint8 and rgb.shape[2] == 3)


def test_unknown_extension_and_unwritable_folder(tmp_path: Path) -> None:
    with pytest.raises(ViewfinderError, match="can't write this kind"):
        encode_image(picture(), ".gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(ViewfinderError, match="can't write this picture"):
        write_image(tmp_path / "file" / "a.png", picture())
