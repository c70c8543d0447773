"""The network of a `ControlTask`, between its encoder and its decoder, by its settings."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from snn_plasticity_gym.config.control import ControlConfig
from snn_plasticity_gym.config.groups import RWTA
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.decoders import Decoder, LevelsDecoder
from snn_plasticity_gym.networks.groups import Groups
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.observation_encoders import CurrentInput, Encoder
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection
from snn_plasticity_gym.networks.recurrent import INPUT, MOTOR, Boxes, between_groups, controller
from snn_plasticity_gym.networks.recurrent_groups import recurrent_groups
from snn_plasticity_gym.tasks.worlds import Worlds


def control_network(
    config: ControlConfig, worlds: Worlds, encoder: Encoder | CurrentInput, decoder: Decoder
) -> tuple[list[Population], list[Projection]]:
    """Return the network between an encoder and a decoder.

    Args:
        config: Settings.
        worlds: The worlds that it acts in.
        encoder: Of their observations.
        decoder: Of its motor spikes.

    Raises:
        ConfigError: Encoder or decoder do not support the requested hidden fields or inhibition.
    """
    params = LIFParams(config.tau_mem, config.v_rest, config.v_reset, config.v_th, config.resistance, config.refractory)
    initial = config.w_init_min, config.w_init_max
    plasticity = Plasticity(group=0, scale=config.eta, w_min=config.w_min, w_max=config.w_max)
    sizes = [encoder.size, *config.hidden_sizes, decoder.size]
    input_neurons = isinstance(encoder, CurrentInput)
    if config.network == RWTA:
        names = [INPUT, *(f"hidden_{layer}" for layer in range(1, len(sizes) - 1)), MOTOR]
        layers = [Population(name, size) for name, size in zip(names, sizes, strict=True)]
        if input_neurons:
            layers[0] = Population(INPUT, sizes[0], params)
        return recurrent_groups(
            layers,
            params._replace(refractory=0.0),
            Groups(config.wta_size, config.wta_width),
            lambda n_pre: initial,
            plasticity,
            input_to_output=config.input_to_output,
            plastic_hidden=config.plastic_hidden,
        )
    return controller(
        sizes,
        params,
        initial,
        plasticity,
        input_neurons=input_neurons,
        recurrent=config.recurrent,
        plastic_hidden=config.plastic_hidden,
        inhibition=_inhibition(config, worlds, decoder),
        boxes=_boxes(config, worlds, encoder),
    )


def _boxes(config: ControlConfig, worlds: Worlds, encoder: Encoder | CurrentInput) -> Boxes | None:
    observations = worlds.observation_space.shape[0]
    width, size = config.hidden_fields, encoder.size
    if not width:
        return None
    if size % observations or width > size // observations:
        raise ConfigError(
            f"hidden_fields={width} are more than encoder {config.encoder!r} has of each observation: it has "
            f"{size} neurons for {observations} observations"
        )
    return Boxes(observations, width, config.field_weight)


def _inhibition(config: ControlConfig, worlds: Worlds, decoder: Decoder) -> NDArray[np.float32] | None:
    if not config.inhibition:
        return None
    space = worlds.action_space
    if isinstance(space, Discrete):
        actions = torch.arange(int(space.n), device=worlds.device)  # (n,)
    elif isinstance(decoder, LevelsDecoder):
        actions = decoder.levels  # (n, A)
    else:
        raise ConfigError(
            f"inhibition is among the motor groups of Discrete actions, or of levels; the world takes {space}"
        )
    groups = decoder.groups(actions)  # (n, N)
    return between_groups(groups.cpu().numpy(), config.inhibition)
