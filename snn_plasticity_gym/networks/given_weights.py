"""Networks with initial weights from a file, e.g. of `evolve.py`, in place of random ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.populations import Projection

WEIGHTS = "weights.safetensors"  # file of a run of evolve.py


class Given:
    """Constant initial weights.

    Args:
        weights: (n_pre, n_post).
    """

    def __init__(self, weights: NDArray[np.float32]) -> None:
        self._weights = weights

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return the weights, without random numbers."""
        return self._weights


def with_given_weights(
    projections: Sequence[Projection], sizes: Mapping[str, int], path: str, limits: tuple[float, float]
) -> list[Projection]:
    """Return projections with initial weights from a file; already fixed ones are unchanged.

    Args:
        projections: Of the network.
        sizes: Neurons of each population.
        path: A .safetensors file with a matrix (n_pre, n_post) for each projection with random weights, or
            the folder of a run of evolve.py.
        limits: Smallest and largest weight that a synapse can have.

    Raises:
        ConfigError: There is no such file, its weights are of another network, or exceed the limits.
    """
    given, label = _read(path), f"init_weights={path!r}"
    drawn = [one for one in projections if not one.one_to_one and not callable(one.initial)]
    expected = {one.name: (sizes[one.source], sizes[one.target]) for one in drawn}
    found = {name: weights.shape for name, weights in given.items()}
    if found != expected:
        raise ConfigError(
            f"{label} holds {_listed(found)}, the network has {_listed(expected)}; take the settings of the network "
            "that they are of, e.g. --preset with the config.yaml of its run"
        )
    numbers = np.concatenate([weights.ravel() for weights in given.values()])
    low, high = numbers.min(), numbers.max()
    if not limits[0] <= low <= high <= limits[1]:  # NaN is not within
        raise ConfigError(
            f"{label} holds weights from {low:g} to {high:g}, beyond w_min={limits[0]:g} and w_max={limits[1]:g}; set "
            "w_min and w_max"
        )
    return [
        dataclasses.replace(one, initial=Given(given[one.name])) if one.name in given else one for one in projections
    ]


def _read(path: str) -> dict[str, NDArray[np.float32]]:
    file = Path(path)
    file = file / WEIGHTS if file.is_dir() else file
    if not file.is_file():
        raise ConfigError(
            f"init_weights: there is no file {str(file)!r}; give the folder of a finished run of evolve.py, or a "
            ".safetensors file of matrices by projection"
        )
    try:
        return {name: np.asarray(weights, dtype=np.float32) for name, weights in load_file(file).items()}
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"init_weights: {str(file)!r} cannot be read: {error}") from error


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items())) or "nothing"
