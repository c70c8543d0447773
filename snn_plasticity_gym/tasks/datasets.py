"""Load image data sets: MNIST and its relatives, scikit-learn's digits, or a user's data set.

Every data set has the same form: grey images of one size, and classes 0 to C - 1, in a fixed split into training,
validation and test. Images can be downscaled to means of square blocks of pixels.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import threading
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import platformdirs
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from snn_plasticity_gym.config.data_names import DATASETS, add_dataset_name, check_dataset_name, is_file_name
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.tasks.idx_files import DATA_VARIABLE, read_files, traces
from snn_plasticity_gym.tasks.image_sets import PARTS, Dataset, ImageSet, remember
from snn_plasticity_gym.tasks.own_data import (
    Arrays,
    check_content,
    checked_arrays,
    read_npz,
    split_places,
    split_words,
)

_VALIDATION_SIZE = 10_000  # the last images of MNIST's training file

_logger = logging.getLogger("snn_plasticity_gym")
_load_lock = threading.RLock()  # reentrant: a registered callable may itself load a data set
_without_mnist: set[Path] = set()  # directories for which "auto" has given up in this process
_registered: dict[str, Callable[[], Dataset]] = {}  # loaders of registered data sets


@dataclasses.dataclass(frozen=True)
class Source:
    """Arguments of `load_dataset` that load a data set again; pickles of it hold them in place of its images."""

    name: str
    data_dir: str | None = None
    image_size: int | None = None

    def __call__(self, checksum: str) -> Dataset:
        """Load the data set again.

        Raises:
            ConfigError: It is not registered in this process.
            ValueError: It has changed: its checksum is another one.
        """
        dataset = load_dataset(self.name, self.data_dir, self.image_size)
        if dataset.checksum != checksum:
            raise ValueError(
                f"the data set {self.name} has other images than when this was saved (checksum {checksum[:12]}, now "
                f"{dataset.checksum[:12]})"
            )
        return dataset


def data_directory(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the argument, else $SNN_PLASTICITY_DATA, else the user's cache folder; an empty string is not given."""
    given = os.fspath(data_dir or "") or os.environ.get(DATA_VARIABLE)
    if given:
        return Path(given).expanduser()
    return Path(platformdirs.user_cache_dir("snn_plasticity_gym", appauthor=False))


def register_dataset(
    name: str,
    images: ArrayLike | Callable[[], tuple[ArrayLike, ...]],
    labels: ArrayLike | None = None,
    test_images: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
) -> None:
    """Register a user's data set for `dataset=name`, in this process.

        snn_plasticity_gym.register_dataset("letters", images, labels)
        env = gymnasium.make("SNNPlastic-Semi-v0", dataset="letters")

    For programs, give the module that calls this by --plugin. Classes are the distinct labels, in
    ascending order. Without test images, every sixth image of each class is for the test; every sixth is for
    validation (see `own_data.split_places`). Registering a name again replaces its data set.

    Args:
        name: Letters, digits, ".", "-" and "_".
        images: uint8 (n, H, W), 0 black, 255 white, of any size from 2 by 2 on. Or a callable that returns (images,
            labels) or (images, labels, test_images, test_labels); it is called when the data set is first loaded.
        labels: Integers of at least 0, of at least two classes, (n,); None with a callable.
        test_images: Images of the test split, of the same size.
        test_labels: Their labels.

    Raises:
        ConfigError: The name is taken by a shipped data set, or an array is invalid; for a callable's
            arrays, at loading.
    """
    what = f"the data set {name!r}"
    if callable(images):
        if not (labels is None and test_images is None and test_labels is None):
            raise ConfigError(f"{what}: a callable returns images and labels, so give it alone")
        load = images
        loader = cache(lambda: _of_arrays(_called(what, load), Source(name), what))
    else:
        if labels is None:
            raise ConfigError(f"{what} needs labels, one for each image")
        arrays = checked_arrays(what, images, labels, test_images, test_labels)
        dataset = _of_arrays(arrays, Source(name), what)
        loader = cache(lambda: dataset)
    add_dataset_name(name)
    with _load_lock:
        _registered[name] = loader


