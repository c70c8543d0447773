"""The form of a data set: images with labels in three parts. A pickle of it names where it comes from.

`ImageSet` tensors are shared between all who load the same data set in a process: read them, never write to them.
"""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any, NamedTuple

from torch import Tensor

PARTS = ("train", "validation", "test")


class ImageSet(NamedTuple):
    """Images with their labels; shared, not to be written to."""

    images: Tensor  # (n, H, W) uint8
    labels: Tensor  # (n,) int64, 0 to C - 1

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle images of a loaded data set, all or successive ones, as their place in it."""
        return _place_of(self) or (ImageSet, tuple(self))


class Source(NamedTuple):
    """Arguments of `load_dataset` that give a data set again."""

    name: str
    data_dir: str | None = None
    image_size: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)  # tensors have no single truth value, so equality is identity
class Dataset:
    """A data set in its fixed split: train to learn from, validation to choose settings by, test for the result."""

    name: str  # what was really loaded, never "auto"
    directory: str | None  # the folder it lies in; None where there is none (digits, registered sets)
    checksum: str  # SHA-256 over the images, in their full size, and labels of the three parts
    train: ImageSet = dataclasses.field(repr=False)
    validation: ImageSet = dataclasses.field(repr=False)
    test: ImageSet = dataclasses.field(repr=False)
    classes: tuple[str, ...] = dataclasses.field(repr=False)  # the label of each class as its author wrote it
    division: str = "as published"  # how the images were split
    source: Source | None = None  # where it can be had again; None: a pickle holds the images

    @property
    def num_classes(self) -> int:
        """Number of classes C."""
        return len(self.classes)

    def manifest(self, split: str) -> dict[str, Any]:
        """Return what a run's manifest tells of its data; `split` is the part that was learned from."""
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
        return _load_again, (self.source, self.checksum)


_loaded: weakref.WeakSet[Dataset] = weakref.WeakSet()  # those that can be loaded again


def remember(dataset: Dataset) -> None:
    """Let images of a loaded data set be pickled as their place in it, as long as it is in use."""
    _loaded.add(dataset)


def _load_again(source: Source, checksum: str) -> Dataset:
    """Load the data set that a pickle names.

    Raises:
        ConfigError: It is not registered in this process.
        ValueError: It is not what it was.
    """
    from snn_plasticity_gym.tasks.datasets import load_dataset  # which imports this module

    dataset = load_dataset(*source)
    if dataset.checksum != checksum:
        raise ValueError(
            f"the data set {source.name} has other images than when this was saved (checksum {checksum[:12]}, now "
            f"{dataset.checksum[:12]})"
        )
    return dataset


def _part_of(dataset: Dataset, split: str, start: int, stop: int) -> ImageSet:
    """Return successive images of a part of a data set."""
    whole = dataset.split(split)
    if (start, stop) == (0, len(whole.labels)):
        return whole
    return ImageSet(whole.images[start:stop], whole.labels[start:stop])


def _place_of(part: ImageSet) -> tuple[Any, ...] | None:
    """Return how `_part_of` gives these images, for a pickle; None if they are not a view of a loaded data set."""
    for dataset in list(_loaded):
        for split in PARTS:
            whole = dataset.split(split)
            starts = {_offset(*pair) for pair in zip(part, whole, strict=True)}
            start = starts.pop()
            if not starts and start is not None and len(part.images) == len(part.labels):
                return _part_of, (dataset, split, start, start + len(part.labels))
    return None


def _offset(part: Tensor, whole: Tensor) -> int | None:
    """Return which entry of `whole` the first of `part` is; None if `part` is no view of successive entries."""
    same = part.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
    if not same or part.shape[1:] != whole.shape[1:] or part.stride() != whole.stride():
        return None
    start, rest = divmod(int(part.storage_offset() - whole.storage_offset()), whole.stride(0))
    return start if not rest and 0 <= start <= len(whole) - len(part) else None
