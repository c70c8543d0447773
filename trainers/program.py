"""How a program starts and ends. This module is light, so that `--help` and a wrong flag are answered at once."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any


def run_program(main: Callable[[], Any]) -> int:
    """Run a program's `main`, and turn errors that a user can mend into one line.

    Returns:
        The exit status: 0, 1 after such an error, 130 after Ctrl-C.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        main()
    except KeyboardInterrupt:
        return 130
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