def load_dataset(
    name: str = "auto", data_dir: str | os.PathLike[str] | None = None, image_size: int | None = None
) -> Dataset:
    """Load a data set; download a shipped one once if it is not in the data directory.

    "auto" is MNIST if available and digits otherwise, with one warning. A download that failed for "auto" is not
    tried again in the same process; "mnist" always tries.

    Args:
        name: One of `DATASETS`, the path of an `.npz` file (see `own_data.read_npz`), or a registered name.
        data_dir: Folder that holds `MNIST/raw` and the like; see `data_directory`. Files and registered sets need none.
        image_size: Pixels of a column, a divisor of what the images have: smaller images are means of square blocks.
            None: original size.

    Returns:
        The data set. Equal arguments return the same object: do not write to its tensors.

    Raises:
        ValueError: If the name is unknown, the images cannot be divided into blocks, or a file in the data directory
            is damaged (also for "auto").
        FileNotFoundError: If the files are missing and cannot be downloaded (not for "auto").
    """
    check_dataset_name(name)
    # One load at a time in a process: the socket timeout of a download is global, and equal loads share one result.
    with _load_lock:
        whole = _load_whole(name, data_dir)
        block = _block_size(image_size, *whole.train.images.shape[1:])
        dataset = whole if block == 1 else _pooled(whole, block)
        remember(dataset)
        return dataset


def _load_whole(name: str, data_dir: str | os.PathLike[str] | None) -> Dataset:
    """Load a data set with images in original size."""
    if name == "digits":
        return _load_digits()
    if name in _registered:
        return _registered[name]()
    if is_file_name(name):
        path = Path(name).expanduser().resolve()
        state = path.stat() if path.is_file() else None
        return _load_npz(path, state.st_mtime_ns if state else 0, state.st_size if state else 0)
    directory = data_directory(data_dir)
    if directory.is_file() or is_file_name(str(directory)):
        remedy = f"a data set of your own is given as dataset={directory}" if is_file_name(str(directory)) else ""
        raise ConfigError(
            f"data_dir (or {DATA_VARIABLE}) must be a folder, got the file {directory}; "
            f"{remedy or 'give the folder that has MNIST/raw'}"
        )
    directory = directory.resolve()
    return _load_auto(directory) if name == "auto" else _load_mnist_like(name, directory)


