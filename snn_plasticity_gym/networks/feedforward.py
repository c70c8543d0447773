"""Feed-forward networks: an input and layers of LIF neurons, all to all from each layer to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from snn_plasticity_gym.config.feedforward import FeedforwardConfig
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.network import Plasticity, Population, Projection

INPUT, OUTPUT = "input", "output"


def lif_params(config: FeedforwardConfig) -> LIFParams:
    """Return the constants of all layers."""
    return LIFParams(config.tau_mem, config.v_rest, config.v_reset, config.v_th, config.resistance)


def classifier(config: FeedforwardConfig, n_input: int, num_classes: int) -> tuple[list[Population], list[Projection]]:
    """Describe the network of a configuration, all synapses plastic and of one group.

    Args:
        config: Sizes of the hidden layers, constants, weights.
        n_input: Pixels of an image.
        num_classes: C, the number of output neurons; neuron k stands for class k.
    """
    plasticity = Plasticity(group=0, scale=config.eta, w_min=config.w_min, w_max=config.w_max)
    return feedforward([n_input, *config.hidden_sizes, num_classes], lif_params(config), config.w_init, plasticity)


def feedforward(
    sizes: Sequence[int], params: LIFParams, w_init: float, plasticity: Plasticity
) -> tuple[list[Population], list[Projection]]:
    """Describe a network input -> hidden_1 -> ... -> output.

    Args:
        sizes: Neurons of the input, of each hidden layer and of the output.
        params: Constants of all LIF layers.
        w_init: Fresh weights are uniform in +-w_init / sqrt(inputs of the layer), within the clips of `plasticity`.
        plasticity: Of all synapses.
    """
    names = [INPUT, *(f"hidden_{layer}" for layer in range(1, len(sizes) - 1)), OUTPUT]
    populations = [Population(INPUT, sizes[0])]
    populations += [Population(name, size, params) for name, size in zip(names[1:], sizes[1:], strict=True)]
    projections = []
    for layer, (source, target) in enumerate(pairwise(names)):
        bound = w_init / math.sqrt(sizes[layer])
        initial = (max(-bound, plasticity.w_min), min(bound, plasticity.w_max))
        projections.append(Projection(f"{source}_to_{target}", source, target, initial=initial, plasticity=plasticity))
    return populations, projections
