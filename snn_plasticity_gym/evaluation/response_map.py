"""Response map: a network's motor spikes in every state of an environment with two observations.

Axes: G points along each observation, N motor neurons.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_plasticity_gym.networks.network import Network
from snn_plasticity_gym.networks.observation_encoders import CurrentInput
from snn_plasticity_gym.networks.recurrent import INPUT, MOTOR
from snn_plasticity_gym.tasks.control import ControlTask
from snn_plasticity_gym.utils.row_streams import RowUniforms

POINTS = 30  # G


class ResponseMap(NamedTuple):
    """Spikes of motor neurons in the window of one action, from rest."""

    first: NDArray[np.float64]  # (G,) values of the first observation
    second: NDArray[np.float64]  # (G,)
    spikes: NDArray[np.int64]  # (G, G, N), by first, then second observation


@torch.no_grad()
def response_map(task: ControlTask, weights: Mapping[str, Tensor]) -> ResponseMap | None:
    """Present every state to a network at rest, for the duration of an action.

    Args:
        task: Its network, encoder and world.
        weights: Of the network, (n_pre, n_post) by projection.

    Returns:
        Its motor spikes; None unless the environment has two bounded observations.
    """
    space = task.worlds.observation_space
    if space.shape != (2,) or not np.isfinite([space.low, space.high]).all():
        return None
    first, second = (np.linspace(space.low[axis], space.high[axis], POINTS) for axis in range(2))
    states = torch.tensor([[one, other] for one in first for other in second], dtype=torch.float32)  # (G^2, 2)
    network = Network(task.populations, task.projections, len(states), task.config.dt, task.device)
    for projection in task.projections:
        if projection.name in weights:
            network.weights_of(projection.name)[:] = weights[projection.name]
        elif callable(projection.initial):
            shape = network.weights_of(projection.name).shape[1:]
            network.weights_of(projection.name)[:] = torch.as_tensor(
                projection.initial(np.random.default_rng(0), shape)
            )
    network.rest(torch.arange(len(states)))
    uniforms = RowUniforms([np.random.default_rng(0) for _ in states], task.device)
    counts = torch.zeros(len(states), task.decoder.size, dtype=torch.int64)
    for step in range(task.window):
        spikes, currents = {}, {}
        if isinstance(task.encoder, CurrentInput):
            currents[INPUT] = task.encoder.currents(states, step)
        else:
            spikes[INPUT] = task.encoder.spikes(states, step, uniforms)
        counts += network.advance(spikes, None, currents).spikes[MOTOR]
    return ResponseMap(first, second, counts.view(POINTS, POINTS, -1).numpy())
