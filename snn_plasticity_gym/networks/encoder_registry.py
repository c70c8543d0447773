"""Encoders by name; third parties add theirs with `register_encoder`.

A factory is a function

    def factory(space: Box, device: torch.device | str, *, setting: type = default, ...) -> Encoder | CurrentInput

called with a world's observation space of shape (D,). Its keyword-only parameters are the users' settings; those
without a default must be given. `low` and `high` are ranges as in `observation_ranges`. A keyword-only parameter `dt`
of a factory gets the length of a time step, ms, which is no setting here. Here periods are in
ms and rates in spikes per ms; `observation_encoders` counts in steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from gymnasium.spaces import Box
from numpy.typing import ArrayLike

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.observation_encoders import (
    CurrentEncoder,
    CurrentInput,
    Encoder,
    GaussianPopulation,
    OneHotFields,
    RateEncoder,
)
from snn_plasticity_gym.networks.receptive_fields import (
    Limits,
    equal_edges,
    measured_quantiles,
    normal_edges,
    observation_ranges,
)
from snn_plasticity_gym.utils.factories import build, check_product, register, settings_of
from snn_plasticity_gym.utils.numbers_given import number, numbers

Device = torch.device | str
EncoderFactory = Callable[..., Encoder | CurrentInput]


def _chance(name: str, rate: float, dt: float) -> float:
    """Return the spike probability in a step of `dt` ms, of a rate in spikes per ms."""
    try:
        return number(name, rate, least=0, most=1 / dt) * dt
    except ConfigError as error:
        if dt <= 1:
            raise
        # The user may have changed dt only, not a rate.
        raise ConfigError(f"{error}; in steps of dt={dt:g} ms lower {name} in encoder_kwargs, or lower dt") from error


def _firing(period: float | None, rate: float | None, dt: float) -> dict[str, float | None]:
    """Convert a period in ms or a rate in spikes per ms of the active neuron to steps of `dt` ms."""
    return {
        "period": None if period is None else number("period", period, least=dt) / dt,
        "rate": None if rate is None else _chance("rate", rate, dt),
    }


def _one_hot(
    space: Box,
    device: Device,
    *,
    fields: int = 20,
    low: Limits = None,
    high: Limits = None,
    period: float | None = None,
    rate: float | None = None,
    dt: float = 1.0,
) -> OneHotFields:
    """Fields of equal width."""
    ranges = observation_ranges(space, low, high)
    return OneHotFields(equal_edges(ranges.low, ranges.high, fields), **_firing(period, rate, dt), device=device)


def _one_hot_normal(
    space: Box,
    device: Device,
    *,
    mean: ArrayLike,
    std: ArrayLike,
    fields: int = 20,
    period: float | None = None,
    rate: float | None = None,
    dt: float = 1.0,
) -> OneHotFields:
    """Fields equally probable under normal observations; these need no bounds."""
    centre, width = numbers("mean", mean, space.shape), numbers("std", std, space.shape)  # (D,) both
    return OneHotFields(normal_edges(centre, width, fields), **_firing(period, rate, dt), device=device)


def _one_hot_measured(
    space: Box,
    device: Device,
    *,
    observations: ArrayLike,
    fields: int = 20,
    period: float | None = None,
    rate: float | None = None,
    dt: float = 1.0,
) -> OneHotFields:
    """Fields equally probable under the given observations (n, D); these need no bounds."""
    edges = measured_quantiles(observations, fields)  # (D, F - 1)
    if len(edges) != space.shape[0]:
        raise ConfigError(f"observations must have {space.shape[0]} columns, got {len(edges)}")
    return OneHotFields(edges, **_firing(period, rate, dt), device=device)


def _gaussian(
    space: Box,
    device: Device,
    *,
    fields: int = 10,
    low: Limits = None,
    high: Limits = None,
    width: ArrayLike | None = None,
    sharpness: ArrayLike | None = None,
    floor: float = 0.0,
    max_rate: float = 1.0,
    dt: float = 1.0,
) -> GaussianPopulation:
    """Bells over each observation."""
    ranges = observation_ranges(space, low, high)
    return GaussianPopulation(
        *ranges,
        fields,
        width=width,
        sharpness=sharpness,
        floor=floor,
        max_rate=_chance("max_rate", max_rate, dt),
        device=device,
    )


def _rate(
    space: Box,
    device: Device,
    *,
    low: Limits = None,
    high: Limits = None,
    signed: bool = False,
    max_rate: float = 1.0,
    dt: float = 1.0,
) -> RateEncoder:
    """Observations as firing rates."""
    return RateEncoder(
        *observation_ranges(space, low, high), signed=signed, max_rate=_chance("max_rate", max_rate, dt), device=device
    )


def _one_hot_current(
    space: Box,
    device: Device,
    *,
    amplitude: float,
    offset: float = 0.0,
    fields: int = 20,
    low: Limits = None,
    high: Limits = None,
) -> CurrentEncoder:
    """A current into the active one of fields of equal width."""
    ranges = observation_ranges(space, low, high)
    code = OneHotFields(equal_edges(ranges.low, ranges.high, fields), rate=1.0, device=device)
    return CurrentEncoder(code, amplitude=amplitude, offset=offset)


def _gaussian_current(
    space: Box,
    device: Device,
    *,
    amplitude: float,
    offset: float = 0.0,
    fields: int = 10,
    low: Limits = None,
    high: Limits = None,
    width: ArrayLike | None = None,
    floor: float = 0.0,
) -> CurrentEncoder:
    """Currents in proportion to the bells."""
    code = GaussianPopulation(*observation_ranges(space, low, high), fields, width=width, floor=floor, device=device)
    return CurrentEncoder(code, amplitude=amplitude, offset=offset)


def _value_current(
    space: Box,
    device: Device,
    *,
    amplitude: float,
    offset: float = 0.0,
    low: Limits = None,
    high: Limits = None,
    signed: bool = False,
) -> CurrentEncoder:
    """Currents in proportion to the observations."""
    code = RateEncoder(*observation_ranges(space, low, high), signed=signed, device=device)
    return CurrentEncoder(code, amplitude=amplitude, offset=offset)


ENCODERS: dict[str, EncoderFactory] = {
    "one-hot": _one_hot,
    "one-hot-normal": _one_hot_normal,
    "one-hot-measured": _one_hot_measured,
    "gaussian": _gaussian,
    "rate": _rate,
    "one-hot-current": _one_hot_current,
    "gaussian-current": _gaussian_current,
    "value-current": _value_current,
}


def register_encoder(name: str, factory: EncoderFactory) -> None:
    """Register an encoder for `make_encoder`; the factory is described at the top of this file.

    Raises:
        ConfigError: The name is taken or no text, or the factory cannot be called.
    """
    register(ENCODERS, "encoder", name, factory)


def encoder_settings(name: str) -> tuple[str, ...]:
    """Return the names of the settings of an encoder.

    Raises:
        ConfigError: There is no encoder of that name.
    """
    return settings_of(ENCODERS, "encoder", name, environment=("dt",))


def make_encoder(
    name: str, space: Box, device: Device = "cpu", dt: float = 1.0, /, **settings: Any
) -> Encoder | CurrentInput:
    """Build an encoder of the observations of a world.

    Args:
        name: One of `ENCODERS`.
        space: The observations, shape (D,).
        device: Of the tensors.
        dt: Length of a time step, ms; positional, as are those before it.
        settings: Those of the encoder.

    Raises:
        ConfigError: No such encoder or setting, a setting is missing or not allowed, or the factory's product has
            neither `spikes` nor `currents`.
    """
    encoder = build(ENCODERS, "encoder", name, space, device, environment={"dt": dt}, **settings)
    check_product(encoder, "encoder", name, () if isinstance(encoder, CurrentInput) else ("spikes",))
    return encoder
