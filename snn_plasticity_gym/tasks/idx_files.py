"""Files of MNIST and its relatives: location, reading, checking, and download of missing ones.

The folders are torchvision's, `DIR/MNIST/raw/train-images-idx3-ubyte` and so on. Files are checked before
use, since torchvision only checks that they exist. Packed files are read directly, without writing, so that the folder
may be read-only.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import logging
import os
import socket
import struct
import tempfile
import zlib
from math import prod
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}  # torchvision's class and folder
FILES = {  # name: shape
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
PUBLISHED = {  # MD5 of the published files, in the order of `FILES`
    "mnist": (
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ),
    "fashion-mnist": (
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ),
}
PUBLISHED_PACKED = {  # the same of the .gz files, where sums of their content are not published
    "kmnist": (
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
}
DATA_VARIABLE = "SNN_PLASTICITY_DATA"
_NETWORK_TIMEOUT = 5.0  # s of silence on one connection before a download is given up
_LOCK_TIMEOUT = 900.0  # s to wait for another process that downloads

_logger = logging.getLogger("snn_plasticity_gym")


def raw_folder(name: str, directory: Path) -> Path:
    """Return the folder of a data set's four files."""
    return directory / CLASSES[name] / "raw"


def read_files(name: str, directory: Path) -> tuple[NDArray[np.uint8], ...]:
    """Read the four files of a data set, downloading those that are missing.

    A file may be packed (.gz), and may have a dot before "idx" (`train-images.idx3-ubyte`).

    Args:
        name: A key of `CLASSES`.
        directory: Data directory.

    Returns:
        Training images (n, 28, 28), training labels (n,), test images and test labels, all uint8.

    Raises:
        ValueError: A file is damaged or cannot be read.
        FileNotFoundError: Files are missing and cannot be downloaded.
    """
    folder = raw_folder(name, directory)
    found = _find(folder)
    contents = {file: _read(path, FILES[file]) for file, path in found.items()}
    if len(contents) < len(FILES):
        _ensure_files(name, directory)
        found = _find(folder)
        contents |= {file: _read(path, FILES[file]) for file, path in found.items() if file not in contents}
    _compare_with_published(name, folder, found, contents)
    return tuple(_array(contents[file], shape) for file, shape in FILES.items())


def traces(name: str, directory: Path) -> list[Path]:
    """List files of a data set in its folder, or misplaced in the folders above it."""
    folders = (raw_folder(name, directory), directory / CLASSES[name], directory)
    return [path for folder in folders for path in _find(folder).values()]


def _find(folder: Path) -> dict[str, Path]:
    """Return the path of each file of `FILES` that is in a folder; raise ValueError if it cannot be looked into."""
    found = {}
    for file in FILES:
        spellings = (file, file.replace("-idx", ".idx"))
        for spelling in (*spellings, *(f"{spelling}.gz" for spelling in spellings)):
            try:
                there = (folder / spelling).is_file()
            except OSError as error:
                raise ValueError(f"{folder} cannot be looked into ({error.strerror}); change its rights") from error
            if there:
                found[file] = folder / spelling
                break
    return found


def _read(path: Path, shape: tuple[int, ...]) -> bytes:
    """Return the content of one file, unpacked; raise ValueError if it is damaged or cannot be read."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        damage = _damage(content, shape)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        damage = f"cannot be unpacked ({error})"
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); change its rights, or replace it") from error
    if damage:
        raise ValueError(f"{path} {damage}; replace it, or delete it to have it downloaded again")
    return content


def _damage(content: bytes, shape: tuple[int, ...]) -> str | None:
    """Return the error of an idx file of bytes, or None.

    Format: magic number 0x0800 + number of axes, then the length of each axis, all as big-endian 32-bit integers, then
    the bytes (LeCun, Cortes and Burges, "The MNIST database of handwritten digits").
    """
    header_size = 4 * (1 + len(shape))
    expected_size = header_size + prod(shape)
    expected_magic = 0x0800 + len(shape)
    size = len(content)
    if size >= header_size:
        magic, *counts = struct.unpack_from(f">{1 + len(shape)}I", content)
        if magic != expected_magic:
            return f"has a wrong magic number: expected {expected_magic:#010x}, found {magic:#010x}"
        if tuple(counts) != shape:
            return f"has wrong counts: expected {shape}, found {tuple(counts)}"
    if size != expected_size:
        return f"is {'truncated' if size < expected_size else 'too long'}: expected {expected_size} bytes, found {size}"
    return None


def _array(content: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a copy of the data after the header of a file."""
    return np.frombuffer(content, np.uint8, offset=4 * (1 + len(shape))).reshape(shape).copy()


