"""Checkpoints of a run: its complete state, written atomically.

A checkpoint is `episodes_<number>-<start of its SHA-256>.pt`, `images_...` in earlier versions, named as in
`torch.hub`: a damaged file is detected. `torch.load(weights_only=True)` reads it; it cannot run code.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import pickle
from pathlib import Path
from typing import Any

import torch

from snn_plasticity_gym.utils.files import atomic_path

VERSION = 3  # of the content; raised when older ones can no longer be resumed
PREFIXES = ("episodes", "images")  # of file names, and keys of the number; the first is written
DIGITS = 16  # of the checksum in a name

_logger = logging.getLogger("snn_plasticity_gym")


class Checkpoints:
    """The newest checkpoints in a folder.

    Args:
        folder: Their folder.
        keep: Number to keep.
    """

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self._folder = folder
        self._keep = keep
        self._failed = False  # of the last attempt

    def paths(self) -> list[Path]:
        """Return the files, newest last; of the same episode, the one written last."""
        files = [path for prefix in PREFIXES for path in self._folder.glob(f"{prefix}_*-*.pt")]
        return sorted(files, key=lambda path: (_episodes(path), path.stat().st_mtime_ns))

    def save(self, episodes: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint, and remove the oldest ones.

        Args:
            episodes: Episodes so far.
            state: Tensors, numbers, texts, lists, tuples and dicts.

        Raises:
            OSError: It could not be written; earlier ones are kept.
        """
        buffer = io.BytesIO()
        torch.save({"version": VERSION, **state}, buffer)
        content = buffer.getbuffer()
        path = self._folder / f"{PREFIXES[0]}_{episodes:09d}-{hashlib.sha256(content).hexdigest()[:DIGITS]}.pt"
        self._folder.mkdir(exist_ok=True)
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
        for old in self.paths()[: -self._keep]:
            with contextlib.suppress(OSError):  # a folder of this name
                old.unlink()
        return path

    def attempt(self, episodes: int, state: dict[str, Any]) -> bool:
        """Save, or warn on failure, unless the attempt before failed; return whether it succeeded."""
        try:
            self.save(episodes, state)
        except OSError as error:
            if not self._failed:
                what = error.strerror or error
                _logger.warning("no checkpoint at %d episodes: %s; every update tries again", episodes, what)
            self._failed = True
            return False
        self._failed = False
        return True

    def newest(self) -> dict[str, Any] | None:
        """Return the newest intact checkpoint, or None; a warning names each damaged one.

        Raises:
            ValueError: It was written by another version of the project.
        """
        for path in reversed(self.paths()):
            state = _read(path)
            if state is None:
                _logger.warning("the checkpoint %s is damaged; the one before it is used", path)
            elif state.get("version") != VERSION:
                raise ValueError(f"{path} is a checkpoint of another version of the project; use that one to resume it")
            else:
                return {PREFIXES[0] if name in PREFIXES else name: value for name, value in state.items()}
        return None

    def take_up(self) -> dict[str, Any] | None:
        """Remove temporary files of a killed process, and return `newest`, to resume from."""
        self.tidy()
        return self.newest()

    def tidy(self) -> None:
        """Remove temporary files of a process killed while writing."""
        for prefix in PREFIXES:
            for path in self._folder.glob(f".{prefix}_*.pt"):
                path.unlink()


def _episodes(path: Path) -> int:
    number = path.stem.partition("_")[2].partition("-")[0]
    return int(number) if number.isdigit() else -1


def _read(path: Path) -> dict[str, Any] | None:
    """Return the content of a checkpoint; None if it is damaged."""
    try:
        content = path.read_bytes()
    except OSError:  # a folder of this name, or a missing disk
        return None
    if hashlib.sha256(content).hexdigest()[:DIGITS] != path.stem.rpartition("-")[2]:
        return None
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError):
        return None
    return state if isinstance(state, dict) else None
