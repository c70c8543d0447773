"""Parallel compiled loops over lifetimes, with torch's number of threads."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def spread(work: Callable[[int, int], None], count: int) -> None:
    """Call `work(first, last)` for parts of range(count), in parallel in `torch.get_num_threads()` threads.

    The work must release Python's lock, as compiled loops do, and its parts must not share memory.
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
    """Return the thread pool of this process; a forked one does not inherit its parent's."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"lifetimes-{process}")
