"""JPEG without anything that isn't needed to decode its pixels."""

from __future__ import annotations

import struct

# JPEG segments that decoding needs: quantisation, Huffman and arithmetic tables, restart interval,
# frames, and Adobe's, which tells the colour space.
_KEPT = {0xDB, 0xC4, 0xCC, 0xDD, 0xDC, 0xEE} | (set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC})
_PLAIN_JFIF = bytes.fromhex("ffe000104a46494600010100000100010000")


def without_metadata(data: bytes) -> bytes:
    """A JPEG with the same coded pixels, and nothing that isn't needed to decode them."""
    kept = [b"\xff\xd8"]
    at = 2
    while True:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xD9:
            return b"".join([*kept, b"\xff\xd9"])
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
            continue
        end = at + 2 + int(struct.unpack_from(">H", data, at + 2)[0])
        if marker == 0xDA:
            end = _scan_end(data, end)
            kept.append(data[at:end])
        elif marker in _KEPT:
            kept.append(data[at:end])
        elif marker == 0xE0 and data[at + 4 : at + 9] == b"JFIF\0":
            kept.append(_PLAIN_JFIF)  # a JFIF header may hold a thumbnail of its own
        at = end


def _scan_end(data: bytes, at: int) -> int:
    while True:
        at = data.index(b"\xff", at)
        if data[at + 1] == 0 or 0xD0 <= data[at + 1] <= 0xD7:
            at += 2
        elif data[at + 1] == 0xFF:
            at += 1
        else:
            return at