def _compare_with_published(name: str, folder: Path, found: dict[str, Path], contents: dict[str, bytes]) -> None:
    """Warn, in one line, of files with checksums other than the published ones."""
    others = []
    for file, expected in zip(FILES, PUBLISHED.get(name, ()), strict=False):
        if hashlib.md5(contents[file], usedforsecurity=False).hexdigest() != expected:
            others.append(found[file].name)
    for file, expected in zip(FILES, PUBLISHED_PACKED.get(name, ()), strict=False):
        path = found[file]
        if path.suffix == ".gz" and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != expected:
            others.append(path.name)
    if others:
        _logger.warning(
            "%s in %s is not the published data set: the checksums of %s differ; results are not comparable with "
            "those of others",
            name,
            folder,
            ", ".join(others),
        )


def _ensure_files(name: str, directory: Path) -> None:
    """Ensure that the four files are in `directory`; one process at a time downloads missing ones."""
    folder = raw_folder(name, directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / f".{CLASSES[name]}.lock", timeout=_LOCK_TIMEOUT):
            present = _find(folder)  # again: another process may have downloaded them meanwhile
            missing = [file for file in FILES if file not in present]
            if missing:
                _download_and_move(name, directory, missing)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__  # torchvision's own message has many lines
        raise FileNotFoundError(
            f"{_missing_message(name, directory)} ({reason}); {_remedy_message(name, directory)}"
        ) from error


def _missing_message(name: str, directory: Path) -> str:
    """Return a message on missing files."""
    folder = raw_folder(name, directory)
    present = _find(folder)
    missing = [file for file in FILES if file not in present]
    if present:
        what = "them" if len(missing) > 1 else "it"
        return f"{', '.join(missing)} of {name} is not in {folder}, and {what} could not be downloaded there"
    return f"{name} is not in {folder} and could not be downloaded there"


def _remedy_message(name: str, directory: Path) -> str:
    """Return a message on how to provide the files."""
    folder = raw_folder(name, directory)
    strays = sorted({path.parent for path in traces(name, directory)} - {folder})
    if strays:
        return f"files of its kind lie in {strays[0]}: move them to {folder}"
    return (
        f"put {', '.join(FILES)} (or the same with .gz) in {folder}, or point --data-dir or {DATA_VARIABLE} at a "
        f"folder that has {CLASSES[name]}/raw; or use --dataset digits, or connect to the internet"
    )


def _download_and_move(name: str, directory: Path, missing: list[str]) -> None:
    """Download the missing files into a temporary folder; only complete ones are moved to their place."""
    folder = raw_folder(name, directory)
    with tempfile.TemporaryDirectory(prefix=f".{CLASSES[name]}-", dir=directory) as temporary:
        _logger.info("Downloading %s to %s", name, folder)
        _download(name, Path(temporary))
        folder.mkdir(parents=True, exist_ok=True)
        for file in missing:
            staged = raw_folder(name, Path(temporary)) / file
            if damage := _damage(staged.read_bytes(), FILES[file]):
                raise RuntimeError(f"the downloaded {file} {damage}")
            os.replace(staged, folder / file)


def _download(name: str, root: Path) -> None:
    """Download a data set with torchvision, which checks MD5 sums, into the folder `root`."""
    from torchvision import datasets

    timeout_before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_NETWORK_TIMEOUT)  # torchvision sets none, and would hang on a dead network
    try:
        getattr(datasets, CLASSES[name])(str(root), download=True)
    finally:
        socket.setdefaulttimeout(timeout_before)
