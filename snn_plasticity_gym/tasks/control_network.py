"""The network of a `ControlTask`, between its encoder and its decoder, by its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from gymnasium.spaces import Discrete
from numpy.typing import NDArray

from snn_plasticity_gym.config.groups import RWTA
from snn_plasticity_gym.config.schema import ConfigError
from snn_plasticity_gym.networks.decoders import LevelsDecoder
from snn_plasticity_gym.networks.groups import Groups
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.observation_encoders import CurrentInput
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection
from snn_plasticity_gym.networks.recurrent import INPUT, MOTOR, Boxes, between_groups, controller
from snn_plasticity_gym.networks.recurrent_groups import recurrent_groups

if TYPE_CHECKING:
    import numpy as np

    from snn_plasticity_gym.tasks.control import ControlTask


def control_network(task: ControlTask) -> tuple[list[Population], list[Projection]]:
    """Return the network of a task with given world, encoder and decoder.

    Raises:
        ConfigError: Encoder or decoder do not support the requested hidden fields or inhibition.
    """
    config = task.config
    params = LIFParams(config.tau_mem, config.v_rest, config.v_reset, config.v_th, config.resistance, config.refractory)
    initial = config.w_init_min, config.w_init_max
    plasticity = Plasticity(group=0, scale=config.eta, w_min=config.w_min, w_max=config.w_max)
    sizes = [task.encoder.size, *config.hidden_sizes, task.decoder.size]
    input_neurons = isinstance(task.encoder, CurrentInput)
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
        inhibition=_inhibition(task),
        boxes=_boxes(task),
    )


def _boxes(task: ControlTask) -> Boxes | None:
    config, observations = task.config, task.worlds.observation_space.shape[0]
    width, size = config.hidden_fields, task.encoder.size
    if not width:
        return None
    if size % observations or width > size // observations:
        raise ConfigError(
            f"hidden_fields={width} are more than encoder {config.encoder!r} has of each observation: it has "
            f"{size} neurons for {observations} observations"
        )
    return Boxes(observations, width, config.field_weight)


def _inhibition(task: ControlTask) -> NDArray[np.float32] | None:
    if not task.config.inhibition:
        return None
    space = task.worlds.action_space
    if isinstance(space, Discrete):
        actions = torch.arange(int(space.n), device=task.device)  # (n,)
    elif isinstance(task.decoder, LevelsDecoder):
        actions = task.decoder.levels  # (n, A)
    else:
        raise ConfigError(
            f"inhibition is among the motor groups of Discrete actions, or of levels; the world takes {space}"
        )
    groups = task.decoder.groups(actions)  # (n, N)
    return between_groups(groups.cpu().numpy(), task.config.inhibition)
