"""Encoders of observations as input of each time step: receptive fields, populations, rates, currents.

A code maps observations to activations in [0, 1]. An encoder converts these to spikes or currents. Probabilities are
per time step and periods are in time steps: for a rate per ms, multiply by dt; for a period in ms, divide by it.

Axes: R lifetimes of one call, D observations, F fields of an observation. Neurons of an observation are contiguous:
field f of observation d is neuron d * F + f.
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.kernels.senses import BELLS, ONE_HOT, RATES, Senses
from snn_plasticity_gym.networks.receptive_fields import field_centres
from snn_plasticity_gym.utils.numbers_given import number, numbers
from snn_plasticity_gym.utils.row_streams import Uniform

_ROUNDING = 1e-9  # periods: 15 periods of 20 / 0.6 steps are 500 steps, not a rounding error more


@runtime_checkable
class Encoder(Protocol):
    """Maps observations to input spikes."""

    size: int  # neurons

    def spikes(self, observation: Tensor, step: int | Tensor, uniform: Uniform) -> Tensor:
        """Return the spikes of one time step.

        Args:
            observation: float32 (R, D), without NaN.
            step: Time steps since the episode began, from 0; common to all, or of each row, int64 (R,).
            uniform: Source of random numbers row by row (`RowUniforms`); not called by deterministic encoders.

        Returns:
            Spikes, bool (R, size).
        """


@runtime_checkable
class CurrentInput(Protocol):
    """Maps observations to currents, for a network with LIF neurons as its first population."""

    size: int  # neurons

    def currents(self, observation: Tensor, step: int | Tensor) -> Tensor:
        """Return the current into each neuron in a time step, float32 (R, size); arguments as in `Encoder.spikes`."""


class Code(Protocol):
    """Maps observations to activations."""

    size: int

    def activation(self, observation: Tensor) -> Tensor:
        """Return the activation of each neuron in [0, 1], float32 (R, size), of observations (R, D)."""


class OneHotFields:
    """Receptive fields that tile each observation; the one that contains the value is active.

    Field f covers edge[f - 1] <= x < edge[f]; the first and the last field reach to infinity, so that a value beyond
    all edges is in the field at that end. (In Yegenoglu et al. (2022), code, a value a rounding error below the range
    is in the last field instead: the car at the left wall is seen at the right one.)

    The active neuron fires periodically or randomly. The phase is common to all neurons and is not reset when the
    active field changes: with period p it fires in the first steps at or after 0, p, 2 p, ...

    Args:
        edges: Shape (D, F - 1), not falling; see `equal_edges`, `normal_edges`, `measured_quantiles`.
        period: Time steps between spikes of the active neuron, at least 1; need not be whole. Hasegan et al. (2022):
            20 ms; Yegenoglu et al. (2022): 1.2 ms, which a constant current brings about there.
        rate: Instead of a period, the spike probability of the active neuron per step.
        device: Of the tensors.

    Raises:
        ConfigError: Edges fall or are not finite; not just one of period and rate is given, or it is out of range.
    """

    def __init__(
        self,
        edges: ArrayLike,
        *,
        period: float | None = None,
        rate: float | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        table = np.asarray(edges, dtype=np.float64)  # (D, F - 1)
        if table.ndim != 2 or not len(table):
            raise ConfigError(f"edges must have the shape (observations, fields - 1), got {table.shape}")
        if not np.isfinite(table).all() or (np.diff(table, axis=1) < 0).any():
            raise ConfigError("edges of each observation must be finite numbers that do not fall")
        if (period is None) == (rate is None):
            raise ConfigError(f"give either a period or a rate of the active neuron, got {period!r} and {rate!r}")
        self._num_observations, self._fields = len(table), table.shape[1] + 1
        self.size = self._num_observations * self._fields
        self.edges = torch.from_numpy(table).to(device, torch.float32)  # (D, F - 1)
        self._names = torch.arange(self._fields, device=device)  # (F,)
        self._period = None if period is None else number("period", period, least=1)  # steps
        self._rate = None if rate is None else number("rate", rate, least=0, most=1)

    def fields(self, observation: Tensor) -> Tensor:
        """Return the field that contains each observation (R, D), int64 (R, D)."""
        _check_width(observation, self._num_observations)
        return (observation[:, :, None] >= self.edges).sum(dim=2)  # (R, D)

    def _active(self, observation: Tensor) -> Tensor:
        return self.fields(observation)[:, :, None] == self._names  # bool (R, D, F)

    def activation(self, observation: Tensor) -> Tensor:
        """Return 1 for the active neuron of each observation and 0 for the others, float32 (R, size)."""
        return self._active(observation).flatten(1).to(torch.float32)

    def spikes(self, observation: Tensor, step: int | Tensor, uniform: Uniform) -> Tensor:
        """Return the spikes of one time step, bool (R, size); see `Encoder`."""
        active = self._active(observation)  # (R, D, F)
        if self._rate is not None:
            fires = (uniform(self._num_observations) < self._rate)[:, :, None]  # (R, D, 1)
        else:
            assert self._period is not None
            fires = _ticks(step, self._period, len(observation), active.device)[:, None, None]  # (R, 1, 1)
        return (active & fires).flatten(1)

    def tables(self) -> Senses:
        """Return the tables for compiled loops."""
        edges = self.edges.cpu().numpy()
        return Senses(ONE_HOT, edges, edges, 0.0, self._period or 0.0, self._rate or 0.0)


class GaussianPopulation:
    """Gaussian population code: a neuron's activation falls with the distance of the value from its centre.

    activation = max(floor, exp(-(x - c)^2 / (2 (width * spacing)^2))), with centres c in equal distances, `spacing`,
    from low to high; the spike probability per time step is max_rate * activation.

    Schmidgall et al. (2021), supplement: Pr[s = 1] = max(theta_min, min(exp(-15 (c - x)^2), 1)), theta_min = 0.05 in
    HalfCheetah; that is sharpness = 15, floor = 0.05, max_rate = 1.

    Args:
        low: Centres of the first neurons, shape (D,).
        high: Centres of the last neurons, shape (D,).
        fields: F, at least 2.
        width: Standard deviation of a bell in units of the spacing; one number, or D.
        sharpness: Instead of a width, the factor of (x - c)^2, in 1 / (unit of the observation)^2.
        floor: Least activation, in [0, 1].
        max_rate: Spike probability at the top of a bell, in [0, 1].
        device: Of the tensors.

    Raises:
        ConfigError: A number is out of range, or both width and sharpness are given.
    """

    def __init__(
        self,
        low: ArrayLike,
        high: ArrayLike,
        fields: int,
        *,
        width: ArrayLike | None = None,
        sharpness: ArrayLike | None = None,
        floor: float = 0.0,
        max_rate: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> None:
        centres = field_centres(low, high, fields)  # (D, F)
        if width is not None and sharpness is not None:
            raise ConfigError(f"give a width or a sharpness, not both; got {width!r} and {sharpness!r}")
        shape = (len(centres),)
        if sharpness is None:
            deviation = _positive("width", 0.5 if width is None else width, shape) * (centres[:, 1] - centres[:, 0])
            factor = 0.5 / deviation**2  # (D,)
        else:
            factor = _positive("sharpness", sharpness, shape)
        self._num_observations = len(centres)
        self.size = centres.size
        self._centres = torch.from_numpy(centres).to(device, torch.float32)  # (D, F)
        self._factor = torch.from_numpy(factor).to(device, torch.float32)[:, None]  # (D, 1)
        self._floor = number("floor", floor, least=0, most=1)
        self._max_rate = number("max_rate", max_rate, least=0, most=1)

    def activation(self, observation: Tensor) -> Tensor:
        """Return the heights of the bells at the observations (R, D), float32 (R, size)."""
        _check_width(observation, self._num_observations)
        distance = observation[:, :, None] - self._centres  # (R, D, F)
        # In double precision, so that rounding to single precision hides differences between implementations of exp.
        heights = torch.exp((-self._factor * distance**2).double()).to(torch.float32)
        return heights.clamp(min=self._floor).flatten(1)

    def spikes(self, observation: Tensor, step: int | Tensor, uniform: Uniform) -> Tensor:
        """Return the spikes of one time step, bool (R, size); see `Encoder`."""
        return uniform(self.size) < self._max_rate * self.activation(observation)

    def tables(self) -> Senses:
        """Return the tables for compiled loops."""
        return Senses(BELLS, self._centres.cpu().numpy(), self._factor.cpu().numpy(), self._floor, 0.0, self._max_rate)


class RateEncoder:
    """Each observation as the firing rate of one neuron, or of two: one for positive values, one for negative ones.

    One neuron (signed=False): activation = (x - low) / (high - low).
    Two neurons (signed=True): activation = x / m and -x / m with m = max(|low|, |high|), so that 0 is silence.
    Both are cut to [0, 1]; the spike probability per time step is max_rate * activation.

    Args:
        low: Lower ends of the ranges, shape (D,).
        high: Upper ends.
        signed: Two neurons an observation, the positive one first.
        max_rate: Spike probability per time step at activation 1, in [0, 1].
        device: Of the tensors.

    Raises:
        ConfigError: A range is empty or not finite, or max_rate is out of range.
    """

    def __init__(
        self,
        low: ArrayLike,
        high: ArrayLike,
        *,
        signed: bool = False,
        max_rate: float = 1.0,
        device: torch.device | str = "cpu",
    ) -> None:
        ends = field_centres(low, high, 2)  # (D, 2): low, high
        if signed:
            largest = np.abs(ends).max(axis=1, keepdims=True)  # (D, 1)
            zero, span = np.zeros_like(ends), largest * [1.0, -1.0]  # (D, 2) both
        else:
            zero, span = ends[:, :1], ends[:, 1:] - ends[:, :1]  # (D, 1) both
        self._num_observations = len(ends)
        self.size = zero.size
        self._zero = torch.from_numpy(zero).to(device, torch.float32)  # (D, neurons of an observation)
        self._span = torch.from_numpy(span).to(device, torch.float32)
        self._max_rate = number("max_rate", max_rate, least=0, most=1)

    def activation(self, observation: Tensor) -> Tensor:
        """Return the observations (R, D) scaled to [0, 1], float32 (R, size)."""
        _check_width(observation, self._num_observations)
        return ((observation[:, :, None] - self._zero) / self._span).clamp(0, 1).flatten(1)

    def spikes(self, observation: Tensor, step: int | Tensor, uniform: Uniform) -> Tensor:
        """Return the spikes of one time step, bool (R, size); see `Encoder`."""
        return uniform(self.size) < self._max_rate * self.activation(observation)

    def tables(self) -> Senses:
        """Return the tables for compiled loops."""
        zero, span = (table.cpu().numpy() for table in (self._zero, self._span))
        return Senses(RATES, zero, span, 0.0, 0.0, self._max_rate)


class CurrentEncoder:
    """A constant current into each neuron per observation: offset + amplitude * activation.

    Yegenoglu et al. (2022), MountainCar: one-hot fields, 40 nA into the active one. A single-neuron rate code with
    offset = -amplitude / 2 gives currents of both signs.

    Args:
        code: Maps observations to activations.
        amplitude: Current at activation 1, in the unit of the network's currents.
        offset: Current at activation 0.

    Raises:
        ConfigError: A current is not finite, or the code has no `activation`.
    """

    def __init__(self, code: Code, *, amplitude: float, offset: float = 0.0) -> None:
        if not callable(getattr(code, "activation", None)):
            raise ConfigError(f"the code of currents needs a method `activation`; a {type(code).__name__} has none")
        self._code = code
        self._amplitude = number("amplitude", amplitude)
        self._offset = number("offset", offset)
        self.size = code.size

    def currents(self, observation: Tensor, step: int | Tensor) -> Tensor:
        """Return the current into each neuron, float32 (R, size); the same in every step."""
        return self._offset + self._amplitude * self._code.activation(observation)


def _ticks(step: int | Tensor, period: float, num_rows: int, device: torch.device) -> Tensor:
    """Return the mask of rows with a multiple of the period in (step - 1, step], bool (R,)."""
    if isinstance(step, int):
        tick = math.floor(step / period + _ROUNDING) > math.floor((step - 1) / period + _ROUNDING)
        return torch.full((num_rows,), tick, device=device)
    now = step.to(device, torch.float64)  # (R,)
    return (now / period + _ROUNDING).floor() > ((now - 1) / period + _ROUNDING).floor()


def _check_width(observation: Tensor, num_observations: int) -> None:
    if observation.ndim != 2 or observation.shape[1] != num_observations:
        raise ConfigError(
            f"this encoder reads {num_observations} observations of each lifetime, got shape {tuple(observation.shape)}"
        )


def _positive(name: str, given: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = numbers(name, given, shape)
    if (array <= 0).any():
        raise ConfigError(f"{name} must be positive, got {given!r}")
    return array
