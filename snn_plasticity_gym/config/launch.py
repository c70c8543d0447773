"""Rank and world size of a process, as set by `torchrun`. This module imports little, for a fast `--help`."""

from __future__ import annotations

import os
import time

GRACE = 10.0  # s


def launched_rank() -> int:
    """Return the number of this process, from 0; 0 without `torchrun`."""
    return int(os.environ.get("RANK", "0"))


def launched_size() -> int:
    """Return the number of processes; 1 without `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def wait_for_first_process() -> str:
    """Wait, unless this is the first process: `torchrun` ends all others once that one has reported the same error.

    Returns:
        Prefix of an error that the first process does not have; empty in the first process.
    """
    rank = launched_rank()
    if not rank:
        return ""
    time.sleep(GRACE)
    return f"process {rank} of {launched_size()}: "
