"""Pictures from files and back, with nothing taken on trust.

OpenCV decodes, but its success says little: a damaged JPEG comes back as a whole array, and a
small PNG may claim gigabytes. So the header is read first (format, size), the container is walked
to its end (JPEG segments, PNG chunks with their CRCs, RIFF and BMP lengths), and libjpeg's
warnings, which it only prints, are caught. A lossy WebP or a BMP with wrong pixels inside can't be
told from a right one.
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.errors import ViewfinderError
from runtime.native_output import captured_stderr

MAX_PIXELS = 2**27
"""Larger pictures are refused before decoding: 134 megapixels, 403 MB as RGB."""
MAX_FILE_BYTES = 2**29
PICTURE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

# A few stray bytes before the end marker are written by some cameras and harm nothing.
_HARMLESS_STRAY_BYTES = 16
_STRAY = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker")
_FATAL = re.compile(r"Corrupt JPEG data|Premature end|premature end|bad Huffman")
_NATIVE = re.compile(
    r"Corrupt JPEG|Premature end|Invalid SOS|Warning: unknown JFIF|\[ ?(WARN|ERROR)"
)


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """The picture in a JPEG, PNG, WebP or BMP file.

    Returns:
        (H, W, 3) uint8 RGB, turned upright by its EXIF orientation, transparency dropped.

    Raises:
        ViewfinderError: missing, not a picture, too large, truncated or damaged.
    """
    return decode_image(read_image_file(path), str(path))


def read_image_file(path: str | Path) -> bytes:
    """The bytes of a picture's file, not yet looked at.

    Raises:
        ViewfinderError: missing, not readable, or too large for a picture.
    """
    try:
        size = Path(path).stat().st_size
        if size > MAX_FILE_BYTES:
            raise ViewfinderError(
                "this file is too large for a picture",
                file=path,
                expected=f"at most {MAX_FILE_BYTES:,} bytes",
                found=f"{size:,}",
            )
        return Path(path).read_bytes()
    except OSError as error:
        raise ViewfinderError(f"can't read this picture: {error.strerror}", file=path) from error


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """The picture in the bytes of a JPEG, PNG, WebP or BMP file.

    Args:
        data: the file's content.
        name: what errors call it.

    Returns:
        (H, W, 3) uint8 RGB, turned upright by its EXIF orientation, transparency dropped.

    Raises:
        ViewfinderError: not a picture, too large, truncated or damaged.
    """
    width, height = image_size(data, name)
    if width * height > MAX_PIXELS:
        raise ViewfinderError(
            "this picture is too large",
            file=name,
            expected=f"at most {MAX_PIXELS:,} pixels",
            found=f"{width} x {height}",
        )
    if width * height == 0:
        raise ViewfinderError("this picture has no pixels", file=name, found=f"{width} x {height}")
    encoded = np.frombuffer(data, dtype=np.uint8)
    if data[:2] == b"\xff\xd8":
        bgr, complaint = _decode_watching_stderr(encoded)
    else:
        bgr, complaint = _decoded(encoded), None
    if bgr is None or complaint:
        raise _damaged(name, complaint or "it can't be decoded")
    if sorted(bgr.shape[:2]) != sorted((width, height)):
        raise _damaged(name, f"its header says {width} x {height}, it holds {bgr.shape[:2]}")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB, dst=bgr)


def encode_image(rgb: NDArray[np.uint8], extension: str, quality: int = 95) -> bytes:
    """The picture as a file's bytes: the same bytes for the same pixels.

    Args:
        rgb: (H, W, 3) RGB or (H, W), uint8; uint16, too, for PNG.
        extension: ".jpg", ".png" or ".webp".
        quality: 1..100 for JPEG and WebP; WebP above 100 is lossless.
    """
    settings = {
        ".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality],
        ".webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 3],
    }
    if extension.lower() not in settings:
        raise ViewfinderError(
            "can't write this kind of picture", expected=" | ".join(settings), found=extension
        )
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR) if rgb.ndim == 3 else rgb
    done, encoded = cv2.imencode(extension.lower(), bgr, settings[extension.lower()])
    if not done:
        raise ViewfinderError("this picture can't be encoded", found=str(rgb.shape))
    return encoded.tobytes()


def write_image(path: str | Path, rgb: NDArray[np.uint8], quality: int = 95) -> None:
    """Write the picture in the format its extension names.

    Raises:
        ViewfinderError: unknown extension, or the file can't be written.
    """
    encoded = encode_image(rgb, Path(path).suffix, quality)
    try:
        Path(path).write_bytes(encoded)
    except OSError as error:
        raise ViewfinderError(f"can't write this picture: {error.strerror}", file=path) from error


def image_size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height from the header, once the container is found whole.

    Raises:
        ViewfinderError: not a JPEG, PNG, WebP or BMP file, or a truncated or damaged one.
    """
    if not data:
        raise ViewfinderError("this picture is empty", file=name)
    try:
        if data[:2] == b"\xff\xd8":
            return _jpeg_size(data, name)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _png_size(data, name)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data, name)
        if data[:2] == b"BM":
            return _bmp_size(data, name)
    except (struct.error, IndexError) as error:
        raise _damaged(name, "it ends in the middle") from error
    raise ViewfinderError(
        "not a picture Viewfinder can read",
        file=name,
        expected="JPEG, PNG, WebP or BMP",
        found=f"a file that starts with {data[:4]!r}",
    )


