"""Decoders by name; third parties add theirs with `register_decoder`.

A factory is a function

    def factory(space: Space, device: torch.device | str, *, setting: type = default, ...) -> Decoder

called with the action space of a world. Its keyword-only parameters are the users' settings; those without a default
must be given. For a space that it cannot decode it raises a ValueError of one line.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Discrete, Space
from numpy.typing import ArrayLike

from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.decoders import (
    Decoder,
    LevelsDecoder,
    PopulationDecoder,
    SoftmaxDecoder,
    WinnerDecoder,
    level_table,
)
from snn_plasticity_gym.networks.receptive_fields import UNBOUNDED
from snn_plasticity_gym.utils.factories import build, check_product, register, settings_of

Device = torch.device | str
DecoderFactory = Callable[..., Decoder]


def _winner(
    space: Space[Any],
    device: Device,
    *,
    group_size: int = 1,
    tie: str = "random",
    tie_action: int = 0,
    levels: ArrayLike | None = None,
) -> WinnerDecoder | LevelsDecoder:
    """Discrete actions, or Box actions of fixed levels."""
    decoder = WinnerDecoder(_num_choices(space, levels), group_size, tie=tie, tie_action=tie_action)
    return decoder if levels is None else LevelsDecoder(decoder, levels, device)


def _softmax(
    space: Space[Any],
    device: Device,
    *,
    group_size: int = 1,
    beta: float = 1.0,
    levels: ArrayLike | None = None,
) -> SoftmaxDecoder | LevelsDecoder:
    """Discrete actions, or Box actions of fixed levels."""
    decoder = SoftmaxDecoder(_num_choices(space, levels), group_size, beta=beta)
    return decoder if levels is None else LevelsDecoder(decoder, levels, device)


def _population(
    space: Space[Any],
    device: Device,
    *,
    group_size: int = 10,
    gain: float = 1.0,
) -> PopulationDecoder:
    """Box actions with bounds."""
    if not isinstance(space, Box):
        raise ConfigError(f"decodes Box actions, the world takes {space}; use winner or softmax")
    low, high = space.low.reshape(-1).astype(np.float64), space.high.reshape(-1).astype(np.float64)  # (A,) both
    if (np.abs([low, high]) > UNBOUNDED).any():
        raise ConfigError(f"needs actions with bounds, the world takes {space}; use winner or softmax with levels")
    return PopulationDecoder(low, high, group_size, gain=gain, device=device)


def _num_choices(space: Space[Any], levels: ArrayLike | None) -> int:
    """Return the number of actions to choose from."""
    if isinstance(space, Discrete):
        if levels is not None:
            raise ConfigError(f"levels are for Box actions, the world takes {space}; leave them out")
        return int(space.n)
    if not isinstance(space, Box):
        raise ConfigError(f"decodes Discrete actions, or Box actions with levels; the world takes {space}")
    if levels is None:
        raise ConfigError(
            f"decodes Discrete actions, the world takes {space}; give levels, the actions to choose from, or use "
            "population"
        )
    table = level_table(levels)  # (n, A)
    low, high = space.low.reshape(-1), space.high.reshape(-1)  # (A,) both
    if table.shape[1] != len(low):
        raise ConfigError(f"levels must have {len(low)} numbers each, one for each action dimension, got {levels!r}")
    in_type = table.astype(space.dtype)  # else 0.1 exceeds a bound of 0.1 in single precision
    if ((in_type < low) | (in_type > high)).any():
        raise ConfigError(f"levels must lie in the world's actions {space}, got {levels!r}")
    return len(table)


DECODERS: dict[str, DecoderFactory] = {"winner": _winner, "softmax": _softmax, "population": _population}


def register_decoder(name: str, factory: DecoderFactory) -> None:
    """Register a decoder for `make_decoder`; the factory is described at the top of this file.

    Raises:
        ConfigError: The name is taken or no text, or the factory cannot be called.
    """
    register(DECODERS, "decoder", name, factory)


def decoder_settings(name: str) -> tuple[str, ...]:
    """Return the names of the settings of a decoder.

    Raises:
        ConfigError: There is no decoder of that name.
    """
    return settings_of(DECODERS, "decoder", name)


def make_decoder(name: str, space: Space[Any], device: Device = "cpu", **settings: Any) -> Decoder:
    """Build a decoder into the actions of a world.

    Args:
        name: One of `DECODERS`.
        space: The actions.
        device: Of the tensors.
        settings: Those of the decoder.

    Raises:
        ConfigError: No such decoder or setting, a setting is not allowed, or the decoder cannot decode the space.
    """
    decoder: Decoder = build(DECODERS, "decoder", name, space, device, **settings)
    check_product(decoder, "decoder", name, ("decode", "groups"))
    return decoder
