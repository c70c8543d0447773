"""Users' data sets: arrays of images and labels, from memory or from an `.npz` file, checked and split.

Axes: n images, H, W pixels.
"""

from __future__ import annotations

import logging
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from snn_plasticity_gym.config.schema import ConfigError

SPLIT_SEED = 0
EVERY = 6  # of each class, one image in six is for validation, one for the test
_NAMES = ("images", "labels", "test_images", "test_labels")
_DIM = 32  # of 255: images without brighter pixels hardly make a network fire

_logger = logging.getLogger("snn_plasticity_gym")


class Arrays(NamedTuple):
    """A data set as given by its author."""

    images: NDArray[np.uint8]  # (n, H, W) grey values, 255 is white
    labels: NDArray[np.int64]  # (n,)
    test_images: NDArray[np.uint8] | None  # (m, H, W)
    test_labels: NDArray[np.int64] | None  # (m,)


def checked_arrays(
    what: str,
    images: ArrayLike,
    labels: ArrayLike,
    test_images: ArrayLike | None = None,
    test_labels: ArrayLike | None = None,
) -> Arrays:
    """Check and return the arrays of a data set.

    Args:
        what: Name of the data set in messages.
        images: uint8 (n, H, W).
        labels: Integers (n,).
        test_images: As `images`, for the test split; None: the test split is taken from `images`.
        test_labels: As `labels`.

    Raises:
        ConfigError: An array is invalid; one line with the remedy.
    """
    if (test_images is None) != (test_labels is None):
        given, other = ("test_images", "test_labels")[:: 1 if test_labels is None else -1]
        raise ConfigError(f"{what} has {given} without {other}; give both or neither")
    train = _checked_part(what, "images", "labels", images, labels)
    check_content(what, *train)
    if test_images is None or test_labels is None:
        return Arrays(*train, None, None)
    test = _checked_part(what, "test_images", "test_labels", test_images, test_labels)
    if test[0].shape[1:] != train[0].shape[1:]:
        raise ConfigError(
            f"test_images of {what} must be of the size of images, {train[0].shape[1:]}, got {test[0].shape[1:]}"
        )
    return Arrays(*train, *test)


def check_content(what: str, images: NDArray[np.uint8], labels: NDArray[np.integer]) -> None:
    """Check that images are not all black or of one class, and warn of dark ones.

    Raises:
        ConfigError: All images are black, or of one class.
    """
    brightest = int(images.max())
    if not brightest:
        raise ConfigError(f"all images of {what} are black (0), so that no neuron would fire; give grey values to 255")
    if brightest < _DIM:
        _logger.warning(
            "the brightest pixel of %s is %d of 255, and networks may stay silent; scale the images up, so that white "
            "is 255",
            what,
            brightest,
        )
    if (labels == labels[0]).all():
        raise ConfigError(f"all labels of {what} are {labels[0]}; give images of at least two classes")


