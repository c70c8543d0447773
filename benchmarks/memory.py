"""malloc's treatment of freed memory: return it, to be mapped and zeroed again, or keep it.

glibc's malloc initially returns every block above 128 KiB to the system. Each use of a new one then costs a page
fault per 4 KiB, which for tensors of some megabytes can be most of the time. It raises the limit during a process, so
that the speed of the same code depends on earlier work. Benchmarks that compare two pieces of code set
it for both.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
SMALL, LARGE = 128 << 10, 32 << 20  # bytes: glibc's first threshold, and its largest


def keep_freed_memory(keep: bool) -> bool:
    """Let malloc keep freed blocks up to 32 MiB, or none above 128 KiB; return whether it can be set (glibc only)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    threshold = LARGE if keep else SMALL
    return bool(mallopt(M_MMAP_THRESHOLD, threshold) and mallopt(M_TRIM_THRESHOLD, 1 << 30 if keep else SMALL))
