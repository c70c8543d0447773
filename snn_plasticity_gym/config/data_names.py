"""Values of the setting `dataset`: shipped data sets, files, and users' registered data sets."""

from __future__ import annotations

import re

from snn_plasticity_gym.config.schema import ConfigError, nearest

DATASETS = ("auto", "mnist", "fashion-mnist", "kmnist", "digits")
FILE_SUFFIX = ".npz"
FOLDER_HELP = "Folder of the data sets; without it the environment variable SNN_PLASTICITY_DATA, then the user's cache."
HELP = (
    "Images to show: auto (MNIST if available, else digits), mnist, fashion-mnist, kmnist, digits, the path of "
    "a user's file that ends in .npz (arrays images and labels), or the name of a registered data set."
)

_registered: dict[str, None] = {}  # in the order of registration


def is_file_name(name: str) -> bool:
    """Whether a name is the path of a file of arrays."""
    return name.lower().endswith(FILE_SUFFIX)


def add_dataset_name(name: str) -> None:
    """Add a name to the values of the setting `dataset`.

    Raises:
        ConfigError: The name is that of a shipped data set, or would be read as a file or as several words.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) or is_file_name(name):
        raise ConfigError(
            "the name of a data set must be of letters, digits, '.', '-' and '_', and not end in .npz, got "
            f"{str(name)[:40]!r}"
        )
    if name.lower() in DATASETS:
        raise ConfigError(f"there is a data set {name.lower()!r} already; choose another name")
    _registered[name] = None


def check_dataset_name(name: str) -> None:
    """Check that a name is one of a data set; a file need not exist yet.

    Raises:
        ConfigError: It is none.
    """
    if name in DATASETS or name in _registered or is_file_name(name):
        return
    near = nearest(name, (*DATASETS, *_registered))
    hint = f"; did you mean {near!r}?" if near else ""
    registered = f" ({', '.join(list(_registered)[:8])})" if _registered else ""
    shown = name if len(name) <= 60 else f"{name[:57]}..."
    raise ConfigError(
        f"dataset must be one of {', '.join(DATASETS)}, a path that ends in .npz, or a registered name{registered}, "
        f"got {shown!r}{hint}; a set that a module registers needs --plugin=MODULE, or an import of it"
    )
