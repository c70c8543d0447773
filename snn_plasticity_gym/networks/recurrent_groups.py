"""The recurrent winner-take-all network of Yang et al. (2022) by spikes, as populations and projections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

from snn_plasticity_gym.networks.groups import Groups
from snn_plasticity_gym.networks.lif import LIFParams
from snn_plasticity_gym.networks.populations import Plasticity, Population, Projection


def recurrent_groups(
    populations: Sequence[Population],
    params: LIFParams,
    groups: Groups,
    initial: Callable[[int], tuple[float, float]],
    plasticity: Plasticity,
    *,
    input_to_output: bool = False,
    plastic_hidden: bool = True,
) -> tuple[list[Population], list[Projection]]:
    """Describe a network whose hidden layers and output are winner-take-all groups, each connected with all others.

    Layers are drawn one after the other: forwards they reach each other by the spikes of the step, backwards by those
    of the step before; either direction has weights of its own. Where both have the same weights and potentials hold
    the spikes of one step (tau_mem = dt) this is Gibbs sampling (Geman & Geman, Stochastic relaxation, Gibbs
    distributions, and the Bayesian restoration of images, 1984): states v are met as often as the energy of
    `networks/rwta.py` says, p(v) ~ exp((v^T J v / 2 + s^T W v) / width); as tau_mem grows, frequencies go to its mean
    field. There are no synapses within a layer: layers of one group each are the network of the source, and groups of
    one layer do not hear each other.

    Args:
        populations: Names and sizes: the input, hidden layers, and the output, which is one group. An input with `lif`
            keeps it.
        params: Of all groups.
        groups: Of hidden layers; the output has the same width.
        initial: From the number of pre neurons to the interval of fresh weights.
        plasticity: Of all plastic synapses.
        input_to_output: Whether the input reaches the output, too.
        plastic_hidden: Whether synapses into hidden layers are plastic.
    """
    source, *hidden, output = populations
    described = [
        source,
        *(Population(layer.name, layer.size, params, groups) for layer in hidden),
        Population(output.name, output.size, params, Groups(output.size, groups.width)),
    ]

    def join(pre: Population, post: Population, recurrent: bool) -> Projection:
        own = plasticity if plastic_hidden or post is output else None
        name = f"{pre.name}_to_{post.name}"
        return Projection(name, pre.name, post.name, recurrent=recurrent, initial=initial(pre.size), plasticity=own)

    projections = [join(source, layer, False) for layer in hidden]
    if input_to_output:
        projections.append(join(source, output, False))
    layers = [*hidden, output]
    projections += [join(pre, post, False) for pre, post in combinations(layers, 2)]
    projections += [join(post, pre, True) for pre, post in combinations(layers, 2)]
    return described, projections
