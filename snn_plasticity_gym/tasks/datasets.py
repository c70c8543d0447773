"""Load the images that networks see: MNIST and its relatives from a data directory, or scikit-learn's digits.

Every data set has the same form, 28 x 28 grey values of ten classes in a fixed split, which can be had smaller, as
means of square blocks of pixels. `ImageSet` tensors are shared between all who load the same data set in a process:
read them, never write to them.

The folders are torchvision's, `DIR/MNIST/raw/train-images-idx3-ubyte` and so on. What lies there is checked before
it is used, since torchvision only asks whether the files exist.
"""

import gzip
import hashlib
import http.client
import logging
import os
import shutil
import socket
import struct
import tempfile
import threading
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import platformdirs
import torch
from filelock import FileLock
from torch import Tensor

DATASETS = ("auto", "mnist", "fashion-mnist", "kmnist", "digits")
DATA_VARIABLE = "SNN_PLASTICITY_DATA"
IMAGE_SIZE = 28  # pixels of a side, as data sets come

_CLASSES = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}  # torchvision's class and folder
_FILES = {  # name: shape
    "train-images-idx3-ubyte": (60_000, 28, 28),
    "train-labels-idx1-ubyte": (60_000,),
    "t10k-images-idx3-ubyte": (10_000, 28, 28),
    "t10k-labels-idx1-ubyte": (10_000,),
}
_VALIDATION_SIZE = 10_000  # the last images of the training file
_NETWORK_TIMEOUT = 5.0  # s of silence on one connection before a download is given up
_LOCK_TIMEOUT = 900.0  # s to wait for another process that downloads

_logger = logging.getLogger("snn_plasticity_gym")
_load_lock = threading.Lock()
_without_mnist: set[Path] = set()  # directories for which "auto" has given up in this process


class ImageSet(NamedTuple):
    """Images with their labels; shared, not to be written to."""

    images: Tensor  # (n, 28, 28) uint8, or smaller
    labels: Tensor  # (n,) int64, 0 to 9


@dataclass(frozen=True, eq=False)  # tensors have no single truth value, so equality is identity
class Dataset:
    """A data set in its fixed split: train to learn from, validation to choose settings by, test for the result."""

    name: str  # what was really loaded, never "auto"
    directory: str | None  # the data directory it lies in; None for digits, which come with scikit-learn
    checksum: str  # SHA-256 over the images, in their full size, and labels of the three parts
    train: ImageSet = field(repr=False)
    validation: ImageSet = field(repr=False)
    test: ImageSet = field(repr=False)

    def manifest(self, split: str) -> dict[str, str | None]:
        """Return what a run's manifest tells of its data; `split` is the part that was learned from."""
        return {"name": self.name, "directory": self.directory, "checksum": self.checksum, "split": split}

    def split(self, name: str) -> ImageSet:
        """Return the part "train", "validation" or "test"; raise ValueError for another name."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        if name not in parts:
            raise ValueError(f"split must be one of {', '.join(parts)}, got {name!r}")
        return parts[name]


def data_directory(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the argument, else $SNN_PLASTICITY_DATA, else the user's cache folder; an empty string is not given."""
    given = os.fspath(data_dir or "") or os.environ.get(DATA_VARIABLE)
    if given:
        return Path(given).expanduser()
    return Path(platformdirs.user_cache_dir("snn_plasticity_gym", appauthor=False))


def load_dataset(
    name: str = "auto", data_dir: str | os.PathLike[str] | None = None, image_size: int = IMAGE_SIZE
) -> Dataset:
    """Load a data set, downloading it once if it is not in the data directory.

    "auto" is MNIST if it can be had and digits otherwise, with one warning. A download that failed for "auto" is not
    tried again in the same process; "mnist" always tries.

    Args:
        name: One of `DATASETS`.
        data_dir: Folder that holds `MNIST/raw` and the like; see `data_directory`.
        image_size: Pixels of a side, a divisor of 28: smaller images are means of square blocks.

    Returns:
        The data set. Equal arguments give the same object: do not write to its tensors.

    Raises:
        ValueError: If the name is unknown, 28 is no multiple of the size, or a file in the data directory is damaged
            (also for "auto").
        FileNotFoundError: If the files are neither there nor to be downloaded (not for "auto").
    """
    if name not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {name!r}")
    if image_size < 1 or IMAGE_SIZE % image_size:
        raise ValueError(f"image_size must divide {IMAGE_SIZE}, got {image_size}")
    # One load at a time in a process: the socket timeout of a download is global, and equal loads share one result.
    with _load_lock:
        if name == "digits":
            whole = _load_digits()
        else:
            directory = data_directory(data_dir).resolve()
            whole = _load_auto(directory) if name == "auto" else _load_mnist_like(name, directory)
        return whole if image_size == IMAGE_SIZE else _pooled(whole, image_size)


