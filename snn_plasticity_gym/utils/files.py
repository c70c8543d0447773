"""Atomic writing of files, and early creation of output folders."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from snn_plasticity_gym.config.schema import ConfigError


@contextlib.contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, and rename it to `path` at the end.

    If the block raises, an existing file is unchanged. The temporary name keeps the suffix, because SB3's `save` adds
    one to names that lack it.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_output(path: str | os.PathLike[str], files: Iterable[str] = (), what: str = "out") -> Path:
    """Make a folder for results, before the work starts.

    Args:
        path: The folder; parent folders are made, too.
        files: Names or patterns of files that must not be in it, as results would overwrite them.
        what: Its name in the message.

    Raises:
        ConfigError: It cannot be made or written to, or holds such a file.
    """
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(f"{what} must be a folder that can be written to, got {path}: {error.strerror}") from error
    there = next((found for name in files for found in sorted(folder.glob(name))), None)
    if there is not None:
        raise ConfigError(f"{there} is there already; choose another folder for out, or remove it")
    return folder


def make_unique_folder(path: Path) -> Path:
    """Make the folder or the first of path-2, path-3, ...; `mkdir` decides between processes of the same second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    candidate, number = path, 1
    while True:
        try:
            candidate.mkdir()
            return candidate
        except FileExistsError:
            number += 1
            candidate = path.with_name(f"{path.name}-{number}")


def sync_folder(folder: Path) -> None:
    """Make new names in a folder durable, if the system can open folders."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
