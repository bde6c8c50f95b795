"""The C library's float32 functions, as compiled programs such as MediaPipe call them.

They aren't correctly rounded: glibc 2.36's `atan2f` differs from the rounded double in the last
bit for 16 % of arguments, `cosf` and `sinf` for 1.3 %. A crop that depends on them by feedback
from frame to frame shows that bit within a second, so it takes the same functions. Where the C
library has none, the rounded double has to do.
"""

from __future__ import annotations

import ctypes
import math
import sys
from array import array
from collections.abc import Callable
from functools import lru_cache

Function = Callable[..., float]


def _library() -> ctypes.CDLL | None:
    # None stands for what the process holds already: on Linux and macOS that includes libm.
    for name in ("ucrtbase",) if sys.platform == "win32" else (None, "libm.so.6"):
        try:
            library = ctypes.CDLL(name)
            if hasattr(library, "atan2f"):
                return library
        except OSError:
            continue
    return None


def _function(name: str, arguments: int, fallback: Function) -> Function:
    function = getattr(_LIBRARY, name, None)
    if function is None:
        return lambda *values: ctypes.c_float(fallback(*values)).value
    function.argtypes = [ctypes.c_float] * arguments
    function.restype = ctypes.c_float
    return function


_LIBRARY = _library()
cosf = _function("cosf", 1, math.cos)
sinf = _function("sinf", 1, math.sin)
atan2f = _function("atan2f", 2, math.atan2)
expf = _function("expf", 1, math.exp)


def float32s(*values: float) -> tuple[float, ...]:
    """Those values rounded to float32.

    Python adds and multiplies in float64; rounded after each step, the result is what float32
    arithmetic gives. For a handful of numbers that takes a fraction of NumPy's time.
    """
    return tuple(array("f", values))


@lru_cache(maxsize=64)
def cos_sin(angle_rad: float) -> tuple[float, float]:
    """Cosine and sine of a float32: a region's angle is asked for again and again."""
    return cosf(angle_rad), sinf(angle_rad)
