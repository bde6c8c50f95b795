"""LZFSE unpacked, for depth images: pyliblzfse has no wheels, so nothing is to be compiled.

The stream is documented by Apple's reference (lzfse/lzfse on GitHub, `lzfse_internal.h`): blocks,
each led by a magic of four bytes, until `bvx$`. `bvx-` holds bytes as they are. `bvx2` holds
literals and triples (literals to copy, match length, match distance), both coded by finite-state
entropy and read backwards from the end of their payload. The encoder packs data of less than 4 KB
as `bvxn` instead, which is left to the library.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

STORED, PACKED, END = b"bvx-", b"bvx2", b"bvx$"

_STATES = {"l": 64, "m": 64, "d": 256, "literal": 1024}
_SYMBOLS = {"l": 20, "m": 20, "d": 64, "literal": 256}
# Extra bits a symbol, and the least value that it stands for.
_L_BITS = (0,) * 16 + (2, 3, 5, 8)
_M_BITS = (0,) * 16 + (3, 5, 8, 11)
_D_BITS = tuple(number // 4 for number in range(64))
# A frequency's code is told by its five lowest bits: its length, and its value where that is short.
_CODE_BITS = (2, 3, 2, 5, 2, 3, 2, 8, 2, 3, 2, 5, 2, 3, 2, 14) * 2
_CODE_VALUES = (0, 2, 1, 4, 0, 3, 1, 0, 0, 2, 1, 5, 0, 3, 1, 0,
                0, 2, 1, 6, 0, 3, 1, 0, 0, 2, 1, 7, 0, 3, 1, 0)  # fmt: skip
_HEADER = struct.Struct("<4sI3Q")


class PackedError(Exception):
    """The bytes are no LZFSE stream, or a damaged one."""


class UnknownBlockError(PackedError):
    """A kind of block that isn't unpacked here."""


class _Entry(NamedTuple):
    bits: int
    delta: int
    symbol: int


def _bases(bits: tuple[int, ...]) -> tuple[int, ...]:
    out, value = [], 0
    for count in bits:
        out.append(value)
        value += 1 << count
    return tuple(out)


_L_BASE, _M_BASE, _D_BASE = _bases(_L_BITS), _bases(_M_BITS), _bases(_D_BITS)


class _Bits:
    """Bits of a payload from its end to its beginning."""

    def __init__(self, payload: bytes, spare: int) -> None:
        # `spare` says how many of the last byte's bits are used, less 8: -7 to 0.
        self._payload = payload
        self._left = 8 * len(payload) + spare
        if self._left < 0 or (payload and payload[-1] >> (8 + spare)):
            raise PackedError("bits beyond the end of a payload")

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise PackedError("a payload ends early")
        at = self._left >> 3  # at most 25 bits are taken at once, from five bytes
        word = int.from_bytes(self._payload[at : at + 5], "little") >> (self._left & 7)
        return word & ((1 << count) - 1)


def unpack(packed: bytes, most: int) -> bytes:
    """What an LZFSE stream holds.

    Args:
        packed: the stream.
        most: bytes that it may unpack to.

    Raises:
        UnknownBlockError: a block that isn't unpacked here.
        PackedError: damaged, or more than `most`.
    """
    out = bytearray()
    at = 0
    while True:
        magic = packed[at : at + 4]
        if magic == END:
            return bytes(out)
        if magic not in (STORED, PACKED):
            raise UnknownBlockError(f"a block of kind {magic!r}")
        if at + 8 > len(packed):
            raise PackedError("it ends in a block's header")
        length = int.from_bytes(packed[at + 4 : at + 8], "little")
        if length > most - len(out):
            raise PackedError(f"it unpacks to more than {most} bytes")
        if magic == STORED:
            if at + 8 + length > len(packed):
                raise PackedError("it ends in a block")
            out += packed[at + 8 : at + 8 + length]
            at += 8 + length
        else:
            at = _packed_block(packed, at, length, out)