def _checked_part(
    what: str, images_name: str, labels_name: str, images: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    pictures, classes = np.asarray(images), np.asarray(labels)
    _check_images(f"{images_name} of {what}", pictures)
    _check_labels(f"{labels_name} of {what}", classes)
    if len(pictures) != len(classes):
        raise ConfigError(
            f"{images_name} and {labels_name} of {what} must be of one length, got {len(pictures)} and {len(classes)}"
        )
    return pictures, classes.astype(np.int64)


def _check_images(which: str, images: NDArray[np.generic]) -> None:
    if images.dtype != np.uint8:
        hint = "round them to 0..255 and convert by astype('uint8')"
        found = str(images.dtype)
        if images.dtype.kind == "f" and images.size:
            if np.isnan(images).any():
                found, hint = f"{found} with NaN", "replace what is NaN, and convert by astype('uint8')"
            elif images.min() >= 0 and images.max() <= 1:
                hint = "convert them by (255 * images).round().astype('uint8')"
        elif images.dtype.kind == "b":
            hint = "convert them by 255 * images.astype('uint8')"
        raise ConfigError(f"{which} must be uint8 with shape (n, height, width), got {found} {images.shape}; {hint}")
    if images.ndim != 3:
        hint = "give one grey value a pixel"
        if images.ndim == 4 and 1 in (images.shape[1], images.shape[3]):
            hint = "drop the axis of length 1 by squeeze()"
        elif images.ndim == 4:
            hint = "make colours grey by mean(axis=-1).astype('uint8')"
        elif images.ndim == 2:
            hint = "give images their rows back by reshape(n, height, width)"
        raise ConfigError(f"{which} must be uint8 with shape (n, height, width), got shape {images.shape}; {hint}")
    if not len(images):
        raise ConfigError(f"{which} must hold at least one image, got none")
    if min(images.shape[1:]) < 2:
        raise ConfigError(f"{which} must have at least 2 by 2 pixels, got {images.shape[1]} by {images.shape[2]}")


def _check_labels(which: str, labels: NDArray[np.generic]) -> None:
    if labels.dtype.kind not in "iu":
        found = str(labels.dtype)
        if labels.dtype.kind == "f" and np.isnan(labels).any():
            found += " with NaN"
        raise ConfigError(f"{which} must be integers, got {found}; number the classes, and convert by astype('int64')")
    if labels.ndim != 1:
        hint = "by argmax(axis=1)" if labels.ndim == 2 and labels.shape[1] > 1 else "by reshape(-1)"
        raise ConfigError(f"{which} must have shape (n,), got {labels.shape}; make them one number an image {hint}")
    negative = np.flatnonzero(labels.astype(np.int64) < 0)
    if len(negative):
        place = negative[0]
        raise ConfigError(f"{which} must be integers of at least 0, got {labels[place]} at place {place}")


def read_npz(path: Path) -> Arrays:
    """Read a data set from an `.npz` file with the arrays `images` and `labels`, and with both of the test or neither.

    Raises:
        ConfigError: It is no such file, or an array in it is invalid.
        FileNotFoundError: There is no file.
    """
    try:
        file = np.load(path, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ConfigError(f"{path} holds one array without a name; write it by numpy.savez with names")
        with file:
            names = file.files
            missing = [name for name in ("images", "labels") if name not in names]
            if missing:
                raise ConfigError(
                    f"{path} must hold the arrays images and labels, and may hold test_images and test_labels; it "
                    f"holds {', '.join(names[:8]) or 'none'}"
                )
            given = {name: file[name] for name in _NAMES if name in names}
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no data set {path}; give the path of an .npz file") from None
    except ConfigError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read as an .npz file of numbers ({reason}); write it anew") from error
    others = [name for name in names if name not in _NAMES]
    if others:
        _logger.warning("%s also holds %s, which is not used", path, ", ".join(others[:8]))
    return checked_arrays(str(path), **given)


def split_places(what: str, labels: NDArray[np.integer], with_test: bool) -> list[NDArray[np.int64]]:
    """Split images into training, validation and, unless given separately, test: by class, with a fixed seed.

    The images are shuffled; of each class the second, and then every sixth, is for validation, and likewise the third
    for the test, so that a class of three images is in every part.

    Args:
        what: Name of the data set in messages.
        labels: (n,).
        with_test: Whether a test split is to be taken from them.

    Returns:
        Indices of the images of each part, in shuffled order.

    Raises:
        ConfigError: A part would be empty.
    """
    # RandomState, since NumPy promises that its stream never changes between versions.
    order = np.random.RandomState(SPLIT_SEED).permutation(len(labels))
    by_class = np.argsort(labels[order], kind="stable")  # places in `order`
    _, counts = np.unique(labels, return_counts=True)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    rank = np.empty(len(labels), dtype=np.int64)  # of an image within its class, in shuffled order
    rank[by_class] = np.arange(len(labels)) - starts
    part = rank % EVERY  # 1: validation, 2: test
    is_test = (part == 2) & with_test
    parts = [order[(part != 1) & ~is_test], order[part == 1], *([order[is_test]] if with_test else [])]
    if not all(len(places) for places in parts):
        need = "3 images of a class, for training, validation and test" if with_test else "2 images of a class"
        raise ConfigError(f"{what} must have at least {need}, got {len(labels)} images of {len(counts)} classes")
    return parts


def split_words(with_test: bool) -> str:
    """Return a description of the split by `split_places`."""
    ends = "test images as given" if not with_test else f"one in {EVERY} for the test"
    return f"of each class, shuffled with seed {SPLIT_SEED}, one image in {EVERY} for validation, {ends}"
