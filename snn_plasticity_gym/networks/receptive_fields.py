"""Placement of receptive fields of observations: ranges of values, edges of bins, centres of bells.

Axes: D observations, F fields of an observation. All results are NumPy float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import ArrayLike, NDArray

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.utils.numbers_given import numbers, whole

Limits = float | Sequence[float | None] | None
REMEDY = (
    "give low and high, one number for all or one for each, None for the world's bound, or let "
    "range_quantile measure them"
)
UNBOUNDED = 1e30  # larger bounds are ignored: some worlds use the largest float32 for infinity


class ObservationRanges(NamedTuple):
    """Encoded range of each observation, in its unit."""

    low: NDArray[np.float64]  # (D,)
    high: NDArray[np.float64]  # (D,)


def observation_ranges(space: Box, low: Limits = None, high: Limits = None, remedy: str = REMEDY) -> ObservationRanges:
    """Return the range of each observation: as given, else the bounds of the space.

    Args:
        space: Observations, shape (D,).
        low: Lower ends: one number for all, or D numbers or None; None: those of the space.
        high: Upper ends, likewise.
        remedy: Remedy for missing bounds, for the message.

    Raises:
        ConfigError: A dimension is unbounded and nothing is given for it, a length is not D, or an upper end is not
            above its lower one.
    """
    lower, upper = _ends("low", low, space.low), _ends("high", high, space.high)
    unbounded = [d for d in range(len(lower)) if abs(lower[d]) > UNBOUNDED or abs(upper[d]) > UNBOUNDED]
    if unbounded:
        which = ", ".join(str(d) for d in unbounded)
        raise ConfigError(f"the world gives no bounds for observation {which} of {len(lower)}; {remedy}")
    _check_order(lower, upper)
    return ObservationRanges(lower, upper)


def _ends(name: str, given: Limits, bounds: NDArray[Any]) -> NDArray[np.float64]:
    """Return the given ends, and the space's where none is given, (D,)."""
    own = bounds.astype(np.float64).reshape(-1)  # (D,)
    if given is None:
        return own
    ends = [given] * len(own) if isinstance(given, int | float | np.number) else list(given)
    if len(ends) != len(own):
        raise ConfigError(f"{name} must be one number or {len(own)}, one for each observation, got {len(ends)}")
    given_ends = numbers(name, [0 if end is None else end for end in ends])
    return np.where([end is None for end in ends], own, given_ends)


def equal_edges(low: ArrayLike, high: ArrayLike, fields: int) -> NDArray[np.float64]:
    """Return the edges between `fields` bins of equal width on [low, high], (D, F - 1).

    Yegenoglu et al. (2022), MountainCar: 30 bins on [-1.2, 0.6] and on [-0.07, 0.07].

    Raises:
        ConfigError: A range is empty or not finite, or there is no field.
    """
    lower, upper = _range(low, high)
    inner = np.arange(1, whole("fields", fields, least=1)) / fields  # (F - 1,)
    return lower[:, None] + (upper - lower)[:, None] * inner


def normal_edges(mean: ArrayLike, std: ArrayLike, fields: int) -> NDArray[np.float64]:
    """Return the edges between `fields` bins that are equally probable for a normal variable, (D, F - 1).

    mean + std * Phi^-1(k / F) for k = 1 ... F - 1. Hasegan et al. (2022), CartPole: 20 fields.

    Raises:
        ConfigError: A standard deviation is not positive, a number is not finite, or there is no field.
    """
    centre, width = numbers("mean", mean), numbers("std", std)
    if centre.shape != width.shape:
        raise ConfigError(f"mean and std must be as many, got {len(centre)} and {len(width)}")
    if (width <= 0).any():
        raise ConfigError(f"std must be positive, got {width.min():g}")
    chance = torch.arange(1, whole("fields", fields, least=1), dtype=torch.float64) / fields  # (F - 1,)
    return centre[:, None] + width[:, None] * torch.special.ndtri(chance).numpy()


def measured_quantiles(observations: ArrayLike, fields: int) -> NDArray[np.float64]:
    """Return the edges between `fields` bins with equal shares of measured observations, (D, F - 1).

    Edges of values that repeat coincide; the fields between them never become active.

    Args:
        observations: Shape (n, D), n at least 1.
        fields: F.

    Raises:
        ConfigError: There are none, or one is not finite, or there is no field.
    """
    try:
        measured = np.asarray(observations, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"observations must be numbers of shape (n, D), got {observations!r:.80}") from error
    if measured.ndim != 2 or not measured.size or not np.isfinite(measured).all():
        raise ConfigError(f"observations must be finite numbers of shape (n, D), got shape {measured.shape}")
    inner = np.arange(1, whole("fields", fields, least=1)) / fields  # (F - 1,)
    return np.quantile(measured, inner, axis=0).T


def field_centres(low: ArrayLike, high: ArrayLike, fields: int) -> NDArray[np.float64]:
    """Return centres in equal distances from low to high, both ends included, (D, F).

    low + (high - low) * m / (F - 1) for m = 0 ... F - 1. Schmidgall et al. (2021), supplement, population coding.

    Raises:
        ConfigError: A range is empty or not finite, or there are fewer than two fields.
    """
    lower, upper = _range(low, high)
    place = np.arange(whole("fields", fields, least=2)) / (fields - 1)  # (F,)
    return lower[:, None] + (upper - lower)[:, None] * place


def _range(low: ArrayLike, high: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lower, upper = numbers("low", low), numbers("high", high)
    if lower.shape != upper.shape:
        raise ConfigError(f"low and high must be as many, got {len(lower)} and {len(upper)}")
    _check_order(lower, upper)
    return lower, upper


def _check_order(lower: NDArray[np.float64], upper: NDArray[np.float64]) -> None:
    for d in np.flatnonzero(~(lower < upper)):
        raise ConfigError(f"high must be above low, got low {lower[d]:g} and high {upper[d]:g} for observation {d}")