def _block_size(image_size: int | None, height: int, width: int) -> int:
    """Return the block size that scales images of `height` x `width` pixels to height `image_size`; 1: no scaling."""
    if image_size is None:
        return 1
    if image_size >= 1 and height % image_size == 0 and width % (height // image_size) == 0:
        return height // image_size
    if height == width:
        raise ConfigError(f"image_size must divide {height}, got {image_size}")
    raise ConfigError(
        f"image_size must divide the height of images, {height}, into blocks that divide their width, {width}, got "
        f"{image_size}; leave it out for the original size"
    )


@lru_cache(maxsize=8)
def _pooled(whole: Dataset, block: int) -> Dataset:
    """Return a data set with smaller images, rounded means of square blocks."""
    train, validation, test = (
        ImageSet(_block_means(part.images, block), part.labels) for part in map(whole.split, PARTS)
    )
    source = whole.source
    if isinstance(source, Source):
        source = dataclasses.replace(source, image_size=whole.train.images.shape[1] // block)
    return dataclasses.replace(whole, train=train, validation=validation, test=test, source=source)


def _block_means(images: Tensor, block: int) -> Tensor:
    """Average squares of `block` x `block` pixels, halves rounded up: (n, H, W) uint8 -> (n, H/block, W/block)."""
    cells = images.unflatten(2, (-1, block)).unflatten(1, (-1, block))  # (n, H/block, block, W/block, block)
    total = cells.sum(dim=(2, 4), dtype=torch.int32)
    return ((2 * total + block**2) // (2 * block**2)).to(torch.uint8)


def _load_auto(directory: Path) -> Dataset:
    """Load MNIST, or digits with a warning if MNIST is neither present nor downloadable."""
    if directory in _without_mnist and not traces("mnist", directory):
        return _load_digits()
    try:
        return _load_mnist_like("mnist", directory)
    except FileNotFoundError as error:
        if traces("mnist", directory):
            raise
        _without_mnist.add(directory)
        _logger.warning("Using digits in place of MNIST: %s", error)
        return _load_digits()


@lru_cache(maxsize=8)
def _load_mnist_like(name: str, directory: Path) -> Dataset:
    """Load one of torchvision's MNIST-like data sets from checked files."""
    images, labels, test_images, test_labels = read_files(name, directory)
    what = f"{name} in {directory}"
    check_content(what, images, labels)
    classes, train_labels, numbers = _classes(what, labels, test_labels)
    train = ImageSet(torch.from_numpy(images[:-_VALIDATION_SIZE]), train_labels[:-_VALIDATION_SIZE])
    validation = ImageSet(torch.from_numpy(images[-_VALIDATION_SIZE:]), train_labels[-_VALIDATION_SIZE:])
    test = ImageSet(torch.from_numpy(test_images), numbers)
    checksum = _checksum(train, validation, test)
    source = Source(name, str(directory))
    return Dataset(name, str(directory), checksum, train, validation, test, classes, source=source)


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
    return Dataset(
        "digits",
        None,
        _checksum(train, validation, test),
        train,
        validation,
        test,
        classes=tuple(map(str, range(10))),
        division="shuffled with seed 0: 1,197 images to train, 300 for validation, 300 for the test",
        source=Source("digits"),
    )


@lru_cache(maxsize=8)
def _load_npz(path: Path, modified: int, size: int) -> Dataset:
    """Load a data set from a file; a rewritten file is another data set."""
    dataset = _of_arrays(read_npz(path), Source(str(path)), str(path))
    return dataclasses.replace(dataset, name=path.name, directory=str(path.parent))


def _called(what: str, load: Callable[[], tuple[ArrayLike, ...]]) -> Arrays:
    """Return the checked arrays of a user's callable."""
    given = load()
    if not isinstance(given, tuple) or len(given) not in (2, 4):
        raise ConfigError(
            f"the callable of {what} must return (images, labels) or (images, labels, test_images, test_labels), got "
            f"{f'{len(given)} entries' if isinstance(given, tuple) else type(given).__name__}"
        )
    return checked_arrays(what, *given)


def _of_arrays(arrays: Arrays, source: Source, what: str) -> Dataset:
    """Split a user's arrays into a data set."""
    classes, labels, test_labels = _classes(what, arrays.labels, arrays.test_labels)
    with_test = arrays.test_images is None
    places = [torch.from_numpy(part) for part in split_places(what, arrays.labels, with_test)]
    images = torch.as_tensor(np.ascontiguousarray(arrays.images))
    parts = [ImageSet(images[part], labels[part]) for part in places]  # copies: the user may write to the arrays
    if arrays.test_images is not None:
        parts.append(ImageSet(torch.tensor(np.ascontiguousarray(arrays.test_images)), test_labels))
    train, validation, test = parts
    form = f"{tuple(images.shape[1:])} {classes}".encode()
    return Dataset(
        source.name,
        None,
        _checksum(*parts, form=form),
        train,
        validation,
        test,
        classes,
        split_words(with_test),
        source,
    )


def _classes(
    what: str, labels: NDArray[np.integer], test_labels: NDArray[np.integer] | None
) -> tuple[tuple[str, ...], Tensor, Tensor]:
    """Number the distinct labels from 0 in ascending order.

    Returns:
        The label of each class, and the classes of the images and of the test images, int64 (n,) and (m,).
    """
    given = [labels] if test_labels is None else [labels, test_labels]
    names, numbers = np.unique(np.concatenate(given), return_inverse=True)
    classes = torch.from_numpy(numbers.reshape(-1).astype(np.int64))
    unseen = np.setdiff1d(names, labels)
    if len(unseen):
        _logger.warning(
            "%s has test images of the classes %s, of which there is none to learn from",
            what,
            ", ".join(map(str, unseen[:10])),
        )
    return tuple(str(name) for name in names), classes[: len(labels)], classes[len(labels) :]


def _checksum(*parts: ImageSet, form: bytes = b"") -> str:
    """Hash images and labels, the labels as bytes so that every machine gives the same hash.

    Args:
        parts: Of the data set.
        form: Further distinguishing bytes.
    """
    digest = hashlib.sha256(form)
    for part in parts:
        digest.update(part.images.numpy().tobytes())
        kind = np.uint8 if (part.labels < 256).all() else "<i4"
        digest.update(part.labels.numpy().astype(kind).tobytes())
    return digest.hexdigest()


__all__ = [
    "DATASETS",
    "DATA_VARIABLE",
    "Dataset",
    "ImageSet",
    "Source",
    "data_directory",
    "load_dataset",
    "register_dataset",
]