@lru_cache(maxsize=8)
def _pooled(whole: Dataset, image_size: int) -> Dataset:
    """Return a data set with images of `image_size` pixels a side, rounded means of square blocks."""
    parts = (
        ImageSet(_block_means(part.images, IMAGE_SIZE // image_size), part.labels)
        for part in (whole.train, whole.validation, whole.test)
    )
    return Dataset(whole.name, whole.directory, whole.checksum, *parts)


def _block_means(images: Tensor, block: int) -> Tensor:
    """Average squares of `block` x `block` pixels, halves rounded up: (n, S, S) uint8 -> (n, S/block, S/block)."""
    cells = images.unflatten(2, (-1, block)).unflatten(1, (-1, block))  # (n, S/block, block, S/block, block)
    total = cells.sum(dim=(2, 4), dtype=torch.int32)
    return ((2 * total + block**2) // (2 * block**2)).to(torch.uint8)


def _load_auto(directory: Path) -> Dataset:
    """Load MNIST, or digits with a warning where MNIST is not to be had."""
    if directory in _without_mnist and _missing_files(directory / _CLASSES["mnist"] / "raw"):
        return _load_digits()
    try:
        return _load_mnist_like("mnist", directory)
    except FileNotFoundError as error:
        _without_mnist.add(directory)
        _logger.warning("Using digits in place of MNIST: %s", error)
        return _load_digits()


@lru_cache(maxsize=8)
def _load_mnist_like(name: str, directory: Path) -> Dataset:
    """Load one of torchvision's MNIST-like data sets from checked files."""
    _provide_files(name, directory)
    from torchvision.datasets.mnist import read_image_file, read_label_file

    # Not `MNIST(directory).data`: the class prefers an old `processed/training.pt` to the files that were just checked.
    folder = directory / _CLASSES[name] / "raw"
    images, test_episodes = (read_image_file(str(folder / f"{part}-images-idx3-ubyte")) for part in ("train", "t10k"))
    labels, test_labels = (read_label_file(str(folder / f"{part}-labels-idx1-ubyte")) for part in ("train", "t10k"))
    train = ImageSet(images[:-_VALIDATION_SIZE], labels[:-_VALIDATION_SIZE])
    validation = ImageSet(images[-_VALIDATION_SIZE:], labels[-_VALIDATION_SIZE:])
    test = ImageSet(test_episodes, test_labels)
    return Dataset(name, str(directory), _checksum(train, validation, test), train, validation, test)


@lru_cache(maxsize=1)
def _load_digits() -> Dataset:
    """Load the 1,797 digits of scikit-learn, resized from 8 x 8 to 28 x 28."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    small = torch.as_tensor(raw.images, dtype=torch.float64)[:, None]  # (n, 1, 8, 8), 0 to 16
    large = torch.nn.functional.interpolate(small, size=(28, 28), mode="bilinear", align_corners=False)[:, 0]
    # Grey 8 of 16 is 127.5: without the last term rounding errors, which differ between machines, would decide there.
    images = torch.floor(large * (255 / 16) + 0.5 + 1e-6).to(torch.uint8)  # (n, 28, 28)
    labels = torch.as_tensor(raw.target, dtype=torch.int64)
    # RandomState, since NumPy promises that its stream never changes between versions.
    order = torch.as_tensor(np.random.RandomState(0).permutation(len(labels)))
    train, validation, test = (ImageSet(images[part], labels[part]) for part in order.split([1_197, 300, 300]))
    return Dataset("digits", None, _checksum(train, validation, test), train, validation, test)


def _checksum(*parts: ImageSet) -> str:
    """Hash images and labels, the labels as bytes so that every machine gives the same hash."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.images.numpy().tobytes())
        digest.update(part.labels.to(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _damage(path: Path, shape: tuple[int, ...]) -> str | None:
    """Say what is wrong with an idx file of bytes, or None.

    Format: magic number 0x0800 + number of axes, then the length of each axis, all as big-endian 32-bit integers, then
    the bytes (LeCun, Cortes and Burges, "The MNIST database of handwritten digits").
    """
    header_size = 4 * (1 + len(shape))
    expected_size = header_size + prod(shape)
    expected_magic = 0x0800 + len(shape)
    size = path.stat().st_size
    if size >= header_size:
        with path.open("rb") as file:
            magic, *counts = struct.unpack(f">{1 + len(shape)}I", file.read(header_size))
        if magic != expected_magic:
            return f"has a wrong magic number: expected {expected_magic:#010x}, found {magic:#010x}"
        if tuple(counts) != shape:
            return f"has wrong counts: expected {shape}, found {tuple(counts)}"
    if size != expected_size:
        return f"is {'truncated' if size < expected_size else 'too long'}: expected {expected_size} bytes, found {size}"
    return None


def _missing_files(folder: Path) -> list[str]:
    """List the idx files that are not in `folder`; raise ValueError if one that is there is damaged."""
    missing = []
    for file, shape in _FILES.items():
        if not (folder / file).is_file():
            missing.append(file)
        elif damage := _damage(folder / file, shape):
            raise ValueError(f"{folder / file} {damage}; replace it, or delete it to have it downloaded again")
    return missing


def _provide_files(name: str, directory: Path) -> None:
    """See that the four idx files lie whole in `directory`; one process at a time brings what is missing."""
    folder = directory / _CLASSES[name] / "raw"
    if not _missing_files(folder):
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with FileLock(directory / f".{_CLASSES[name]}.lock", timeout=_LOCK_TIMEOUT):
            missing = _missing_files(folder)  # again: another process may have brought them meanwhile
            if missing:
                _stage_and_move(name, directory, missing)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__  # torchvision's own message has many lines
        raise FileNotFoundError(
            f"{name} is not in {folder} and could not be downloaded there ({reason}); put its four idx files in "
            f"{folder}, or point --data-dir or {DATA_VARIABLE} at a folder that has {_CLASSES[name]}/raw; "
            "or use --dataset digits, or connect to the network"
        ) from error


def _stage_and_move(name: str, directory: Path, missing: list[str]) -> None:
    """Unpack or download the missing files in a temporary folder; only whole ones take their place."""
    folder = directory / _CLASSES[name] / "raw"
    with tempfile.TemporaryDirectory(prefix=f".{_CLASSES[name]}-", dir=directory) as temporary:
        staging = Path(temporary) / _CLASSES[name] / "raw"
        staging.mkdir(parents=True)
        packed = [file for file in missing if (folder / f"{file}.gz").is_file()]
        for file in packed:
            _unpack(folder / f"{file}.gz", staging / file, _FILES[file])
        if len(packed) < len(missing):
            _logger.info("Downloading %s to %s", name, folder)
            _download(name, Path(temporary))
        folder.mkdir(parents=True, exist_ok=True)
        for file in missing:
            if damage := _damage(staging / file, _FILES[file]):
                raise RuntimeError(f"the downloaded {file} {damage}")
            os.replace(staging / file, folder / file)


def _unpack(archive: Path, target: Path, shape: tuple[int, ...]) -> None:
    """Unpack one `.gz` file; raise ValueError if it or what it holds is damaged."""
    damage: str | None
    try:
        with gzip.open(archive) as source, target.open("wb") as destination:
            shutil.copyfileobj(source, destination)
        damage = _damage(target, shape)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        damage = f"cannot be unpacked ({error})"
    if damage:
        raise ValueError(f"{archive} {damage}; replace it, or delete it to have it downloaded again")


def _download(name: str, root: Path) -> None:
    """Download a data set with torchvision, which checks MD5 sums, into the folder `root`."""
    from torchvision import datasets

    timeout_before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_NETWORK_TIMEOUT)  # torchvision sets none, and would hang on a dead network
    try:
        getattr(datasets, _CLASSES[name])(str(root), download=True)
    finally:
        socket.setdefaulttimeout(timeout_before)