def _damaged(name: str, how: str) -> ViewfinderError:
    return ViewfinderError(f"this picture is truncated or damaged: {how}", file=name)


def _jpeg_size(data: bytes, name: str) -> tuple[int, int]:
    size: tuple[int, int] | None = None
    at = 2
    while True:
        if data[at] != 0xFF:
            raise _damaged(name, f"no JPEG marker at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        if marker == 0xD9:
            break
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = size or (width, height)
        at += 2 + length
        if marker == 0xDA:
            at = _end_of_scan(data, at, name)
    if size is None:
        raise _damaged(name, "it has no JPEG frame")
    return size


def _end_of_scan(data: bytes, at: int, name: str) -> int:
    """The next marker after entropy-coded data, where FF 00 and restart markers are no markers."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise _damaged(name, "the JPEG ends before its end marker")
        following = data[at + 1]
        if following == 0 or 0xD0 <= following <= 0xD7:
            at += 2
        elif following == 0xFF:
            at += 1
        else:
            return at


def _png_size(data: bytes, name: str) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    at, kind = 8, b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        (crc,) = struct.unpack_from(">I", data, at + 8 + length)
        if zlib.crc32(memoryview(data)[at + 4 : at + 8 + length]) != crc:
            raise _damaged(name, f"wrong checksum in its {kind.decode('latin-1')!r} chunk")
        at += 12 + length
    return width, height


def _webp_size(data: bytes, name: str) -> tuple[int, int]:
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < length + 8:
        raise _damaged(name, f"{length + 8} bytes expected, {len(data)} found")
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        return width, 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _bmp_size(data: bytes, name: str) -> tuple[int, int]:
    offset, header, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", data, 10)
    if header < 40:
        raise ViewfinderError(
            "this BMP is of a kind that isn't read", file=name, hint="save it as PNG"
        )
    width, height = abs(width), abs(height)
    if compression in (0, 3) and len(data) < offset + (width * bits + 31) // 32 * 4 * height:
        raise _damaged(name, "it ends in the middle")
    return width, height


def _decoded(encoded: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    try:
        return cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    except cv2.error:
        return None


def _decode_watching_stderr(
    encoded: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8] | None, str | None]:
    """Decode, and what libjpeg printed about damage; other threads' output is passed on."""
    with captured_stderr() as lines:
        bgr = _decoded(encoded)
    for line in lines:
        if not _NATIVE.search(line):
            print(line, file=sys.stderr)  # noqa: T201
    return bgr, next((line for line in lines if _is_damage(line)), None)


def _is_damage(line: str) -> bool:
    stray = _STRAY.search(line)
    if stray:
        return int(stray[1]) > _HARMLESS_STRAY_BYTES
    return bool(_FATAL.search(line))
