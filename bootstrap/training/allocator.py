"""glibc's allocator, set for training."""

from __future__ import annotations

import ctypes
import platform

# glibc's malloc.h: the numbers of mallopt's parameters.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3


def keep_large_blocks() -> bool:
    """Have malloc keep large freed blocks for the next step instead of returning them.

    A training step allocates and frees the same hundreds of megabytes; mapped and unmapped each
    time, every page faults anew, which has been seen to halve the speed. The settings are those
    of the MALLOC_* environment variables, but through mallopt they hold at once, so that neither
    the process needs starting again nor its children inherit them.

    Returns:
        Whether this is glibc and it agreed.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    settings = {_M_MMAP_THRESHOLD: 2**30, _M_TRIM_THRESHOLD: 2**31 - 1, _M_TOP_PAD: 2**26}
    return all(libc.mallopt(name, value) == 1 for name, value in settings.items())
