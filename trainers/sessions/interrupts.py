"""Signal handling: Ctrl-C, SIGTERM and SIGHUP stop a run at the end of the current update."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any


class StopRequest:
    """Records a first Ctrl-C, SIGTERM or SIGHUP; a second one ends the program at once. A context manager.

    SIGHUP comes when a terminal is closed; under `nohup`, which has it ignored, it stays so.

    Args:
        silent: Whether no message is printed.
    """

    def __init__(self, silent: bool = False) -> None:
        self.requested = False
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
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self._silent:
            return
        # not print(): the signal may have come within one
        with contextlib.suppress(OSError):  # the terminal may have gone
            os.write(2, b"\nstopping at the end of this update; Ctrl-C again stops at once, at the last checkpoint\n")
