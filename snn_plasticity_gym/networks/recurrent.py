"""Controller networks: an input, hidden layers, and motor neurons with optional inhibition between groups."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from snn_plasticity_gym.networks.given_weights import Given
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.populations import Initial, Plasticity, Population, Projection

INPUT, MOTOR = "input", "motor"


def controller(
    sizes: Sequence[int],
    params: LIFParams,
    initial: tuple[float, float],
    plasticity: Plasticity,
    *,
    input_neurons: bool = False,
    recurrent: bool = False,
    plastic_hidden: bool = True,
    inhibition: NDArray[np.float32] | None = None,
    boxes: Initial | None = None,
) -> tuple[list[Population], list[Projection]]:
    """Return populations and projections of a network input -> hidden_1 -> ... -> motor, fully connected.

    Args:
        sizes: Neurons of the input, of each hidden layer and of the motor population.
        params: Constants of all LIF neurons.
        initial: Interval of initial weights.
        plasticity: Of all plastic synapses.
        input_neurons: Whether the input is LIF neurons driven by currents; else given spikes.
        recurrent: Whether each hidden layer has plastic synapses among its neurons, without self-connections.
        plastic_hidden: Whether synapses into hidden layers are plastic.
        inhibition: Fixed weights among motor neurons, (N, N); None: none.
        boxes: Draws fixed weights from the input to the first hidden layer; None: as the others.
    """
    names = [INPUT, *(f"hidden_{layer}" for layer in range(1, len(sizes) - 1)), MOTOR]
    populations = [Population(INPUT, sizes[0], params if input_neurons else None)]
    populations += [Population(name, size, params) for name, size in zip(names[1:], sizes[1:], strict=True)]
    projections = []
    for source, target in pairwise(names):
        own = plasticity if plastic_hidden or target == MOTOR else None
        weights = boxes if boxes is not None and source == INPUT else initial
        projections.append(Projection(f"{source}_to_{target}", source, target, initial=weights, plasticity=own))
        if recurrent and target != MOTOR:
            projections.append(
                Projection(
                    f"{target}_to_{target}",
                    target,
                    target,
                    recurrent=True,
                    autapses=False,
                    initial=initial,
                    plasticity=own,
                )
            )
    if inhibition is not None:
        projections.append(Projection("inhibition", MOTOR, MOTOR, recurrent=True, initial=Given(inhibition)))
    return populations, projections


class Boxes:
    """Draws weights with box-shaped receptive fields: some neighbouring fields of each observation.

    The start of a box is uniform from half its width below the first field to the last one, so that boxes at the ends
    are smaller.

    Args:
        observations: D.
        width: Fields of a box along each observation.
        weight: Mean weight of a field, uniform within 20 %.
    """

    def __init__(self, observations: int, width: int, weight: float) -> None:
        self._observations, self._width, self._weight = observations, width, weight

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Return weights (D F, n_post), 0 outside the boxes."""
        fields = shape[0] // self._observations
        first = rng.integers(-(self._width // 2), fields, size=(self._observations, 1, shape[1]))
        field = np.arange(fields)[None, :, None]
        inside = (field >= first) & (field < first + self._width)  # (D, F, n_post)
        return (inside * self._weight * rng.uniform(0.8, 1.2, inside.shape)).reshape(shape).astype(np.float32)


def between_groups(groups: NDArray[np.bool_], strength: float) -> NDArray[np.float32]:
    """Return inhibitory weights between neurons of different groups, (N, N).

    Args:
        groups: Masks of the neurons of each group, (groups, N).
        strength: Inhibitory charge of a spike (current times ms), at least 0.
    """
    together = groups.T.astype(np.int64) @ groups.astype(np.int64) > 0  # (N, N)
    return np.where(together, 0.0, -strength).astype(np.float32)
