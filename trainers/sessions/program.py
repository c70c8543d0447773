"""Entry point of the programs. This module imports little, so that `--help` and a wrong flag are reported at once."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable, Sequence
from typing import Any

from snn_plasticity_gym.config.launch import launched_rank, launched_size, wait_for_first_process
from snn_plasticity_gym.trainers.sessions.streams import protect_streams


def run_program(main: Callable[[], Any], *, spreads: bool = False) -> int:
    """Run a program's `main`, and print user errors in one line.

    Args:
        main: The program.
        spreads: Whether several processes of `torchrun` can share the work; all but the first print only their own
            errors.

    Returns:
        The exit status: 0, 1 after such an error, 130 after Ctrl-C.
    """
    protect_streams()
    where = f"process {launched_rank()} of {launched_size()}: " if launched_rank() else ""
    logging.basicConfig(format=f"{where}%(message)s", level=logging.WARNING)
    try:
        if launched_size() > 1 and not spreads:
            raise ValueError("this program runs in one process; start it without torchrun")
        main()
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as error:
        print(f"error: {wait_for_first_process()}{error}", file=sys.stderr)
        return 1
    return 0


def split_positional(argv: Sequence[str] | None) -> tuple[list[str], list[str]]:
    """Split a command line into positional arguments before the first flag, and the rest; None: `sys.argv`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    first = list(itertools.takewhile(lambda token: not token.startswith("-"), argv))
    return first, argv[len(first) :]
