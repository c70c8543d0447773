"""What `torchrun` tells each process of a run that is spread over several. This module is light, as `--help` is."""

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


def let_first_speak() -> str:
    """Wait, unless this is the first process: `torchrun` ends all others as soon as that one has said the same error.

    Returns:
        What goes before an error that the first process does not have; empty in the first process.
    """
    rank = launched_rank()
    if not rank:
        return ""
    time.sleep(GRACE)
    return f"process {rank} of {launched_size()}: "
