"""The weights of a network as a vector of search coordinates, with optional correlation of neighbouring weights.

Axes: B networks, D coordinates, S sources of correlated weights, F receptive fields of an observation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.populations import Projection

_JITTER = 1e-6  # added to the variance, so that a smooth correlation has a root


class Part(NamedTuple):
    """The coordinates of a projection."""

    projection: Projection
    shape: tuple[int, int]  # n_pre, n_post
    unit: float  # weight per unit
    root: NDArray[np.float64] | None  # (F, F) root of the correlation of fields; None: independent weights


class Genome:
    """Mapping between coordinates and weights, of all projections with initial weights drawn from an interval.

    Args:
        network: The network.
        limits: Smallest and largest weight.
        units: Weight per unit of a coordinate: one number, or one for each projection.
        source: Population with correlated weights of neighbours.
        fields: F, contiguous neurons of each of its observations.
        smoothness: Length of the Gaussian correlation, in fields; 0: none.

    Raises:
        ConfigError: Units are too few or too many, or fields do not fit the population.
    """

    def __init__(
        self,
        network: Network,
        limits: tuple[float, float],
        units: Sequence[float],
        source: str,
        fields: int,
        smoothness: float,
    ) -> None:
        self._network, self._limits = network, limits
        chosen = [p for p in network.projections if not p.one_to_one and not callable(p.initial)]
        if not chosen:
            raise ConfigError("no weights of this network are drawn, so none can evolve; leave init_weights out")
        if len(units) not in (1, len(chosen)):
            names = ", ".join(p.name for p in chosen)
            raise ConfigError(f"weight_unit must be one number, or {len(chosen)} of them ({names}), got {len(units)}")
        sizes = {name: population.size for name, population in network.populations.items()}
        if smoothness and sizes[source] % fields:
            raise ConfigError(
                f"smoothness needs equally many neurons for each observation, {source} has {sizes[source]} in all"
            )
        root = correlation_root(fields, smoothness) if smoothness else None
        each = list(units) * (len(chosen) if len(units) == 1 else 1)
        self._parts = [
            Part(p, (sizes[p.source], sizes[p.target]), unit, root if p.source == source else None)
            for p, unit in zip(chosen, each, strict=True)
        ]
        self.size = sum(math.prod(part.shape) for part in self._parts)  # D

    def limits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the smallest and the largest coordinates, (D,) each."""
        low, high = (
            np.concatenate([np.full(math.prod(part.shape), end / part.unit) for part in self._parts])
            for end in self._limits
        )
        return low, high

    def coordinates(self, row: int) -> NDArray[np.float64]:
        """Return the coordinates of network `row`, (D,).

        Raises:
            ConfigError: Weights are correlated, so that general weights have no coordinates.
        """
        if any(part.root is not None for part in self._parts):
            raise ConfigError(
                "strategy multiplicative begins at fresh weights, which are not smooth; set smoothness to 0"
            )
        parts = [self._network.weights_of(part.projection.name)[row].numpy() / part.unit for part in self._parts]
        return np.concatenate([part.ravel() for part in parts]).astype(np.float64)

    def write(self, coordinates: NDArray[np.float64]) -> None:
        """Set each network's weights from its coordinates, (B, D)."""
        for name, weights in self._decoded(coordinates):
            self._network.weights_of(name).copy_(weights)

    def weights(self, coordinates: NDArray[np.float64]) -> dict[str, Tensor]:
        """Return the weights of coordinates (D,), float32 (n_pre, n_post) by projection."""
        return {name: weights[0].float().contiguous() for name, weights in self._decoded(coordinates[None])}

    def _decoded(self, coordinates: NDArray[np.float64]) -> Iterator[tuple[str, Tensor]]:
        """Yield each projection and its weights, (B, n_pre, n_post)."""
        first = 0
        for part in self._parts:
            size = math.prod(part.shape)
            own = coordinates[:, first : first + size].reshape(-1, *part.shape)  # (B, n_pre, n_post)
            first += size
            if part.root is not None:
                by_field = own.reshape(len(own), -1, len(part.root), part.shape[1])  # (B, S, F, n_post)
                own = np.einsum("fg,bsgn->bsfn", part.root, by_field).reshape(own.shape)
            weights = torch.from_numpy(part.unit * own).clamp(*self._limits)
            if not part.projection.autapses:
                weights.diagonal(dim1=1, dim2=2).zero_()
            yield part.projection.name, weights


def correlation_root(fields: int, length: float) -> NDArray[np.float64]:
    """Return L with L L^T = C, C_ij = exp(-(i - j)^2 / (2 length^2)): L z is smooth where z is noise; (F, F)."""
    apart = np.subtract.outer(np.arange(fields), np.arange(fields))
    correlation = np.exp(-0.5 * (apart / length) ** 2) + _JITTER * np.eye(fields)
    root: NDArray[np.float64] = np.linalg.cholesky(correlation / (1.0 + _JITTER)).astype(np.float64)
    return root
