"""Compiled loops over lifetimes, spread over as many threads as torch may use."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def spread(work: Callable[[int, int], None], count: int) -> None:
    """Call `work(first, last)` for parts of range(count), side by side in `torch.get_num_threads()` threads.

    The work must not hold Python's lock, as compiled loops do not, and its parts must not touch each other's memory.
    """
    threads = min(torch.get_num_threads(), count)
    if threads == 1:
        work(0, count)
        return
    edges = [count * part // threads for part in range(threads + 1)]
    others = [_pool(os.getpid(), threads - 1).submit(work, *edges[part : part + 2]) for part in range(1, threads)]
    try:
        work(*edges[:2])
    finally:
        for other in others:
            other.result()


@functools.lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return threads of this process; a forked one has none of its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"lifetimes-{process}")
