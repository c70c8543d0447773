"""Data structures of a data set: images with labels in three splits. A pickle holds its source.

`ImageSet` tensors are shared by all users of the same data set in a process: they are read-only.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

PARTS = ("train", "validation", "test")


class ImageSet(NamedTuple):
    """Images with their labels; shared, read-only."""

    images: Tensor  # (n, H, W) uint8
    labels: Tensor  # (n,) int64, 0 to C - 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle images of a loaded data set, all or successive ones, as their indices in it."""
        return _place_of(self) or (ImageSet, tuple(self))


@dataclasses.dataclass(frozen=True, eq=False)  # tensors have no single truth value, so equality is identity
class Dataset:
    """A data set in its fixed split: train for learning, validation for model selection, test for the result."""

    name: str  # the loaded data set, never "auto"
    directory: str | None  # its folder; None if there is none (digits, registered sets)
    checksum: str  # SHA-256 over the images, in their full size, and labels of the three parts
    train: ImageSet = dataclasses.field(repr=False)
    validation: ImageSet = dataclasses.field(repr=False)
    test: ImageSet = dataclasses.field(repr=False)
    classes: tuple[str, ...] = dataclasses.field(repr=False)  # the original label of each class
    division: str = "as published"  # how the images were split
    source: Callable[[str], Dataset] | None = None  # loads it again, by its checksum; None: a pickle holds the images

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.classes)

    def manifest(self, split: str) -> dict[str, Any]:
        """Return the description of the data for a run's manifest; `split` is the training part."""
        return {
            "name": self.name,
            "directory": self.directory,
            "checksum": self.checksum,
            "split": split,
            "division": self.division,
            "images": {name: len(self.split(name).labels) for name in PARTS},
            "image_size": list(self.train.images.shape[1:]),
            "classes": list(self.classes),
        }

    def split(self, name: str) -> ImageSet:
        """Return the part "train", "validation" or "test"; raise ValueError for another name."""
        if name not in PARTS:
            raise ValueError(f"split must be one of {', '.join(PARTS)}, got {name!r}")
        part: ImageSet = getattr(self, name)
        return part

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the data set as its source, to be loaded again."""
        if self.source is None:
            return Dataset, tuple(getattr(self, field.name) for field in dataclasses.fields(self))
        return self.source, (self.checksum,)


_loaded: weakref.WeakSet[Dataset] = weakref.WeakSet()  # reloadable ones


def remember(dataset: Dataset) -> None:
    """Register a loaded data set, so that its images are pickled by index as long as it is in use."""
    _loaded.add(dataset)


def _part_of(dataset: Dataset, split: str, start: int, stop: int) -> ImageSet:
    """Return successive images of a part of a data set."""
    whole = dataset.split(split)
    if (start, stop) == (0, len(whole.labels)):
        return whole
    return ImageSet(whole.images[start:stop], whole.labels[start:stop])


def _place_of(part: ImageSet) -> tuple[Any, ...] | None:
    """Return the arguments of `_part_of` for images, for a pickle; None if they are no view of a loaded data set."""
    for dataset in list(_loaded):
        for split in PARTS:
            whole = dataset.split(split)
            starts = {_offset(*pair) for pair in zip(part, whole, strict=True)}
            start = starts.pop()
            if not starts and start is not None and len(part.images) == len(part.labels):
                return _part_of, (dataset, split, start, start + len(part.labels))
    return None


def _offset(part: Tensor, whole: Tensor) -> int | None:
    """Return the index in `whole` of the first entry of `part`; None if `part` is no view of successive entries."""
    same = part.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
    if not same or part.shape[1:] != whole.shape[1:] or part.stride() != whole.stride():
        return None
    start, rest = divmod(int(part.storage_offset() - whole.storage_offset()), whole.stride(0))
    return start if not rest and 0 <= start <= len(whole) - len(part) else None
