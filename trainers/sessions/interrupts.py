"""Ctrl-C, SIGTERM and a terminal that is closed: the update under way is finished, so that nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """Notes a first Ctrl-C, SIGTERM or SIGHUP; a second one ends the program at once. Signals are caught within `with`.

    SIGHUP comes when a terminal is closed; under `nohup`, which has it ignored, it stays so.

    Args:
        silent: Whether nothing is said.
    """

    def __init__(self, silent: bool = False) -> None:
        self.asked = False
        self._silent = silent
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # Python allows it nowhere else
            caught = [signal.SIGINT, signal.SIGTERM]
            if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
                caught.append(signal.SIGHUP)
            self._before = {number: signal.signal(number, self._note) for number in caught}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        if self._silent:
            return
        # not print(): the signal may have come within one
        with contextlib.suppress(OSError):  # the terminal may have gone
            os.write(2, b"\nstopping at the end of this update; Ctrl-C again stops at once, at the last checkpoint\n")