def _packed_block(packed: bytes, at: int, length: int, out: bytearray) -> int:
    if at + _HEADER.size > len(packed):
        raise PackedError("it ends in a block's header")
    _, _, first, second, third = _HEADER.unpack_from(packed, at)
    header_size = third & 0xFFFFFFFF
    literal_bytes, triple_bytes = first >> 20 & 0xFFFFF, second >> 40 & 0xFFFFF
    literals_at = at + header_size
    triples_at = literals_at + literal_bytes
    end = triples_at + triple_bytes
    if header_size < _HEADER.size or end > len(packed):
        raise PackedError("a block's lengths don't fit")
    tables = _tables(packed[at + _HEADER.size : literals_at])
    literals = _literals(
        _Bits(packed[literals_at:triples_at], (first >> 60 & 7) - 7),
        first & 0xFFFFF,
        [second >> shift & 0x3FF for shift in (0, 10, 20, 30)],
        tables["literal"],
    )
    bits = _Bits(packed[triples_at:end], (second >> 60 & 7) - 7)
    states = (third >> 32 & 0x3FF, third >> 42 & 0x3FF, third >> 52 & 0x3FF)
    _copy(bits, first >> 40 & 0xFFFFF, states, tables, literals, out, len(out) + length)
    return end


def _tables(coded: bytes) -> dict[str, list[_Entry]]:
    value, left = int.from_bytes(coded, "little"), 8 * len(coded)
    out = {}
    for name, symbols in _SYMBOLS.items():
        counts = []
        for _ in range(symbols):
            if not coded:
                counts.append(0)
                continue
            low = value & 31
            count = _CODE_BITS[low]
            number = _CODE_VALUES[low]
            if count == 8:
                number = 8 + (value >> 4 & 0xF)
            elif count == 14:
                number = 24 + (value >> 4 & 0x3FF)
            counts.append(number)
            value >>= count
            left -= count
        out[name] = _decoder(counts, _STATES[name])
    if left < 0:
        raise PackedError("the frequencies end early")
    return out


def _decoder(counts: list[int], states: int) -> list[_Entry]:
    if sum(counts) > states:
        raise PackedError("more states than there are")
    table: list[_Entry] = []
    for symbol, count in enumerate(counts):
        if count == 0:
            continue
        bits = states.bit_length() - count.bit_length()
        longer = (2 * states >> bits) - count
        for j in range(count):
            if j < longer:
                table.append(_Entry(bits, ((count + j) << bits) - states, symbol))
            else:
                table.append(_Entry(bits - 1, (j - longer) << (bits - 1), symbol))
    return table


def _literals(bits: _Bits, count: int, states: list[int], table: list[_Entry]) -> bytes:
    if count % 4:
        raise PackedError("literals come in fours")
    out = bytearray(count)
    take = bits.take
    try:
        for at in range(count):
            which = at & 3
            entry = table[states[which]]
            states[which] = entry.delta + take(entry.bits)
            out[at] = entry.symbol
    except IndexError:
        raise PackedError("a state that isn't one") from None
    return bytes(out)


def _copy(
    bits: _Bits,
    count: int,
    states: tuple[int, int, int],
    tables: dict[str, list[_Entry]],
    literals: bytes,
    out: bytearray,
    end: int,
) -> None:
    l_state, m_state, d_state = states
    l_table, m_table, d_table = tables["l"], tables["m"], tables["d"]
    take = bits.take
    used, distance = 0, 0
    try:
        for _ in range(count):
            entry = l_table[l_state]
            extra = _L_BITS[entry.symbol]
            drawn = take(entry.bits + extra)
            l_state = entry.delta + (drawn >> extra)
            run = _L_BASE[entry.symbol] + (drawn & (1 << extra) - 1)
            entry = m_table[m_state]
            extra = _M_BITS[entry.symbol]
            drawn = take(entry.bits + extra)
            m_state = entry.delta + (drawn >> extra)
            match = _M_BASE[entry.symbol] + (drawn & (1 << extra) - 1)
            entry = d_table[d_state]
            extra = _D_BITS[entry.symbol]
            drawn = take(entry.bits + extra)
            d_state = entry.delta + (drawn >> extra)
            distance = _D_BASE[entry.symbol] + (drawn & (1 << extra) - 1) or distance
            if used + run > len(literals) or len(out) + run + match > end:
                raise PackedError("a copy past the end")
            out += literals[used : used + run]
            used += run
            if match:
                if not 0 < distance <= len(out):
                    raise PackedError("a copy from before the beginning")
                start = len(out) - distance
                piece = out[start : start + match]
                # A match longer than its distance repeats itself.
                out += (piece * (match // max(len(piece), 1) + 1))[:match]
    except IndexError:
        raise PackedError("a state that isn't one") from None
    if len(out) != end:
        raise PackedError(f"{end - len(out)} bytes are missing")
