"""Output streams that survive a closed reader or a full disk.

`train_a2c.py | head -1`, a terminal that was closed, `> /dev/full`: Python raises from the next `print`, and hours of
training would be lost. All results are in files.
"""

from __future__ import annotations

import os
import sys
from typing import IO, Any


class Steady:
    """A text stream that discards its output once writing fails.

    Args:
        stream: The stream, with a file descriptor.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write or discard; return the length of `text`."""
        try:
            return self._stream.write(text)
        except OSError:
            self._let_go()
            return len(text)

    def flush(self) -> None:
        """Flush or discard the buffer."""
        try:
            self._stream.flush()
        except OSError:
            self._let_go()

    def _let_go(self) -> None:
        """Redirect the stream to the null device, so that its buffer causes no error at exit."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())
        os.close(nothing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def protect_streams() -> None:
    """Wrap the process's streams in `Steady`; missing ones are opened on the null device.

    Else the next files that are opened would have the numbers 0, 1 and 2, and get what other libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None and not _is_open(number):
            nothing = os.open(os.devnull, os.O_RDWR)
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)
            setattr(sys, name, open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    sys.stdout, sys.stderr = _steady(sys.stdout), _steady(sys.stderr)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _steady(stream: Any) -> Any:
    """Return a stream of the process wrapped in `Steady`; others, such as a test's, are unchanged."""
    return Steady(stream) if stream in (sys.__stdout__, sys.__stderr__) and stream is not None else stream
