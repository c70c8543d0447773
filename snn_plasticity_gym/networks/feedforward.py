"""Classifiers: layers of LIF neurons, all to all from each to the next, or groups of which one neuron wins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from snn_plasticity_gym.config.feedforward import FeedforwardConfig, SemiConfig
from snn_plasticity_gym.networks.groups import Groups
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection
from snn_plasticity_gym.networks.recurrent_groups import recurrent_groups

INPUT, OUTPUT = "input", "output"


def lif_params(config: FeedforwardConfig) -> LIFParams:
    """Return the constants of all layers."""
    return LIFParams(config.tau_mem, config.v_rest, config.v_reset, config.v_th, config.resistance)


def classifier(config: FeedforwardConfig, n_input: int, num_classes: int) -> tuple[list[Population], list[Projection]]:
    """Return populations and projections of a classifier, all synapses plastic and of one group.

    Args:
        config: Sizes of the hidden layers, constants, weights.
        n_input: Pixels of an image.
        num_classes: C, the number of output neurons; neuron k is class k.
    """
    plasticity = Plasticity(group=0, scale=config.eta, w_min=config.w_min, w_max=config.w_max)
    return feedforward([n_input, *config.hidden_sizes, num_classes], lif_params(config), config.w_init, plasticity)


def group_classifier(config: SemiConfig, n_input: int, num_classes: int) -> tuple[list[Population], list[Projection]]:
    """Return a network of winner-take-all groups, one of which is the output; see `classifier`."""
    sizes = [n_input, *config.hidden_sizes, num_classes]

    def initial(n_pre: int) -> tuple[float, float]:
        return _interval(config.w_init, n_pre, config.w_min, config.w_max)

    return recurrent_groups(
        [Population(name, size) for name, size in zip(_names(len(sizes)), sizes, strict=True)],
        lif_params(config),
        Groups(config.wta_size, config.wta_width),
        initial,
        Plasticity(group=0, scale=config.eta, w_min=config.w_min, w_max=config.w_max),
        input_to_output=config.input_to_output,
    )


def feedforward(
    sizes: Sequence[int], params: LIFParams, w_init: float, plasticity: Plasticity
) -> tuple[list[Population], list[Projection]]:
    """Return populations and projections of a network input -> hidden_1 -> ... -> output.

    Args:
        sizes: Neurons of the input, of each hidden layer and of the output.
        params: Constants of all LIF layers.
        w_init: Initial weights are uniform in +-w_init / sqrt(inputs of the layer), within the clips of `plasticity`.
        plasticity: Of all synapses.
    """
    names = _names(len(sizes))
    populations = [Population(INPUT, sizes[0])]
    populations += [Population(name, size, params) for name, size in zip(names[1:], sizes[1:], strict=True)]
    projections = []
    for layer, (source, target) in enumerate(pairwise(names)):
        initial = _interval(w_init, sizes[layer], plasticity.w_min, plasticity.w_max)
        projections.append(Projection(f"{source}_to_{target}", source, target, initial=initial, plasticity=plasticity))
    return populations, projections


def _names(number: int) -> list[str]:
    return [INPUT, *(f"hidden_{layer}" for layer in range(1, number - 1)), OUTPUT]


def _interval(w_init: float, n_pre: int, w_min: float, w_max: float) -> tuple[float, float]:
    """Return the interval of initial weights."""
    bound = w_init / math.sqrt(n_pre)
    return max(-bound, w_min), min(bound, w_max)
